"""What is shown while one waits: a line at once, and on a terminal a bar with rate and time left."""

import io
import sys
from pathlib import Path

import pytest
from published import publish
from rich.console import Console

from lensneg.audit.published import audit_published
from lensneg.audit.reproduction import look_at_inputs
from lensneg.cli import main
from lensneg.commands import progress
from lensneg.commands.run_screen import RunProgress
from lensneg.errors import InputError
from lensneg.mocksky import write_mock_sky
from lensneg.schema.manifest import Manifest


def terminal(monkeypatch: pytest.MonkeyPatch, *, is_one: bool = True, quiet: bool = False) -> io.StringIO:
    """What is written to a console that is a terminal, or is none."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=is_one, width=120, quiet=quiet, color_system=None)
    monkeypatch.setattr(progress, "notes", console)
    monkeypatch.setattr(progress, "say", lambda text: console.print(text))
    return shown


@pytest.mark.parametrize(
    ("command", "late", "first"),
    [
        (
            "run --config c --sweeps s --positives p --out here",
            "lensneg.local.run.make_request",
            "looking at the inputs of a run to here",
        ),
        ("sweeps verify there", "lensneg.survey.listing.find_sweeps", "looking at there"),
        ("sweeps list --near l.csv", "lensneg.catalogs.catalog.read_catalog", "reading l.csv"),
        ("aws status", "lensneg.aws.deployment.read_stack", "stack lensneg"),
    ],
)
def test_the_first_line_comes_before_the_work(
    command: str, late: str, first: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InputError("the work begins")

    monkeypatch.setattr(late, fail)
    monkeypatch.setattr(sys, "argv", ["lensneg", *command.split()])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == first
    assert "why      the work begins" in lines


def test_a_bar_counts_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    assert list(progress.counted("abc", 3, "letters")) == ["a", "b", "c"]
    last = shown.getvalue().splitlines()[-2]
    for part in ("letters", "3/3", "/s", "0:00:00"):
        assert part in last


def test_without_a_terminal_there_is_a_line_and_in_quiet_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for quiet, expected in ((False, "letters\nsteps\n"), (True, "")):
        shown = terminal(monkeypatch, is_one=False, quiet=quiet)
        assert list(progress.counted("abc", 3, "letters")) == ["a", "b", "c"]
        with progress.step("steps"):
            pass
        assert shown.getvalue() == expected


def test_a_step_of_unknown_length_has_a_bar_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with progress.step("auditing"):
        pass
    assert "auditing" in shown.getvalue()
    assert "0:00:00" in shown.getvalue()


def test_each_part_of_long_work_has_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with progress.steps("auditing") as tell:
        for done in range(3):
            tell("rows", done, 3)
        tell("checks", 1, 4)
    lines = shown.getvalue().splitlines()
    assert lines[0] == "auditing"
    for part in ("3/3", "4/4"):
        (last, *_) = [line for line in reversed(lines) if part in line]
        assert "/s" in last
        assert "0:00:00" in last


def test_validate_and_reproduce_are_told_how_far_they_are(tmp_path: Path) -> None:
    write_mock_sky(tmp_path / "sky", files=2, rows=3_000, seed=31)
    publish(tmp_path, "first")
    manifest, told = Manifest.open(tmp_path / "out"), dict[str, tuple[int, int]]()
    for work in (
        lambda tell: audit_published(manifest, tell=tell),
        lambda tell: manifest.verify(tell),
        lambda tell: look_at_inputs(manifest.record.run, None, (), (), tell),
    ):
        work(lambda what, done, total: told.update({what: (done, total)}))
    columns, rows = len(manifest.schema("positives")), manifest.counts.total
    assert (told.pop("rows"), told.pop("columns")) == ((rows, rows), (columns - 1, columns))
    done, total = told.pop("checks")
    assert 0 < done == total - 1
    assert told == {"files of negatives": (0, 1), "files of positives": (0, 1), "sweep files": (0, 1)}


def test_a_run_shows_which_state_is_at_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = terminal(monkeypatch)
    with progress.counting_bars(progress.notes) as bars:
        watcher = RunProgress(bars, "full")
        for state in ("Preflight", "PlanFanOut"):
            watcher.reached(state)
        watcher.planned("out/runs/one", 10)
        watcher.filtered("out/runs/one", False)
    lines = shown.getvalue().splitlines()
    assert any("states" in line and "2/7" in line and "SummarizeFanOut" in line for line in lines)
    assert any("map" in line and "1/10" in line for line in lines)
