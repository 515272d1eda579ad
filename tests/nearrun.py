"""A local run within this process: the real graph, command line and handlers, without Java and processes.

It takes a second, where ``lensneg run`` in a process of its own takes twenty.
"""

import sys
import threading
from collections import defaultdict
from typing import Any

import pytest
from pipeline import JobStandIn
from plainrun import draw_plainly

from lensneg.cli import main
from lensneg.local import run as local_run
from lensneg.local import runner, worker
from lensneg.local.lambdas import Invocation, LocalLambda, Worker
from lensneg.stages import report


class NearLambda(LocalLambda):
    """Handlers in this process: to start another takes longer than all that they do here."""

    def _run(self, _: Worker, function_name: str, body: str) -> Invocation:
        return Invocation(**worker.invoke(function_name, body))

    def warm_up(self) -> list[threading.Event]:
        return []


def stand_in_job(*_: Any) -> JobStandIn:
    """A job that does the draw's work without Spark."""
    return JobStandIn(draw_plainly)


def run_here(patch: pytest.MonkeyPatch) -> None:
    """Let runs be made in this process, by stand-ins for the Spark job and the processes of Lambda."""
    patch.setattr(runner, "LocalEmrServerless", stand_in_job)
    patch.setattr(runner, "LocalLambda", NearLambda)
    patch.setattr(local_run, "run_in_process", runner.run_locally)


def draw_no_figures(patch: pytest.MonkeyPatch) -> None:
    """Leave the maps and histograms out of reports: ``lensneg report`` draws them."""
    patch.setattr(report, "_figures", lambda *_: ({}, defaultdict(str)))


def ended(patch: pytest.MonkeyPatch, *words: object) -> int:
    """Run lensneg's command line in this process; return its exit code."""
    patch.setattr(sys, "argv", ["lensneg", *map(str, words)])
    with pytest.raises(SystemExit) as ending:
        main()
    return int(ending.value.code or 0)
