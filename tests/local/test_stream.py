"""Runs whose sweep files are on a web server: fetched one by one, filtered, and removed."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import config_text, edited
from pipeline import OPEN_GATES, make_request
from plainrun import draw_plainly, run_map
from surveyserver import A, B, C, serving, three_sweeps, with_checksums
from usage import goes_on, told

from lensneg.cli import cli
from lensneg.errors import InputError
from lensneg.local.stream import StreamingLambda, plan_stream
from lensneg.mocksky import write_mock_sky
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.request import RunRequest
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.publish_manifest import publish_manifest
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out
from lensneg.stages.validate_manifest import validate_manifest


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def bytes_of(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # it was removed meanwhile
            continue
    return total


def is_free(path: Path) -> bool:
    """Whether no process writes to a part of a file any more."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def published(files: RunFiles) -> Manifest:
    """Finish a run whose map is done, without Java."""
    assert summarize_fan_out(files.root).gate.passed
    draw_plainly(Path(files.root))
    for gate in (check_sample, validate_manifest):
        verdict = gate(files.root).gate
        assert verdict.passed, verdict.cause
    publish_manifest(files.root)
    return Manifest.open(files.manifest)


def checks_of(files: RunFiles, gate: int) -> dict[str, dict[str, object]]:
    return {check["name"]: check for check in json.loads(Path(files.gate(gate)).read_text())["checks"]}


def test_a_streamed_run_is_killed_goes_on_and_publishes_what_a_run_over_fetched_files_does(
    tmp_path: Path,
) -> None:
    """Two files at a time have room. The run is killed -9 while three are done and one is half there."""
    sky, config, out = tmp_path / "sky", tmp_path / "config.yaml", tmp_path / "out"
    write_mock_sky(sky, files=4, rows=4_000, seed=51)
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3, "execution.mini_test_files": 4}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    files = with_checksums({path.name: path.read_bytes() for path in (sky / "sweeps").iterdir()})
    sizes = {name: len(data) for name, data in files.items() if name.endswith(".fits")}
    room, half, run, go_on = 2 * max(sizes.values()), max(sizes), RunFiles(str(out), "one"), threading.Event()
    scratch = Path(run.root, ".sweeps")
    with serving(files) as survey:
        survey.on_stall = go_on.wait
        survey.faults[half] = [("", 0), ("", 0), ("stall", 1_000_000)]  # gate 1 reads its begin and its end
        command = [sys.executable, "-m", "lensneg", "run", "--workers", "2", "--run-id", "one", "--stream"]
        command += ["--stream-disk", str(room / 1e9), "--config", str(config), "--sweeps", survey.url]
        command += ["--positives", str(sky / "positives.csv"), "--out", str(out)]
        homeless = {name: value for name, value in os.environ.items() if name != "HOME"}
        first = subprocess.Popen(command, env=homeless)
        wait(lambda: len(list(Path(run.stats_folder).glob("*.json"))) == 3 and not survey.faults[half])
        assert bytes_of(scratch) <= room
        for process in (int(Path(run.root, ".lock").read_text()), first.pid):
            os.kill(process, signal.SIGKILL)
        first.wait()
        part = scratch / f".{half}.part"
        wait(lambda: is_free(part))
        had = part.stat().st_size
        assert 0 < had < sizes[half]
        assert not Path(run.stats(half.removesuffix(".fits"))).exists()
        go_on.set()
        survey.log.clear()
        second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=homeless)
        wait(lambda: len(list(Path(run.stats_folder).glob("*.json"))) == 4)
        os.kill(
            int(Path(run.root, ".lock").read_text()), signal.SIGTERM
        )  # a cluster sends it to every process
        second.terminate()
        _, said = second.communicate()
        assert second.returncode == 128 + signal.SIGTERM
        assert "the command below continues the run" in told(said)
        assert "--run-id one" in goes_on(said)
        whole = [(name, asked) for method, name, asked in survey.log if method == "GET" and name in sizes]
        whole = [(name, asked) for name, asked in whole if not asked.rpartition("-")[2]]
        assert whole == [(half, f"bytes={had}-")], "it goes on, and the items that were done are not fetched"
        assert not scratch.exists()
        streamed = published(run)
    fetched = published(run_map(make_request(sky, config, tmp_path / "fetched", "one", "full")))
    assert streamed.record.negatives.rows > 0
    for part_of in ("negatives", "positives"):
        one, other = streamed.record.part(part_of), fetched.record.part(part_of)
        assert one.content_sha256 == other.content_sha256
    assert checks_of(run, 4)["rows_found_again"]["passed"], "single rows are read from the server"
    assert checks_of(run, 2)["inputs_unchanged"]["actual"] == "1 files, and 4 fetched by their SHA-256"


