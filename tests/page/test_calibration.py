"""lensneg calibrate: rates counted plainly from the pool's rows, errors by hand and by chance, and limits."""

import csv
import itertools
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import config_text, edited
from pipeline import OPEN_GATES, make_request
from plainrun import run_to_sample
from usage import told

from lensneg.cli import main
from lensneg.errors import InputError
from lensneg.mocksky import write_mock_sky
from lensneg.page import calibration
from lensneg.page.calibration import PoolRates, criteria_met, rate_of
from lensneg.schema import tables
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles

Row = dict[str, Any]

CATEGORIES = ("ring_proxy", "edge_on_proxy", "blue_clumpy", "large_galaxy")


def meets(row: Row, sersic_min: float = 4.0) -> dict[str, bool]:
    """The four criteria of negative_sampling_v1, as docs/science.md states them."""
    kind, e = row["type"], math.hypot(row["shape_e1"], row["shape_e2"])
    g, r = row["flux_g"] or 0, row["flux_r"] or 0
    mags = [22.5 - 2.5 * math.log10(flux) if flux > 0 else math.nan for flux in (g, r)]
    early = kind == "DEV" or (kind == "SER" and row["sersic"] >= sersic_min)
    return {
        "ring_proxy": early and r >= 5,
        "edge_on_proxy": kind in ("EXP", "SER", "DEV") and e >= 0.5 and row["shape_r"] >= 0.6,
        "blue_clumpy": mags[0] - mags[1] <= 0.4 and mags[1] <= 20.5,
        "large_galaxy": row["shape_r"] >= 2 and r >= 3,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    folder = tmp_path_factory.mktemp("calibration")
    write_mock_sky(folder / "sky", files=2, rows=20_000, seed=61)
    config = folder / "config.yaml"
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    return run_to_sample(make_request(folder / "sky", config, folder / "out", "one", "test", ()))


@pytest.fixture(scope="module")
def uris(files: RunFiles) -> list[str]:
    return sorted(map(str, Path(files.pool_folder).iterdir()))


@pytest.fixture(scope="module")
def pool(uris: list[str]) -> list[Row]:
    return pa.concat_tables([pq.read_table(uri) for uri in uris]).to_pylist()


def test_rates_are_counted_by_category_type_and_magnitude(
    plan: Config, uris: list[str], pool: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 97)  # no batch is the whole pool
    counted: dict[tuple[Any, ...], list[bool]] = defaultdict(list)
    for row in pool:
        bins = [(None, None)]
        if row["mag_r"] is not None:
            low = None if row["mag_r"] < 16 else min(math.floor(row["mag_r"] * 2) / 2, 21.5)
            bins.append((low, 16.0 if low is None else None if low == 21.5 else low + 0.5))
        for name, met in meets(row).items():
            for place in itertools.product((None, row["type"]), bins):
                counted[name, place[0], *place[1]].append(met)
    found = PoolRates(plan, uris).table()
    assert [row.category for row in found] == sorted((r.category for r in found), key=CATEGORIES.index)
    shown = {(row.category, row.type, row.mag_r_from, row.mag_r_to): row.rate for row in found}
    assert {key: (r.sources, r.meeting) for key, r in shown.items()} == {
        key: (len(met), sum(met)) for key, met in counted.items()
    }
    assert sum(shown[name, None, None, None].meeting for name in CATEGORIES) > 50
    for rate in shown.values():
        assert rate.rate == rate.meeting / rate.sources


def test_flags_of_the_pool_say_which_criteria_are_met(plan: Config) -> None:
    """Bit i is criterion i; bit 30 is that of an external hard negative."""
    batch = pa.table({"confuser_flags": pa.array([0, 1, 10, 8 | 1 << 30], pa.int32())})
    found = criteria_met(batch, plan)
    assert {name: met.tolist() for name, met in found.items()} == {
        "ring_proxy": [False, True, False, False],
        "edge_on_proxy": [False, False, True, False],
        "blue_clumpy": [False] * 4,
        "large_galaxy": [False, False, True, True],
    }


def test_the_error_of_a_rate_by_hand() -> None:
    """Two pixels of 10 and 30 sources, of which 5 and 5 meet: rate 1/4, residuals 2.5 and -2.5."""
    found = rate_of(np.array([10, 0, 30]), np.array([5, 0, 5]))
    assert found[:3] == (40, 10, 0.25)
    assert found.error == pytest.approx(math.sqrt(2 * (2.5**2 + 2.5**2)) / 40)


def test_a_rate_has_at_least_the_error_of_a_binomial_distribution() -> None:
    """Where all pixels agree, where there is one, and where nothing or all meets."""
    assert rate_of(np.array([40]), np.array([10])).error == pytest.approx(
        math.sqrt(0.25 * 0.75 / 40), rel=0.02
    )
    assert rate_of(np.array([20, 20]), np.array([5, 5])).error > 0.06
    assert rate_of(np.array([20, 20]), np.array([0, 0])).error == pytest.approx(0.0174, abs=0.001)
    assert rate_of(np.array([20, 20]), np.array([20, 20])).error == pytest.approx(0.0174, abs=0.001)
    assert math.isnan(rate_of(np.array([0]), np.array([0])).rate)


def test_errors_are_the_scatter_of_rates_whose_sources_cluster() -> None:
    """Pixels have rates of their own: the errors are those of 400 made-up skies, and above the binomial."""
    rng = np.random.default_rng(8)
    rates, errors = [], []
    for _ in range(400):
        sources = rng.poisson(40, 60)
        meeting = rng.binomial(sources, rng.beta(2, 8, 60))
        found = rate_of(sources, meeting)
        rates.append(found.rate)
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.std(rates), rel=0.1)
    assert np.mean(errors) > 1.5 * math.sqrt(0.2 * 0.8 / 2400)


