"""EMR Serverless on one machine: an application whose driver runs one job after the other in local mode.

The parameters are those of ``StartJobRun``, checked against botocore's model of the service. The options of
spark-submit and the states of a job run are those of EMR: SUBMITTED, RUNNING, then SUCCESS, FAILED or
CANCELLED.
"""

import logging
import os
import re
import signal
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore.validate import validate_parameters

from lensneg.local.driver_process import Driver
from lensneg.local.environment import job_environment
from lensneg.storage.errors import FULL_DISK

_log = logging.getLogger(__name__)

#: The states in which a job run has ended (EMR Serverless user guide, "Job run states").
FINAL_STATES: Final = frozenset({"SUCCESS", "FAILED", "CANCELLED"})

_STEP: Final = re.compile(r"^lensneg: step (\d+) of (\d+): (.*)$")

#: The state details of a failed job hold the last lines of its log that name an exception: so many lines, cut
#: to so many characters. The other lines are a stack of calls and Spark's shutdown. A JVM that crashes begins
#: its lines with a number sign. If no line names an exception, the last lines tell that are not Spark's.
_TAIL_LINES: Final = 6
_LINE_LENGTH: Final = 400
_EXCEPTION: Final = re.compile(
    r"^(Caused by: )?[\w.$]*(Error|Exception|Interrupt)\b|^lensneg: (?!step )|^# [TN]|^Could not "
)
_OF_SPARK: Final = re.compile(r"^\s|^\d\d/\d\d/\d\d ")

#: Remedies, by a pattern of the cause.
_REMEDIES: Final = (
    (
        FULL_DISK,
        "free some space there; Spark's own files are in /tmp, or where TMPDIR or SPARK_LOCAL_DIRS says",
    ),
    (
        re.compile(r"(?P<file>/\S+/pool/[^/\s]+\.parquet)"),
        "{file} is damaged or lost: remove it if it is there; the map makes it again",
    ),
    (
        re.compile(
            "OutOfMemoryError|insufficient memory|Could not (reserve|create|allocate)|Cannot allocate memory"
        ),
        "free some memory, or allow more (ulimit -v): the job takes 2 GB, and twice that of addresses",
    ),
    (
        re.compile("Error loading java.security file|Too many open files"),
        "allow more open files: ulimit -n 1024",
    ),
    (
        re.compile("Read-only file system|temporary directory|local dir|failed to map segment"),
        "name a folder for scratch files, from which libraries can be loaded, in TMPDIR",
    ),
)


def operation(service: str, name: str) -> Any:
    """Return botocore's model of an operation."""
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def local_submit_parameters(cores: int) -> str:
    """Return the spark-submit parameters for one machine."""
    options = {
        # No more tasks than cores: the start of a task takes longer than a small task.
        "spark.sql.files.maxPartitionBytes": "2g",
        "spark.sql.files.openCostInBytes": "0",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": str(cores),
        # Hadoop sets the permissions of its files itself, and does not look at the umask.
        "spark.hadoop.fs.permissions.umask-mode": f"{_umask():03o}",
    }
    confs = " ".join(f"--conf {key}={value}" for key, value in options.items())
    return f"--master local[{cores}] --driver-memory 2g {confs}"


