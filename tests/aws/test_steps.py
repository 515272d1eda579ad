"""Steps and what removes their changes: order, failures, signals."""

import os
import signal
from collections.abc import Callable

import pytest

from lensneg.aws.steps import CleanUp, Done, Step, run_steps
from lensneg.errors import InputError


class Log:
    """Steps that note that they ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def step(
        self, name: str, error: Exception | None = None, during: Callable[[], None] | None = None
    ) -> Step:
        def do() -> Done:
            self.ran.append(name)
            if during:
                during()
            if error:
                raise error
            return Done(f"{name} done", usd=0.5)

        return Step(name, do, (self.clean_up(f"un{name}"), self.clean_up(f"un{name} more")))

    def clean_up(self, name: str) -> CleanUp:
        def remove() -> str:
            self.ran.append(name)
            if name == "unb":
                raise InputError("denied", where="s3", remedy="allow it")
            return "gone"

        return CleanUp(name, remove)


@pytest.fixture(autouse=True)
def _heed_signals() -> None:
    """nohup ignores SIGHUP, and the background of a shell SIGINT, and what they start inherits that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@pytest.fixture
def log() -> Log:
    return Log()


def interrupt(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def test_what_was_made_last_is_removed_first(log: Log) -> None:
    report = run_steps([log.step("a"), log.step("c")], keep=False, tell=lambda _: None)
    assert log.ran == ["a", "c", "unc", "unc more", "una", "una more"]
    assert report.passed
    assert report.usd == 1.0
    assert [outcome.text for outcome in report.outcomes[:3]] == ["a done", "c done", "gone"]


def test_a_step_that_fails_ends_the_steps_and_its_own_part_is_removed_too(log: Log) -> None:
    steps = [log.step("a"), log.step("c", OSError("no space")), log.step("d")]
    report = run_steps(steps, keep=False, tell=lambda _: None)
    assert log.ran == ["a", "c", "unc", "unc more", "una", "una more"]
    assert [(outcome.step, str(outcome.error)) for outcome in report.failures] == [("c", "no space")]


def test_a_clean_up_that_fails_keeps_no_other_from_running(log: Log) -> None:
    report = run_steps([log.step("a"), log.step("b")], keep=False, tell=lambda _: None)
    assert log.ran == ["a", "b", "unb", "unb more", "una", "una more"]
    assert [outcome.step for outcome in report.failures] == ["unb"]
    assert not report.passed


def test_what_is_kept_is_not_removed(log: Log) -> None:
    run_steps([log.step("a"), log.step("c", OSError("x"))], keep=True, tell=lambda _: None)
    assert log.ran == ["a", "c"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_steps_and_all_is_removed(log: Log, number: int) -> None:
    before = signal.getsignal(number)
    steps = [log.step("a", during=interrupt(number)), log.step("c")]
    report = run_steps(steps, keep=False, tell=lambda _: None)
    assert log.ran == ["a", "una", "una more"]
    assert report.signal == number
    assert not report.passed
    assert signal.getsignal(number) == before


def test_a_second_signal_does_not_end_the_clean_ups(log: Log) -> None:
    def tell(name: str) -> None:
        if name.startswith("un"):
            os.kill(os.getpid(), signal.SIGINT)

    report = run_steps([log.step("a", during=interrupt(signal.SIGINT))], keep=False, tell=tell)
    assert log.ran == ["a", "una", "una more"]
    assert report.signal == signal.SIGINT


def test_a_signal_that_comes_during_the_clean_ups_changes_nothing(log: Log) -> None:
    def tell(name: str) -> None:
        if name == "una":
            os.kill(os.getpid(), signal.SIGTERM)

    report = run_steps([log.step("a")], keep=False, tell=tell)
    assert log.ran == ["a", "una", "una more"]
    assert report.passed


def test_a_fault_of_the_program_is_raised_when_all_is_removed(log: Log) -> None:
    with pytest.raises(ZeroDivisionError):
        run_steps([log.step("a", ZeroDivisionError())], keep=False, tell=lambda _: None)
    assert log.ran == ["a", "una", "una more"]
