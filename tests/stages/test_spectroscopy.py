"""Spectroscopic lenses: compared with the positives by hand, and kept clear of from the input to the page."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from pipeline import make_request
from plainrun import failing, run_to_sample
from published import publish
from sphere import offset

from lensneg.catalogs.catalog import read_catalog
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import RunRecord
from lensneg.schema.spectroscopy import SpectroscopicLenses
from lensneg.stages.report import write_report
from lensneg.stages.spectroscopy import compare_with_positives
from lensneg.stages.validate_manifest import validate_manifest

ARCSEC = 1 / 3600

#: TARGETID, RA, Dec. The sweep file covers RA 0 to 5 and Dec 5 to 10.
SPECTRA = [
    (11, 1.0, 6.0),  # lens and source of one fibre
    (12, 1.0, 6.0),
    (21, 2.0, 7.0),  # a chain of three
    (22, 2.0, 7.0 + 2 * ARCSEC),
    (23, 2.0, 7.0 + 4 * ARCSEC),
    (31, 3.0, 8.0),  # no positive near
    (41, 4.0, 9.0),  # a positive at 3.1 arcsec
    (51, 10.0, 8.0),  # outside the sweep file
]

#: Grade, RA, Dec.
POSITIVES = [
    ("A", 1.0, 6.0),
    ("B", 2.0, 7.0 + 6.5 * ARCSEC),  # 2.5 arcsec from the last of the chain
    ("B", 4.0, 9.0 + 3.1 * ARCSEC),
    ("", 3.5, 6.0),
    ("A", 10.0, 8.0),
]


def compared(folder: Path, positives: str, spectra: str, config: str = "") -> SpectroscopicLenses | None:
    """What a run of two catalogues says. Its sweep file is the only one of a tiny manifest."""
    files = RunFiles(str(folder / "out"), "tiny")
    record = RunRecord.read(files.run if Path(files.run).exists() else publish(folder).run)
    [first] = record.catalogs
    given = [("positives", positives), ("spectroscopic", spectra)]
    catalogs = [first.model_copy(update={"role": role}) for role, text in given if text]
    record = record.model_copy(update={"catalogs": tuple(catalogs)})
    if config:
        whole = record.config.model_copy(update={"text": config})
        record = record.model_copy(update={"config": whole})
    read = [read_catalog(CatalogSpec.parse(text)) for _, text in given if text]
    return compare_with_positives(record, read)


@pytest.fixture
def catalogs(tmp_path: Path) -> tuple[str, str]:
    """The positives as CSV, and the spectra in the columns of DESI's catalogue."""
    lines = [f"{grade},{ra!r},{dec!r}" for grade, ra, dec in POSITIVES]
    (tmp_path / "positives.csv").write_text("grading,ra,dec\n" + "\n".join(lines) + "\n")
    names = ("TARGETID", "TARGET_RA", "TARGET_DEC")
    Table(rows=SPECTRA, names=names).write(tmp_path / "desi.fits")
    return str(tmp_path / "positives.csv"), str(tmp_path / "desi.fits")


def test_systems_and_grades_by_hand(catalogs: tuple[str, str], tmp_path: Path) -> None:
    found = compared(tmp_path, *catalogs)
    assert found is not None
    assert found.as_json() == {
        "systems": 5,
        "inside": 4,
        "among_positives": 2,
        "grades": [
            {"grade": "", "positives": 1, "confirmed": 0},
            {"grade": "A", "positives": 1, "confirmed": 1},
            {"grade": "B", "positives": 2, "confirmed": 1},
        ],
        "not_among_positives": [
            {"name": "31", "ra": 3.0, "dec": 8.0, "spectra": 1},
            {"name": "41", "ra": 4.0, "dec": 9.0, "spectra": 1},
        ],
    }


def test_the_radius_is_the_configs(catalogs: tuple[str, str], tmp_path: Path, plan_text: str) -> None:
    """At 1 arcsec the chain is three systems. At 4 the second positive of B is confirmed."""
    old = "radius_arcsec: 3.0 "
    assert plan_text.count(old) == 1
    narrow = compared(tmp_path, *catalogs, plan_text.replace(old, "radius_arcsec: 1.0 "))
    wide = compared(tmp_path, *catalogs, plan_text.replace(old, "radius_arcsec: 4.0 "))
    assert narrow is not None
    assert wide is not None
    assert (narrow.systems, narrow.among_positives, narrow.grades[2].confirmed) == (7, 1, 0)
    assert (wide.systems, wide.among_positives, wide.grades[2].confirmed) == (5, 3, 2)


