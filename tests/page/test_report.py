"""The report: its numbers against independent ones, in validation.json and on the page; and in a browser."""

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from usage import told

from lensneg.cli import main
from lensneg.mocksky import write_mock_sky
from lensneg.page import comparison, figures, sky_figures
from lensneg.rules.selection import CUT_REASONS
from lensneg.schema import validation as results
from lensneg.schema.code_version import ROOT
from lensneg.schema.columns import MANIFEST_SCHEMA
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run
from lensneg.schema.state_times import StateTimes
from lensneg.schema.tables import read_table
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.publish_manifest import publish_manifest
from lensneg.stages.quarantine import quarantine
from lensneg.stages.report import write_report
from lensneg.stages.validate_manifest import validate_manifest
from lensneg.survey.names import Cell
from lensneg.survey.releases import release_cells

SCHEMA = ROOT / "schemas" / "validation.schema.json"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: Where the page's links go that leave it.
VIEWER = "https://www.legacysurvey.org/viewer?"

#: The checker of accessibility, of tests/stack/package.json.
AXE = ROOT / ".venv-stack" / "node_modules" / "axe-core" / "axe.min.js"

DARK = "--blink-settings=preferredColorScheme=0"

#: A name that would be markup, and would run, if it were not escaped.
NASTY = '<img src=x onerror="document.title=1">.csv'


NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)

