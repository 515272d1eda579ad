"""What the tests of the whole path share: small skies, requests, and stand-ins for the Spark job."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lensneg.local.emr import JobRun
from lensneg.local.engine import Machine, local_machine
from lensneg.local.lambdas import Invocation, LocalLambda
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.resources import STATE_MACHINE

#: The state machine, as it stands in its file.
GRAPH = json.loads(STATE_MACHINE.read_text())

#: Gates that a sky of a few thousand rows could not pass, opened wide: the tests compare every row anyway.
OPEN_GATES = {"gates.stratum_shortfall_max": 1.0, "gates.n1_n2_tolerance_points": 100.0}


class SilentWatcher:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.told.append((name, *args))


class JobStandIn:
    """EMR Serverless without Spark: a job run is a function of the run's folder."""

    def __init__(self, job: Callable[[Path], None]) -> None:
        self._job = job
        self._runs: dict[str, JobRun] = {}
        self.started: list[dict[str, Any]] = []

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        self.started.append(parameters)
        run = JobRun(f"job-{len(self._runs)}", parameters["applicationId"], parameters["name"])
        arguments = parameters["jobDriver"]["sparkSubmit"]["entryPointArguments"]
        try:
            self._job(Path(arguments[arguments.index("--run") + 1]))
            run.state = "SUCCESS"
        except Exception as error:
            run.state, run.state_details = "FAILED", str(error)
        self._runs[run.job_run_id] = run
        return {"ApplicationId": run.application_id, "JobRunId": run.job_run_id}

    def get_job_run(self, job_run_id: str) -> JobRun:
        return self._runs[job_run_id]

    def start_application(self, _submit_parameters: str) -> None:
        """There is no driver to start."""

    def stop_application(self) -> None:
        """There is no driver to stop."""

    def stop(self) -> None:
        """There is no driver to stop."""


class FlakyLambda(LocalLambda):
    """Functions of which one fails with a named error, a number of times."""

    def __init__(self, *args: Any, function: str, error: str, times: int) -> None:
        super().__init__(*args)
        self.function, self.error, self.left = function, error, times
        self.invoked: list[str] = []
        #: Called once with the run's folder before a function of that name is invoked.
        self.before: dict[str, Callable[[Path], None]] = {}

    def invoke(self, function_name: str, body: str) -> Invocation:
        self.invoked.append(function_name)
        if function_name in self.before:
            self.before.pop(function_name)(Path(json.loads(body)["root"]))
        if function_name == self.function and self.left > 0:
            self.left -= 1
            return Invocation(error={"errorType": self.error, "errorMessage": "injected"})
        return super().invoke(function_name, body)


@contextmanager
def machine_with(functions: LocalLambda, emr: Any) -> Iterator[Machine]:
    """The real state machine with given functions and job."""
    try:
        with local_machine(functions, emr, "") as machine:
            yield machine
    finally:
        functions.stop()


def states_entered(machine: Machine, name: str) -> list[str]:
    """The names of the states that an execution entered, in order."""
    arn = f"{machine._arn.replace(':stateMachine:', ':execution:')}:{name}"
    pages = machine._client.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]


def make_request(
    sky: Path, config: Path, out: Path, run_id: str, mode: str, exclude: tuple[Path, ...] = ()
) -> RunRequest:
    """A request for a run over a mock sky."""
    return RunRequest.of_input(
        {
            "run_id": run_id,
            "mode": mode,
            "config": str(config),
            "sweeps": str(sky / "sweeps"),
            "positives": [str(sky / "positives.csv")],
            "exclude": [str(path) for path in exclude],
            "out": str(out),
            "max_concurrency": 2,
        }
    )


def as_input(request: RunRequest) -> dict[str, Any]:
    """A request as the input of an execution."""
    return request.model_dump(mode="json", exclude_none=True)


def files_of(request: RunRequest) -> RunFiles:
    """The files of a request's run."""
    return RunFiles(request.out, request.run_id)


def write_other_lenses(sky: Path, path: Path, every: int = 40) -> None:
    """A second catalogue, in lenscat's columns: 4 and 10.9 arcsec north of some of the sky's galaxies."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "RA [deg]", "DEC [deg]", "grading"])
        for sweep in sorted((sky / "sweeps").iterdir()):
            rows = fitsio.read(str(sweep), ext=1, columns=["RA", "DEC", "FLUX_Z"])
            bright = rows[rows["FLUX_Z"] > 10][::every]
            for i, row in enumerate(bright):
                offset = (4.0, 10.9)[i % 2] / 3600
                writer.writerow([f"L{i}", float(row["RA"]), float(row["DEC"]) + offset, "-"])
        writer.writerow(["no position", "-", "-", "-"])


def read_parts(folder: str | Path) -> list[dict[str, Any]]:
    """All rows of the Parquet files of a folder, in the order of their names."""
    parts = sorted(path for path in Path(folder).iterdir() if path.suffix == ".parquet")
    return [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the tables of a folder of Parquet files."""
    for path in folder.glob("*.parquet"):
        pq.write_table(change(pq.ParquetFile(path).read()), path)


def set_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    """A table with other values in a column."""
    i = table.column_names.index(name)
    return table.set_column(i, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two cells are equal; NaN equals NaN."""
    if isinstance(one, float) and isinstance(other, float):
        both_nan = np.isnan(one) and np.isnan(other)
        return bool(both_nan or one == other or abs(one - other) <= tolerance)
    return bool(one == other)
