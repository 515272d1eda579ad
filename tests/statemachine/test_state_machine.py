"""The state machine, executed: each gate's failing branch, retries, and what the graph promises.

The functions are the real ones in real processes; only the Spark job is stood in for, where a test wants
it to fail or to write something wrong.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from conftest import config_text, edited
from pipeline import (
    GRAPH,
    OPEN_GATES,
    FlakyLambda,
    JobStandIn,
    as_input,
    files_of,
    machine_with,
    make_request,
    rewrite,
    set_column,
    states_entered,
)
from plainrun import draw_plainly

from lensneg.local.engine import SPARK_JOB, STATE_MACHINE, Machine, render, substitutions
from lensneg.local.worker import handler_module
from lensneg.mocksky import write_mock_sky
from lensneg.schema.layout import RunFiles


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    write_mock_sky(folder, files=2, rows=6_000, seed=21)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3}
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    return path


class Bench:
    """The real functions in real processes, and a job that each test sets."""

    def __init__(self, machine: Machine, functions: FlakyLambda, emr: JobStandIn) -> None:
        self.machine, self.functions, self.emr = machine, functions, emr
        self.count = 0

    def run(
        self, sky: Path, config: Path, out: Path, mode: str, job: Callable[[Path], None] = draw_plainly
    ) -> tuple[dict[str, Any], list[str], RunFiles]:
        self.count += 1
        self.emr._job = job
        request = make_request(sky, config, out, f"r{self.count}", mode)
        execution = self.machine.execute(request.run_id, as_input(request))
        return execution, states_entered(self.machine, request.run_id), files_of(request)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    functions = FlakyLambda(2, tmp_path_factory.mktemp("logs"), function="", error="", times=0)
    emr = JobStandIn(draw_plainly)
    with machine_with(functions, emr) as machine:
        yield Bench(machine, functions, emr)


@pytest.fixture(scope="module")
def good(bench: Bench, sky: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A mini-test that passed; its sample is what the tests of gate 4 spoil."""
    execution, _, files = bench.run(sky, config, tmp_path_factory.mktemp("good"), "test")
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    return files


def failed_checks(files: RunFiles, gate: int) -> list[str]:
    record = json.loads(Path(files.gate(gate)).read_text())
    assert record["passed"] is False
    return [check["name"] for check in record["checks"] if check["critical"] and not check["passed"]]


def assert_nothing_published(files: RunFiles) -> None:
    assert not Path(files.manifest_folder).exists()
    assert not Path(files.latest).exists()


def test_gate_1_refuses_a_full_run_without_a_mini_test(
    bench: Bench, sky: Path, config: Path, tmp_path: Path
) -> None:
    fewer = tmp_path / "config.yaml"
    fewer.write_text(edited(yaml.safe_load(config.read_text()), {"execution.mini_test_files": 1}))
    execution, states, files = bench.run(sky, fewer, tmp_path, "full")
    assert (execution["status"], execution["error"]) == ("FAILED", "Gate1PreSubmission")
    assert "mini_test_passed" in execution["cause"]
    assert "run with mode test first" in execution["cause"]
    assert states == ["MiniTestFirst", "Preflight", "Gate1PreSubmission", "GateFailed"]
    assert failed_checks(files, 1) == ["mini_test_passed"]
    assert_nothing_published(files)


def test_a_failed_mini_test_stops_the_full_run_and_is_named(
    bench: Bench, sky: Path, config: Path, tmp_path: Path
) -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("the draw broke")

    execution, states, files = bench.run(sky, config, tmp_path, "test-then-full", fail)
    assert execution["error"] == "Gate1PreSubmission"
    assert "failed Gate3SampleComplete" in execution["cause"]
    assert "the draw broke" in execution["cause"]
    assert "run with mode test first" not in execution["cause"]
    assert "then start again with the same run id" in execution["cause"]
    assert states == ["MiniTestFirst", "MiniTest", "Preflight", "Gate1PreSubmission", "GateFailed"]
    assert_nothing_published(files)


