"""A published manifest: opened by one rule from wherever a person points, read, compared with its files."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import publish

import lensneg
from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return publish(tmp_path)


#: What a person may name.
NAMED: dict[str, Callable[[RunFiles], str]] = {
    "the output folder": lambda files: files.out,
    "the output folder, with a slash": lambda files: files.out + "/",
    "latest.json": lambda files: files.latest,
    "the run's folder": lambda files: files.root,
    "run.json": lambda files: files.run,
    "the manifest's folder": lambda files: files.manifest_folder,
    "manifest.json": lambda files: files.manifest,
}


@pytest.mark.parametrize("what", NAMED)
def test_it_is_opened_from_wherever_a_person_points(files: RunFiles, what: str) -> None:
    manifest = Manifest.open(NAMED[what](files))
    assert manifest.uri == files.manifest
    assert manifest.run_id == "tiny"
    assert (manifest.counts.negatives, manifest.counts.positives) == (12, 3)
    assert (manifest.config.name, manifest.config.version) == ("negative_sampling_v1", "1.0.0")


@pytest.mark.parametrize("what", NAMED)
def test_it_is_opened_in_s3(files: RunFiles, s3: str, what: str) -> None:
    for path in Path(files.out).rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{s3}/out/{path.relative_to(files.out)}", path.read_bytes())
    manifest = Manifest.open(NAMED[what](files).replace(files.out, f"{s3}/out"))
    assert manifest.uri.startswith(s3)
    manifest.verify()
    assert manifest.negatives(split="val", columns=["objid"]).to_table()["objid"].to_pylist() == [1, 4, 7, 10]


def test_a_relative_path_and_a_moved_folder(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(files.out, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    manifest = Manifest.open("elsewhere")
    manifest.verify()
    assert not os.path.exists(files.out)


@pytest.mark.parametrize(
    ("break_it", "named", "said"),
    [
        (
            lambda f: shutil.rmtree(f.manifest_folder),
            lambda f: f.root,
            "run tiny has no manifest: it was not published",
        ),
        (lambda f: None, lambda f: f.out + "/nowhere", "no published manifest there"),
        (lambda f: None, lambda f: f.out + "/nowhere.json", "no such file"),
        (lambda f: Path(f.manifest).write_text("{"), lambda f: f.out, "damaged"),
        (lambda f: Path(f.manifest).write_text("{}"), lambda f: f.manifest, "run_id: Field required"),
        (lambda f: Path(f.latest).write_text("[]"), lambda f: f.out, "latest.json: damaged"),
    ],
)
def test_where_there_is_none_the_error_says_why(
    files: RunFiles, break_it: Callable[[RunFiles], None], named: Callable[[RunFiles], str], said: str
) -> None:
    break_it(files)
    with pytest.raises(InputError, match=said) as caught:
        Manifest.open(named(files))
    assert caught.value.remedy


def test_rows_of_one_split_and_some_columns(files: RunFiles) -> None:
    manifest = Manifest.open(files.out)
    assert manifest.negatives().to_table()["objid"].to_pylist() == list(range(12))
    train = manifest.negatives(split="train", columns=["objid", "split", "mag_g"]).to_table()
    assert train.column_names == ["objid", "split", "mag_g"]
    assert train["objid"].to_pylist() == [0, 3, 6, 9]
    assert manifest.positives().to_table()["objid"].to_pylist() == [100, 101, 102]
    with pytest.raises(InputError, match="no split 'tain'; there are train, val, test"):
        manifest.negatives(split="tain")
    with pytest.raises(InputError, match="no column 'magg'"):
        manifest.positives(columns=["magg"])


def test_no_thread_of_arrow_holds_an_object_of_the_interpreter(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would abort the process, now and then, if the interpreter ends first."""
    monkeypatch.setattr(pa, "PythonFile", None)
    assert Manifest.open(files.out).negatives().count_rows() == 12


def test_other_libraries_take_it_from_there(files: RunFiles) -> None:
    manifest = lensneg.Manifest.open(files.out)
    negatives = manifest.negatives()
    assert duckdb.sql("SELECT count(*), sum(objid) FROM negatives WHERE pool = 'N2'").fetchall() == [(3, 30)]
    assert pl.from_arrow(manifest.negatives().to_table()).filter(pl.col("mag_g").is_null()).height == 1  # type: ignore[union-attr]
    assert (
        pl.scan_pyarrow_dataset(manifest.dataset("positives")).select("objid").collect()["objid"].sum() == 303
    )
    assert negatives.to_table().to_pandas()["objid"].sum() == 66


def test_files_that_the_manifest_does_not_list_are_not_read(files: RunFiles) -> None:
    folder = Path(files.manifest_folder) / "negatives"
    shutil.copy(folder / "part-00000.parquet", folder / "part-00001.parquet")
    assert Manifest.open(files.out).negatives().count_rows() == 12


def change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def change_a_value(path: Path) -> None:
    table = pq.ParquetFile(path).read()
    place = table.column_names.index("objid")
    column = pa.array([99, *table["objid"].to_pylist()[1:]], table.schema.field("objid").type)
    pq.write_table(table.set_column(place, table.schema.field("objid"), column), path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "missing, though the manifest names it"),
        (change_a_byte, "its SHA-256 is not the manifest's"),
        (change_a_value, "its SHA-256 is not the manifest's"),
    ],
)
@pytest.mark.parametrize("part", ["negatives", "positives"])
def test_verify_names_the_file_that_differs(
    files: RunFiles, spoil: Callable[[Path], None], said: str, part: str
) -> None:
    Manifest.open(files.out).verify()
    path = Path(files.manifest_folder) / part / "part-00000.parquet"
    spoil(path)
    with pytest.raises(InputError, match=said) as caught:
        Manifest.open(files.out).verify()
    assert caught.value.where == str(path)


def test_verify_recomputes_the_hash_of_the_content(files: RunFiles) -> None:
    record = json.loads(Path(files.manifest).read_text())
    record["negatives"]["content_sha256"] = "0" * 64
    Path(files.manifest).write_text(json.dumps(record))
    with pytest.raises(InputError, match="the rows of negatives are not those of its content_sha256"):
        Manifest.open(files.out).verify()
