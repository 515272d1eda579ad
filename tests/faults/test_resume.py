"""What a new start of a run trusts, and what it does not: unit by unit."""

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults import call, in_child, published, reset, tell
from world import World, make_world

from lensneg import storage
from lensneg.cost.run_cost import run_cost
from lensneg.errors import CatalogError, TransientError
from lensneg.local.engine import local_machine
from lensneg.local.lambdas import Invocation
from lensneg.page.summary import strata_table
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import RunRecord, load_run
from lensneg.stages.commit_mark import finished
from lensneg.stages.plan_fan_out import plan_fan_out
from lensneg.stages.preflight import gate1 as preflight
from lensneg.stages.preflight import input_checks


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), rows=2_000)


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the output folder with a run in it that has been made."""
    reset(world.template, world.out)
    in_child(world.make)
    copy = tmp_path_factory.mktemp("made") / "out"
    shutil.copytree(world.out, copy)
    return copy


@pytest.fixture
def root(world: World, made: Path) -> str:
    """The folder of a run that has been made."""
    reset(made, world.out)
    return str(world.out / "runs" / "one")


def test_a_run_that_was_started_anew_under_its_old_id_is_not_the_old_one(root: str, tmp_path: Path) -> None:
    """A Lambda function outlives the folder of a run, and must not go on with what it remembers."""
    before = load_run(root)
    assert load_run(root) is before
    record = json.loads(Path(root, "run.json").read_text())
    record["started_at"] = "2025-06-01T00:00:00Z"
    storage.write_json(f"{root}/run.json", record)
    assert load_run(root).record.started_at == "2025-06-01T00:00:00Z"


@pytest.mark.parametrize("part", ["pool", "positives"])
@pytest.mark.parametrize("how", ["lost", "cut", "of nothing"])
def test_an_item_whose_tables_are_not_whole_is_not_done(root: str, part: str, how: str) -> None:
    run = load_run(root)
    items = [Item.model_validate(entry) for entry in storage.read_json(run.files.items)]
    found = [finished(run, item) for item in items]
    i = next(i for i, stats in enumerate(found) if stats is not None and stats.positives_bytes)
    table = Path(getattr(run.files, part)(items[i].id))
    if how == "lost":
        table.unlink()
    else:
        table.write_bytes(b"" if how == "of nothing" else table.read_bytes()[:-1])
    assert finished(run, items[i]) is None


def test_a_byte_that_another_wrote_into_a_table_is_not_published(world: World, made: Path) -> None:
    """A run that was killed after its map is continued, and has its rows from the sweep files again."""
    reset(made, world.out)
    run = load_run(str(world.out / "runs" / "one"))
    table = sorted(Path(run.files.pool_folder).iterdir())[0]
    data = bytearray(table.read_bytes())
    value = pq.read_table(table)["galdepth_r"].to_numpy()[:1].tobytes()
    place = data.index(value)
    data[place] ^= 1
    assert pq.read_table(pa.BufferReader(bytes(data)))["galdepth_r"].to_numpy()[:1].tobytes() != value
    for folder in ("manifests", "latest.json"):
        path = world.out / folder
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    table.write_bytes(data)
    in_child(world.make)
    assert published(world.out, "one") == world.expected
    tell("a byte of a pool file", "another one before the run goes on", "the item is done again; identical")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"item": {}}'])
def test_stats_that_are_none_are_not_trusted(root: str, text: str) -> None:
    run = load_run(root)
    item = Item.model_validate(storage.read_json(run.files.items)[0])
    Path(run.files.stats(item.id)).write_text(text)
    assert finished(run, item) is None


def test_a_catalogue_that_changed_after_gate_1_is_refused(world: World, tmp_path: Path) -> None:
    reset(world.template, world.out)
    sky = tmp_path / "sky"
    shutil.copytree(world.sky, sky)
    here = World(sky, world.config, world.template, world.out, {})
    root = in_child(lambda: call("Preflight", {"input": here.request()}))["root"]
    with (sky / "positives.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(CatalogError, match=r"positives\.csv: the file changed after gate 1"):
        plan_fan_out(root)
    assert not Path(root, "run.json").exists()


def test_s3_that_is_busy_is_no_fault_of_a_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate 1 must not say "fetch it again": the state machine tries once more instead."""
    reset(world.template, world.out)

    def busy(*_: Any, **_options: Any) -> Any:
        raise TransientError("s3://sky/a: SlowDown")

    for name in ("probe_input", "read_any"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(input_checks, name, busy)
            with pytest.raises(TransientError, match="SlowDown"):
                preflight.preflight(world.request())


def test_two_starts_at_once_with_other_inputs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them writes the inventory; the other sees that, and what is different."""
    reset(world.template, world.out)

    def meanwhile(self: RunRecord, uri: str, **options: bool) -> bool:
        write(self.model_copy(update={"mode": "test"}), uri)
        return write(self, uri, **options)

    write = RunRecord.write
    monkeypatch.setattr(RunRecord, "write", meanwhile)
    gate = preflight.preflight(world.request()).gate
    assert gate.passed is False
    assert "mode was test" in gate.cause


@pytest.mark.parametrize("text", ["", "{}", '{"run_id": 1}', "\x00"])
def test_an_inventory_that_is_none_is_named(world: World, text: str) -> None:
    reset(world.template, world.out)
    path = world.out / "runs" / "one" / "inventory.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    gate = preflight.preflight(world.request()).gate
    assert gate.passed is False
    assert str(path) in gate.cause
    assert "choose another run id" in gate.cause


def test_the_local_run_does_not_touch_someones_own_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that is configured is where the sweeps are; moto's own S3 must not be looked for there."""

    class Functions:
        def invoke(self, _name: str, _body: str) -> Invocation:
            gate = {"gate": "Gate1PreSubmission", "passed": False, "cause": "none"}
            return Invocation(result={"root": "", "mode": "", "published": False, "gate": gate})

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with local_machine(Functions(), None, "") as machine:  # type: ignore[arg-type]
        assert machine.execute("one", {})["error"] == "Gate1PreSubmission"


@pytest.mark.parametrize("text", ["", '{"run_id": "one", "ro'])
def test_a_summary_that_is_half_written_is_none(root: str, text: str) -> None:
    """A job that was killed leaves it so; what shows a failed run must not stumble over it."""
    files = RunFiles.of_root(root)
    whole = strata_table(files)
    assert sum(stratum.drawn for stratum in whole) > 0
    Path(files.sample_summary).write_text(text)
    assert sum(stratum.drawn for stratum in strata_table(files)) == 0
    assert run_cost(load_run(root)).draw is None


@pytest.mark.parametrize("by", ["Python", "NumPy", "Arrow"])
def test_an_item_for_which_memory_is_short_leaves_word(
    root: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The system's limit refuses it; each library says so in a class of its own. Gate 2 reads the word."""
    gigabyte = 1 << 30
    asks = {"Python": bytearray, "NumPy": np.ones, "Arrow": pa.allocate_buffer}

    def asks_for_too_much(*_: Any) -> Any:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + gigabyte // 4, resource.RLIM_INFINITY))
        return asks[by](gigabyte)

    item = storage.read_json(f"{root}/items.json")[0]
    Path(f"{root}/stats/{item['id']}.json").unlink()
    monkeypatch.setattr("functions.filter_sweep.filter_item", asks_for_too_much)

    def attempt() -> bool:
        with pytest.raises(MemoryError):
            call("FilterSweep", {"root": root, "item": item})
        return True

    assert in_child(attempt)
    word = storage.read_json(f"{root}/errors/{item['id']}.json")["message"]
    assert word.startswith(f"{item['sweep']}: out of memory; give the function more (MemorySize")
    monkeypatch.undo()
    assert in_child(lambda: call("FilterSweep", {"root": root, "item": item}))["item"] == item["id"]
    assert not Path(f"{root}/errors/{item['id']}.json").exists()  # the error of an earlier attempt
    tell("a function out of memory", f"RLIMIT_AS, asked for by {by}", "leaves word; then done")