def test_no_thread_waits_for_a_token_that_nobody_sends(
    bench: Bench, sky: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait on after the run is stopped, and end with words of its own on the user's screen."""
    names = []
    real = bench.emr.get_job_run

    def look(job_run_id: str) -> Any:
        names.extend(thread.name for thread in threading.enumerate())
        return real(job_run_id)

    monkeypatch.setattr(bench.emr, "get_job_run", look)
    bench.run(sky, config, tmp_path, "test")
    assert names
    assert [name for name in names if "WaitForTaskToken" in name] == []


def test_gate_1_refuses_an_input_that_names_nothing(bench: Bench) -> None:
    execution = bench.machine.execute("empty", {})
    assert execution["error"] == "Gate1PreSubmission"
    assert "sweeps: Field required" in execution["cause"]


def test_gate_2_names_the_file_that_cannot_be_read(
    bench: Bench, sky: Path, config: Path, tmp_path: Path
) -> None:
    import gzip

    broken = tmp_path / "sky"
    (broken / "sweeps").mkdir(parents=True)
    whole, cut = sorted((sky / "sweeps").iterdir())
    (broken / "sweeps" / whole.name).symlink_to(whole)
    data = gzip.compress(cut.read_bytes(), 1)
    (broken / "sweeps" / f"{cut.name}.gz").write_bytes(data[: len(data) // 2])
    (broken / "positives.csv").symlink_to(sky / "positives.csv")
    execution, states, files = bench.run(broken, config, tmp_path / "out", "test")
    assert execution["error"] == "Gate2FanOutComplete"
    assert f"{cut.name}.gz" in execution["cause"]
    assert "fetch the file again" in execution["cause"]
    assert states[-3:] == ["SummarizeFanOut", "Gate2FanOutComplete", "GateFailed"]
    assert failed_checks(files, 2) == ["items_done"]
    # The other file's work is done and stays: a new execution of the same run need not repeat it.
    assert [p.stem for p in Path(files.stats_folder).iterdir()] == [whole.stem]


def test_gate_2_refuses_a_stratum_that_is_short(bench: Bench, sky: Path, tmp_path: Path) -> None:
    """In the full run. In its mini-test this is a warning."""
    config = tmp_path / "config.yaml"
    config.write_text(
        edited(
            yaml.safe_load(config_text("negative_sampling_v1")),
            {"negative_pools.neg_pos_ratio": 9_999, "gates.chance_sigmas": 0.0},
        )
    )
    execution, states, files = bench.run(sky, config, tmp_path / "out", "test-then-full")
    assert execution["error"] == "Gate2FanOutComplete"
    assert "short in" in execution["cause"]
    assert failed_checks(files, 2) == ["strata_available"]
    assert "SampleNegatives" not in states


def test_gate_3_says_how_the_job_ended(bench: Bench, sky: Path, config: Path, tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("executor lost")

    execution, states, files = bench.run(sky, config, tmp_path, "test", fail)
    assert execution["error"] == "Gate3SampleComplete"
    assert "executor lost" in execution["cause"]
    assert states[-4:] == ["SampleNegatives", "CheckSample", "Gate3SampleComplete", "GateFailed"]
    assert failed_checks(files, 3) == ["job_succeeded"]


def test_gate_3_refuses_a_draw_that_is_not_the_quota(
    bench: Bench, sky: Path, config: Path, tmp_path: Path
) -> None:
    def lose_a_row(root: Path) -> None:
        draw_plainly(root)
        path = root / "draw" / "summary.json"
        summary = json.loads(path.read_text())
        summary["rows"][0]["rows"] -= 1
        path.write_text(json.dumps(summary))

    execution, _, files = bench.run(sky, config, tmp_path, "test", lose_a_row)
    assert execution["error"] == "Gate3SampleComplete"
    assert failed_checks(files, 3) == ["drawn_equals_quota"]
    assert files.sample_parts("negatives") == []


def swap_a_split(table: pa.Table) -> pa.Table:
    first, *others = table["split"].to_pylist()
    return set_column(table, "split", ["test" if first == "train" else "train", *others])


#: One that spoils a rule, one that spoils the files; every check is tried in tests/audit.
SPOILED: dict[str, tuple[Callable[[pa.Table], pa.Table], list[str]]] = {
    "a split swapped": (swap_a_split, ["files_intact"]),
    "a column lost": (lambda table: table.drop_columns(["sersic"]), ["files_intact", "schema"]),
}


@pytest.mark.parametrize("how", SPOILED)
def test_gate_4_quarantines_a_spoiled_manifest_with_its_report(
    bench: Bench, sky: Path, config: Path, tmp_path: Path, how: str
) -> None:
    change, expected = SPOILED[how]

    def spoil(root: Path) -> None:
        for part in ("negatives", "positives"):
            rewrite(root / "sample" / part, change)

    bench.functions.before["ValidateManifest"] = spoil
    execution, states, files = bench.run(sky, config, tmp_path, "test")
    assert execution["error"] == "Gate4OutputValid"
    assert expected[0] in execution["cause"]
    assert states[-3:] == ["Gate4OutputValid", "Quarantine", "GateFailed"]
    assert failed_checks(files, 4) == expected
    quarantine = json.loads(Path(files.quarantine).read_text())
    assert [check["name"] for check in quarantine["failed"]] == expected
    page = Path(files.report).read_text()
    assert "quarantined" in page
    assert expected[0] in page
    assert_nothing_published(files)
    assert not (tmp_path / "minitests").exists()


def test_a_report_that_fails_does_not_hide_the_verdict(
    bench: Bench, sky: Path, config: Path, tmp_path: Path
) -> None:
    bench.functions.before["ValidateManifest"] = lambda root: rewrite(
        root / "sample" / "negatives", swap_a_split
    )
    bench.functions.function, bench.functions.error, bench.functions.left = "Quarantine", "MemoryError", 1
    execution, states, files = bench.run(sky, config, tmp_path, "test")
    assert execution["error"] == "Gate4OutputValid"
    assert "files_intact" in execution["cause"]
    assert states[-2:] == ["Quarantine", "GateFailed"]
    assert_nothing_published(files)


def test_what_is_worth_retrying_is_retried(bench: Bench, sky: Path, config: Path, tmp_path: Path) -> None:
    bench.functions.function, bench.functions.error, bench.functions.left = "FilterSweep", "TransientError", 2
    bench.functions.invoked.clear()
    execution, _, _ = bench.run(sky, config, tmp_path, "test")
    assert execution["status"] == "SUCCEEDED"
    assert bench.functions.invoked.count("FilterSweep") == 2 + 2


def test_what_is_not_worth_retrying_is_not(bench: Bench, sky: Path, config: Path, tmp_path: Path) -> None:
    bench.functions.function, bench.functions.error, bench.functions.left = "FilterSweep", "SweepError", 1
    bench.functions.invoked.clear()
    execution, _, files = bench.run(sky, config, tmp_path, "test")
    assert execution["error"] == "Gate2FanOutComplete"
    assert bench.functions.invoked.count("FilterSweep") == 2
    assert failed_checks(files, 2) == ["items_done"]


def test_the_job_gets_the_parameters_of_the_graph(
    bench: Bench, sky: Path, config: Path, tmp_path: Path
) -> None:
    bench.emr.started.clear()
    _, _, files = bench.run(sky, config, tmp_path, "test")
    [parameters] = bench.emr.started
    submit = parameters["jobDriver"]["sparkSubmit"]
    assert submit["entryPoint"] == str(SPARK_JOB)
    assert submit["entryPointArguments"] == ["--run", files.root]
    options = submit["sparkSubmitParameters"].split()
    assert set(options[::2]) == {"--conf"}
    settings = dict(option.split("=", 1) for option in options[1::2])
    # A small sample: one executor. machine_with() gives the graph no options beside those of its committer.
    assert settings.pop("spark.dynamicAllocation.initialExecutors") == "1"
    assert settings.pop("spark.dynamicAllocation.maxExecutors") == "1"
    assert all("committer" in name or "commitProtocol" in name or "s3a" in name for name in settings)


def states(graph: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in graph["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


TASKS = [pair for pair in states(GRAPH) if pair[1]["Type"] == "Task"]


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_has_a_timeout_and_functions_are_retried(name: str, state: dict[str, Any]) -> None:
    assert state["TimeoutSeconds"] > 0
    if "lambda" in state["Resource"]:
        not_ready, throttled, busy, ended = state["Retry"]
        assert "Lambda.CodeArtifactUserPendingException" in not_ready["ErrorEquals"]
        assert throttled["ErrorEquals"] == ["Lambda.TooManyRequestsException"]
        assert "TransientError" in busy["ErrorEquals"]
        assert "Sandbox.Timedout" in ended["ErrorEquals"]
        module = handler_module(name)
        assert Path(STATE_MACHINE.parents[1], *module.split(".")).with_suffix(".py").exists()


@pytest.mark.parametrize(("name", "state"), list(states(GRAPH)), ids=[name for name, _ in states(GRAPH)])
def test_retries_have_full_jitter_and_are_of_named_errors(name: str, state: dict[str, Any]) -> None:
    """What our own code refuses would be refused again, and States.ALL would try that, too."""
    own = {"InputError", "ConfigError", "CatalogError", "SweepError", "StorageError", "RunStateError"}
    for retry in state.get("Retry", []):
        assert retry["JitterStrategy"] == "FULL"
        assert retry["MaxDelaySeconds"] <= 120
        assert not {"States.ALL", "States.TaskFailed", "Exception", *own} & set(retry["ErrorEquals"])


def test_the_map_hides_no_failure() -> None:
    [(_, step)] = states(GRAPH["States"]["FilterSweeps"]["ItemProcessor"])
    assert "Catch" not in step


def test_every_token_of_the_graph_has_a_value() -> None:
    values = substitutions("--master local[2]")
    assert set(re.findall(r"\$\{(\w+)\}", STATE_MACHINE.read_text())) == set(values)
    assert "${" not in render(values)