#: When the states of the report's run began and ended. It was published before, so others were skipped.
STATE_SECONDS = {"Preflight": (0, 1.5), "PublishManifest": (2, 2.25), "Report": (3, 5)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A mini-test with its report."""
    folder = tmp_path_factory.mktemp("report")
    write_mock_sky(folder / "sky", files=2, rows=8_000, seed=61)
    shutil.copy(folder / "sky" / "positives.csv", folder / NASTY.replace("/", ""))
    config = folder / "config.yaml"
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    exclude = (folder / NASTY,)
    made = run_to_sample(make_request(folder / "sky", config, folder / "out", "one", "test", exclude))
    assert check_sample(made.root).gate.passed
    assert validate_manifest(made.root).gate.passed
    publish_manifest(made.root)
    for state, (entered, ended) in STATE_SECONDS.items():
        times = {"state": state, "entered": NOON + timedelta(seconds=entered), "on_aws": False}
        StateTimes(**times, ended=NOON + timedelta(seconds=ended)).write(made.state_times(state))
    write_report(made.root)
    return made


@pytest.fixture(scope="module")
def validation(files: RunFiles) -> dict[str, Any]:
    return json.loads(Path(files.validation).read_text())


@pytest.fixture(scope="module")
def rows(files: RunFiles) -> list[dict[str, Any]]:
    parts = [uri for part in ("negatives", "positives") for uri in files.sample_parts(part)]
    return pa.concat_tables([pq.ParquetFile(uri).read(MANIFEST_SCHEMA.names) for uri in parts]).to_pylist()


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


def test_the_shortcuts_are_those_of_the_rows_and_the_page_shows_them(
    validation: dict[str, Any], rows: list[dict[str, Any]], page: "Element"
) -> None:
    """Pair by pair, over all and within strata."""
    found = validation["shortcuts"]
    assert (found["positives"], found["negatives"]) == tuple(validation["rows"].values())[::-1]
    assert found["limit"] is None
    lines = {tr.all("td")[0].text: tr.text for tr in section(page, "Shortcuts").all("tr")[1:]}
    assert len(lines) == len(found["columns"]) + 2
    for column in found["columns"]:
        one = column["overall"]
        assert f"{one['auc']:.3f} ± {one['error']:.3f}" in lines[column["label"]]
        assert lines[column["label"]].endswith(one["higher"])
        if column["name"] not in ("maskbits", "ellipticity"):
            pairs = [
                ((p[column["name"]] > n[column["name"]]) + (p[column["name"]] == n[column["name"]]) / 2, p, n)
                for p in rows
                for n in rows
                if p["pool"] == "positive" != n["pool"] and None not in (p[column["name"]], n[column["name"]])
            ]
            same = [
                won
                for won, p, n in pairs
                if (p["nobs_z_bin"], p["type_bin"]) == (n["nobs_z_bin"], n["type_bin"])
            ]
            for auc, won in ((one, [pair[0] for pair in pairs]), (column["within_strata"], same)):
                share = sum(won) / len(won)
                assert auc["auc"] == pytest.approx(max(share, 1 - share), abs=1e-4)
                assert auc["higher"] == ("positives" if share >= 0.5 else "negatives")
    for together in found["combined"]:
        assert together["missing"] in lines[together["label"]]
        assert bool(together["missing"]) == (together["overall"] is None) == (found["positives"] < 20)


def test_two_sample_statistics_are_those_of_all_pairs_and_all_cuts() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        a = np.sort(rng.integers(0, 9, rng.integers(1, 40)).astype(float))
        b = np.sort(rng.integers(2, 12, rng.integers(1, 40)).astype(float))
        pairs = [(x > y) + (x == y) / 2 for x in a for y in b]
        assert comparison.auc(a, b) == pytest.approx(sum(pairs) / len(pairs))
        cuts = [abs((a <= x).mean() - (b <= x).mean()) for x in (*a, *b)]
        assert comparison.ks_distance(a, b) == pytest.approx(max(cuts))


def test_chance_exceeds_its_bound_once_in_a_hundred() -> None:
    rng = np.random.default_rng(5)
    beyond = 0
    for _ in range(2_000):
        a, b = np.sort(rng.normal(size=300)), np.sort(rng.normal(size=200))
        pair = comparison._pair("a", "b", a, b)
        beyond += pair.ks > pair.ks_chance
    assert 5 <= beyond <= 40  # 20 of 2,000


def test_the_map_is_mollweides_projection() -> None:
    """A cell is where the projection puts it, by its equations forwards; equal areas have equal pixels."""
    cells = {Cell(100, 105, -5, 0): 1.0, Cell(350, 355, 50, 55): 1.0, Cell(200, 205, -80, -75): 1.0}
    height, width = sky_figures._MAP_SHAPE
    whole_sky = sky_figures.View()
    for cell in cells:
        image = sky_figures.cells_image({cell: 1.0}, whole_sky)
        filled = np.argwhere(np.isfinite(image))
        ra, dec = cell.centre
        theta, lat = np.radians(dec), np.radians(dec)
        for _ in range(60):
            theta -= (2 * theta + np.sin(2 * theta) - np.pi * np.sin(lat)) / (2 + 2 * np.cos(2 * theta))
        lon = (sky_figures._CENTRE_RA - ra + 180) % 360 - 180
        x, y = lon / 180 * np.cos(theta), np.sin(theta)
        middle = (filled.min(axis=0) + filled.max(axis=0) + 1) / 2
        assert middle[1] == pytest.approx((x + 1) / 2 * width, abs=3)
        assert middle[0] == pytest.approx((1 - y) / 2 * height, abs=3)
        solid = 5 * np.degrees(np.sin(np.radians(cell.dec_max)) - np.sin(np.radians(cell.dec_min)))
        whole = np.pi * height * width / 4
        assert len(filled) == pytest.approx(whole * solid / 41252.96, rel=0.15)
        assert np.nanmax(image) == pytest.approx(1 / solid)


def test_a_part_of_the_sky_is_drawn_alone() -> None:
    """Across RA 0: a degree of right ascension is as long as the cosine of the middle declination."""
    cells = [Cell(355, 360, 55, 60), Cell(0, 5, 55, 60)]
    view = sky_figures.View(cells)
    assert view.part == (0.0, 6.0, 54.0, 61.0)
    image = sky_figures.cells_image(dict.fromkeys(cells, 1.0), view)
    assert image.shape == (round(900 * 7 / 12 / np.cos(np.radians(57.5))), 900)
    filled = np.argwhere(np.isfinite(image))
    assert (filled.min(axis=0) / image.shape).tolist() == pytest.approx([1 / 7, 1 / 12], abs=0.002)
    assert ((filled.max(axis=0) + 1) / image.shape).tolist() == pytest.approx([6 / 7, 11 / 12], abs=0.002)
    ra, _, _ = view.grid
    assert ra[0, 0] == pytest.approx(6.0, abs=0.01)  # right ascension increases to the left
    assert ra[0, -1] == pytest.approx(354.0, abs=0.01)


@pytest.mark.parametrize(
    "cells",
    [
        [Cell(0, 5, -80, -75), Cell(10, 15, 0, 5)],
        [Cell(0, 5, 80, 85)],
        [Cell(ra, ra + 5, 0, 5) for ra in (0, 100, 200, 300)],
    ],
)
def test_what_reaches_far_is_drawn_on_the_whole_sky(cells: list[Cell]) -> None:
    assert sky_figures.View(cells).part is None


def test_the_sample_of_few_files_far_apart_is_drawn_where_most_of_them_are() -> None:
    """Three at the origin, one at the pole; then as many more at another place that they are not few."""
    few = [Cell(0, 5, 0, 5), Cell(0, 5, 5, 10), Cell(355, 360, 5, 10), Cell(355, 360, -90, -85)]
    assert sky_figures.View(few).part is None
    assert sky_figures.closer(few).part == (0.0, 6.0, -1.0, 11.0)
    assert sky_figures.closer(few[:1]).part == sky_figures.View(few[:1]).part
    many = [Cell(ra, ra + 5, dec, dec + 5) for ra in range(150, 190, 5) for dec in (0, 5, 10, 15)]
    assert sky_figures.closer([*few, *many]).part is None
    assert sky_figures.closer([]).part is None


def test_the_outline_is_that_of_the_release_s_files() -> None:
    """Counted: each side of a cell without a neighbour is one line, and no point is inside the footprint."""
    cells = release_cells().values()
    corners = {(cell.ra_min, cell.dec_min) for cell in cells}
    sides = sum(
        (ra, dec + up) not in corners and -90 < dec + up < 90 for ra, dec in corners for up in (5, -5)
    )
    sides += sum(((ra + east) % 360, dec) not in corners for ra, dec in corners for east in (5, -5))
    ra, dec = sky_figures._outline()
    assert np.isnan(ra).sum() == np.isnan(dec).sum() == sides
    some = np.isfinite(ra)
    near = [
        (x + e, y + n)
        for x, y in zip(ra[some], dec[some], strict=True)
        for e in (-0.01, 0.01)
        for n in (-0.01, 0.01)
    ]
    x, y = np.array(near).T
    inside = np.zeros(len(x), dtype=bool)
    for cell in cells:
        inside |= cell.holds(x % 360, y)
    at_each_point = inside.reshape(-1, 4).sum(axis=1)
    assert at_each_point.min() >= 1
    assert at_each_point.max() <= 3


def test_histograms_have_poisson_bars() -> None:
    """Nine rows in one bin of 24 and 16 in another one: heights 9/25 and 16/25, errors 3/25 and 4/25."""
    values = np.array([0.0] * 9 + [1.0] * 16)
    drawn: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_svg", lambda figure, _: drawn.update(axes=figure.axes[0]) or "")
        figures._histogram(comparison.QUANTITIES[0], {"N1": values})
    [bars] = [c for c in drawn["axes"].containers if c.has_yerr]
    segments = bars.lines[2][0].get_segments()
    tall = {round(s[1][1] - s[0][1], 4): round(s.mean(axis=0)[1], 4) for s in segments if s[1][1] > s[0][1]}
    assert tall == {0.24: 0.36, 0.32: 0.64}


def test_the_page_names_what_was_not_read(files: RunFiles, tmp_path: Path) -> None:
    shutil.copytree(files.out, tmp_path / "out")
    run = RunFiles(str(tmp_path / "out"), "one")
    summary = json.loads(Path(run.summary).read_text())
    Path(run.summary).write_text(json.dumps({**summary, "missing": {"sweep-x": "the file is broken"}}))
    write_report(run.root)
    page = Path(run.report).read_text()
    assert '<td><b>not read</b></td><td class="wrap">sweep-x: the file is broken</td>' in page


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


def test_no_task_waits_for_matplotlib_and_scikit_learn_to_be_imported() -> None:
    modules = ", ".join(f"functions.{path.stem}" for path in (ROOT / "functions").glob("*.py"))
    code = f"import sys, {modules}; sys.exit(bool({{'matplotlib', 'sklearn'}} & {{*sys.modules}}))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ---------------------------------------------------------------- the page


#: Elements that have no end tag.
VOID = ("meta", "br", "img", "link", "hr")


class Element:
    """An element of a page, with what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: "Element | None" = None) -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.content: list[Element | str] = []

    @property
    def elements(self) -> Iterator["Element"]:
        """All elements in it, in the order of the page."""
        for part in self.content:
            if isinstance(part, Element):
                yield part
                yield from part.elements

    def all(self, tag: str, css: str = "") -> list["Element"]:
        """The elements of a tag in it, of a class if one is given."""
        found = (e for e in self.elements if e.tag == tag)
        return [e for e in found if not css or css in e.attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        """All text in it, with single spaces."""
        parts = [part if isinstance(part, str) else f" {part.text} " for part in self.content]
        return " ".join("".join(parts).split())


class Reader(HTMLParser):
    """Reads a page; every end tag must fit its start."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = self.here = Element("page", {})
        self.feed(page)
        self.close()
        assert self.here is self.root, f"{self.here.tag} is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.content.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.content.append(Element(tag, {name: value or "" for name, value in attrs}, self.here))

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.content.append(data)


@pytest.fixture(scope="module")
def page(files: RunFiles) -> Element:
    return Reader(Path(files.report).read_text()).root


def sections(page: Element) -> dict[str, list[Element]]:
    """What follows each heading, up to the next one."""
    [body] = page.all("main")
    found: dict[str, list[Element]] = {}
    heading = ""
    for part in body.content:
        if isinstance(part, Element):
            if part.tag == "h2":
                heading = part.text
            found.setdefault(heading, []).append(part)
    return found


def section(page: Element, heading: str) -> Element:
    """What follows a heading, as one element."""
    whole = Element("section", {})
    whole.content.extend(sections(page)[heading])
    return whole


def numbers(text: str) -> list[int]:
    """The whole numbers of a text, with their thousands."""
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


def picture_of(figure: Element) -> Element:
    """The part of a figure that is an image. What a figure says besides is text."""
    [picture] = [e for e in figure.elements if e.attributes.get("role") == "img"]
    assert [e.tag for e in picture.content if isinstance(e, Element)] == ["svg"]
    return picture


def label_of(figure: Element) -> str:
    return picture_of(figure).attributes["aria-label"]


def test_the_page_has_all_its_sections(page: Element) -> None:
    assert list(sections(page)) == [
        "",
        "Gates",
        "Sky",
        "Strata and splits",
        "How the negatives differ from the positives",
        "Shortcuts",
        "From sweep to sample",
        "Examples",
        "Throughput and cost",
        "Provenance",
    ]
    assert page.all("h1")[0].text == "one"
    [contents] = page.all("nav")
    linked = [a.attributes["href"].removeprefix("#") for a in contents.all("a")]
    assert linked == [heading.attributes["id"] for heading in page.all("h2")]
    assert page.all("header")[0].all("span", "good")[0].text == "passed all gates"


def test_the_page_can_be_used_without_a_mouse_and_without_sight(page: Element) -> None:
    """What axe-core 4 found wrong once: parts that only a mouse scrolls, headings without text."""
    scrolled = [e for e in page.elements if {"scroll"} & set(e.attributes.get("class", "").split())]
    assert len(scrolled) > 5
    assert all(e.attributes.get("tabindex") == "0" for e in (*scrolled, *page.all("pre")))
    assert all(th.text for th in page.all("th"))
    assert all(picture_of(figure).attributes["aria-label"] for figure in page.all("figure"))
    assert len(page.all("main")) == len(page.all("h1")) == 1
    assert all(link.text for link in page.all("a"))


def test_the_page_shows_the_time_line(page: Element, files: RunFiles) -> None:
    """Planned against actual: in the table, and in the figure above it."""
    found = section(page, "Throughput and cost")
    cost = json.loads(Path(files.cost).read_text())
    table = found.all("table")[0]
    cells = [[td.text for td in tr.all("td")] for tr in table.all("tr")[1:]]
    shown = {state: entries for state, *entries in cells}
    for state in cost["time_line"]["states"]:
        plan = state["planned"]
        assert shown[state["state"]][:3] == [
            f"{plan['begin']:.1f} – {plan['end']:.1f}", f"{plan['seconds']:.1f}", f"{plan['usd']:.4f}"
        ]  # fmt: skip
    assert shown["Preflight"][3:] == ["0.0 – 1.5", "1.5", "–", ""]
    assert shown["Report"][3:] == ["3.0 – 5.0", "2.0", "–", ""]
    for state in ("PlanFanOut", "FilterSweeps", "SampleNegatives"):
        assert shown[state][3:] == ["–", "–", "–", "skipped, as it was done"]
    estimate = cost["estimate"]
    whole = ["", f"{estimate['seconds']:.1f}", f"{estimate['usd']:.4f}", "", "5.0", "", ""]
    assert shown["whole run"] == whole
    assert "On this machine: no cost" in found.text
    [figure] = [f for f in found.all("figure") if label_of(f).startswith("time line")]
    assert "begun 2026-11-28 12:00:00 UTC" in figure.all("figcaption")[0].text
    drawn = figure.all("svg")[0].text
    for text in (*shown, "planned on AWS", "this run, on this machine: no cost", "1.5 s", "0.25 s", "2.0 s"):
        assert text in drawn or text in ("whole run", "all states: transitions, S3"), text
    assert drawn.count("skipped, as it was done") == 6


def test_the_page_begins_with_how_much_there_is(page: Element, rows: list[dict[str, Any]]) -> None:
    tiles = {t.all("span")[0].text: t.all("b")[0].text for t in section(page, "").all("div", "tile")}
    positives = sum(row["pool"] == "positive" for row in rows)
    assert tiles["negatives"] == f"{len(rows) - positives:,}"
    assert tiles["positives"] == f"{positives:,}"
    assert tiles["rows in 2 sweep files"] == "16 k"
    splits = Counter(row["split"] for row in rows)
    for name, asked in (("train", 70), ("val", 15), ("test", 15)):
        assert tiles[f"{name} ({asked} % asked)"] == f"{100 * splits[name] / len(rows):.1f} %"


def test_the_page_shows_every_check_of_every_gate(page: Element, files: RunFiles) -> None:
    shown = section(page, "Gates").all("details", "card")
    names = ["Gate1PreSubmission", "Gate2FanOutComplete", "Gate3SampleComplete", "Gate4OutputValid"]
    assert [gate.all("b")[0].text for gate in shown] == names
    for number, gate in enumerate(shown, 1):
        checks = json.loads(Path(files.gate(number)).read_text())["checks"]
        assert len(checks) > 5
        assert f"{len(checks)} checks" in gate.text
        assert gate.all("summary")[0].all("span", "good")[0].text == "passed"
        texts = {check.all("span", "name")[0].text: check.text for check in gate.all("div", "check")}
        assert sorted(texts) == sorted(check["name"] for check in checks)
        for check in checks:
            text = texts[check["name"]]
            assert text.startswith("ok" if check["passed"] else "warning")
            assert " ".join(check["actual"].split()) in text
            assert f"expected: {' '.join(check['expected'].split())}" in text
            assert check["passed"] or " ".join(check["remedy"].split()) in text
        wrong = [check["name"] for check in checks if not check["passed"]]
        assert ("open" in gate.attributes) == bool(wrong)
        inner = [check for part in gate.all("details") for check in part.all("div", "check")]
        first = gate.all("div", "check")[: len(checks) - len(inner)]
        assert not wrong or [check.all("span", "name")[0].text for check in first] == wrong


def test_the_page_shows_the_rows_of_every_stratum(page: Element, rows: list[dict[str, Any]]) -> None:
    """Counted in the manifest's files; five negatives were asked for each positive."""
    bins, types = ("1-2", "3-5", "6-10", "11+"), ("SER", "DEV", "REX", "EXP")
    cards = section(page, "Strata and splits").all("div", "card")
    tables = {t.all("h3")[0].text.split(":")[0]: t for t in cards if t.all("table", "heat")}
    assert list(tables) == ["Positives", "Target", "Drawn", "Shortfall"]
    shown = {}
    for name, card in tables.items():
        head, *lines = card.all("tr")
        assert [th.text for th in head.all("th")] == [*types]
        assert [line.all("th")[0].text for line in lines] == list(bins)
        shown[name] = [numbers(td.text)[0] for line in lines for td in line.all("td")]
        assert numbers(card.all("h3")[0].text) == [sum(shown[name])]
    strata = [(b, t) for b in bins for t in types]
    counted = Counter((r["nobs_z_bin"], r["type_bin"], r["pool"] == "positive") for r in rows)
    assert shown["Positives"] == [counted[(*stratum, True)] for stratum in strata]
    assert shown["Drawn"] == [counted[(*stratum, False)] for stratum in strata]
    assert shown["Target"] == [5 * count for count in shown["Positives"]]
    assert shown["Shortfall"] == [t - d for t, d in zip(shown["Target"], shown["Drawn"], strict=True)]
    assert sum(shown["Positives"]) >= 10


def test_the_page_compares_positives_with_both_pools(
    page: Element, rows: list[dict[str, Any]], files: RunFiles
) -> None:
    """By stratum and by split, counted in the manifest's files; what stands in as the quotas have it."""
    cards = section(page, "Strata and splits").all("div", "card")
    by_stratum, by_split = [
        [[td.text for td in tr.all("td")] for tr in card.all("tr")[1:]]
        for card in cards
        if "against N1 and N2" in card.all("h3")[0].text
    ]
    quotas = json.loads(Path(files.quotas).read_text())
    expected = []
    for stratum in quotas["strata"]:
        key = (stratum["nobs_z_bin"], stratum["type_bin"])
        here = Counter(row["pool"] for row in rows if (row["nobs_z_bin"], row["type_bin"]) == key)
        if here:
            above = [max(0, pool["quota"] - pool["target"]) for pool in stratum["pools"]]
            moved = stratum["from_other_cells"]
            numbers = [here["positive"], here["N1"], here["N2"], *above, moved, stratum["shortfall"]]
            expected.append([" ".join(key), *(f"{number:,}" for number in numbers)])
    assert by_stratum == expected
    for line, split in zip(by_split, ("train", "val", "test"), strict=True):
        here = Counter(row["pool"] for row in rows if row["split"] == split)
        assert line[:4] == [split, *(f"{here[pool]:,}" for pool in ("positive", "N1", "N2"))]


def test_the_page_has_examples_of_each_category(page: Element, rows: list[dict[str, Any]]) -> None:
    """The four rows of lowest priority, each with its link."""
    by_category: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["sampling_priority"]):
        by_category.setdefault((row["confuser_category"] or row["pool"]).replace("_", " "), []).append(row)
    groups = section(page, "Examples").all("tbody")
    assert {group.all("th")[0].text for group in groups} == set(by_category)
    for group in groups:
        some = by_category[group.all("th")[0].text][:4]
        links = group.all("a")
        assert [link.text for link in links] == [row["object_id"] for row in some]
        for link, row in zip(links, some, strict=True):
            place = f"ra={row['ra']:.6f}&dec={row['dec']:.6f}&layer=ls-dr10&zoom=16"
            assert link.attributes["href"].startswith(f"https://www.legacysurvey.org/viewer?{place}")