def test_a_catalogue_of_positives_without_grades(catalogs: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("name,ra,dec\na,1,6\nb,2,9\n")
    found = compared(tmp_path, str(path), catalogs[1])
    assert found is not None
    assert [grade.as_json() for grade in found.grades] == [{"grade": "", "positives": 2, "confirmed": 1}]


def test_a_run_without_spectroscopic_catalogue_says_nothing(
    catalogs: tuple[str, str], tmp_path: Path
) -> None:
    assert compared(tmp_path, catalogs[0], "") is None


# ---------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def made(gate_sky: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A mini-test. Every second positive has a spectrum of lens and source; so has every hundredth
    row of the sweeps, 10.9 arcsec away.
    """
    folder = tmp_path_factory.mktemp("spectroscopic")
    with (gate_sky / "positives.csv").open() as file:
        positives = [(float(r["ra"]), float(r["dec"])) for r in csv.DictReader(file)]
    files = sorted((gate_sky / "sweeps").iterdir())
    rows = [row for sweep in files for row in fitsio.read(str(sweep), columns=["RA", "DEC", "FLUX_Z"])]
    others = [offset(float(r["RA"]), float(r["DEC"]), 30.0, 10.9) for r in rows if r["FLUX_Z"] > 10][::100]
    spectra = [place for place in positives[::2] + others for _ in range(2)]
    table = {"TARGETID": range(len(spectra)), "TARGET_RA": [p[0] for p in spectra]}
    Table(table | {"TARGET_DEC": [p[1] for p in spectra]}).write(folder / "desi.fits")
    request = make_request(gate_sky, gate_sky / "config.yaml", folder / "out", "one", "test")
    request = RunRequest.of_input(request.as_input() | {"spectroscopic": [str(folder / "desi.fits")]})
    run = run_to_sample(request)
    assert validate_manifest(run.root).gate.passed
    write_report(run.root)
    return run


def arcsec(ra: Any, dec: Any, other_ra: Any, other_dec: Any) -> Any:
    """The distance of each position from the nearest other, by brute force."""

    def vectors(lon: Any, lat: Any) -> Any:
        lon, lat = np.radians(lon), np.radians(lat)
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)

    a, b = vectors(ra, dec), vectors(other_ra, other_dec)
    chord = [np.linalg.norm(b - row, axis=1).min() for row in a]
    return np.degrees(2 * np.arcsin(np.array(chord) / 2)) * 3600


def test_no_negative_is_drawn_near_a_spectrum(made: RunFiles) -> None:
    record = RunRecord.read(made.run)
    spectra = Table.read(record.catalogs[1].spec.uri)
    assert [catalog.role for catalog in record.catalogs] == ["positives", "spectroscopic"]
    pool = pq.read_table(made.pool_folder, columns=["ra", "dec"])
    near = arcsec(pool["ra"].to_numpy(), pool["dec"].to_numpy(), spectra["TARGET_RA"], spectra["TARGET_DEC"])
    assert near.min() > 11
    checks = {check["name"]: check for check in json.loads(Path(made.gate(4)).read_text())["checks"]}
    assert checks["clear_of_spectroscopic"]["passed"]
    assert f"any of {len(spectra):,} positions" in checks["clear_of_spectroscopic"]["expected"]


def test_validation_json_and_the_page_say_what_a_count_by_hand_finds(made: RunFiles) -> None:
    record = RunRecord.read(made.run)
    spectra = Table.read(record.catalogs[1].spec.uri)[::2]
    with open(record.catalogs[0].spec.uri) as file:
        positives = list(csv.DictReader(file))
    place = np.array([(float(r["ra"]), float(r["dec"])) for r in positives]).T
    found = json.loads(Path(made.validation).read_text())["spectroscopic"]
    assert found["systems"] == len(spectra)
    assert found["negatives_near"] == 0
    among = arcsec(spectra["TARGET_RA"], spectra["TARGET_DEC"], *place) <= 3
    listed = {system["name"] for system in found["not_among_positives"]}
    assert found["inside"] == found["among_positives"] + len(listed)
    assert listed <= {str(name) for name in spectra["TARGETID"][~among]}
    assert {system["spectra"] for system in found["not_among_positives"]} == {2}
    for grade in found["grades"]:
        entries = [r for r in positives if r["grading"] == grade["grade"]]
        assert 0 < grade["confirmed"] < grade["positives"] <= len(entries)
    assert {grade["grade"] for grade in found["grades"]} == {"confident", "probable"}
    page = Path(made.report).read_text()
    assert "Spectroscopic lenses" in page
    for name in listed:
        assert f"<td>{name}</td>" in page


def test_negatives_near_a_spectrum_are_counted_and_fail_gate_4(made: RunFiles, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    negatives = pq.read_table(files.sample_parts("negatives")[0], columns=["ra", "dec"]).slice(0, 3)
    table = pq.read_table(files.lenses)
    of_spectra = pc.equal(table["catalog"], 1)
    spectra = table.filter(of_spectra).to_pylist()
    for spectrum, row in zip(spectra, negatives.to_pylist(), strict=False):
        spectrum |= {"ra": row["ra"], "dec": row["dec"] + 10.9 * ARCSEC}
    moved = pa.Table.from_pylist(spectra, table.schema)
    pq.write_table(pa.concat_tables([table.filter(pc.invert(of_spectra)), moved]), files.lenses)
    assert not validate_manifest(files.root).gate.passed
    assert failing(files.gate(4)) - failing(made.gate(4)) == {"clear_of_spectroscopic"}
    write_report(files.root)
    assert json.loads(Path(files.validation).read_text())["spectroscopic"]["negatives_near"] >= 3
