"""A small sky, a config that it can pass, and an output folder in which the mini-test has passed."""

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas  # noqa: F401 (imported for those that are forked)
import yaml
from conftest import config_text, edited
from faults import STARTED_AT, in_child, load_handlers, published, walk
from pipeline import OPEN_GATES, as_input, make_request
from plainrun import draw_plainly

from lensneg.mocksky import write_mock_sky

# Once, and not in each process that is forked: to import takes longer than a small run.
load_handlers()


@dataclass
class World:
    """What a run is made from, and what it comes to when nothing disturbs it."""

    sky: Path
    config: Path
    template: Path
    out: Path
    expected: dict[str, bytes]

    def request(self, mode: str = "full", run_id: str = "one") -> dict[str, Any]:
        request = make_request(self.sky, self.config, self.out, run_id, mode)
        return {**as_input(request), "started_at": STARTED_AT}

    def make(self, mode: str = "full", run_id: str = "one") -> str:
        return walk(self.request(mode, run_id), draw, read_items)


def draw(root: str) -> None:
    draw_plainly(Path(root))


def read_items(uri: str) -> list[Any]:
    items: list[Any] = json.loads(Path(uri).read_text())
    return items


def make_inputs(folder: Path, rows: int) -> World:
    """Two sweep files and their catalogue and config; no run yet."""
    sky, config = folder / "sky", folder / "config.yaml"
    write_mock_sky(sky, files=2, rows=rows, seed=21)
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3, "execution.mini_test_files": 1}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    return World(sky, config, folder / "template", folder / "out", {})


def make_world(folder: Path, rows: int) -> World:
    """Two sweep files, a passed mini-test, and an undisturbed run to compare with."""
    world = make_inputs(folder, rows)
    in_child(lambda: world.make("test", "mini"))
    shutil.copytree(world.out, world.template)
    in_child(world.make)
    world.expected = published(world.out, "one")
    assert {"manifest.json", "negatives/part-00000.parquet"} <= set(world.expected)
    return world


@cache
def shared_world(base: Path) -> World:
    """A world in a worker's base folder, for several files of tests. Each test puts the output back first."""
    folder = base / "shared-world"
    folder.mkdir()
    return make_world(folder, rows=4_000)
