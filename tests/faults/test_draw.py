"""The draw with a full disk, or with a pool file that is cut, overwritten or lost after it was counted.

The run fails where the draw is judged, and its cause names the file or the disk and what to do; then that is
done, and the same run id publishes to the byte what an undisturbed run publishes. Functions and job are the
real ones; what is done to the job is done right before it starts.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import LONG, fill_up, published, reset, small_disk, tell
from world import World, make_world

from lensneg.local.emr import LocalEmrServerless, is_telling, local_submit_parameters, why
from lensneg.local.engine import Machine, local_machine
from lensneg.local.lambdas import LocalLambda


class Emr(LocalEmrServerless):
    """EMR Serverless on one machine, for which something happens before a job starts."""

    happens: Callable[[], None] = staticmethod(lambda: None)

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        self.happens()
        return super().start_job_run(**parameters)


class Bench:
    """The state machine with real functions and a real job."""

    def __init__(self, machine: Machine, emr: Emr, world: World) -> None:
        self.machine, self.emr, self.world = machine, emr, world
        self.count = 0
        self.pool = world.out / "runs" / "one" / "pool"
        reset(world.template, world.out)
        self.execute()
        self.expected = published(world.out, "one")

    def execute(self, happens: Callable[[], None] = lambda: None) -> str:
        """Make a run; return the cause of its failure, if it fails."""
        self.count += 1
        self.emr.happens = happens  # type: ignore[method-assign]
        execution = self.machine.execute(f"execution-{self.count}", self.world.request())
        if execution["status"] == "SUCCEEDED":
            return ""
        # Where not even the gate's verdict can be written, that is the error.
        assert execution["error"] in ("Gate3SampleComplete", "StorageError"), execution["cause"]
        assert "start again" in execution["cause"]
        assert not (self.world.out / "manifests").exists()
        return str(execution["cause"])


#: From the log of a job that met a pool file without its end.
LOG = """\
26/01/25 10:48:53 ERROR Executor: Exception in task 0.0 in stage 0.0 (TID 0)
org.apache.spark.SparkException: Exception thrown in awaitResult:
\tat org.apache.spark.util.SparkThreadUtils$.awaitResult(SparkThreadUtils.scala:56)
Caused by: org.apache.spark.SparkException: [CANNOT_READ_FILE_FOOTER] Could not read footer for file: \
file:/out/runs/one/pool/sweep-000p005-005p010.parquet. Please ensure that the file is in Parquet format.
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.cannotReadFooterForFileError(X.scala:1057)
\t... 14 more
Traceback (most recent call last):
  File "/x/spark/sample_negatives.py", line 297, in read_pool
py4j.protocol.Py4JJavaError: An error occurred while calling o43.parquet.
26/01/25 10:48:53 INFO ShutdownHookManager: Shutdown hook called
"""


def test_why_a_job_failed_is_told_without_its_stack() -> None:
    lines = LOG.splitlines()
    assert why([line for line in lines if is_telling(line)]).splitlines() == [
        lines[1].strip(),
        lines[3].strip(),
        lines[8],
        "/out/runs/one/pool/sweep-000p005-005p010.parquet is damaged or lost: remove it if it is there; the "
        "map makes it again",
    ]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    world = make_world(tmp_path_factory.mktemp("world"), rows=2_000)
    logs = tmp_path_factory.mktemp("logs")
    functions, emr = LocalLambda(2, logs), Emr(logs)
    with local_machine(functions, emr, local_submit_parameters(2)) as machine:
        try:
            yield Bench(machine, emr, world)
        finally:
            emr.stop()
            functions.stop()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def overwrite(file: Path) -> None:
    file.write_bytes(b"\x01" * file.stat().st_size)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.skipif(not LONG, reason="long form: make faults")
@pytest.mark.parametrize("damage", [cut, overwrite, empty, Path.unlink])
def test_a_pool_file_that_is_damaged(bench: Bench, damage: Callable[[Path], None]) -> None:
    reset(bench.world.template, bench.world.out)
    damaged: list[Path] = []

    def happens() -> None:
        damaged.append(sorted(bench.pool.iterdir())[0])
        damage(damaged[0])

    cause = bench.execute(happens)
    assert damaged[0].name in cause
    assert "remove" in cause or "these items are then done again" in cause
    damaged[0].unlink(missing_ok=True)
    assert bench.execute() == ""
    assert published(bench.world.out, "one") == bench.expected
    tell("a pool file damaged", f"{damage.__name__} {damaged[0].name}", "gate 3 names it; then identical")


@pytest.mark.skipif(not LONG, reason="long form: make faults")
@pytest.mark.parametrize("left", [0, 64 << 10])
def test_the_disk_of_the_run_is_full(bench: Bench, left: int) -> None:
    """As the job starts, or while it writes the rows."""
    out = bench.world.out
    shutil.rmtree(out)
    out.mkdir()
    with small_disk(out, 32):
        shutil.copytree(bench.world.template, out, dirs_exist_ok=True)
        cause = bench.execute(lambda: fill_up(out, left))
        assert "No space left on device" in cause
        assert "free some space" in cause
        (out / "filler").unlink()
        assert bench.execute() == ""
        assert published(out, "one") == bench.expected
    tell("the run's disk is full", f"{left} bytes left as the job starts", "gate 3 says so; then identical")


@pytest.mark.skipif(not LONG, reason="long form: make faults")
def test_the_scratch_disk_of_spark_is_full(bench: Bench, tmp_path: Path) -> None:
    reset(bench.world.template, bench.world.out)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with small_disk(scratch, 1), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_DIRS", str(scratch))
        cause = bench.execute(lambda: fill_up(scratch, 0))
        assert "No space left on device" in cause
        assert "free some space" in cause
    assert bench.execute() == ""
    assert published(bench.world.out, "one") == bench.expected
    tell("Spark's disk is full", "as the job starts", "gate 3 says so; then identical")
