"""``lensneg cost``: one screen, its details, and JSON."""

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS
from costcase import MIB, changed
from usage import told

from lensneg.cli import main
from lensneg.cost.planned_run import FILTER_MEMORY_MB

RATES = CONFIGS / "rates.yaml"
PRICES = CONFIGS / "prices.yaml"

PARTS = (
    "Preflight: Lambda", "Map: Lambda", "Map: invocations", "Map: S3 GET", "Map: S3 PUT", "Map: transitions",
    "SummarizeFanOut: Lambda", "Draw: EMR vCPU", "Draw: EMR memory", "CheckSample: Lambda",
    "Other functions: Lambda", "Execution: transitions", "Rest: S3 GET", "Rest: S3 PUT, LIST",
    "CloudWatch Logs",
)  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line within this process, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lensneg", "cost", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    cells = [f"sweep-{ra:03d}p000-{ra + 5:03d}p005.fits" for ra in range(0, 50, 5)]
    path.write_text("\n".join([*cells, "sweep-000p000-005p005-pz.fits"]))
    return path


def is_a_screen(out: str) -> bool:
    lines = out.splitlines()
    return len(lines) <= 24 and max(map(len, lines)) <= 80


def usd_text(usd: float) -> str:
    return f"{usd:.3f}" if usd >= 0.0005 else "<0.001"


