"""The self-test: it passes here, it names the rule that is wrong, and its sky reaches each limit."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lensneg.rules.rows import Rows
from lensneg.rules.selection import RULES, first_failed_rule
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.stages import self_test as module
from lensneg.stages.self_test import RECORDED, fixed_sky, self_test


def test_it_passes() -> None:
    check = self_test()
    assert check.passed, check.actual
    assert check.critical


def test_it_passes_in_a_function_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lensneg-Preflight")
    assert self_test().passed


@pytest.mark.parametrize(
    ("features", "locale"),
    [("X86_V3 X86_V4 AVX512_ICL AVX512_SPR", "C"), ("X86_V4 AVX512_ICL AVX512_SPR", "tr_TR")],
)
def test_it_passes_on_a_processor_with_fewer_features(features: str, locale: str) -> None:
    program = "from lensneg.stages.self_test import self_test; print(self_test().actual)"
    environment = {"NPY_DISABLE_CPU_FEATURES": features, "LC_ALL": locale}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(RECORDED)} rules agree\n"


def off_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its last value changed a little."""

    def changed(*arguments: Any) -> Any:
        values = np.array(function(*arguments))
        values[-1] = "?" if values.dtype.kind in "UO" else values[-1] + 1
        return values

    return changed


@pytest.mark.parametrize(
    ("rule", "function"),
    [
        ("cuts", "first_failed_rule"),
        ("magnitudes", "magnitude"),
        ("pools", "classify"),
        ("nobs_z bins", "nobs_z_bin"),
        ("HEALPix pixels", "healpix_pixel"),
        ("splits", "split_of_pixel"),
        ("sampling priorities", "sampling_priority"),
        ("sampling priorities", "targetid"),
    ],
)
def test_it_names_the_first_rule_that_gives_another_result(
    rule: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, function, off_by_one(getattr(module, function)))
    check = self_test()
    assert not check.passed
    assert check.actual == f"{rule}: another result"


def test_it_notices_a_lens_that_is_not_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    lenses = module._lenses
    monkeypatch.setattr(module, "_lenses", lambda ra, dec: tuple(values[1:] for values in lenses(ra, dec)))
    assert self_test().actual == "lens exclusion: another result"


def test_it_notices_a_reader_that_takes_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    read = module._read
    monkeypatch.setattr(module, "_read", lambda sky: read(sky)[1:])
    assert self_test().actual == "reader: another result"


def test_the_sky_has_rows_on_both_sides_of_each_cut() -> None:
    sky = fixed_sky()
    assert (len(sky), sky.dtype.names) == (1000, NEEDED_COLUMNS)
    failed = Counter(first_failed_rule(Rows(sky), Config.load("negative_sampling_v1")))
    assert {rule.reason for rule in RULES} - set(failed) == {"footprint"}  # v1 has no limits of declination
    assert failed[None] > 300
    assert np.isnan(sky["FLUX_Z"]).any()
    assert {float(value) for value in sky["FLUX_Z"][:50]} >= {-1.0, 0.0, 10.0, 3.0, 5.0}
