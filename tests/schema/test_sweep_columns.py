"""The data model: DR10's columns, formats and mask bits."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import MASKBITS, SWEEP_COLUMNS, sweep_dtype, tform_dtype


def test_a_row_has_505_bytes_in_130_columns() -> None:
    assert len(SWEEP_COLUMNS) == 130
    assert sweep_dtype().itemsize == 505


def test_the_data_model_is_that_of_dr10(shared_data: Callable[[str], Path]) -> None:
    with shared_data("dr10_sweep_columns.csv").open(newline="", encoding="utf-8") as file:
        model = list(csv.DictReader(file))
    assert [(c.name, c.tform, c.unit) for c in SWEEP_COLUMNS] == [
        (row["name"], row["tform"], row["unit"]) for row in model
    ]
    offsets = [sweep_dtype().fields[column.name][1] for column in SWEEP_COLUMNS]
    assert offsets == [int(row["byte_offset"]) for row in model]


@pytest.mark.parametrize("tform", ["", "P", "1PE(5)", "X", "5", "E5", "2Q", "C", "16 A"])
def test_a_format_that_sweeps_do_not_use(tform: str) -> None:
    with pytest.raises(ValueError, match="not a format of sweep files"):
        tform_dtype(tform)


def test_mask_bits() -> None:
    assert [MASKBITS[n] for n in ("BRIGHT", "ALLMASK_G", "ALLMASK_R", "ALLMASK_Z")] == [1, 5, 6, 7]
    assert [MASKBITS[n] for n in ("BAILOUT", "MEDIUM", "GALAXY", "CLUSTER")] == [10, 11, 12, 13]
    assert sorted(MASKBITS.values()) == list(range(17))


def test_needed_columns_hold_what_the_rules_look_at() -> None:
    looked_at = {"RELEASE", "BRICKID", "OBJID", "TYPE", "RA", "DEC", "MASKBITS", "SERSIC", "SHAPE_R"}
    looked_at |= {"SHAPE_E1", "SHAPE_E2", "FLUX_G", "FLUX_R", "FLUX_Z", "NOBS_G", "NOBS_R", "NOBS_Z"}
    assert looked_at <= set(NEEDED_COLUMNS) <= {column.name for column in SWEEP_COLUMNS}
