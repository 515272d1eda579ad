"""The audit of a published manifest, on a disk and in S3, with its inputs at hand and without."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from auditcase import as_full_run, audited_run
from plainrun import edit_json, failing

from lensneg import storage
from lensneg.audit.published import audit_published
from lensneg.errors import InputError
from lensneg.schema.gate import Gate
from lensneg.schema.manifest import Manifest
from lensneg.stages.publish_manifest import publish_manifest


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a published manifest."""
    folder = tmp_path_factory.mktemp("audit")
    run = as_full_run(audited_run(folder), folder / "full" / "out")
    publish_manifest(run.root)
    return Path(run.manifest_folder)


@pytest.fixture
def downloaded(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "downloaded"))


def audited(folder: Path | str, **options: Any) -> dict[str, Any]:
    found = audit_published(Manifest.open(str(folder)), **options)
    return Gate.of(4, found.checks).as_json()


def test_a_downloaded_folder_is_audited_alone(downloaded: Path) -> None:
    record = audited(downloaded)
    assert failing(record) == set()
    assert audited(downloaded / "manifest.json") == record


def test_a_file_changed_after_publication_is_found_out(downloaded: Path) -> None:
    path = next((downloaded / "negatives").iterdir())
    pq.write_table(pq.ParquetFile(path).read(), path, compression="gzip")
    assert failing(audited(downloaded)) == {"files_intact"}


def test_a_file_that_a_backup_left_is_named(downloaded: Path) -> None:
    path = next((downloaded / "negatives").iterdir())
    shutil.copy(path, path.with_name("part-00000.bak.parquet"))
    record = audited(downloaded)
    assert failing(record) == {"files_listed"}
    assert "part-00000.bak.parquet" in str(record)


def test_a_file_that_is_gone_is_named_and_the_others_are_not_called_intact(downloaded: Path) -> None:
    next((downloaded / "negatives").iterdir()).unlink()
    record = audited(downloaded)
    assert failing(record) == {"files_readable"}
    assert "files_intact" not in {check["name"] for check in record["checks"]}


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda m: m["negatives"].update(content_sha256="0" * 64), "content_sha256"),
        (lambda m: m["positives"].update(content_sha256="0" * 64), "content_sha256"),
        (lambda m: m["rows"].update(negatives=m["rows"]["negatives"] + 1), "manifest_consistent"),
        (lambda m: m["columns"][0].update(unit="mag"), "manifest_consistent"),
        (lambda m: m.update(content_excludes=["ra"]), "manifest_consistent"),
        (lambda m: m.update(run_id="two"), "manifest_consistent"),
        (lambda m: m["run"]["config"].update(sha256="0" * 64), "manifest_consistent"),
        (lambda m: m["negatives"]["files"][0].update(bytes=1), "files_intact"),
    ],
)
def test_what_manifest_json_states_falsely_is_found(downloaded: Path, change: Any, check: str) -> None:
    edit_json(downloaded / "manifest.json", change)
    assert failing(audited(downloaded)) == {check}


def test_what_is_not_at_hand_is_a_warning(downloaded: Path, tmp_path: Path) -> None:
    text = (downloaded / "manifest.json").read_text()
    manifest = json.loads(text)
    for catalog in manifest["run"]["catalogs"]:
        catalog["spec"]["uri"] = "/gone/" + Path(catalog["spec"]["uri"]).name
    for sweep in manifest["run"]["sweeps"]:
        sweep["uri"] = "/gone/" + Path(sweep["uri"]).name
    (downloaded / "manifest.json").write_text(json.dumps(manifest))
    record = audited(downloaded)
    assert failing(record) == {"catalogs_at_hand", "sweeps_at_hand"}
    assert record["passed"]


def test_a_manifest_in_s3_is_audited(published: Path, s3: str) -> None:
    for path in published.rglob("*.*"):
        storage.write_bytes(f"{s3}/far/{path.relative_to(published)}", path.read_bytes())
    assert failing(audited(f"{s3}/far")) == set()


def test_a_folder_without_a_manifest_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no published manifest there; give an output folder"):
        audited(tmp_path)
    (tmp_path / "manifest.json").write_text('{"run_id": "x"}')
    with pytest.raises(
        InputError,
        match=r"manifest\.json: damaged, or of another version of lensneg: negatives: Field required",
    ):
        audited(tmp_path)
