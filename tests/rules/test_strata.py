"""Strata: the bins of exposures, and the order of strata."""

import numpy as np
import pytest
import reference

from lensneg.rules.strata import Stratum, nobs_z_bin, strata_of, type_order
from lensneg.schema.config import Config

BINS = ("1-2", "3-5", "6-10", "11+")
EXPECTED = {0: None, 1: "1-2", 2: "1-2", 3: "3-5", 5: "3-5", 6: "6-10", 10: "6-10", 11: "11+", 500: "11+"}


@pytest.mark.parametrize(("nobs", "expected"), EXPECTED.items())
def test_bins_at_both_ends(plan: Config, nobs: int, expected: str | None) -> None:
    index = nobs_z_bin(np.array([nobs], dtype=np.int16), plan.strata)[0]
    assert (BINS[index] if index >= 0 else None) == expected
    assert reference.nobs_bin(nobs, list(BINS)) == expected


@pytest.mark.parametrize("nobs", [0, -1, -32768])
def test_no_exposure_is_in_no_bin(plan: Config, nobs: int) -> None:
    assert nobs_z_bin(np.array([nobs], dtype=np.int16), plan.strata).tolist() == [-1]


def test_every_number_of_exposures_is_in_the_one_bin_that_holds_it(plan: Config) -> None:
    nobs = np.arange(1, 32768, dtype=np.int16)
    bins = nobs_z_bin(nobs, plan.strata)
    assert np.bincount(bins).tolist() == [2, 3, 5, 32767 - 10]
    assert np.all(np.diff(bins) >= 0)


def test_no_rows(plan: Config) -> None:
    assert nobs_z_bin(np.array([], dtype=np.int16), plan.strata).tolist() == []


def test_strata_are_in_the_order_of_the_config(plan: Config) -> None:
    assert [str(stratum) for stratum in strata_of(plan.strata)] == [
        "1-2/SER",
        "1-2/DEV",
        "1-2/REX",
        "1-2/EXP",
        "3-5/SER",
        "3-5/DEV",
        "3-5/REX",
        "3-5/EXP",
        "6-10/SER",
        "6-10/DEV",
        "6-10/REX",
        "6-10/EXP",
        "11+/SER",
        "11+/DEV",
        "11+/REX",
        "11+/EXP",
    ]


def test_a_stratum_is_a_bin_and_a_type() -> None:
    assert Stratum("3-5", "SER") == ("3-5", "SER")


def test_types_outside_the_strata_come_after_them(plan: Config) -> None:
    assert type_order(plan.strata)[:3] == ("SER", "DEV", "REX")
    assert sorted(type_order(plan.strata)) == ["DEV", "DUP", "EXP", "PSF", "REX", "SER"]
