"""The local EMR Serverless: its drivers, and the telling lines of the log of a job that failed.

Most jobs here are small Python files that never start Java.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lensneg.local.emr import FINAL_STATES, JobRun, LocalEmrServerless, local_submit_parameters

#: What Java and the shell print, as found with a limit on addresses, on open files and on processes.
LOGS = {
    "#\\n# There is insufficient memory for the Java Runtime Environment to continue.": "ulimit -v",
    "Error occurred during initialization of VM\\nCould not reserve enough space": "ulimit -v",
    "spark-class: line 97: Cannot allocate memory": "ulimit -v",
    "VM\\nCould not allocate compressed class space: 1073741824 bytes": "ulimit -v",
    'Exception in thread "main" java.lang.InternalError: Error loading java.security file': "ulimit -n 1024",
    "java.io.IOException: Failed to create local dir in /tmp. Read-only file system": "in TMPDIR",
}


class Bench:
    """An application that runs Python programs, given as text."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.emr = folder, LocalEmrServerless(folder / "logs")
        self.count = 0

    def start(self, program: str, *arguments: str, options: str = "--conf a=b") -> JobRun:
        self.count += 1
        entry_point = self.folder / f"job{self.count}.py"
        entry_point.write_text(program)
        submit = {
            "entryPoint": str(entry_point),
            "entryPointArguments": list(arguments),
            "sparkSubmitParameters": options,
        }
        started = self.emr.start_job_run(
            applicationId="local",
            clientToken="token",
            executionRoleArn="arn:aws:iam::123456789012:role/local",
            jobDriver={"sparkSubmit": submit},
        )
        return self.emr.get_job_run(started["JobRunId"])

    def run(self, program: str, *arguments: str, options: str = "--conf a=b") -> JobRun:
        """Run a program to its end."""
        run = self.start(program, *arguments, options=options)
        wait(lambda: run.state in FINAL_STATES)
        return run

    def log(self, run: JobRun) -> list[str]:
        return (self.folder / "logs" / f"spark-{run.job_run_id}.log").read_text().splitlines()


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.emr.stop()


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or " Z " in stat.read_text()


PRINT_PID = "import os, sys; print(os.getpid(), *sys.argv[1:])"


def test_a_driver_takes_one_job_after_the_other_and_each_has_its_own_log(bench: Bench) -> None:
    first, second = bench.run(PRINT_PID, "--run", "a b"), bench.run(PRINT_PID, "--run", "c")
    assert first.state == second.state == "SUCCESS"
    (pid, *one), (same_pid, *other) = (bench.log(run)[0].split() for run in (first, second))
    assert pid == same_pid
    assert one == ["--run", "a", "b"]
    assert other == ["--run", "c"]
    assert len(bench.log(first)) == len(bench.log(second)) == 1
    bench.emr.stop()
    assert gone(int(pid))


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("import sys; print('x'); sys.exit(3)", "exit code 3"),
        ("raise ValueError('of the first job')", "exit code 1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os; os._exit(137)", "SIGKILL"),
    ],
)
def test_a_job_that_fails_ends_its_driver_and_the_next_job_has_another(
    bench: Bench, program: str, how: str
) -> None:
    pid = bench.log(bench.run(PRINT_PID))[0]
    failed = bench.run(program)
    assert failed.state == "FAILED"
    assert f"ended with {how} at" in failed.state_details
    assert ("ValueError: of the first job" in failed.state_details) == ("ValueError" in program)
    after = bench.run(PRINT_PID)
    assert after.state == "SUCCESS"
    assert bench.log(after) != [pid]
    assert len(bench.log(after)) == 1


def test_a_driver_that_died_while_it_was_idle_is_not_blamed_on_the_next_job(bench: Bench) -> None:
    first = bench.run(PRINT_PID)
    pid = int(bench.log(first)[0])
    os.kill(pid, signal.SIGKILL)
    after = bench.run(PRINT_PID)
    assert after.state == "SUCCESS"
    assert bench.log(after) != bench.log(first)


def test_an_application_that_is_stopped_lets_its_driver_end_and_takes_jobs(bench: Bench) -> None:
    bench.emr.stop_application()
    pids = []
    for _ in range(2):
        run = bench.run(PRINT_PID)
        assert run.state == "SUCCESS"
        pids.append(int(bench.log(run)[0]))
        bench.emr.stop_application()
    assert pids[0] != pids[1]
    wait(lambda: all(map(gone, pids)))