def test_the_page_has_every_figure_and_each_is_drawn(page: Element) -> None:
    maps = ["map of pool density", "map of sample density", "map of splits", "splits in one field"]
    quantities = [f"distributions of {quantity.label}" for quantity in comparison.QUANTITIES]
    shortcuts = "how well columns tell positives from negatives"
    times = "time line of the states, planned and actual"
    figures = page.all("figure")
    assert [label_of(figure) for figure in figures] == [*maps, *quantities, shortcuts, times]
    for figure in figures:
        [svg] = figure.all("svg")
        assert sum(e.tag in ("path", "use", "image") for e in svg.elements) > 3
        assert bool(svg.all("image")) == (label_of(figure) in maps)
    away = section(page, "How the negatives differ from the positives")
    for figure in away.all("figure"):
        pairs = figure.all("div", "stat")[0].text
        assert all(f"{a} – {b}" in pairs for a, b in comparison.PAIRS)


def test_the_page_shows_what_each_cut_took(
    page: Element, files: RunFiles, rows: list[dict[str, Any]]
) -> None:
    """As the stats of the map's items say; confusers drawn as the manifest's rows say."""
    stats = [json.loads(path.read_text()) for path in Path(files.stats_folder).iterdir()]
    cut = sum((Counter(item["cut"]) for item in stats), Counter())
    cuts, confusers = section(page, "From sweep to sample").all("div", "bars")
    labels = [e.text for e in cuts.content if isinstance(e, Element) and e.tag in ("span", "b")]
    assert labels[:3] == ["all rows", "", "16,000"]
    kept = sum(item["rows_kept"] for item in stats)
    negatives = sum(row["pool"] != "positive" for row in rows)
    ticks = ["", "1 100 16 k", ""]
    assert labels[-9:] == ["pool", "", f"{kept:,}", "drawn", "", f"{negatives:,}", *ticks]
    shares = {number: 100 * np.log10(number) / np.log10(16_000) for number in (kept, negatives, 100)}
    widths = [
        float(e.attributes["style"].split(": ")[1][:-1]) for e in cuts.all("i") if "style" in e.attributes
    ]
    assert widths[-5:] == pytest.approx([shares[kept], shares[negatives], 0, shares[100], 100], abs=0.01)
    reasons = (
        "bad_row",
        "faint",
        "type",
        "unusable",
        "not_primary",
        "nobs",
        "footprint",
        "maskbits",
        "no_pool",
        "near_lens",
        "border",
        "suspect",
    )
    assert labels[3:-9] == [text for reason in reasons for text in (reason, "", f"−{cut[reason]:,}")]
    assert len(cuts.all("span", "bar")) == 1 + len(reasons) + 2
    assert cut["faint"] > 10_000
    drawn = Counter(row["confuser_category"] for row in rows)
    in_pool = sum((Counter(item["confusers"]) for item in stats), Counter())
    shown = [e.text for e in confusers.all("span", "n")]
    categories = ("ring_proxy", "edge_on_proxy", "blue_clumpy", "large_galaxy")
    assert shown == [f"{count[name]:,}" for name in categories for count in (in_pool, drawn)]


