"""Stop means stop: whatever ends the command, no process of it stays, and the run can go on."""

import signal
from pathlib import Path

import pytest
from faults import LONG, reset, tell
from processes import Process
from usage import goes_on, told
from world import World, shared_world

from lensneg.errors import InputError
from lensneg.local.lock import locked
from lensneg.schema.layout import RunFiles


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory.getbasetemp())


#: The signal, what the command has said when it gets it, and its exit code.
STOPS = [
    (signal.SIGINT, "items", 130),
    (signal.SIGTERM, "SummarizeFanOut done", 143),
    (signal.SIGKILL, "SummarizeFanOut done", -9),
    (signal.SIGINT, "drawing", 130),
    (signal.SIGTERM, "drawing", 143),
    (signal.SIGKILL, "drawing", -9),
    (signal.SIGHUP, "items", 129),
]


@pytest.mark.parametrize(("number", "said", "code"), STOPS if LONG else STOPS[:1])
def test_no_process_stays(world: World, tmp_path: Path, number: int, said: str, code: int) -> None:
    reset(world.template, world.out)
    process = Process(world.request(), tmp_path / "log")
    process.wait_for(said)
    process.popen.send_signal(number)
    assert process.gone(), process.family()
    assert process.popen.returncode == code
    if code > 0:
        assert "the command below continues the run" in told(process.output())
        assert "--run-id one" in goes_on(process.output())
    assert "Traceback" not in process.output()
    assert not (world.out / "manifests").exists()
    if LONG:
        again = Process(world.request(), tmp_path / "again")
        assert again.popen.wait(120) == 0, again.output()
    tell("stopped", f"{signal.Signals(number).name} after {said!r}", f"exit {code}, no process left")


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "one")
    with locked(files), pytest.raises(InputError, match=r"process \d+ is at work on this run"), locked(files):
        pass
    with locked(files):
        pass