def test_a_job_with_other_options_or_another_environment_has_another_driver(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = PRINT_PID + "; print(os.environ['PYSPARK_SUBMIT_ARGS'], os.environ.get('SPARK_LOCAL_DIRS'))"
    first = bench.run(show, options="--conf a=b")
    other = bench.run(show, options="--conf a=c")
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/fast")
    third = bench.run(show, options="--conf a=c")
    assert bench.log(first)[1].startswith("--conf a=b pyspark-shell")
    assert bench.log(other)[1].startswith("--conf a=c pyspark-shell")
    assert bench.log(third)[1] == "--conf a=c pyspark-shell /fast"
    pids = [bench.log(run)[0] for run in (first, other, third)]
    assert len(set(pids)) == 3
    assert gone(int(pids[0]))
    assert gone(int(pids[1]))


def test_a_stop_cancels_the_job_that_is_under_way(bench: Bench) -> None:
    program = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    run = bench.start(program)
    wait(lambda: run.state == "RUNNING" and bool(bench.log(run)))
    bench.emr.stop()
    wait(lambda: run.state == "CANCELLED")
    wait(lambda: gone(int(bench.log(run)[0])))  # the system takes a moment to end a killed group
    assert "being stopped" in bench.run("print(1)").state_details


@pytest.mark.parametrize("before", ["", "driver.warm_up()\n"])
def test_a_driver_and_what_it_started_end_when_their_starter_is_killed(tmp_path: Path, before: str) -> None:
    """Not even -9 leaves a job behind that goes on writing into a run, also one that waited for Java."""
    (tmp_path / "job.py").write_text(
        "import os, subprocess, time\n"
        "print(os.getpid(), subprocess.Popen(['sleep', '60']).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    starter = (
        "import os; from functools import partial; from pathlib import Path\n"
        "from lensneg.local.driver_process import Driver\n"
        f"job = {{'entryPoint': {str(tmp_path / 'job.py')!r}}}\n"
        "driver = Driver('', os.environ, Path('.'))\n"
        f"{before}"
        "driver.run('1', job, partial(print, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    assert len(pids) == 2
    wait(lambda: all(map(gone, pids)))


#: A job as Spark's is: it makes its session, and stops it. What it says comes from Java.
SPARK_JOB = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName(sys.argv[1]).config("spark.own", sys.argv[1]).getOrCreate()
try:
    java = spark.sparkContext._jvm.java.lang
    print(java.ProcessHandle.current().pid(), spark.conf.get("spark.own"), spark.conf.get("spark.given"))
    print(spark.sparkContext.appName, spark.conf.get("spark.other", "not set"))
    if sys.argv[2:] == ["kill"]:
        import os
        os.kill(java.ProcessHandle.current().pid(), 9)
        spark.range(1).count()
    if sys.argv[2:]:
        spark.conf.set("spark.other", "1")
finally:
    spark.stop()
"""


def test_the_jobs_share_one_java_and_nothing_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = bench.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(scratch))
    options = f"{local_submit_parameters(1)} --conf spark.given=1"
    executors = "--conf spark.dynamicAllocation.maxExecutors={}"
    bench.emr.start_application(options)
    runs = [
        bench.run(SPARK_JOB, name, "set", options=f"{options} {executors.format(number)}")
        for number, name in enumerate(("one", "two"), start=1)
    ]
    assert [run.state for run in runs] == ["SUCCESS", "SUCCESS"], [run.state_details for run in runs]
    (one, app_one), (two, app_two) = ([line for line in bench.log(run) if "WARN" not in line] for run in runs)
    java = one.split()[0]
    assert (one, app_one) == (f"{java} one 1", "one not set")
    assert (two, app_two) == (f"{java} two 1", "two not set")
    killed = bench.run(SPARK_JOB, "three", "kill", options=options)
    assert killed.state == "FAILED"
    assert "ended with SIGKILL" in killed.state_details
    assert gone(int(java))
    for file in scratch.iterdir():
        file.rename(bench.folder / file.name)  # a Java that was killed leaves its files
    again = bench.run(SPARK_JOB, "four", options=options)
    assert again.state == "SUCCESS"
    bench.emr.stop()
    assert gone(int(bench.log(again)[-2].split()[0]))
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("log", LOGS)
def test_the_telling_line_of_a_jobs_log_and_the_remedy_are_told(bench: Bench, log: str) -> None:
    run = bench.run(f"import sys; print('26/11/28 10:00:00 INFO X: y\\n{log}'); sys.exit(1)")
    assert run.state == "FAILED"
    assert log.split("\\n")[-1] in run.state_details
    assert LOGS[log] in run.state_details.splitlines()[-1]
    assert "INFO" not in run.state_details


def test_a_job_without_a_folder_for_scratch_files_is_told_of_tmpdir(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", none)
    bench.emr.start_application("")
    assert "in TMPDIR" in bench.run("").state_details


def test_a_core_or_crash_file_is_written_beside_the_logs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = bench.folder / "mine"
    mine.mkdir()
    monkeypatch.chdir(mine)
    bench.run("open('hs_err_pid1.log', 'w')")
    assert list(mine.iterdir()) == []
    assert (bench.folder / "logs" / "hs_err_pid1.log").exists()
