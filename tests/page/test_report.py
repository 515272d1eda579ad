"""The report: its numbers against independent ones, and the page as a browser sees it."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import config_text, edited
from pipeline import OPEN_GATES, make_request, rewrite
from plainrun import run_to_sample

from lensneg.cli import main
from lensneg.mocksky import write_mock_sky
from lensneg.page import comparison, figures
from lensneg.schema import validation as results
from lensneg.schema.code_version import ROOT
from lensneg.schema.layout import RunFiles
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.publish_manifest import publish_manifest
from lensneg.stages.quarantine import quarantine
from lensneg.stages.report import write_report
from lensneg.stages.validate_manifest import validate_manifest
from lensneg.survey.names import Cell

SCHEMA = ROOT / "schemas" / "validation.schema.json"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

DARK = "--blink-settings=preferredColorScheme=0"

#: A name that would be markup, and would run, if it were not escaped.
NASTY = '<img src=x onerror="document.title=1">.csv'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A mini-test with its report."""
    folder = tmp_path_factory.mktemp("report")
    write_mock_sky(folder / "sky", files=2, rows=8_000, seed=61)
    shutil.copy(folder / "sky" / "positives.csv", folder / NASTY.replace("/", ""))
    config = folder / "config.yaml"
    changes = {**OPEN_GATES, "sampling.neg_pos_ratio": 5}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    exclude = (folder / NASTY,)
    made = run_to_sample(make_request(folder / "sky", config, folder / "out", "one", "test", exclude))
    assert check_sample(made.root).gate.passed
    assert validate_manifest(made.root).gate.passed
    publish_manifest(made.root)
    write_report(made.root)
    return made


@pytest.fixture(scope="module")
def validation(files: RunFiles) -> dict[str, Any]:
    return json.loads(Path(files.validation).read_text())


@pytest.fixture(scope="module")
def rows(files: RunFiles) -> list[dict[str, Any]]:
    parts = [uri for part in ("negatives", "positives") for uri in files.sample_parts(part)]
    return pa.concat_tables([pq.ParquetFile(uri).read() for uri in parts]).to_pylist()


def test_the_published_schema_is_that_of_the_models() -> None:
    assert json.loads(SCHEMA.read_text()) == results.json_schema(), (
        "python -m lensneg.schema.validation > schemas/validation.schema.json"
    )


