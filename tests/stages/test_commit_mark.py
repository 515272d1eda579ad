"""An item is done if its stats say so, of the same file, config and code, and its tables are whole."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lensneg.schema.item import Item, ItemStats
from lensneg.schema.layout import RunFiles
from lensneg.schema.pool import Footer
from lensneg.schema.run import Run
from lensneg.stages.commit_mark import finished, tables_are_those_written

ITEM = Item(
    id="0007", sweep="/sky/sweep-150p000-155p005.fits", size=9_000, etag="one", first_row=10, n_rows=5,
    n_bytes=2_525,
)  # fmt: skip


def run_in(folder: Path, config_sha256: str = "c0ffee", code_version: str = "1.0.0-abc") -> Run:
    record: Any = SimpleNamespace(
        config=SimpleNamespace(sha256=config_sha256), code=SimpleNamespace(code_version=code_version)
    )
    nothing: Any = None
    return Run(record, nothing, RunFiles(str(folder), "one"), nothing)


@pytest.fixture
def done(tmp_path: Path) -> ItemStats:
    """The stats of ITEM, done with config c0ffee and code 1.0.0-abc, beside its tables."""
    files = RunFiles(str(tmp_path), "one")
    for path, content in ((files.pool("0007"), b"pool"), (files.positives("0007"), b"positives")):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_bytes(content)
    stats = ItemStats(
        item=ITEM, config_sha256="c0ffee", code_version="1.0.0-abc", rows_in=5, rows_kept=0, cut={},
        counts=(), confusers={}, candidate_matches=1, row_groups=(), bytes_read=2_525, pool_bytes=4,
        pool_sha256=hashlib.sha256(b"pool").hexdigest(), pool_footer=Footer(size=1, sha256=""),
        positives_bytes=9, positives_sha256=hashlib.sha256(b"positives").hexdigest(), seconds=0.5,
    )  # fmt: skip
    stats.write(files.stats("0007"))
    return stats


def test_the_same_item_of_the_same_config_and_code_is_done(tmp_path: Path, done: ItemStats) -> None:
    assert finished(run_in(tmp_path), ITEM) == done


@pytest.mark.parametrize(
    "change",
    [
        {"etag": "two"},
        {"size": 9_001},
        {"sweep": "/sky/sweep-150p000-155p005.fits.gz"},
        {"first_row": 11},
        {"n_rows": 4},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.usefixtures("done")
def test_an_item_of_another_file_or_of_other_rows_is_not_done(tmp_path: Path, change: dict[str, Any]) -> None:
    assert finished(run_in(tmp_path), ITEM.model_copy(update=change)) is None


def test_an_item_of_a_file_that_was_moved_is_done(tmp_path: Path, done: ItemStats) -> None:
    moved = ITEM.model_copy(update={"sweep": "/other/disk/sweep-150p000-155p005.fits"})
    assert finished(run_in(tmp_path), moved) == done.model_copy(update={"item": moved})


@pytest.mark.usefixtures("done")
def test_work_of_another_config_is_not_done(tmp_path: Path) -> None:
    assert finished(run_in(tmp_path, config_sha256="decaf"), ITEM) is None


@pytest.mark.usefixtures("done")
def test_work_of_other_code_is_not_done(tmp_path: Path) -> None:
    assert finished(run_in(tmp_path, code_version="1.0.0-abd"), ITEM) is None


@pytest.mark.parametrize("part", ["pool", "positives"])
@pytest.mark.parametrize("content", [None, b"", b"poo", b"pool of another"])
@pytest.mark.usefixtures("done")
def test_an_item_without_its_whole_tables_is_not_done(
    tmp_path: Path, part: str, content: bytes | None
) -> None:
    path = Path(getattr(RunFiles(str(tmp_path), "one"), part)("0007"))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert finished(run_in(tmp_path), ITEM) is None


@pytest.mark.parametrize("part", ["pool", "positives"])
def test_a_byte_of_a_table_that_is_another_one_is_found(tmp_path: Path, part: str, done: ItemStats) -> None:
    run = run_in(tmp_path)
    assert tables_are_those_written(run, done)
    path = Path(getattr(run.files, part)("0007"))
    path.write_bytes(b"q" + path.read_bytes()[1:])
    assert finished(run, ITEM) == done
    assert not tables_are_those_written(run, done)


def test_an_item_without_matches_needs_no_table_of_them(tmp_path: Path, done: ItemStats) -> None:
    files = RunFiles(str(tmp_path), "one")
    without = done.model_copy(update={"candidate_matches": 0, "positives_bytes": 0})
    without.write(files.stats("0007"))
    Path(files.positives("0007")).unlink()
    assert finished(run_in(tmp_path), ITEM) == without


def test_an_item_without_stats_is_not_done(tmp_path: Path) -> None:
    assert finished(run_in(tmp_path), ITEM) is None