def test_the_page_names_every_input(page: Element, files: RunFiles) -> None:
    provenance = section(page, "Provenance")
    record = json.loads(Path(files.run).read_text())
    assert len(record["catalogs"]) == 2
    for catalog in record["catalogs"]:
        sha256 = hashlib.sha256(Path(catalog["spec"]["uri"]).read_bytes()).hexdigest()
        assert (
            f"{catalog['spec']['uri']}, {catalog['positions']:,} positions, SHA-256 {sha256}"
            in provenance.text
        )
    config = Path(record["config"]["uri"]).read_bytes()
    assert f"SHA-256 {hashlib.sha256(config).hexdigest()}" in provenance.text
    assert provenance.all("details")[0].text.endswith(" ".join(config.decode().split()))
    lines = [[td.text for td in tr.all("td")] for tr in provenance.all("details")[1].all("tr")]
    sweeps = sorted((Path(record["config"]["uri"]).parent / "sky" / "sweeps").iterdir())
    assert [line[:3] for line in lines[1:]] == [
        [path.name, "8,000", f"{path.stat().st_size:,}"] for path in sweeps
    ]


def test_the_page_is_self_contained_and_escapes_names(files: RunFiles, page: Element) -> None:
    text = Path(files.report).read_text()
    fetching = ("src", "href", "xlink:href", "srcset", "data")
    named = [e for e in page.elements if not e.attributes.get("href", "").startswith(VIEWER) or e.tag != "a"]
    references = [e.attributes[name] for e in named for name in fetching if name in e.attributes]
    assert len(references) > 50
    assert all(r.startswith(("#", "data:image/png;base64,")) for r in references)
    assert not {e.tag for e in page.elements} & {"script", "link", "iframe"}
    assert "onerror" in text
    assert "<img src=x" not in text
    assert "url(http" not in text.replace(" ", "")


