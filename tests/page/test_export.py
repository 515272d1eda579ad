"""A manifest in other people's tools: types, nulls, units and descriptions survive; the card says what is
there; and the documented code runs."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import healpy
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.io import fits, votable
from astropy.table import Table
from published import publish

from lensneg import storage
from lensneg.cli import main
from lensneg.errors import InputError
from lensneg.page import hats_export
from lensneg.page.binary_export import fits_chunks, votable_chunks
from lensneg.page.cutouts import cutouts
from lensneg.page.dataset_card import dataset_card
from lensneg.page.export import astropy_table
from lensneg.page.exported_rows import ExportedRows
from lensneg.schema import tables
from lensneg.schema.columns import COLUMNS, MANIFEST_SCHEMA
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import ColumnRecord, Manifest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Of one column of each kind: pandas', Polars', DuckDB's and astropy's type, written down by hand.
TYPES = {
    "galaxy_id": ("object", pl.String, "VARCHAR", "U"),
    "nobs_z": ("int16", pl.Int16, "SMALLINT", "i2"),
    "objid": ("int32", pl.Int32, "INTEGER", "i4"),
    "targetid": ("int64", pl.Int64, "BIGINT", "i8"),
    "flux_z": ("float32", pl.Float32, "FLOAT", "f4"),
    "ra": ("float64", pl.Float64, "DOUBLE", "f8"),
    "extraction_timestamp": (
        "datetime64[us, UTC]", pl.Datetime("us", "UTC"), "TIMESTAMP WITH TIME ZONE", "U"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def negatives(files: RunFiles) -> Path:
    return Path(files.manifest_folder) / "negatives"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lensneg", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


# Readers of Parquet.


def test_pandas(negatives: Path) -> None:
    frame = pd.read_parquet(negatives)
    assert len(frame) == 12
    for name, (kind, *_) in TYPES.items():
        found = str(frame[name].dtype)
        assert found == kind or (kind == "object" and found in ("str", "string")), name
    assert frame.targetid[11] == 9007199254741003  # 2^53 + 11: no float on the way
    assert frame.mag_g.isna().tolist() == [False, True] + [False] * 10
    assert frame.extraction_timestamp[0] == pd.Timestamp("2026-01-02T03:04:05Z")


def test_polars(negatives: Path) -> None:
    frame = pl.read_parquet(negatives / "*.parquet")
    assert {name: frame.schema[name] for name in TYPES} == {n: kinds[1] for n, kinds in TYPES.items()}
    assert frame["targetid"][11] == 9007199254741003
    assert frame["confuser_category"].null_count() == 9
    assert frame["mag_g"].null_count() == 1


def test_duckdb(negatives: Path) -> None:
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{negatives}/*.parquet'").fetchall()
    assert {n: t for n, t, *_ in described if n in TYPES} == {n: kinds[2] for n, kinds in TYPES.items()}
    query = f"SELECT count(*), sum(targetid), count(mag_g) FROM '{negatives}/*.parquet' WHERE pool = 'N1'"
    assert duckdb.sql(query).fetchall()[0] == (9, 9 * (1 << 53) + 36, 8)


def test_astropy(files: RunFiles) -> None:
    table = astropy_table(Manifest.open(files.manifest).table("negatives"))
    assert table.colnames == MANIFEST_SCHEMA.names
    for name, (*_, kind) in TYPES.items():
        assert name == "extraction_timestamp" or table[name].dtype.str[1:].startswith(kind), name
    assert int(table["targetid"][11]) == 9007199254741003
    assert table["extraction_timestamp"][0] == "2026-01-02T03:04:05Z"
    assert table["ra"].unit == "deg"
    assert table["ra"].description == "right ascension, ICRS"
    assert table["confuser_category"].mask.tolist() == [True] * 9 + [False] * 3


def test_astropys_own_reader_takes_columns_without_nulls(negatives: Path) -> None:
    # It stops at a null in a column of text, so the docs name astropy_table instead.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it measures how long texts are, and says so
        path = negatives / "part-00000.parquet"
        table = Table.read(path, exclude_names=["confuser_category", "extraction_timestamp"])
    assert len(table) == 12
    assert int(table["targetid"][11]) == 9007199254741003


# Exports.


@pytest.fixture(scope="module")
def exported(files: RunFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        for form in ("fits", "votable", "csv", "ecsv", "hats", "cutouts"):
            assert run(patch, "export", files.manifest, "--to", form, "--out", folder) == 0
    return folder


def test_fits_has_units_and_descriptions_where_tools_look(exported: Path) -> None:
    with fits.open(exported / "negatives.fits") as hdus:
        header, data = hdus[1].header, hdus[1].data
        number = {header[f"TTYPE{i}"]: i for i in range(1, len(MANIFEST_SCHEMA) + 2)}
        assert list(number) == [*MANIFEST_SCHEMA.names, "viewer"]
        assert header["EXTNAME"] == "NEGATIVES"
        assert header["RUN_ID"] == "tiny"
        assert header[f"TUNIT{number['flux_z']}"] == "nanomaggy"
        assert header[f"TUNIT{number['psfdepth_g']}"] == "1/nanomaggy^2"
        assert header[f"TUNIT{number['ra']}"] == "deg"
        assert f"TUNIT{number['objid']}" not in header
        assert header[f"TCOMM{number['ra']}"] == "right ascension, ICRS"
        assert all(header[f"TCOMM{i}"] for i in number.values())
        assert data["targetid"][11] == 9007199254741003
        assert data["targetid"].dtype.kind == "i"
        assert np.isnan(data["mag_g"]).tolist() == [False, True] + [False] * 10
        assert data["confuser_category"].tolist() == [""] * 9 + ["ring_proxy"] * 3
        assert data["extraction_timestamp"][0] == "2026-01-02T03:04:05Z"


def test_votable_has_units_and_descriptions(exported: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that are none of the VOUnit standard
        document = votable.parse(exported / "negatives.vot")
    fields = {field.name: field for field in document.get_first_table().fields}
    assert list(fields) == [*MANIFEST_SCHEMA.names, "viewer"]
    assert str(fields["flux_z"].unit) == "nanomaggy"
    assert str(fields["psfdepth_g"].unit).replace(" ", "").replace("^", "") == "1/nanomaggy2"
    assert fields["ra"].description == "right ascension, ICRS"
    assert fields["targetid"].datatype == "long"
    assert fields["nobs_z"].datatype == "short"
    table = document.get_first_table().to_table()
    assert int(table["targetid"][11]) == 9007199254741003
    assert table["mag_g"].mask.tolist() == [False, True] + [False] * 10


def test_csv_and_the_file_of_its_columns(exported: Path) -> None:
    frame = pd.read_csv(exported / "negatives.csv")
    assert frame.targetid[11] == 9007199254741003
    assert frame.mag_g.isna().sum() == 1
    columns = pd.read_csv(exported / "negatives-columns.csv", index_col="name")
    assert list(columns.index) == list(frame.columns)
    assert columns.unit["flux_z"] == "nanomaggy"
    assert columns.description["ra"] == "right ascension, ICRS"
    assert len(pd.read_csv(exported / "positives.csv")) == 3


def test_ecsv_reads_back_with_types_and_metadata(exported: Path) -> None:
    table = Table.read(exported / "negatives.ecsv")
    assert table.meta["RUN_ID"] == "tiny"
    assert str(table["ra"].unit) == "deg"
    assert table["ra"].description == "right ascension, ICRS"
    assert table["flux_z"].dtype == np.float32
    assert table["targetid"][11] == 9007199254741003
    assert table["mag_g"].mask.tolist() == [False, True] + [False] * 10


def test_every_row_has_a_link_to_the_viewer(exported: Path) -> None:
    """Row i is at RA i / 8 and Dec -i / 4, of DR10. Positives are rows 100 to 102."""
    link = "https://www.legacysurvey.org/viewer?ra={0}&dec={1}&layer=ls-dr10&zoom=16&mark={0},{1}"
    first, last = link.format("12.500000", "-25.000000"), link.format("12.750000", "-25.500000")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = [
            Table.read(exported / "positives.fits"),
            votable.parse(exported / "positives.vot").get_first_table().to_table(),
            Table.read(exported / "positives.ecsv"),
            Table.from_pandas(pd.read_csv(exported / "positives.csv")),
        ]
    for table in tables:
        assert table["viewer"][[0, -1]].tolist() == [first, last]


def test_a_missing_integer_is_marked_in_each_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_fitbits(parts: dict[str, Any]) -> dict[str, Any]:
        parts["negatives"][2]["fitbits"] = None
        return parts

    files = publish(tmp_path, change=without_fitbits)
    missing = [i == 2 for i in range(12)]
    for form, suffix in (("fits", "fits"), ("votable", "vot"), ("ecsv", "ecsv"), ("csv", "csv")):
        assert run(monkeypatch, "export", files.manifest, "--to", form, "--out", tmp_path) == 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = Table.read(tmp_path / f"negatives.{suffix}")
        assert table["fitbits"].mask.tolist() == missing, form
        assert set(table["fitbits"].compressed().tolist()) == {128}


def test_true_false_and_missing_stay_what_they_are(tmp_path: Path) -> None:
    """A VOTable says "boolean", which TOPCAT reads, and astropy does not write: its own is "bit"."""
    given = {"targetid": [7, 8, 9], "passes_cuts": [True, False, None]}
    kinds = {"targetid": "int64", "passes_cuts": "bool"}
    rows: Any = SimpleNamespace(
        part="positives",
        rows=3,
        meta={},
        columns=[
            ColumnRecord(name=n, type=t, unit="", nullable=True, description=n) for n, t in kinds.items()
        ],
        widths=dict,
        batches=lambda: iter([pa.table(given)]),
    )
    for name, chunks in (("rows.fits", fits_chunks(rows)), ("rows.vot", votable_chunks(rows))):
        (tmp_path / name).write_bytes(b"".join(chunks))
        read = Table.read(tmp_path / name)
        assert read["targetid"].tolist() == given["targetid"], name
        assert read["passes_cuts"].tolist()[:2] == [True, False], name
    assert Table.read(tmp_path / "rows.vot")["passes_cuts"].mask.tolist() == [False, False, True]
    fields = votable.parse(tmp_path / "rows.vot").get_first_table().fields
    assert [field.datatype for field in fields] == ["long", "boolean"]


def test_exports_do_not_depend_on_the_batches_that_they_are_made_of(
    exported: Path, files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 rows, five at a time: no batch holds the whole table."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 5)
    manifest = Manifest.open(files.manifest)
    assert [len(batch) for batch in ExportedRows.of(manifest, "negatives").batches()] == [5, 5, 2]
    for form in ("fits", "votable", "csv", "ecsv", "hats", "cutouts"):
        assert run(monkeypatch, "export", files.manifest, "--to", form, "--out", tmp_path) == 0
    names = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert len(names) == 2 * (1 + 1 + 2 + 1 + 6 + 1)
    for name in names:
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()


def test_cutouts_are_what_the_survey_s_tools_take(exported: Path) -> None:
    frame = pd.read_csv(exported / "negatives-cutouts.csv")
    row = frame.iloc[1]
    assert row.object_id == "0001p002-1"
    assert (row.ra, row.dec, row["size"], row.pixscale) == (0.125, -0.25, 101, 0.262)
    assert (row.bands, row.layer, row.brickname) == ("grz", "ls-dr10", "0001p002")
    # The centre of the brick is at 0.125, 0.25.
    assert frame.bx[:2].tolist() == pytest.approx([1799.5 + 450 / 0.262, 1799.5], abs=0.02)
    assert frame.by[:2].tolist() == pytest.approx([1799.5 - 900 / 0.262, 1799.5 - 1800 / 0.262], abs=0.2)
    assert len(frame) == 12
    assert len(pd.read_csv(exported / "positives-cutouts.csv")) == 3


def test_cutouts_of_another_size_and_other_bands(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = ("--to", "cutouts", "--part", "positives", "--out", tmp_path)
    assert run(monkeypatch, "export", files.manifest, *to, "--size", "64", "--bands", "griz") == 0
    frame = pd.read_csv(tmp_path / "positives-cutouts.csv")
    assert (frame["size"].unique().tolist(), frame.bands.unique().tolist()) == ([64], ["griz"])
    for bands in ("", "grx", "gg"):
        assert run(monkeypatch, "export", files.manifest, *to, "--bands", bands) == 2


def test_a_name_of_no_brick_leaves_the_pixel_empty(files: RunFiles) -> None:
    [rows] = ExportedRows.of(Manifest.open(files.manifest), "positives").batches()
    named = rows.set_column(
        rows.column_names.index("brickname"), "brickname", pa.array(["x", "0001p002", ""])
    )
    found = cutouts(named, 101, "grz")
    assert found["bx"].is_null().to_pylist() == found["by"].is_null().to_pylist() == [True, False, True]


def test_lsdb_opens_the_hats_catalogue(exported: Path) -> None:
    python = ROOT / ".venv-hats" / "bin" / "python"
    if not python.exists():
        pytest.skip("no lsdb: make .venv-hats")
    code = f"""