def _umask() -> int:
    """Return the permissions that this process denies. The system tells them only when they are set."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def driver_options(submit_parameters: str) -> str:
    """Return the spark-submit parameters that a driver in local mode heeds. It has no executors.

    Examples
    --------
    >>> driver_options("--driver-memory 2g --conf spark.dynamicAllocation.maxExecutors=3 --conf a=b")
    '--driver-memory 2g --conf a=b'
    """
    return re.sub(r"\s*--conf spark\.dynamicAllocation\.\S+", "", submit_parameters)


@dataclass
class JobRun:
    """A job run and its state."""

    job_run_id: str
    application_id: str
    name: str
    state: str = "SUBMITTED"
    state_details: str = ""

    def describe(self) -> dict[str, Any]:
        """Return the job run in the form that Step Functions gets from EMR."""
        return {
            "ApplicationId": self.application_id,
            "JobRunId": self.job_run_id,
            "Name": self.name,
            "State": self.state,
            "StateDetails": self.state_details,
        }


def is_telling(line: str) -> bool:
    """Return whether a line of a job's log says why the job failed.

    Examples
    --------
    >>> is_telling("Caused by: java.io.IOException: No space left on device")
    True
    >>> is_telling("    at org.apache.spark.util.Utils$.tryWithSafeFinally(Utils.scala:94)")
    False
    """
    return _EXCEPTION.match(line) is not None


def why(lines: list[str]) -> str:
    """Return the telling lines of a failed job's log, each once, and a remedy if one is known.

    Examples
    --------
    >>> print(why(["java.io.IOException: No space left on device"] * 2))
    java.io.IOException: No space left on device
    free some space there; Spark's own files are in /tmp, or where TMPDIR or SPARK_LOCAL_DIRS says
    """
    text = "\n".join(dict.fromkeys(line.strip()[:_LINE_LENGTH] for line in lines))
    for pattern, remedy in _REMEDIES:
        if found := pattern.search(text):
            return f"{text}\n{remedy.format(**found.groupdict())}"
    return text


def _exit_of(code: int) -> str:
    """Return a process's exit code or signal. A shell's exit code for a signal is 128 plus its number."""
    try:
        return f"exit code {code}" if 0 <= code <= 128 else signal.Signals(abs(code) % 128).name
    except ValueError:
        return f"exit code {code}"


class LocalEmrServerless:
    """Start and watch job runs.

    The driver of a job that succeeded is kept for the next one, so Java starts once. A driver that ended, or
    that was made with other options, is replaced.

    Parameters
    ----------
    log_folder : Path
        Each job run writes its driver's log there.
    on_step : callable, optional
        Called with the step, the number of steps and the step's name when a step of the job begins.
    """

    def __init__(self, log_folder: Path, on_step: Callable[[int, int, str], None] | None = None) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._log_folder = log_folder
        self._on_step = on_step
        self._runs: dict[str, JobRun] = {}
        self._idle: Driver | None = None
        self._drivers: set[Driver] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def start_application(self, submit_parameters: str) -> None:
        """Start the driver that the next job takes, unless there is one."""
        with suppress(OSError):  # the job tells what is wrong
            if self._idle is None:
                driver = self._new_driver(driver_options(submit_parameters), job_environment(os.environ))
                driver.warm_up()
                self._keep(driver)

    def stop_application(self) -> None:
        """Ask the idle driver to end, without waiting for it. A job after that has a driver of its own."""
        self._keep(None)

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        """Start a job run.

        Raises
        ------
        botocore.exceptions.ParamValidationError
            If the parameters are not those of ``StartJobRun``.
        """
        validate_parameters(parameters, operation("emr-serverless", "StartJobRun").input_shape)
        run = JobRun(uuid.uuid4().hex[:16], parameters["applicationId"], parameters.get("name", ""))
        self._runs[run.job_run_id] = run
        submit = parameters["jobDriver"]["sparkSubmit"]
        threading.Thread(target=self._run, args=(run, submit), daemon=True).start()
        return {"ApplicationId": run.application_id, "JobRunId": run.job_run_id}

    def get_job_run(self, job_run_id: str) -> JobRun:
        """Return a job run."""
        return self._runs[job_run_id]

    def stop(self) -> None:
        """Cancel all job runs, and end all drivers. No job can be started after that."""
        with self._lock:
            self._stopped = True
            drivers = list(self._drivers)
        for driver in drivers:
            driver.close()
        for driver in drivers:
            driver.end()

    def _run(self, run: JobRun, submit: Mapping[str, Any]) -> None:
        log_path = self._log_folder / f"spark-{run.job_run_id}.log"
        tail: list[str] = []
        last: list[str] = []

        def on_line(line: str) -> None:
            nonlocal tail, last
            with suppress(OSError):  # the job's output must be read even if the disk is full
                log.write(line.encode())
            if not _OF_SPARK.match(line):
                last = [*last[1 - _TAIL_LINES :], line]
            if is_telling(line):
                tail = [*tail[1 - _TAIL_LINES :], line]
            self._report(line)

        try:
            # Unbuffered: the log is complete even if this process is killed.
            with log_path.open("wb", buffering=0) as log:
                code = self._drive(run, submit, on_line)
        except OSError as error:
            run.state_details, run.state = (
                f"the Spark driver cannot be started: {why([str(error)])}",
                "FAILED",
            )
            return
        if code == 0:
            run.state = "SUCCESS"
        elif self._stopped:
            run.state = "CANCELLED"
        else:
            stamp = datetime.now(UTC).strftime("%H:%M:%S")
            run.state_details = (
                f"the Spark driver ended with {_exit_of(code)} at {stamp}; its log is {log_path}"
                + (f", whose last exceptions are:\n{why(tail)}" if tail else "")
                + (f", which ends with:\n{why(last)}" if last and not tail else "")
            )
            run.state = "FAILED"

    def _drive(self, run: JobRun, submit: Mapping[str, Any], on_line: Callable[[str], None]) -> int:
        """Run a job in a driver, and return its exit code."""
        wanted = (driver_options(submit.get("sparkSubmitParameters", "")), job_environment(os.environ))
        driver = self._take(*wanted)
        run.state = "RUNNING"
        ended = driver.run(run.job_run_id, submit, on_line) if driver else None
        if driver is None or ended is None or not ended.began:  # a driver may be lost while it is idle
            driver = self._new_driver(*wanted)
            ended = driver.run(run.job_run_id, submit, on_line)
        if ended.code == 0:
            self._keep(driver)
        return ended.code

    def _take(self, submit_parameters: str, environment: dict[str, str]) -> Driver | None:
        """Return the idle driver if it was made with these options. If not, it ends."""
        with self._lock:
            driver, self._idle = self._idle, None
        if driver is not None and driver.made_for != (submit_parameters, environment):
            driver.end()
            return None
        return driver

    def _keep(self, driver: Driver | None) -> None:
        """Keep a driver for the next job, or none. The one that was kept is asked to end."""
        with self._lock:
            idle, self._idle = self._idle, driver
        if idle is not None:
            idle.close()

    def _new_driver(self, submit_parameters: str, environment: dict[str, str]) -> Driver:
        """Start a driver, unless all job runs were cancelled."""
        with self._lock:
            if self._stopped:
                raise OSError("the run is being stopped")
            driver = Driver(submit_parameters, environment, self._log_folder)
            self._drivers.add(driver)
        return driver

    def _report(self, line: str) -> None:
        _log.log(logging.INFO if line.startswith("lensneg: ") else logging.DEBUG, "%s", line.rstrip())
        match = _STEP.match(line)
        if match and self._on_step is not None:
            self._on_step(int(match[1]), int(match[2]), match[3])