def test_validation_json_fits_its_published_schema(validation: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(validation)
    for spoil in ({"passed": "yes"}, {"mode": "half"}, {"unknown": 1}, {"gates": [{"gate": "x"}]}):
        assert not validator.is_valid({**validation, **spoil})


def test_its_numbers_are_those_of_the_files(validation: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    pools = Counter(row["pool"] for row in rows)
    assert validation["rows"] == {
        "negatives": pools["N1"] + pools["N2"],
        "positives": pools["positive"],
    }
    for split in validation["splits"]:
        here = [row for row in rows if row["split"] == split["split"]]
        assert split["positives"] == sum(row["pool"] == "positive" for row in here)
        assert split["pixels"] == len({row["healpix_128"] for row in here})
        assert split["fraction"] == pytest.approx(len(here) / len(rows), abs=1e-6)
    drawn = Counter(row["confuser_category"] for row in rows)
    assert {c["category"]: c["drawn"] for c in validation["confusers"]} == {
        c["category"]: drawn[c["category"]] for c in validation["confusers"]
    }
    for stratum in validation["strata"]:
        here = [
            r
            for r in rows
            if (r["nobs_z_bin"], r["type_bin"]) == (stratum["nobs_z_bin"], stratum["type_bin"])
        ]
        assert stratum["drawn"] == sum(row["pool"] != "positive" for row in here)
    [z] = [q for q in validation["quantities"] if q["name"] == "mag_z"]
    n1 = sorted(row["mag_z"] for row in rows if row["pool"] == "N1")
    assert z["samples"]["N1"]["median"] == pytest.approx(float(np.median(n1)), abs=1e-4)


def test_two_sample_statistics_are_those_of_all_pairs_and_all_cuts() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        a = rng.integers(0, 9, rng.integers(1, 40)).astype(float)
        b = rng.integers(2, 12, rng.integers(1, 40)).astype(float)
        pairs = [(x > y) + (x == y) / 2 for x in a for y in b]
        assert comparison.auc(a, b) == pytest.approx(sum(pairs) / len(pairs))
        cuts = [abs((a <= x).mean() - (b <= x).mean()) for x in (*a, *b)]
        assert comparison.ks_distance(a, b) == pytest.approx(max(cuts))


def test_chance_exceeds_its_bound_once_in_a_hundred() -> None:
    rng = np.random.default_rng(5)
    beyond = 0
    for _ in range(2_000):
        a, b = rng.normal(size=300), rng.normal(size=200)
        pair = comparison._pair("a", "b", a, b)
        beyond += pair.ks > pair.ks_chance
    assert 5 <= beyond <= 40  # 20 of 2,000


def test_the_map_is_mollweides_projection() -> None:
    """A cell is where the projection puts it, by its equations forwards; equal areas have equal pixels."""
    cells = {Cell(100, 105, -5, 0): 1.0, Cell(350, 355, 50, 55): 1.0, Cell(200, 205, -80, -75): 1.0}
    height, width = figures._MAP_SHAPE
    for cell in cells:
        image = figures.cells_image({cell: 1.0})
        filled = np.argwhere(np.isfinite(image))
        ra, dec = cell.centre
        theta, lat = np.radians(dec), np.radians(dec)
        for _ in range(60):
            theta -= (2 * theta + np.sin(2 * theta) - np.pi * np.sin(lat)) / (2 + 2 * np.cos(2 * theta))
        lon = (figures._CENTRE_RA - ra + 180) % 360 - 180
        x, y = lon / 180 * np.cos(theta), np.sin(theta)
        middle = (filled.min(axis=0) + filled.max(axis=0) + 1) / 2
        assert middle[1] == pytest.approx((x + 1) / 2 * width, abs=3)
        assert middle[0] == pytest.approx((1 - y) / 2 * height, abs=3)
        solid = 5 * np.degrees(np.sin(np.radians(cell.dec_max)) - np.sin(np.radians(cell.dec_min)))
        whole = np.pi * height * width / 4
        assert len(filled) == pytest.approx(whole * solid / 41252.96, rel=0.15)
        assert np.nanmax(image) == pytest.approx(1 / solid)


def test_a_quarantined_run_has_its_report_whatever_is_wrong_with_it(files: RunFiles, tmp_path: Path) -> None:
    shutil.copytree(files.out, tmp_path / "out")
    run = RunFiles(str(tmp_path / "out"), "one")
    record = json.loads(Path(run.run).read_text())
    Path(run.run).write_text(json.dumps({**record, "out": run.out}))
    rewrite(Path(run.sample_folder) / "negatives", lambda t: t.drop_columns(["mag_r"]))
    assert not validate_manifest(run.root).gate.passed
    quarantine(run.root)
    write_report(run.root)
    page = Path(run.report).read_text()
    assert "quarantined" in page
    assert "negatives/part-00000.parquet: no mag_r" in page
    found = json.loads(Path(run.validation).read_text())
    assert (found["passed"], found["rows"], found["quantities"]) == (False, None, [])
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))


def test_no_task_waits_for_matplotlib_to_be_imported() -> None:
    modules = ", ".join(f"functions.{path.stem}" for path in (ROOT / "functions").glob("*.py"))
    code = f"import sys, {modules}; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ---------------------------------------------------------------- the page


