"""The output of ``lensneg run --plan``."""

from typing import Any

from rich.console import Group

from lensneg.commands.common import EXIT_GATE_FAILED, Result, checks_table, plain_table
from lensneg.commands.failure import Fault
from lensneg.local.run_plan import RunPlan


def plan_result(plan: RunPlan) -> Result:
    """Return the result of the command."""
    failed = [check for check in plan.checks if not check.passed]
    strata = plain_table(
        "strata, about, by the shares of real lenses", "nobs_z", "type", "positives", "negatives"
    )
    for stratum in [s for s in plan.strata if s.positives != 0] or plan.strata:
        numbers = ("not known" if n is None else f"{n:,}" for n in (stratum.positives, stratum.negatives))
        strata.add_row(stratum.nobs_z_bin, stratum.type_bin, *numbers)
    shown = [checks_table(failed, "gate 1")] if failed else []
    passed = len(plan.checks) - len(failed)
    critical = any(check.critical for check in failed)
    return Result(
        _as_json(plan),
        Group(*shown, strata, *_lines(plan), f"gate 1: {passed} of {len(plan.checks)} checks passed"),
        remark="nothing was written",
        faults=[Fault("this machine", line) for line in plan.shortages],
        exit_code=EXIT_GATE_FAILED if critical or plan.shortages else 0,
    )


def _lines(plan: RunPlan) -> list[str]:
    free = "not known" if plan.memory_free is None else f"{plan.memory_free / 1e9:.1f} GB"
    minutes = plan.seconds / 60
    return [
        f"sweeps    {plan.files:,} files, {plan.rows:,} rows, {plan.bytes / 1e9:,.2f} GB to read",
        f"pool      about {plan.pool_rows:,} rows",
        f"sample    about {plan.negatives:,} negatives for {plan.positives:,} positives in the sweep files",
        f"memory    about {plan.memory / 1e9:.1f} GB with {plan.workers} workers; {free} are free",
        f"disk      about {plan.disk / 1e9:.2f} GB; {plan.disk_free / 1e9:.1f} GB are free",
        f"time      about {minutes:,.1f} min, as a file is read at {plan.read_rate / 1e6:,.0f} MB/s",
    ]


def _as_json(plan: RunPlan) -> dict[str, Any]:
    return {
        **plan._asdict(),
        "checks": [check.as_json() for check in plan.checks],
        "strata": [stratum._asdict() for stratum in plan.strata],
    }
