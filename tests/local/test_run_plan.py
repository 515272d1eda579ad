"""lensneg run --plan: gate 1's checks, and what a run would read, draw and take. Nothing is written."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import pytest
from pipeline import make_request

from lensneg.cli import main
from lensneg.local import run_plan
from lensneg.local.run_plan import expected_strata, plan_run
from lensneg.schema.config import Config
from lensneg.schema.request import RunRequest

Change = Callable[[dict[str, Any]], Config]


@pytest.fixture
def request_of_sky(gate_sky: Path, tmp_path: Path) -> RunRequest:
    return make_request(gate_sky, gate_sky / "config.yaml", tmp_path / "out", "one", "full")


def test_what_a_run_would_read_draw_and_take(
    gate_sky: Path, tmp_path: Path, request_of_sky: RunRequest
) -> None:
    """Counted in the files themselves. The lenses of the made-up sky lie in its cells, but for one."""
    sweeps = list((gate_sky / "sweeps").glob("*.fits"))
    found = plan_run(request_of_sky, 5, 10.0)
    assert (found.files, found.rows) == (2, sum(fitsio.FITS(path)[1].get_nrows() for path in sweeps))
    assert found.rows == 12_000
    assert found.bytes == sum(path.stat().st_size for path in sweeps)
    assert found.pool_rows == 360, "3 % of the rows (configs/rates.yaml)"
    assert found.negatives == 3 * found.positives > 0
    assert found.memory == 5_000_000_000, "3 GB and 5 workers of 0.4 GB"
    assert found.seconds >= 30
    assert {"sweeps_readable", "config_version_immutable", "output_writable"} <= {
        c.name for c in found.checks
    }
    assert not [check for check in found.checks if check.critical and not check.passed]
    assert not (tmp_path / "out").exists()
    twice = plan_run(request_of_sky.model_copy(update={"mode": "test-then-full"}), 5, 10.0)
    assert twice.seconds > 60


def test_the_strata_have_the_shares_of_real_lenses(plan_with: Change) -> None:
    """By hand: 1,615 positives of the published types, 965 of them SER, and 619 of 1,615 in 3-5 exposures."""
    strata = {(s.nobs_z_bin, s.type_bin): s for s in expected_strata(plan_with({}), 1615)}
    assert len(strata) == 16
    assert strata["3-5", "SER"].positives == 370  # 965 * 619 / 1615 = 369.9
    assert strata["3-5", "SER"].negatives == 37_000
    assert strata["11+", "EXP"].positives == 1  # 42 * 54 / 1615 = 1.4
    other = expected_strata(plan_with({"strata.nobs_z_bins": ["1-4", "5+"]}), 1615)
    assert {(s.positives, s.negatives) for s in other} == {(None, None)}


def test_too_little_disk_and_a_folder_that_cannot_be_made_are_said(
    request_of_sky: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(run_plan.os, "access", lambda *_: False)
    found = plan_run(request_of_sky, 1, 10.0)
    assert any(line.startswith("disk: the run takes about") for line in found.shortages)
    assert [check.name for check in found.checks if check.critical and not check.passed] == [
        "output_writable"
    ]


def test_the_command(
    gate_sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(sweeps: Path, *more: str) -> tuple[int, str]:
        words = [
            "lensneg",
            "run",
            "--plan",
            "--config",
            str(gate_sky / "config.yaml"),
            "--sweeps",
            str(sweeps),
        ]
        words += ["--positives", str(gate_sky / "positives.csv"), "--out", str(tmp_path / "out"), *more]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    code, out = call(gate_sky / "sweeps")
    assert code == 0
    assert "2 files, 12,000 rows" in out
    assert "SER" in out
    assert "11+" not in out, "too few positives for one in this bin"
    code, out = call(gate_sky / "sweeps", "--json")
    assert json.loads(out)["rows"] == 12_000
    shutil.copytree(gate_sky / "sweeps", tmp_path / "sweeps")
    damaged = min((tmp_path / "sweeps").glob("*.fits"))
    damaged.write_bytes(damaged.read_bytes()[:-9000])
    code, out = call(tmp_path / "sweeps")
    assert code == 1
    assert "sweeps_readable" in out
    assert not (tmp_path / "out").exists()
