"""The local run's map: two worker processes beside one, and what the main process takes.

The real state machine runs the map over the functions' own handlers. Its job is a stand-in that fails, so
the run ends after the map. The map's time is that between the end of PlanFanOut and the start of
SummarizeFanOut, so what moto's interpreter takes is in it; what it takes to start the worker processes is
not: a run starts them at its beginning, while the gates before the map are at work.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import harness
from harness import BenchmarkError, spread, take_turns

from lensneg.local.emr import JobRun
from lensneg.local.engine import local_machine
from lensneg.local.lambdas import Invocation, LocalLambda, map_concurrency
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest

WORKERS = (1, 2)


class TimedLambda(LocalLambda):
    """Functions whose invocations are kept with their times."""

    def __init__(self, workers: int, log_folder: Path) -> None:
        super().__init__(workers, log_folder)
        self.spans: list[tuple[str, float, float]] = []

    def invoke(self, function_name: str, body: str) -> Invocation:
        """Run a handler and wait for it."""
        begun = time.perf_counter()
        invocation = super().invoke(function_name, body)
        self.spans.append((function_name, begun, time.perf_counter()))
        return invocation

    def seconds_of_map(self) -> float:
        """Return the seconds from the end of the plan to the start of the fan-in."""
        planned = [end for name, _, end in self.spans if name == "PlanFanOut"]
        summarized = [begun for name, begun, _ in self.spans if name == "SummarizeFanOut"]
        if not planned or not summarized:
            raise BenchmarkError(f"the run did not come to its map's end: {[s[0] for s in self.spans]}")
        return summarized[0] - planned[0]


class FailingJob:
    """EMR Serverless where every job run fails at once."""

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        """Start a job run."""
        return {"ApplicationId": parameters["applicationId"], "JobRunId": "none"}

    def get_job_run(self, job_run_id: str) -> JobRun:
        """Return a job run."""
        return JobRun(job_run_id, "local", "stand-in", "FAILED", "a benchmark of the map draws nothing")


def map_task(sky: str, files: int, workers: int) -> dict[str, Any]:
    """Run the map over a sky's files, in a worker of this script."""
    harness.as_installed()
    out = harness.SCRATCH / "local" / f"{files}-{workers}"
    shutil.rmtree(out, ignore_errors=True)
    config = harness.edited_config(out / "config.yaml", mini_test_files=files)
    request = RunRequest.of_input(
        {
            "run_id": "bench",
            "mode": "test",
            "config": str(config),
            "sweeps": f"{sky}/sweeps",
            "positives": [f"{sky}/positives.csv"],
            "out": str(out),
            "max_concurrency": map_concurrency(workers),
        }
    )
    run = RunFiles(request.out, request.run_id)
    functions = TimedLambda(workers, Path(run.root) / "logs")
    try:
        for ready in functions.warm_up():
            ready.wait()
        with local_machine(functions, FailingJob(), "") as machine:
            machine.execute(request.run_id, request.model_dump(mode="json", exclude_none=True))
    finally:
        functions.stop()
    summary = json.loads(Path(run.summary).read_text())
    if summary["missing"]:
        raise BenchmarkError(f"items of the map failed: {summary['missing']}")
    return {
        "seconds": functions.seconds_of_map(),
        "items": summary["items"],
        "task_seconds": summary["task_seconds"],
    }


def measure(quick: bool) -> dict[str, Any]:
    """Run all of this module's measurements."""
    files, rows, turns = (4, 20_000, 2) if quick else (16, 500_000, 5)
    sky = harness.mock_sky(files, rows)
    harness.warm(sky)
    said: dict[int, dict[str, Any]] = {}

    def run(workers: int) -> float:
        said[workers] = harness.run_worker(__file__, "map", sky=str(sky), files=files, workers=workers)
        return float(said[workers]["seconds"])

    times = take_turns(
        {str(workers): (lambda workers=workers: run(workers)) for workers in WORKERS},
        turns,
        f"local run of {files} files",
    )
    one, two = (times[str(workers)] for workers in WORKERS)
    memory = []
    for small in (4, 8) if quick else (8, 64):
        found = harness.run_worker(
            __file__, "map", sky=str(harness.mock_sky(small, 2_000)), files=small, workers=2
        )
        harness.say(f"memory with {small} files: {found['peak_rss'] / 1e6:,.0f} MB")
        memory.append({"files": small, "peak_rss": found["peak_rss"], "seconds": found["seconds"]})
    return {
        "turns": turns,
        "files": files,
        "rows": rows,
        "mb": round(sum(path.stat().st_size for path in (sky / "sweeps").iterdir()) / 1e6, 1),
        "items": said[WORKERS[0]]["items"],
        "seconds": {f"{workers} workers": spread(times[str(workers)]) for workers in WORKERS},
        "efficiency": spread([a / (2 * b) for a, b in zip(one, two, strict=True)]),
        "peak_rss": {str(workers): said[workers]["peak_rss"] for workers in WORKERS},
        "memory": memory,
    }


if __name__ == "__main__":
    harness.serve({"map": map_task})
    options = harness.arguments(__doc__.partition("\n")[0])
    harness.report(measure(options.quick), options.out)