class Elements(HTMLParser):
    """All attributes that could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "data")]


def test_the_page_is_self_contained_and_escapes_names(files: RunFiles) -> None:
    page = Path(files.report).read_text()
    elements = Elements()
    elements.feed(page)
    assert elements.references
    assert all(r.startswith(("#", "data:image/png;base64,")) for r in elements.references)
    assert elements.tags["script"] == elements.tags["link"] == elements.tags["iframe"] == 0
    assert "onerror" in page
    assert "<img src=x" not in page
    assert "url(http" not in page.replace(" ", "")


def test_ids_are_unique_and_every_reference_has_its_target(files: RunFiles) -> None:
    page = Path(files.report).read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', page)) <= set(ids)


#: Put at the end of a copy of the page: says what is drawn, and how wide the page is.
PROBE = """
<script>
addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("figure svg")].map(svg => {
    const box = svg.getBBox(), drawn = svg.getBoundingClientRect();
    return {parts: svg.querySelectorAll("path, use, image").length, width: box.width,
      shown: drawn.width, height: drawn.height,
      images: [...svg.querySelectorAll("image")].map(i => i.getBBox().width)};
  });
  document.documentElement.dataset.probe = JSON.stringify({
    boxes, page: document.documentElement.scrollWidth, window: innerWidth,
    fetched: performance.getEntriesByType("resource").map(entry => entry.name),
    bars: [...document.querySelectorAll(".bar i")].map(i => i.getBoundingClientRect().width),
  });
});
</script>
"""


def in_chromium(page: Path, width: int, profile: Path, *options: str) -> tuple[dict[str, Any], str]:
    """What the probe saw of a page, and what the browser logged of its console."""
    assert CHROMIUM is not None
    text = page.read_text().replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    probed = profile.parent / f"{profile.name}.html"
    probed.write_text(text.replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", f"--window-size={width},900", "--enable-logging=stderr", "--v=0",
            *options, "--dump-dom", f"file://{probed}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    match = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert match, done.stderr[-2000:]
    return json.loads(match[1].replace("&quot;", '"')), done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("width", "options"), [(1200, ()), (500, (DARK,))])
def test_a_browser_draws_every_figure_and_complains_of_nothing(
    files: RunFiles, tmp_path: Path, width: int, options: tuple[str, ...]
) -> None:
    probe, log = in_chromium(Path(files.report), width, tmp_path / "profile", *options)
    assert "CONSOLE" not in log
    assert [url for url in probe["fetched"] if not url.startswith("data:")] == []
    boxes = probe["boxes"]
    assert len(boxes) == 4 + len(comparison.QUANTITIES)
    for box in boxes:
        assert box["parts"] > 3
        assert box["width"] > 0
        assert box["shown"] > 150
        assert box["height"] > 80
        assert all(image > 0 for image in box["images"])
    assert sum(bool(box["images"]) for box in boxes) == 4  # three maps and the field
    assert all(bar >= 1 for bar in probe["bars"])
    assert probe["page"] <= probe["window"]  # nothing to scroll sideways


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_browser_test_would_see_a_request_and_an_error(files: RunFiles, tmp_path: Path) -> None:
    page = tmp_path / "spoiled.html"
    text = Path(files.report).read_text()
    page.write_text(text.replace("<header>", '<header><img src="http://127.0.0.1:9/x.png">'))
    _, log = in_chromium(page, 900, tmp_path / "profile")
    assert "CONSOLE" in log
    assert "Content Security Policy" in log


# ---------------------------------------------------------------- the commands


def door(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lensneg", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_lensneg_report_draws_a_run_again(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(files.report).read_text()
    Path(files.report).unlink()
    assert door(monkeypatch, "report", "one", "--out", files.out) == 0
    assert capsys.readouterr().out.strip() == files.report
    assert Path(files.report).read_text() == before
    assert door(monkeypatch, "report", Path(files.out) / "runs" / "two") == 2
    assert "not the folder of a run that was planned" in capsys.readouterr().err.replace("\n", "")


def test_lensneg_validate_tells_by_its_exit_code(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(files.out, tmp_path / "out")
    run = RunFiles(str(tmp_path / "out"), "one")
    record = json.loads(Path(run.run).read_text())
    Path(run.run).write_text(json.dumps({**record, "mode": "full", "out": run.out}))
    publish_manifest(run.root)
    assert door(monkeypatch, "validate", run.manifest_folder) == 0
    assert "passed" in capsys.readouterr().out
    [path] = Path(run.manifest_folder, "negatives").iterdir()
    row = pq.read_table(path).slice(0, 1).to_pylist()[0]
    beside = tmp_path / "new_lens.csv"
    beside.write_text(f"name,ra,dec\nnew,{row['ra']},{row['dec'] + 5 / 3600}\n")
    assert door(monkeypatch, "validate", run.manifest_folder, "--exclude", beside, "--json") == 1
    gate = json.loads(capsys.readouterr().out)
    assert [c["name"] for c in gate["checks"] if not c["passed"]] == ["clear_of_lenses"]
    assert door(monkeypatch, "validate", tmp_path) == 2
    assert door(monkeypatch, "validate", run.manifest_folder, "--sweeps", tmp_path / "nowhere") == 2
