"""A disk that is full in the midst of a run: an error that names the file, nothing half written, and then on.

The disk is a real one, a tmpfs of a few hundred kilobytes; where it cannot be mounted the tests are skipped.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from faults import LONG, Refused, call, fill_up, in_child, published, reset, small_disk, tell
from world import World, read_items, shared_world

from lensneg.commands.common import EXIT_BROKEN
from lensneg.commands.run_failure import failure_code
from lensneg.errors import LensnegError, StorageError
from lensneg.schema.gate import GATE_NAMES
from lensneg.storage import local


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory.getbasetemp())


@pytest.fixture
def disk(world: World) -> Iterator[Path]:
    """The output folder, on a disk of its own."""
    shutil.rmtree(world.out)
    world.out.mkdir()
    with small_disk(world.out, 16):
        shutil.copytree(world.template, world.out, dirs_exist_ok=True)
        yield world.out


def test_a_run_on_a_full_disk(world: World, disk: Path) -> None:
    def attempt() -> str:
        try:
            world.make()
        except StorageError as error:
            return str(error)
        except OSError as error:  # the job's stand-in, which has no words of its own
            return "the draw" if error.errno == errno.ENOSPC else repr(error)
        return ""

    told = set()
    for left in range(4096, 600_000, 16 << 10 if LONG else 64 << 10):
        fill_up(disk, left)
        message = in_child(attempt)
        hidden = [path for path in disk.rglob(".*") if path.name.startswith(".writing-")]
        assert hidden == []
        if not message:
            break
        if message == "the draw":
            continue
        assert str(disk) in message
        assert "the disk is full (No space left on device); free some space there, and start again" in message
        told.add(message)
    (disk / "filler").unlink()
    in_child(world.make)
    assert len(told) > 2
    assert published(disk, "one") == world.expected
    tell("a full disk", f"{len(told)} places in the run", "named; then identical")


#: A file that each of these states writes, and the gate that notices that it could not.
FULL_IN = {
    "Preflight": ("preflight.txt", GATE_NAMES[1]),
    "FilterSweep": ("pool/", GATE_NAMES[2]),
    "CheckSample": ("sample/negatives/", "StorageError"),
    "PublishManifest": ("manifests/", "StorageError"),
    "Report": ("validation.json", "StorageError"),
}


@pytest.mark.parametrize("state", FULL_IN)
def test_a_full_disk_breaks_the_run_whatever_state_meets_it(
    world: World, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 3, and not as a result that is not what it should be."""
    reset(world.template, world.out)
    spoiled, noticed = FULL_IN[state]
    write = local.write

    def full(path: Path, *arguments: Any) -> bool:
        with local.disk_errors(str(path)):
            if spoiled in str(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, *arguments)

    def passed(answer: dict[str, Any]) -> None:
        if not answer["gate"]["passed"]:
            raise Refused(answer["gate"]["gate"], answer["gate"]["cause"])

    def made() -> None:
        monkeypatch.setattr(local, "write", full)
        monkeypatch.setattr("faults._passed", passed)
        if state != "FilterSweep":
            world.make()
        answer = call("Preflight", {"input": world.request()})
        call("PlanFanOut", {"root": answer["root"]})
        for item in read_items(f"{answer['root']}/items.json"):
            with suppress(LensnegError):  # as the Map does
                call("FilterSweep", {"root": answer["root"], "item": item})
        passed(call("SummarizeFanOut", {"root": answer["root"]}))

    def attempt() -> tuple[str, str]:
        try:
            made()
        except Refused as refused:
            return refused.args[0], refused.args[1]
        except StorageError as error:
            return "StorageError", str(error)
        return "", ""

    error, cause = in_child(attempt)
    assert error == noticed
    assert "No space left on device" in cause
    assert "free some space there, and start again" in cause
    assert failure_code(error, cause) == EXIT_BROKEN
    assert failure_code(error, "") == (1 if error in GATE_NAMES.values() else 3)
    in_child(world.make)
    assert published(world.out, "one") == world.expected
