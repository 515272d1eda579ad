"""A rehearsal of the full sky: the graph, the handlers and the job over all 1,436 file names of DR10.1.

Each file is small and made up; the names are the survey's, and the catalogue of lenses is a real one. Every
URI is in S3, for which moto's server stands in: its log counts the requests. The run makes its mini-test, is
killed (kill -9) in the middle of its map, and is started again with the same run id. Asserted are what AWS
refuses to exceed (events of a history, bytes of a state's input and output), and that no file is lost or done
twice. With ``--compare`` a second run is not interrupted, and has to publish the same rows.

    .venv/bin/python benchmarks/full_sky.py --positives desi_candidates.csv
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import boto3
import harness
import numpy as np
import yaml
from harness import BenchmarkError, say

from lensneg.catalogs.catalog import read_catalog
from lensneg.local.emr import JobRun, LocalEmrServerless, local_submit_parameters
from lensneg.local.engine import local_machine
from lensneg.local.lambdas import Invocation, LocalLambda, map_concurrency
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.code_version import code_version
from lensneg.schema.request import RunRequest
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.survey.names import Cell, cell_of

NAMES: Final = Path(__file__).with_name("dr10.1_sweep_names.txt.gz")
SCRATCH: Final = harness.SCRATCH / "full-sky"
BUCKET: Final = "rehearsal"
WORKERS: Final = 2
MODE: Final = "test-then-full"

#: Hard limits of Step Functions ("Quotas for state machine executions").
MOST_EVENTS: Final = 25_000
MOST_BYTES: Final = 262_144

#: Small files have few galaxies of each stratum: fewer are drawn, and a stratum may stay short.
CHANGES: Final = {
    "negative_pools": {"neg_pos_ratio": 2},
    "gates": {"stratum_shortfall_max": 1.0, "n1_n2_tolerance_points": 100.0, "matched_fraction_min": 0.0},
}

ACCOUNT: Final = {
    "AWS_ACCESS_KEY_ID": "rehearsal",
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


# --- S3, as moto's server


def s3_of(url: str) -> Any:
    """Return a client of the server."""
    keys = {"aws_access_key_id": "rehearsal", "aws_secret_access_key": "rehearsal"}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Run moto's server, which writes a line for each request to a log; yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, command = f"http://127.0.0.1:{port}", [sys.executable, "-m", "moto.server", "-p", str(port)]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, stdout=stderr) as process:
        try:
            for _ in range(300):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            s3_of(url).create_bucket(Bucket=BUCKET)
            yield url
        finally:
            process.kill()


def put_folder(s3: Any, folder: Path, prefix: str, names: list[str]) -> None:
    """Put some files of a folder below a prefix."""
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=(folder / name).read_bytes())


def keys_of(s3: Any, prefix: str) -> dict[str, Any]:
    """Return the objects below a prefix, with the time at which each was written."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {e["Key"]: e["LastModified"] for page in pages for e in page.get("Contents", [])}


def read(s3: Any, key: str) -> Any:
    """Return the value of a JSON object."""
    return json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


_REQUEST: Final = re.compile(rb'"(?:\x1b\[[\d;]*m)*([A-Z]+) (\S+) HTTP/1\.[01]')


def requests_in(log: Path, start: int, stop: int | None = None) -> Counter[str]:
    """Count the requests in a part of the server's log, by their kinds."""
    return Counter(
        kind_of(found[1].decode(), found[2].decode())
        for found in _REQUEST.finditer(log.read_bytes()[start:stop])
    )


def kind_of(method: str, target: str) -> str:
    """Return the kind of a request. Copies and parts of uploads are PUT, as S3 counts them.

    Examples
    --------
    >>> kind_of("GET", "/bucket?list-type=2&prefix=a")
    'LIST'
    >>> kind_of("GET", "/bucket/a/key")
    'GET'
    """
    return "LIST" if method == "GET" and "list-type" in parse_qs(urlsplit(target).query) else method


# --- The run, in a process of its own


