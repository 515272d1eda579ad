"""A run that is killed at any of its writes goes on, and publishes the very bytes of an undisturbed one.

The steps are the real functions, in a forked process that gets SIGKILL before a write, in the midst of it,
or right after it; then the same request is made again. `make faults` tries every write; `make test` some.
"""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from faults import LONG, Death, call, in_child, published, reset, tell
from world import World, shared_world

POINTS_IN_SHORT = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory.getbasetemp())


def writes_of(world: World) -> list[str]:
    """The names of the files that a run writes, in order."""

    def count() -> list[str]:
        death = Death(-1, "never")
        world.make()
        return death.names

    reset(world.template, world.out)
    names: list[str] = in_child(count)
    return names


def test_killed_at_its_writes(world: World) -> None:
    names = writes_of(world)
    assert {"run.json", "manifest.json", "latest.json", "report.html"} <= set(names)
    points = [(at, when) for at in range(len(names)) for when in ("half written", "before", "after")]
    if not LONG:
        points = sorted(random.Random(6).sample(points, POINTS_IN_SHORT))
    for at, when in points:
        reset(world.template, world.out)

        def die(at: int = at, when: str = when) -> None:
            Death(at, when)
            world.make()

        assert in_child(die) == signal.SIGKILL
        in_child(world.make)
        same = published(world.out, "one") == world.expected
        tell(
            "killed at a write",
            f"{when} {names[at]} ({at + 1} of {len(names)})",
            "identical" if same else "WRONG",
        )
        assert same
        assert (world.out / "runs" / "one" / "report.html").exists()


def test_killed_between_the_manifest_and_the_pointer_to_it(world: World) -> None:
    at = writes_of(world).index("latest.json")
    reset(world.template, world.out)

    def die() -> None:
        Death(at, "before")
        world.make()

    assert in_child(die) == signal.SIGKILL
    assert not (world.out / "latest.json").exists()
    in_child(world.make)
    assert (world.out / "latest.json").exists()


@pytest.mark.skipif(not LONG, reason="long form: make faults")
def test_killed_again_and_again(world: World) -> None:
    """Each attempt dies a few writes later than the one before; the run still comes to its end."""
    reset(world.template, world.out)
    total, deaths = len(writes_of(world)), 0
    reset(world.template, world.out)
    for at in range(1, total, 2 if LONG else 8):

        def die(at: int = at) -> None:
            Death(at, "half written")
            world.make()

        deaths += in_child(die) == signal.SIGKILL
    in_child(world.make)
    assert deaths > 2
    assert published(world.out, "one") == world.expected
    tell("killed again and again", f"{deaths} times in one run", "identical")


def test_a_published_run_that_is_made_again_changes_nothing(world: World) -> None:
    reset(world.template, world.out)
    in_child(world.make)
    folder = world.out / "manifests" / "one"
    in_child(world.make)
    assert published(world.out, "one") == world.expected
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize("what", ["sweep", "catalogue", "config", "mode"])
def test_a_run_does_not_go_on_with_other_inputs(world: World, tmp_path: Path, what: str) -> None:
    """And says what is different, before anything is written."""
    reset(world.template, world.out)
    sky = tmp_path / "sky"
    shutil.copytree(world.sky, sky)
    config = tmp_path / "config.yaml"
    shutil.copy(world.config, config)
    here = World(sky, config, world.template, world.out, {})
    request = {**here.request(), "run_id": "two"}
    in_child(lambda: call("Preflight", {"input": request}))
    before = {
        p: p.read_bytes() for p in (world.out / "runs" / "two").rglob("*.json") if "gates" not in p.parts
    }
    if what == "sweep":
        path = sorted((sky / "sweeps").iterdir())[0]
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        told = f"sweep {path.name} has other bytes"
    elif what == "catalogue":
        with (sky / "positives.csv").open("a") as file:
            file.write("\n")
        told = "catalogue positives"
    elif what == "config":
        config.write_text(config.read_text() + "# another\n")
        told = "config config.yaml"
    else:
        request = {**request, "mode": "test"}
        told = "mode was full"
    gate = in_child(lambda: call("Preflight", {"input": request}))["gate"]
    assert gate["passed"] is False
    assert told in gate["cause"]
    assert "choose another run id" in gate["cause"]
    assert before == {path: path.read_bytes() for path in before}