import lsdb
catalog = lsdb.open_catalog({str(exported / "negatives")!r}, columns="all")
rows = catalog.compute()
assert len(catalog) == len(rows) == 12
assert rows.targetid.max() == 9007199254741003
near = catalog.cone_search(0.125, -0.25, 60).compute()
assert near.object_id.tolist() == ["0001p002-1"], near
"""
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_hats_divides_the_rows_by_pixel(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against healpy: each row in one partition, which holds its position, in the order of pixels."""
    monkeypatch.setattr(hats_export, "_MAX_ROWS", 2)
    assert run(monkeypatch, "export", files.manifest, "--to", "hats", "--out", tmp_path) == 0
    root = tmp_path / "negatives"
    lines = (root / "partition_info.csv").read_text().split()[1:]
    seen = []
    for order, pixel in (map(int, line.split(",")) for line in lines):
        [path] = root.glob(f"dataset/Norder={order}/Dir=*/Npix={pixel}.parquet")
        part = pq.read_table(path, partitioning=None)
        ra, dec = part["ra"].to_numpy(), part["dec"].to_numpy()
        assert healpy.ang2pix(1 << order, ra, dec, nest=True, lonlat=True).tolist() == [pixel] * len(part)
        assert part["_healpix_29"].to_pylist() == sorted(part["_healpix_29"].to_pylist())
        assert 1 <= len(part) <= 2
        seen += part["objid"].to_pylist()
    assert sorted(seen) == list(range(12))
    assert len(lines) > 3


