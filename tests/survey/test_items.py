"""How sweep files are cut into map items."""

import re

import pytest

from lensneg.schema.config import ExecutionConfig
from lensneg.schema.resources import STATE_MACHINE
from lensneg.schema.run import SweepInput
from lensneg.survey.items import MOST_ITEM_BYTES, item_count, slices

MIB = 1 << 20


def execution(target: int | None) -> ExecutionConfig:
    return ExecutionConfig(
        target_item_bytes=target, tolerated_failures=0, mini_test_files=2, rows_per_manifest_file=1000
    )


def sweep(mib: int, name: str = "sweep-000p005-005p010.fits") -> SweepInput:
    """A file of so many MiB, in rows of 512 bytes."""
    return SweepInput(uri=name, size=mib * MIB, etag="e", rows=mib * 2048, release=10002, row_bytes=512)


@pytest.mark.parametrize(
    ("mib", "files", "target", "count"),
    [
        (1800, 1436, None, 1),  # the whole survey: whole files
        (1800, 16, None, 1),
        (1800, 15, None, 2),  # fewer files than FEWEST_ITEMS are cut
        (1800, 4, None, 4),
        (1800, 1, None, 16),
        (100, 1, None, 1),  # but into no slice below 64 MiB
        (128, 1, None, 2),
        (0, 1, None, 1),
        (11_250, 1436, None, 1),  # 150 s at 75 MiB/s
        (11_251, 1436, None, 2),
        (1800, 1436, 256 * MIB, 7),  # a size that the config gives
        (100, 1, 10 * MIB, 10),
    ],
)
def test_an_item_is_a_whole_file_unless_that_takes_too_long(
    mib: int, files: int, target: int | None, count: int
) -> None:
    assert item_count(sweep(mib), execution(target), files) == count
    items = slices(sweep(mib), execution(target), files)
    assert len(items) == count
    assert items[0].first_row == 0
    assert sum(item.n_rows for item in items) == mib * 2048
    ends = [item.first_row + item.n_rows for item in items]
    assert [item.first_row for item in items[1:]] == ends[:-1]


@pytest.mark.parametrize("name", ["sweep-000p005-005p010.fits.gz", "field.parquet", "field.csv"])
def test_a_file_that_can_only_be_read_from_its_start_is_one_item(name: str) -> None:
    assert [item_count(sweep(2000, name), execution(target)) for target in (None, MIB)] == [1, 1]


def test_a_function_has_the_time_for_the_largest_item() -> None:
    template = (STATE_MACHINE.parents[1] / "template.yaml").read_text()
    function = re.search(r"\n  FilterSweepFunction:\n(?:    .*\n|\n)+", template)
    assert function
    seconds = int(re.findall(r"\n      Timeout: (\d+)", function[0])[0])
    assert seconds / 2 * 75 * MIB == MOST_ITEM_BYTES
