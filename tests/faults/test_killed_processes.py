"""kill -9 of the whole local run, its parent, a worker, the Spark driver or its script, at random moments.

Then the same command again. The manifest is that of the undisturbed run, every time. Long form
only: each attempt is a real run with a real Spark job.
"""

import hashlib
import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults import LONG, call, in_child, published, reset, tell
from processes import Process
from world import World, make_world

pytestmark = pytest.mark.skipif(not LONG, reason="long form: make faults")

KILLS = 54
KINDS = ("whole", "parent", "worker", "driver", "script")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), rows=20_000)


def finish(world: World, log: Path) -> tuple[float, str]:
    started = time.monotonic()
    process = Process(world.request(), log)
    assert process.popen.wait(300) == 0, process.output()
    return time.monotonic() - started, process.output()


def content_of(files: dict[str, bytes]) -> dict[str, Any]:
    """A manifest with all its rows, byte by byte; of its Parquet files, what they hold.

    Spark's Parquet library lists the encodings of a column in an order that changes from one Java process to
    the next, so two draws of the same rows differ in some bytes of the files' footers.
    """
    manifest = json.loads(files["manifest.json"])
    rows = {}
    for part in ("negatives", "positives"):
        for entry in manifest[part]["files"]:
            assert hashlib.sha256(files[entry["name"]]).hexdigest() == entry.pop("sha256")
            rows[entry["name"]] = str(pq.read_table(pa.BufferReader(files[entry["name"]])).to_pylist())
    return {"manifest": manifest, "rows": rows, "files": sorted(files)}


def test_killed_at_random_moments(world: World, tmp_path: Path) -> None:
    chance = random.Random(2025)
    killed: Counter[str] = Counter()
    reset(world.template, world.out)
    # The start of the run is kept with the run; so that all runs have the same one, it is given beforehand.
    seeded = start_of(world, tmp_path)
    usual, _ = finish(world, tmp_path / "undisturbed")
    expected = content_of(published(world.out, "one"))
    while killed.total() < KILLS:
        reset(seeded, world.out)
        story, ended = [], None
        for _ in range(5):
            process = Process(world.request(), tmp_path / "log")
            kind = chance.choice(KINDS)
            moment = chance.uniform(0.3, usual)
            began = time.monotonic()
            done = ""
            while process.popen.poll() is None and not done:
                time.sleep(0.1)
                if time.monotonic() - began >= moment:
                    done = process.kill(kind, chance)
            if done:
                killed[done] += 1
                story.append(f"{done} at {time.monotonic() - began:.1f} s")
            ended = process.popen.wait(300)
            assert process.gone(), process.family()
            assert "Traceback" not in process.output(), process.output()
            assert ended in (0, 1, 3, -9), process.output()
            if ended == 0:
                break
        if ended != 0:
            finish(world, tmp_path / "last")
        assert content_of(published(world.out, "one")) == expected
        tell("killed with -9", ", ".join(story) or "nothing (ended first)", "identical")
    tell("killed with -9", f"{killed.total()} times: {dict(killed)}", "identical every time")


def start_of(world: World, tmp_path: Path) -> Path:
    """An output folder in which the run has begun, so that its start is known, and nothing else has."""
    in_child(lambda: call("Preflight", world.request()))
    seeded = tmp_path / "seeded"
    shutil.copytree(world.out, seeded)
    return seeded
