"""A disk that is full in the midst of a run: an error that names the file, nothing half written, and then on.

The disk is a real one, a tmpfs of a few hundred kilobytes; where it cannot be mounted the tests are skipped.
"""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import LONG, fill_up, in_child, published, small_disk, tell
from world import World, make_world

from lensneg.errors import StorageError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), rows=4_000)


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
        assert "No space left on device; free some space there, and start again" in message
        told.add(message)
    (disk / "filler").unlink()
    in_child(world.make)
    assert len(told) > 2
    assert published(disk, "one") == world.expected
    tell("a full disk", f"{len(told)} places in the run", "named; then identical")