def test_ids_are_unique_and_every_reference_has_its_target(files: RunFiles) -> None:
    page = Path(files.report).read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'(?:url\(|href=")#([^")]+)', page))
    assert len(referred) > 30
    assert referred <= set(ids)


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


def in_chromium(page: Path, width: int, profile: Path, *options: str, probe: str = PROBE) -> tuple[Any, str]:
    """What a probe saw of a page, and what the browser logged of its console."""
    assert CHROMIUM is not None
    text = page.read_text().replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    probed = profile.parent / f"{profile.name}.html"
    probed.write_text(text.replace("</body>", probe + "</body>"))
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
    return json.loads(html.unescape(match[1])), done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("width", "options"), [(1200, ()), (500, (DARK,))])
def test_a_browser_draws_every_figure_and_complains_of_nothing(
    files: RunFiles, tmp_path: Path, width: int, options: tuple[str, ...]
) -> None:
    probe, log = in_chromium(Path(files.report), width, tmp_path / "profile", *options)
    assert "CONSOLE" not in log
    assert [url for url in probe["fetched"] if not url.startswith("data:")] == []
    boxes = probe["boxes"]
    assert len(boxes) == 6 + len(comparison.QUANTITIES)
    for box in boxes:
        assert box["parts"] > 3
        assert box["width"] > 0
        assert box["shown"] > 150
        assert box["height"] > 80
        assert all(image > 0 for image in box["images"])
    assert sum(bool(box["images"]) for box in boxes) == 4  # three maps and the field
    cuts = 1 + len(CUT_REASONS) + 2  # all rows, then each cut, the pool and the sample
    assert len(probe["bars"]) == cuts + 2 * 4  # and each confuser in the pool and drawn
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


