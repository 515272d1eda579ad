"""Progress is best effort: a watcher that fails, or that waits, neither stops a run nor holds it up."""

import logging
import os
import threading

import pytest
from pipeline import SilentWatcher

from lensneg.local.run_process import _lines
from lensneg.local.watcher import BestEffort


def test_a_watcher_that_fails_is_not_told_again_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SilentWatcher):
        def planned(self, *_: object) -> None:
            raise BrokenPipeError

    broken = Broken()
    watcher = BestEffort(broken)
    with caplog.at_level(logging.ERROR):
        watcher.reached("Preflight")
        watcher.planned("root", 4)
        watcher.reached("PlanFanOut")
    assert broken.told == [("reached", "Preflight")]
    assert len(caplog.records) == 1


def test_ctrl_c_in_a_watcher_still_ends_the_run() -> None:
    class Interrupted:
        def reached(self, _: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BestEffort(Interrupted()).reached("Preflight")  # type: ignore[arg-type]


def test_a_caller_that_waits_does_not_stop_the_process_that_writes() -> None:
    """A pager that shows the first page would otherwise fill the pipe, and so hold the run."""
    reading, writing = os.pipe()
    stream = os.fdopen(reading)
    lines = _lines(stream)

    def write() -> None:
        with os.fdopen(writing, "w") as out:
            out.writelines("x" * 99 + "\n" for _ in range(10_000))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(20)  # the pipe holds 64 KiB
    assert not writer.is_alive()
    assert sum(1 for _ in lines) == 10_000
    stream.close()
