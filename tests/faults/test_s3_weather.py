"""A run in S3 while a fifth of its answers is SlowDown, 500, a reset connection, lost, or a short body.

Sweeps, catalogue, config and output are all in S3. What is published is to the byte what is published in fair
weather. The faults go in below the client's own retries.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from faults import LONG, STARTED_AT, tell, walk
from moto.backends import get_backend
from plainrun import draw_plainly
from weather import Weather, bad_weather
from world import World, make_world

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.fanout import filter_item
from lensneg.run import Item, load_run

BLOCK = 2880

REQUEST = {
    "run_id": "one",
    "mode": "full",
    "config": "s3://sky/config.yaml",
    "sweeps": "s3://sky/sweeps",
    "positives": ["s3://sky/positives.csv"],
    "out": "s3://sky/out",
    "started_at": STARTED_AT,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), rows=4_000)


def fill(world: World) -> None:
    """Put the inputs into an empty S3."""
    get_backend("s3").reset()
    storage.s3_client().create_bucket(Bucket="sky")
    inputs = {f"sweeps/{path.name}": path for path in (world.sky / "sweeps").iterdir()}
    inputs |= {"config.yaml": world.config, "positives.csv": world.sky / "positives.csv"}
    for key, path in inputs.items():
        storage.write_bytes(f"s3://sky/{key}", path.read_bytes())


def draw_in_s3(folder: Path) -> Any:
    """The job's stand-in, which works on a copy: what Spark itself does with S3 is not tried here."""

    def draw(root: str) -> None:
        copy = folder / "runs" / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        for info in storage.list_files(root):
            path = copy / info.uri.removeprefix(f"{root}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(storage.read_bytes(info.uri))
        draw_plainly(copy)
        for path in (copy / "sample").rglob("*"):
            if path.is_file():
                storage.write_bytes(f"{root}/sample/{path.relative_to(copy / 'sample')}", path.read_bytes())

    return draw


def published() -> dict[str, bytes]:
    return {info.uri: storage.read_bytes(info.uri) for info in storage.list_files("s3://sky/out/manifests")}


def run_of(mode: str, folder: Path) -> str:
    return walk({**REQUEST, "mode": mode, "run_id": mode}, draw_in_s3(folder), storage.read_json)


@pytest.fixture
def fair(mocked_s3: None, world: World, tmp_path: Path) -> dict[str, bytes]:
    """What is published in fair weather."""
    fill(world)
    run_of("test", tmp_path / "copy")
    run_of("full", tmp_path / "copy")
    return published()


@pytest.mark.parametrize("seed", range(10) if LONG else [1])
def test_a_run_in_bad_weather(
    fair: dict[str, bytes], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.001)))
    monkeypatch.setattr(storage, "_PART_BYTES", 64 << 10)  # so that a small file has many parts
    fill(world)
    with bad_weather(Weather(0.2, seed)) as weather:
        run_of("test", tmp_path / "copy")
        run_of("full", tmp_path / "copy")
    found = published()
    assert found == fair
    assert len(found) >= 3
    assert min(weather.injected.values()) > 5, weather.injected
    assert len(weather.injected) == 5
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(weather.injected.items()))
    total = sum(weather.requests.values())
    tell("S3 in bad weather", f"{faults} in {total} requests", "identical")


def test_a_file_that_is_replaced_while_it_is_read(mocked_s3: None, world: World, tmp_path: Path) -> None:
    """Its parts come one by one: rows of two files must not pass for those of one."""
    fill(world)
    root = run_of("test", tmp_path / "copy")
    run = load_run(root)
    item = Item.model_validate(storage.read_json(run.files.items)[0])
    storage.delete(run.files.stats(item.id))
    data = bytearray(storage.read_bytes(item.sweep))
    data[-BLOCK - 100 : -BLOCK - 90] = b"\x01" * 10

    class Replaced(Weather):
        """Puts another file in place when its headers have been read, and its rows not yet."""

        def __call__(self, request: Any, event_name: str, **more: Any) -> Any:
            self.requests[event_name.rpartition(".")[2]] += 1
            if self.requests["GetObject"] == 3:
                self.requests["GetObject"] += 1
                storage.write_bytes(item.sweep, bytes(data))

    with bad_weather(Replaced(0)), pytest.raises(SweepError, match="changed while it was read"):
        filter_item(run, item)
    assert not storage.exists(run.files.stats(item.id))
