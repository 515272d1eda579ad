"""Rows looked up again in the sweep files of a small run."""

import dataclasses
import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditcase import Change, audited_run, failed, spoil, subject_of
from pipeline import rewrite, set_column

from lensneg import storage
from lensneg.audit.audit import audit
from lensneg.audit.subject import Subject
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return audited_run(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def subject(files: RunFiles) -> Subject:
    return subject_of(files)


@pytest.fixture
def spoiled(subject: Subject, tmp_path: Path) -> Callable[..., Subject]:
    return partial(spoil, subject, tmp_path)


def with_sweeps(subject: Subject, folder: Path) -> Subject:
    infos = {storage.basename(info.uri): info for info in storage.list_files(str(folder))}
    return dataclasses.replace(subject, sweeps=infos, all_at_hand=True)


@pytest.fixture
def sweeps(files: RunFiles) -> Path:
    return Path(load_run(files.root).record.sweeps[0].uri).parent


def test_rows_are_found_again(subject: Subject, sweeps: Path) -> None:
    [check] = [c for c in audit(with_sweeps(subject, sweeps)).checks if c.name == "rows_found_again"]
    assert check.passed
    rows = sum(pq.read_metadata(uri).num_rows for uris in subject.files.values() for uri in uris)
    assert check.actual == f"{min(200, rows)} in 2 files"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: set_column(t, "row_index", [i + 1 for i in t["row_index"].to_pylist()]),
        lambda t: set_column(t, "ebv", [x + 1e-4 for x in t["ebv"].to_pylist()]),
        lambda t: set_column(t, "row_index", [10**7] * len(t)),
    ],
    ids=["rows shifted", "a value shifted", "rows beyond the end"],
)
def test_rows_that_are_not_the_sweeps_are_found_out(
    spoiled: Callable[..., Subject], sweeps: Path, change: Change
) -> None:
    assert failed(with_sweeps(spoiled(change), sweeps)) == {"rows_found_again"}


def test_a_brick_that_is_not_the_sweeps_is_found_out(spoiled: Callable[..., Subject], sweeps: Path) -> None:
    """BRICKID is in TARGETID alone; a change of it in all rows, and so of the priority, shows there only."""

    def change(table: pa.Table) -> pa.Table:
        ids = [targetid ^ (1 << 41) for targetid in table["targetid"].to_pylist()]
        return set_column(table, "targetid", ids)

    assert failed(with_sweeps(spoiled(change), sweeps)) == {"rows_found_again", "priority_rule"}


def test_rows_of_gzipped_files_are_found_again(
    spoiled: Callable[..., Subject], sweeps: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gzipped"
    folder.mkdir()
    for path in sweeps.glob("*.fits"):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))

    def rename(table: pa.Table) -> pa.Table:
        return set_column(table, "sweep_file", [f"{name}.gz" for name in table["sweep_file"].to_pylist()])

    subject = spoiled(rename)
    rewrite(tmp_path / "positives", rename)
    assert failed(with_sweeps(subject, folder)) == set()


def test_a_sweep_file_that_is_gone_is_critical_in_the_run_and_a_warning_elsewhere(
    subject: Subject, sweeps: Path
) -> None:
    for all_at_hand in (True, False):
        gone = dataclasses.replace(subject, sweeps={}, all_at_hand=all_at_hand)
        [check] = [c for c in audit(gone).checks if not c.passed]
        assert (check.name, check.critical) == ("sweeps_at_hand", all_at_hand)