@pytest.mark.parametrize("wanted", [0.1, 0.15, 0.3])
def test_a_limit_gives_the_wanted_rate(plan: Config, uris: list[str], pool: list[Row], wanted: float) -> None:
    """Against every limit that makes a difference, and with the criterion counted plainly at the result."""
    found = PoolRates(plan, uris).threshold("ring_proxy.sersic_min", wanted)
    assert (found.key, found.now) == ("ring_proxy.sersic_min", 4.0)
    assert found.rate_now.meeting == sum(meets(row)["ring_proxy"] for row in pool)
    assert found.rate.meeting == sum(meets(row, found.value)["ring_proxy"] for row in pool)
    limits = sorted(
        {round(row["sersic"], 4) + d for row in pool if row["type"] == "SER" for d in (-1e-4, 1e-4)}
    )
    every = [sum(meets(row, limit)["ring_proxy"] for row in pool) / len(pool) for limit in limits]
    assert abs(found.rate.rate - wanted) <= min(abs(rate - wanted) for rate in every) + 1e-12


def test_an_upper_limit_is_found_as_well(plan: Config, uris: list[str]) -> None:
    found = PoolRates(plan, uris).threshold("blue_clumpy_proxy.g_minus_r_max", 0.05)
    assert found.value > found.now == 0.4
    assert found.rate.rate == pytest.approx(0.05, abs=0.002)
    assert found.rate_now.rate < 0.03


@pytest.mark.parametrize(
    ("key", "rate", "what", "remedy"),
    [
        ("ring_proxy.sersic_min", 0.9, "no limit gives the rate 0.9: they give ", "change another number"),
        (
            "ring_proxy.types",
            0.1,
            "not a number of a criterion",
            "give one of ring_proxy.sersic_min, ring_proxy",
        ),
        ("ring.sersic_min", 0.1, "not a number of a criterion", "give one of ring_proxy.sersic_min"),
        ("ring_proxy", 0.1, "not a number of a criterion", "give one of ring_proxy.sersic_min"),
    ],
)
def test_a_limit_that_cannot_be_found(
    plan: Config, uris: list[str], key: str, rate: float, what: str, remedy: str
) -> None:
    with pytest.raises(InputError) as refused:
        PoolRates(plan, uris).threshold(key, rate)
    assert refused.value.what.startswith(what)
    assert refused.value.where == f"--criterion {key}"
    assert refused.value.remedy.startswith(remedy)


def test_a_criterion_of_a_column_that_the_pool_lacks(
    plan: Config, uris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs_more(rows: Any, _config: Any) -> Any:
        return {"ring_proxy": rows["FLUX_IVAR_Z"] > 1}

    rates = PoolRates(plan, uris)
    monkeypatch.setattr(calibration, "confuser_criteria", needs_more)
    with pytest.raises(
        InputError, match=r"it looks at FLUX_IVAR_Z, which the pool does not hold; change it in"
    ):
        rates.threshold("ring_proxy.sersic_min", 0.1)


def test_a_pool_file_that_is_missing_or_damaged(plan: Config, uris: list[str], tmp_path: Path) -> None:
    damaged = tmp_path / "x.parquet"
    damaged.write_bytes(Path(uris[0]).read_bytes()[:-100])
    for uri, what in (
        (str(tmp_path / "gone"), "gone: missing; calibrate a run"),
        (str(damaged), "not a pool file"),
    ):
        with pytest.raises(InputError, match=what):
            PoolRates(plan, [uris[0], uri])


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["lensneg", "calibrate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), *capsys.readouterr()


def test_the_command_prints_a_config_change_and_changes_none(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path(files.out).parent.rglob("*.*") if path.is_file()}
    asked = ("--criterion", "edge_on_proxy.ellipticity_min", "--rate", "0.05", "--out", tmp_path)
    code, out, err = run(monkeypatch, capsys, files.root, *asked)
    assert code == 0, err
    change = yaml.safe_load(out[out.index("# ellipticity_min 0.5 gives") :])
    value = change["negative_pools"]["pool_n2"]["tractor_criteria"]["edge_on_proxy"]["ellipticity_min"]
    assert 0.5 < value < 1
    assert "a published one never changes" in err
    assert before == {path: path.read_bytes() for path in before}
    with (tmp_path / "calibration.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert rows[0].keys() == {
        *("category", "type", "mag_r_from", "mag_r_to", "sources", "meeting", "rate", "error")
    }
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(monkeypatch, capsys, files.root, "--json", "--out", tmp_path)
    found = json.loads(out)
    assert (code, found["run_id"], found["threshold"], len(found["rates"])) == (0, "one", None, len(rows))


def test_what_the_command_refuses(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        ((files.root, "--rate", "0.1"), "--criterion, --rate: one without the other; give both or none"),
        ((tmp_path,), "no published manifest there; give an output folder, a run"),
        ((files.root, "--criterion", "x", "--rate", "0.1"), "--criterion x: not a number"),
    ):
        code, _, err = run(monkeypatch, capsys, *words, "--out", tmp_path)
        assert (code, message in told(err)) == (2, True), err
    assert not list(tmp_path.iterdir())