def request_of(url: str, out: Path) -> RunRequest:
    data = {
        "run_id": "a",
        "mode": "full",
        "config": "/c",
        "sweeps": url,
        "positives": ["/p"],
        "out": str(out),
    }
    return RunRequest.of_input(data)


@pytest.mark.parametrize(("largest", "at_once"), [(1.0, 1), (1.99, 1), (2.0, 2), (50.0, 4)])
def test_as_many_files_at_a_time_as_have_room(tmp_path: Path, largest: float, at_once: int) -> None:
    with serving(three_sweeps()) as survey:
        size = max(len(data) for name, data in three_sweeps().items() if name.endswith(".fits"))
        planned = plan_stream(request_of(survey.url, tmp_path / "a" / "b"), int(largest * size))
    assert planned is not None
    assert planned.at_once == at_once


def test_too_little_room_is_said_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(three_sweeps()) as survey:
        request = request_of(survey.url, tmp_path)
        size = max(len(data) for name, data in three_sweeps().items() if name.endswith(".fits"))
        with pytest.raises(InputError, match=f"--stream-disk: the largest sweep file has {size:,} bytes"):
            plan_stream(request, size - 1)
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * size - 1))
        with pytest.raises(InputError, match=f"--out .*: {2 * size:,} bytes are needed for 2 sweep files"):
            plan_stream(request, 2 * size)
    assert plan_stream(request_of(str(tmp_path), tmp_path), 1) is None, "files that are at hand take no room"


def test_what_was_left_of_other_files_is_removed_where_it_takes_their_room(tmp_path: Path) -> None:
    with serving(three_sweeps()) as survey:
        stream = plan_stream(request_of(survey.url, tmp_path), 10_000_000)
        assert stream is not None
        functions = StreamingLambda(stream._replace(most_bytes=250), tmp_path / "scratch", 1, tmp_path)
        (tmp_path / "scratch").mkdir()
        part, whole = tmp_path / "scratch" / f".{A}.part", tmp_path / "scratch" / B
        part.write_bytes(bytes(60))
        whole.write_bytes(bytes(100))

        def item(name: str) -> Item:
            return Item(id=name, sweep=survey.url + name, size=100, etag="", first_row=0, n_rows=1, n_bytes=1)

        with functions._holding(item(A)):
            assert whole.exists(), "100 for A, and 100 that are there"
            with functions._holding(item(C)):
                assert not whole.exists(), "200 for A and C"
                assert part.exists(), "it is the one that goes on"


def test_stream_belongs_to_files_on_a_server_and_they_to_it(tmp_path: Path) -> None:
    listing = tmp_path / "best.txt"
    listing.write_text(A)
    options = [
        "run",
        "--config",
        "negative_sampling_v1",
        "--positives",
        "p.csv",
        "--out",
        str(tmp_path / "out"),
    ]
    for sweeps in ("https://survey.example/sweep", str(listing)):
        refused = CliRunner().invoke(cli, [*options, "--sweeps", sweeps])
        assert "add --stream" in str(refused.exception)
    refused = CliRunner().invoke(cli, [*options, "--sweeps", str(tmp_path), "--stream"])
    assert "nothing need be fetched; leave --stream out" in str(refused.exception)
    request = request_of("https://survey.example/sweep/", tmp_path)
    assert request.sweeps == "https://survey.example/sweep"
    assert "--sweeps https://survey.example/sweep" in request.command("test")
    assert request.command("test").endswith(" --stream --out " + str(tmp_path))