def test_a_manifest_is_found_by_its_folder_and_by_latest(files: RunFiles) -> None:
    for uri in (files.manifest, files.manifest_folder, files.latest, files.out, files.root, files.run):
        assert Manifest.open(uri).folder == files.manifest_folder
    with pytest.raises(InputError, match="no published manifest there"):
        Manifest.open(files.sample_folder)
    with pytest.raises(InputError, match="no such file"):
        Manifest.open(files.sample_folder + "/manifest.json")
    with pytest.raises(InputError, match="damaged, or of another version"):
        Manifest.open(files.validation if Path(files.validation).exists() else files.quotas)


def test_changed_or_missing_files_are_refused(tmp_path: Path) -> None:
    files = publish(tmp_path)
    path = Path(files.manifest_folder) / "negatives" / "part-00000.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"part-00000.parquet: its SHA-256 is not the manifest's"):
        Manifest.open(files.manifest).table("negatives")
    path.unlink()
    with pytest.raises(InputError, match="missing, though the manifest names it"):
        Manifest.open(files.manifest).table("negatives")


# The card and the docs.


def test_the_card_says_what_is_there(files: RunFiles) -> None:
    manifest: dict[str, Any] = storage.read_json(files.manifest)
    card = dataset_card(Manifest.open(files.manifest))
    _, header, text = card.split("---\n", 2)
    front = yaml.safe_load(header)
    assert front["size_categories"] == ["n<1K"]
    assert [c["config_name"] for c in front["configs"]] == ["negatives", "positives"]
    for config in front["configs"]:
        assert config["data_files"] == [f["name"] for f in manifest[config["config_name"]]["files"]]
    # Row i is in split i % 3; N1 has rows 0 to 8, N2 9 to 11, positives 100 to 102.
    assert "| N1 | what a finder meets when deployed | 3 | 3 | 3 | 9 |" in text
    assert "| N2 | hard confusers | 1 | 1 | 1 | 3 |" in text
    assert "| 3-5 | SER | 6 | 1 |" in text  # odd rows
    assert "| 3-5 | DEV | 6 | 2 |" in text
    assert "| 11+ | REX | 0 | 0 |" in text
    assert 'farther than 11" from' in text
    assert "| `flux_z` | float | nanomaggy | total flux, z band |" in text
    assert len(re.findall(r"^\| `", text, re.MULTILINE)) == len(COLUMNS) + 7  # those of the positives
    for part in ("negatives", "positives"):
        assert manifest[part]["content_sha256"] in text
    assert "lenses.csv, 1 positions" in text
    assert str(Path(files.out).parent) not in text, "no paths of this machine"