#: Says which rules of accessibility a page breaks, and where.
AXE_PROBE = """
<script>
addEventListener("load", async () => {
  const found = await axe.run();
  document.documentElement.dataset.probe = JSON.stringify(
    found.violations.map(rule => [rule.id, ...rule.nodes.map(node => node.html.slice(0, 200))]));
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: make .venv-stack (it needs npm)")
@pytest.mark.parametrize(("width", "options"), [(1280, ()), (500, (DARK,))], ids=["wide", "narrow and dark"])
def test_axe_finds_nothing_wrong_with_the_page(
    files: RunFiles, tmp_path: Path, width: int, options: tuple[str, ...]
) -> None:
    probe = f"<script>{AXE.read_text()}</script>{AXE_PROBE}"
    found, _ = in_chromium(
        Path(files.report), width, tmp_path / "profile", "--virtual-time-budget=60000", *options, probe=probe
    )
    assert found == []


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
    assert before.count("<figure") == 6 + len(comparison.QUANTITIES)
    Path(files.report).unlink()
    assert door(monkeypatch, "report", "one", "--out", files.out) == 0
    assert capsys.readouterr().out.strip() == files.report
    assert Path(files.report).read_text() == before
    assert door(monkeypatch, "report", Path(files.out) / "runs" / "two") == 2
    assert "/runs/two: no published manifest there; give an output folder" in told(capsys.readouterr().err)


@pytest.mark.parametrize("command", ["report", "validate", "calibrate"])
def test_a_run_that_ended_at_gate_1_is_said_to_have_no_report(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = tmp_path / "out" / "runs" / "one" / "gates" / "gate1.json"
    gate.parent.mkdir(parents=True)
    gate.write_text("{}")
    assert door(monkeypatch, command, tmp_path / "out" / "runs" / "one") == 2
    said = told(capsys.readouterr().err)
    assert f"/runs/one: this run ended at its inputs, before it planned anything; {gate} has what" in said


def test_the_report_is_the_same_however_many_rows_are_read_at_once(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(files.report).read_text(), Path(files.validation).read_text()
    monkeypatch.setattr("lensneg.schema.tables.ROWS_AT_ONCE", 7)
    write_report(files.root)
    assert (Path(files.report).read_text(), Path(files.validation).read_text()) == before


def test_a_damaged_file_of_the_run_is_what_lensneg_report_names_first(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(files.out, tmp_path / "out")
    gate = Path(RunFiles(str(tmp_path / "out"), "one").gate(2))
    gate.write_text("{")
    assert door(monkeypatch, "report", "one", "--out", tmp_path / "out") == 2
    assert told(capsys.readouterr().err).startswith(f"{gate}: damaged, or of another version of lensneg: ")


def test_lensneg_validate_tells_by_its_exit_code(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(files.out, tmp_path / "out")
    run = RunFiles(str(tmp_path / "out"), "one")
    record = json.loads(Path(run.run).read_text())
    Path(run.run).write_text(json.dumps({**record, "mode": "full", "out": run.out}))
    publish_manifest(run.root)
    assert door(monkeypatch, "validate", run.manifest_folder) == 0
    brief = capsys.readouterr().out
    assert "passed" in brief
    assert "lowest_priorities" not in brief
    assert len(brief.splitlines()) < 24
    assert door(monkeypatch, "validate", run.manifest_folder, "--details") == 0
    assert "lowest_priorities" in capsys.readouterr().out
    [path] = Path(run.manifest_folder, "negatives").iterdir()
    row = pq.read_table(path).slice(0, 1).to_pylist()[0]
    beside = tmp_path / "new_lens.csv"
    beside.write_text(f"name,ra,dec\nnew,{row['ra']},{row['dec'] + 5 / 3600}\n")
    assert door(monkeypatch, "validate", run.manifest_folder, "--exclude", beside, "--json") == 1
    gate = json.loads(capsys.readouterr().out)
    assert [c["name"] for c in gate["checks"] if not c["passed"]] == ["clear_of_lenses"]
    assert door(monkeypatch, "validate", tmp_path) == 2
    assert door(monkeypatch, "validate", run.manifest_folder, "--sweeps", tmp_path / "nowhere") == 2


def test_the_page_lists_the_positives_as_their_catalogues_name_them(files: RunFiles) -> None:
    page = Path(files.report).read_text()
    assert "The positives, as their catalogues name them" in page
    for row in read_table(files.matched_positives).slice(0, 200).to_pylist():
        assert f"<td>{row['ra']:.5f}</td><td>{row['dec']:.5f}</td>" in page
        assert f"<td>{row['lens_name']}</td>" in page


def test_the_page_counts_the_positives_that_fail_a_cut_if_the_config_flags_them(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = "Positives that fail a cut of the negatives"
    assert title not in Path(files.report).read_text()
    shutil.copytree(files.out, tmp_path / "out")
    run = load_run(RunFiles(str(tmp_path / "out"), "one").root)
    positives = run.config.positives.model_copy(update={"apply_cuts": "flag"})
    flagged = replace(run, config=run.config.model_copy(update={"positives": positives}))
    monkeypatch.setattr("lensneg.stages.report.load_run", lambda _: flagged)
    write_report(run.files.root)
    page = Path(run.files.report).read_text()
    assert title in page
    failing = [r for r in read_table(files.matched_positives).to_pylist() if not r["passes_cuts"]]
    count = Counter(f"{r['nobs_z_bin']}/{r['type_bin']}" for r in failing)
    for stratum, rows in count.items():
        assert re.search(f"<td>{re.escape(stratum)}</td><td[^>]*>[0-9,]+</td><td[^>]*>{rows}</td>", page)
    assert bool(failing) != ("none</p>" in page)