class Functions(LocalLambda):
    """Functions of which each invocation's bytes, and the length of the server's log after it, are kept."""

    def __init__(self, url: str, log: Path, folder: Path) -> None:
        environment = {**os.environ, **ACCOUNT, "AWS_ENDPOINT_URL": url}
        super().__init__(WORKERS, folder, environment=environment)
        self.url, self.log = url, log
        self.calls: list[tuple[str, int, int, int]] = []

    def invoke(self, function_name: str, body: str) -> Invocation:
        """Run a handler and wait for it. moto's interpreter finds items.json in its own S3."""
        done = super().invoke(function_name, body)
        answer = len(json.dumps(done.result if done.error is None else done.error))
        self.calls.append((function_name, len(body), answer, self.log.stat().st_size))
        if function_name == "PlanFanOut" and done.error is None:
            key = done.result["key"]
            items = s3_of(self.url).get_object(Bucket=BUCKET, Key=key)["Body"].read()
            own = boto3.client("s3", region_name="us-east-1")
            own.create_bucket(Bucket=BUCKET)
            own.put_object(Bucket=BUCKET, Key=key, Body=items)
        return done


class JobOnCopy(LocalEmrServerless):
    """The real Spark job on a copy of the run's files: no package registry has S3A."""

    def __init__(self, functions: Functions, folder: Path) -> None:
        super().__init__(folder)
        self._functions, self._copies = functions, folder

    def _run(self, run: JobRun, submit: Any) -> None:
        s3 = s3_of(self._functions.url)
        root = submit["entryPointArguments"][-1].removeprefix(f"s3://{BUCKET}/")
        copy = self._copies / run.job_run_id
        for key in (*keys_of(s3, f"{root}/pool/"), f"{root}/quotas.json"):
            path = copy / key.removeprefix(f"{root}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        on_copy = JobRun(run.job_run_id, run.application_id, run.name)
        super()._run(on_copy, {**submit, "entryPointArguments": ["--run", str(copy)]})
        draw = copy / "draw"
        written = [p for p in sorted(draw.rglob("*")) if p.is_file() and p.suffix != ".crc"]
        put_folder(s3, draw, f"{root}/draw", [str(p.relative_to(draw)) for p in written])
        shutil.rmtree(copy)
        log = self._functions.log.stat().st_size
        self._functions.calls.append(("(copies for the job)", 0, 0, log))
        run.state_details, run.state = on_copy.state_details, on_copy.state


def run_task(url: str, log: str, run_id: str, mode: str) -> dict[str, Any]:
    """Execute the graph; return what it showed."""
    folder = SCRATCH / "logs" / run_id
    functions = Functions(url, Path(log), folder)
    request = RunRequest.of_input(
        {
            "run_id": run_id,
            "mode": mode,
            "config": f"s3://{BUCKET}/config.yaml",
            "sweeps": f"s3://{BUCKET}/sweeps",
            "positives": [f"s3://{BUCKET}/positives.csv"],
            "out": f"s3://{BUCKET}/out",
            "max_concurrency": map_concurrency(WORKERS),
        }
    )
    emr, parameters = JobOnCopy(functions, folder), local_submit_parameters(WORKERS)
    functions.warm_up()
    begun, start = time.perf_counter(), Path(log).stat().st_size
    try:
        with local_machine(functions, emr, parameters) as machine:
            ended = machine.execute(run_id, request.model_dump(mode="json", exclude_none=True))
            seconds = time.perf_counter() - begun
            client = boto3.client("stepfunctions", region_name="us-east-1")
            pages = client.get_paginator("get_execution_history").paginate(executionArn=ended["executionArn"])
            events = [event for page in pages for event in page["events"]]
    finally:
        emr.stop()
        functions.stop()
    if ended["status"] != "SUCCEEDED":
        raise BenchmarkError(f"{ended.get('error')}: {ended.get('cause')}")
    return {
        "seconds": round(seconds, 1),
        "history": history_of(events),
        "functions": functions_of(functions.calls),
        "requests": requests_by_function(Path(log), start, functions.calls),
    }


def history_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number of events, the states in order, and the most bytes of an input and an output.

    moto has no histories of a Map's children: their events are in that of the run, and are left out.
    """
    types = [event["type"] for event in events]
    ends = [n for n, kind in enumerate(types) if kind == "MapRunStarted"]
    own, depth = [], 0
    for event in events:
        depth -= event["type"] in ("MapRunSucceeded", "MapRunFailed")
        if depth == 0:
            own.append(event)
        depth += event["type"] == "MapRunStarted"
    inputs = [e["stateEnteredEventDetails"] for e in own if "stateEnteredEventDetails" in e]
    outputs = [e["stateExitedEventDetails"] for e in own if "stateExitedEventDetails" in e]
    return {
        "events": len(own),
        "events_with_children": len(events),
        "maps": len(ends),
        "states": [entered["name"] for entered in inputs],
        "input_bytes": max(len(entered.get("input", "")) for entered in inputs),
        "output_bytes": max(len(left.get("output", "")) for left in outputs),
    }


def functions_of(calls: list[tuple[str, int, int, int]]) -> dict[str, dict[str, int]]:
    """Return for each function how often it was called, and the most bytes in and out."""
    found: dict[str, dict[str, int]] = {}
    for name, body, answer, _ in calls:
        entry = found.setdefault(name, {"calls": 0, "input_bytes": 0, "output_bytes": 0})
        entry["calls"] += 1
        entry["input_bytes"] = max(entry["input_bytes"], body)
        entry["output_bytes"] = max(entry["output_bytes"], answer)
    return found


def requests_by_function(
    log: Path, start: int, calls: list[tuple[str, int, int, int]]
) -> dict[str, dict[str, int]]:
    """Return the requests that each function made: functions of different names do not run at one time."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, _, _, stop in calls:
        found[name] += requests_in(log, start, stop)
        start = stop
    return {name: dict(sorted(kinds.items())) for name, kinds in found.items()}


# --- The rehearsal


def sky_of(names: list[str], rows: int, positives: Path) -> Path:
    """Return a folder with a file of each name: a made-up file moved to each cell, with the cell's lenses."""
    from lensneg import mocksky

    def make(folder: Path) -> None:
        mocksky.write_mock_sky(folder / "first", files=1, rows=rows)
        [first] = (folder / "first" / "sweeps").iterdir()
        content, size = first.read_bytes(), rows * sweep_dtype().itemsize
        start = len(content) - size - -size % 2880
        header, table = content[:start], np.frombuffer(content, sweep_dtype(), rows, start)
        found = read_catalog(CatalogSpec(uri=str(positives)))
        (folder / "sweeps").mkdir()
        for number, name in enumerate(names, 1):
            cell = cell_of(name)
            inside = (found.ra >= cell.ra_min) & (found.ra < cell.ra_max)
            inside &= (found.dec >= cell.dec_min) & (found.dec < cell.dec_max)
            moved = moved_to(cell, table, cell_of(str(first)), number)
            lenses = np.flatnonzero((moved["TYPE"] == b"SER") & (moved["NOBS_Z"] > 0))[: inside.sum()]
            moved["RA"][lenses] = found.ra[inside][: len(lenses)]
            moved["DEC"][lenses] = found.dec[inside][: len(lenses)]
            data = header_of(cell, header) + moved.tobytes() + bytes(-size % 2880)
            (folder / "sweeps" / name).write_bytes(data)

    return harness.prepared(SCRATCH / f"sky-{len(names)}x{rows}", [NAMES, positives], make)


def header_of(cell: Cell, header: bytes) -> bytes:
    """Return a file's header with the corners of another cell, each in the columns 11 to 30 of its card."""
    for key, value in zip(("RAMIN", "RAMAX", "DECMIN", "DECMAX"), cell, strict=True):
        card = f"{key:8}= {value:>20}".encode()
        header = re.sub(card[:10] + b".{20}", card, header)
    return header


def moved_to(cell: Cell, table: Any, home: Cell, number: int) -> Any:
    """Return the rows of a file in another cell, as sources of a brick of their own."""
    moved = table.copy()
    moved["RA"] += cell.ra_min - home.ra_min
    moved["DEC"] += cell.dec_min - home.dec_min
    moved["BRICKID"], moved["OBJID"] = number, np.arange(len(table))
    moved["BRICKNAME"] = f"{number:04d}p000".encode()
    return moved


def config_text() -> str:
    """Return the config of the rehearsal."""
    config = yaml.safe_load(harness.CONFIG.read_text(encoding="utf-8"))
    config["name"] = "full_sky_rehearsal"
    for section, values in CHANGES.items():
        config[section].update(values)
    return yaml.safe_dump(config, sort_keys=False)


def killed(url: str, log: Path, run_id: str, after: int) -> int:
    """Start a run, kill it when its map has written so many items, and return how many it wrote."""
    values = {"url": url, "log": str(log), "run_id": run_id, "mode": MODE}
    command, start = [sys.executable, __file__, "--worker", "run", json.dumps(values)], log.stat().st_size
    mark = f"PUT /{BUCKET}/out/runs/{run_id}/stats/".encode()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if log.read_bytes()[start:].count(mark) >= after:
                process.kill()
            time.sleep(0.2)
    if process.returncode != -9:
        raise BenchmarkError(f"the run was not killed in its map: it ended with {process.returncode}")
    time.sleep(5)  # its functions end with it; one may just be writing
    return log.read_bytes()[start:].count(mark)


def check(run: dict[str, Any], files: int) -> None:
    """Raise an error if AWS would not have run it."""
    history = run["history"]
    sizes = [max(f["input_bytes"], f["output_bytes"]) for f in run["functions"].values()]
    if history["events"] > MOST_EVENTS:
        raise BenchmarkError(f"{history['events']:,} events; a history holds {MOST_EVENTS:,}")
    if max(*sizes, history["input_bytes"], history["output_bytes"]) > MOST_BYTES:
        raise BenchmarkError(f"an input or output of more than {MOST_BYTES:,} bytes: {run}")
    if run["functions"]["FilterSweep"]["calls"] < files:
        raise BenchmarkError(f"{run['functions']['FilterSweep']['calls']:,} items of {files:,} files")


def measure(positives: Path, quick: bool, compare: bool) -> dict[str, Any]:
    """Rehearse."""
    names = gzip.decompress(NAMES.read_bytes()).decode().split()
    names, rows = (names[::48], 2_000) if quick else (names, 600)
    sky, log = sky_of(names, rows, positives), SCRATCH / "requests.log"
    shutil.rmtree(SCRATCH / "logs", ignore_errors=True)
    with s3_server(log) as url:
        s3 = s3_of(url)
        s3.put_object(Bucket=BUCKET, Key="config.yaml", Body=config_text().encode())
        s3.put_object(Bucket=BUCKET, Key="positives.csv", Body=positives.read_bytes())
        put_folder(s3, sky / "sweeps", "sweeps", names)
        say(f"{len(names):,} files are in S3")
        values = {"url": url, "log": str(log), "mode": MODE}
        done = killed(url, log, "resumed", len(names) // 2)
        before = keys_of(s3, "out/runs/resumed/stats/")
        say(f"killed after {done:,} items")
        run = harness.run_worker(__file__, "run", run_id="resumed", **values)
        check(run, len(names))
        after = keys_of(s3, "out/runs/resumed/stats/")
        if len(after) != len(names) or any(after[key] != when for key, when in before.items()):
            raise BenchmarkError("the resumed run lost an item, or did one again that was done")
        if compare:
            check(harness.run_worker(__file__, "run", run_id="whole", **values), len(names))
            resumed, whole = (content_of(s3, run_id) for run_id in ("resumed", "whole"))
            if resumed != whole:
                raise BenchmarkError(f"the runs published different rows: {resumed}, {whole}")
        items = len(s3.get_object(Bucket=BUCKET, Key="out/runs/resumed/items.json")["Body"].read())
        published = read(s3, "out/manifests/resumed/manifest.json")["rows"]
    return {
        "files": len(names),
        "rows": rows,
        "killed_after": done,
        "compared": compare,
        "run": run,
        "items_bytes": items,
        "published": published,
        "load": os.getloadavg(),
        "lensneg": code_version().code_version,
    }


def content_of(s3: Any, run_id: str) -> list[str]:
    """Return the hashes of the rows that a run published."""
    made = read(s3, f"out/manifests/{run_id}/manifest.json")
    return [made[part]["content_sha256"] for part in ("negatives", "positives")]


if __name__ == "__main__":
    harness.serve({"run": run_task})
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--positives", type=Path, required=True, help="a CSV catalogue of real lenses")
    parser.add_argument("--quick", action="store_true", help="one file in 48")
    parser.add_argument("--compare", action="store_true", help="also make a run that is not interrupted")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    harness.report(measure(options.positives, options.quick, options.compare), options.out)
