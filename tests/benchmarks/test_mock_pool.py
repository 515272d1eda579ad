"""The made-up pools of the benchmarks of the draw."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import harness
import mock_pool

from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import Quotas


def test_a_made_up_pool_passes_gate_2_and_asks_for_the_whole_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "SCRATCH", tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    root = mock_pool.plan_draw(mock_pool.make_pool(20_000, 2), 10)
    quotas = Quotas.read(RunFiles.of_root(root).quotas)
    assert sum(stratum.quota for stratum in quotas.strata) == 1000
    assert sum(pool.available for stratum in quotas.strata for pool in stratum.pools) == 20_000