def test_the_documented_code_runs(files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "use-the-manifest.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    [of_spark] = [block for block in blocks if "pyspark" in block]  # tests/spark runs it
    blocks.remove(of_spark)
    assert len(blocks) == 7
    monkeypatch.chdir(files.out)
    for name, value in {"HF_HOME": "hf", "HF_DATASETS_CACHE": "hf", "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value if value == "1" else str(tmp_path / value))
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks:
            exec(block, names)
    assert names["units"]["ra"] == "deg"
    assert len(names["hard"]) == 3
    assert names["lazy"].collect().height == 12
    assert names["same_table"].equals(names["negatives"])
    assert names["same_frame"].targetid.tolist() == names["frame"].targetid.tolist()
    assert len(names["relation"].fetchall()) == 12
    assert {part: dataset.num_rows for part, dataset in names["parts"].items()} == {
        "negatives": 12, "positives": 3
    }  # fmt: skip
    assert names["val"]["objid"] == [1, 4, 7, 10]  # row i is in split i % 3
    assert names["table"]["flux_z"].unit == "nanomaggy"
    # 12 negatives and 3 positives (rows 100 to 102), a third of each in each split.
    assert {split: len(dataset) for split, dataset in names["datasets"].items()} == {
        "train": 5, "val": 5, "test": 5
    }  # fmt: skip
    image, label, weight = names["datasets"]["val"][4]
    assert (image.shape, label, weight) == ((3, 101, 101), 1, 2.5)
    assert sorted(names["sampler_weights"].tolist()) == [0.25] * 4 + [1.0]
    assert 0 <= names["rate"] <= 1


def test_the_script_counts_neighbours_across_the_split(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows i and i + 1 are 950 to 1,007" apart. Training has every third one from 0 on, test from 2 on."""
    monkeypatch.syspath_prepend(str(DOCS))
    from split_neighbours import neighbours

    manifest = Manifest.open(files.manifest)
    # Of 2, 5, 8, 11 and the positive 101, number 11 has no next one.
    assert neighbours(manifest, 1010) == (4, 5)
    assert neighbours(manifest) == (0, 5)


def test_json_names_the_files(files: RunFiles, tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-m", "lensneg", "export", files.latest, "--to", "csv", "--part", "positives",
         "--out", tmp_path, "--json"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert [Path(f["uri"]).name for f in json.loads(out)["files"]] == [
        "positives.csv",
        "positives-columns.csv",
    ]