def test_the_whole_release_is_one_screen(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert is_a_screen(out)
    assert out.startswith(
        "1,436 sweep files (sizes of 1,436 modelled): DR10.1\nabout 1.428 TB, 1,436 items, "
    )
    _, json_text, _ = run("--json")
    report = json.loads(json_text)
    rows = re.findall(r"^(\w+)( +█+ +)([\d]+) +([\d.]+) +(<?[\d.]+)$", out, re.MULTILINE)
    assert [name for name, *_ in rows] == [state["state"] for state in report["states"]]
    for (name, bar, *numbers), state in zip(rows, report["states"], strict=True):
        assert numbers == [f"{state['begin']:.0f}", f"{state['seconds']:.1f}", usd_text(state["usd"])]
        begin, end = (at / report["seconds"] * 32 for at in (state["begin"], state["end"]))
        assert len(name) + bar.index("█") - 18 == pytest.approx(begin, abs=1)
        assert bar.count("█") == pytest.approx(end - begin, abs=1)
    of_all = usd_text(report["usd_of_all_states"])
    assert re.search(rf"^all states +transitions, S3 +{of_all}$", out, re.MULTILINE)
    _, details, _ = run("--details")
    assert details.startswith(out)
    rows = re.findall(r"^(\S.*?)  +(<?[\d.]+) +(\d+)% +([\d.]*) *$", details, re.MULTILINE)
    assert tuple(name for name, *_ in rows) == PARTS
    assert "Map: invocations" not in out
    for (_, usd, share, seconds), part in zip(rows, report["parts"], strict=True):
        assert usd == usd_text(part["usd"])
        assert int(share) == round(100 * part["usd"] / report["usd"])
        assert float(seconds or 0) == pytest.approx(part["seconds"], abs=0.051)
    assert re.search(rf"^total, estimated +{report['seconds']:.0f} +{report['usd']:.2f}$", out, re.MULTILINE)
    text = " ".join(out.split())
    time = f"time about {report['seconds'] / 60:.1f} of 10 min: target met; longest: "
    assert f"{time}Other functions: Lambda, 27%" in text
    assert f"cost about {report['usd']:.2f} of 2.00 USD: target met; costliest: Map: Lambda, 61%" in text
    for extra in report["not_included"]:
        assert f"{extra['name']} {extra['usd']:.2f} USD" in text or not extra["usd"]
        assert extra["name"] in text
    assert "Lambda stops" not in text


def test_details_come_below_the_screen(run: Run, names: Path) -> None:
    _, screen, _ = run("--listing", names)
    code, out, _ = run("--listing", names, "--details", "--concurrency", 7, "--memory", 1024,
                       "--item-bytes", 64 * MIB, "--positives", 20)  # fmt: skip
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "at a time" not in screen
    text = " ".join(out.split())
    assert "10 sweep files (sizes of 10 modelled); 1 other entries ignored: " in text
    _, json_text, _ = run("--listing", names, "--json", "--concurrency", 7, "--memory", 1024,
                          "--item-bytes", 64 * MIB, "--positives", 20)  # fmt: skip
    words = set(text.split())
    for part in json.loads(json_text)["parts"]:
        assert set(part["assumption"].split()) <= words, part["name"]
    for option in ("7 items at a time", "1,024 MB", "64 MiB", "20 positives", "100 negatives for each"):
        # A column beside the text may break it.
        assert set(option.split()) <= {word.rstrip(",;") for word in words}


def test_a_missed_target_is_said_and_is_no_failure(run: Run, names: Path, tmp_path: Path) -> None:
    rates, prices = tmp_path / "rates.yaml", tmp_path / "prices.yaml"
    slow = {
        "rates.spark_start_seconds.value": 2000,
        "rates.header_seconds.value": 100,
        "rates.run_puts.value": 1,
    }
    rates.write_text(changed(RATES, slow))
    prices.write_text(changed(PRICES, {"s3_put.usd": 500.0}))
    code, out, _ = run("--listing", names, "--rates", rates, "--prices", prices)
    assert code == 0
    assert is_a_screen(out)
    assert re.search(r"time about [\d.]+ of 10 min: target MISSED; longest: Draw: EMR vCPU, ", out)
    assert re.search(r"cost about [\d.]+ of 2.00 USD: target MISSED; costliest: Map: S3 PUT, ", out)
    assert "Lambda stops Preflight after 900 s" in out


def test_the_worst_case_is_one_screen_too(run: Run, tmp_path: Path) -> None:
    rates, prices = tmp_path / "rates.yaml", tmp_path / "prices.yaml"
    slow = {
        "header_seconds": 1e3, "request_seconds": 1.0, "item_seconds": 1e3, "check_seconds": 1.0,
        "spark_start_seconds": 0,
    }  # fmt: skip
    rates.write_text(changed(RATES, {f"rates.{name}.value": value for name, value in slow.items()}))
    prices.write_text(changed(PRICES, {"s3_gb_month.usd": 1.0, "step_functions_transition.usd": 500.0}))
    folder = tmp_path / ("a folder with a long name " * 4)
    folder.mkdir()
    listing = folder / "names.txt"
    entries = [f"sweep-{ra:03d}p{dec:03d}-{ra + 5:03d}p{dec + 5:03d}.fits"
               for ra in range(0, 350, 5) for dec in range(0, 80, 5)]  # fmt: skip
    listing.write_text("\n".join([*entries, *(f"readme{i}" for i in range(1234))]))
    code, out, _ = run("--listing", listing, "--rates", rates, "--prices", prices)
    assert code == 0
    assert is_a_screen(out)
    assert "1,120 sweep files (sizes of 1,120 modelled); 1,234 other entries ignored" in out
    assert "Lambda stops Preflight, FilterSweep, SummarizeFanOut, CheckSample after 900 s" in out


def test_json_says_the_same(run: Run, names: Path) -> None:
    code, out, _ = run("--listing", names, "--json", "--concurrency", 7, "--memory", 1024,
                       "--item-bytes", 64 * MIB, "--positives", 20)  # fmt: skip
    assert code == 0
    report = json.loads(out)
    assert set(report) == {
        "prices", "listing", "options", "usd", "seconds", "verdict", "items", "waves", "state_transitions",
        "failure",
        "map_billed_seconds", "states", "usd_of_all_states", "parts", "not_included",
    }  # fmt: skip
    assert report["options"] == {
        "concurrency": 7, "memory_mb": 1024, "item_bytes": 64 * MIB, "positives": 20, "negatives": 2000
    }  # fmt: skip
    assert report["usd"] == pytest.approx(sum(part["usd"] for part in report["parts"]))
    assert report["seconds"] == pytest.approx(sum(part["seconds"] for part in report["parts"]))
    of_states = sum(state["usd"] for state in report["states"])
    assert report["usd"] == pytest.approx(of_states + report["usd_of_all_states"], abs=2e-5)
    for part in report["parts"]:
        assert part["usd"] == pytest.approx(part["quantity"] * part["unit_usd"])
    # 10 files of 1,967,025 rows of 505 bytes: 15 items of about 64 MiB each.
    assert (report["items"], report["waves"]) == (150, math.ceil(150 / 7))
    assert report["state_transitions"] == pytest.approx(150 * (1 + 1.01) + 14)
    assert report["verdict"] == {
        "target_seconds": 600, "target_usd": 2, "meets_seconds": report["seconds"] <= 600, "meets_usd": True,
        "overruns": [],
        "costliest_part": max(report["parts"], key=lambda part: part["usd"])["name"],
        "longest_part": max(report["parts"], key=lambda part: part["seconds"])["name"],
    }  # fmt: skip
    assert report["listing"]["ignored"] == 1
    assert report["prices"]["date"] == str(yaml.safe_load(PRICES.read_text())["date"])


def test_free_prices_are_no_error(run: Run, names: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(PRICES.read_text())
    free = {f"{name}.usd": 0.0 for name, price in data.items() if isinstance(price, dict)}
    path = tmp_path / "prices.yaml"
    path.write_text(changed(PRICES, free))
    code, out, _ = run("--listing", names, "--prices", path)
    assert code == 0
    assert "cost about 0.00 of 2.00 USD: target met" in out


def test_the_command_takes_a_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sweep-000m005-005p000.fits").write_bytes(bytes(100_000))
    code, out, _ = run("--sweeps", tmp_path)
    assert code == 0
    assert out.startswith("1 sweep files: ")
    assert "\n0.000 TB, 1 items" in out


def test_the_default_memory_is_that_of_the_function(run: Run, names: Path) -> None:
    _, out, _ = run("--listing", names, "--json")
    assert json.loads(out)["options"]["memory_mb"] == FILTER_MEMORY_MB


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--listing", "a", "--sweeps", "b"), "--listing and --sweeps: both are given; give one"),
        (("--listing", "nowhere.txt"), "--listing nowhere.txt: no such file"),
        (("--listing", "."), "--listing .: not a text file"),
        (("--sweeps", "nowhere"), "nowhere: no such folder"),
        (("--sweeps", "ftp://host/x"), "expected a local path or s3://"),
        (("--listing", "names", "--rates", "nowhere.yaml"), "--rates nowhere.yaml: no such file"),
        (("--listing", "names", "--prices", "nowhere.yaml"), "--prices nowhere.yaml: no such file"),
        (("--listing", "names", "--concurrency", "0"), "0 is not in the range"),
        (("--listing", "names", "--memory", "64"), "64 is not in the range"),
        (("--listing", "names", "--item-bytes", "1000"), "1000 is not in the range"),
        (("--listing", "names", "--positives", "0"), "0 is not in the range"),
        (("--listing", "names", "--positives", "1" + "0" * 400), "is not in the range"),
        # 10^18 bytes in items of 2^28 bytes, without the headers' 46,080.
        (
            ("--listing", "absurd"),
            "absurd: the files would be 84,771,051 map items; expected at most 2,000",
        ),
        (
            ("--release", "DR9-south"),
            "--release: the names of the sweep files of DR9-south are not known here",
        ),
        (
            ("--config", "negative_sampling_dr9_north"),
            "--config: the names of the sweep files of DR9-north are not known here",
        ),
    ],
)
def test_bad_usage_and_input_end_with_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").write_text("sweep-000m005-005p000.fits")
    (tmp_path / "absurd").write_text("sweep-000m005-005p000.fits 999999999999999999")
    code, out, err = run(*arguments)
    assert code == 2
    assert message in " ".join(told(err).split())
    assert out == ""


def test_the_items_are_those_of_the_config(run: Run, names: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    own = "extends: negative_sampling_v1\nname: own\nversion: 1.0.0\n"
    config.write_text(f"{own}execution: {{target_item_bytes: {1 << 28}}}\n")
    by_config = run("--listing", names, "--config", config, "--json")
    assert by_config == run("--listing", names, "--item-bytes", 1 << 28, "--json")
    assert by_config != run("--listing", names, "--json")


def test_help_has_an_example(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "Example: lensneg cost" in " ".join(out.split())
