"""The state machine as it is deployed: what it names is there, and it stays within Step Functions' limits.

Limits from the Step Functions developer guide, "Service quotas": an input or output of 262,144 bytes, 25,000
events of history, 32,768 characters of cause, and 256 of error.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from conftest import config_text
from deployed import BUCKET, ROOT, deployed

from lensneg.local.emr import driver_options, local_submit_parameters
from lensneg.local.engine import job_options, render, substitutions
from lensneg.schema.check import Check, brief
from lensneg.schema.config import config_sha256
from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles
from lensneg.stages.plan_fan_out import plan_fan_out

MAX_PAYLOAD, MAX_EVENTS = 262_144, 25_000
ERROR_OUTPUT = {"Error": "E" * 256, "Cause": "C" * 32_768}

GRAPH_TEXT = (ROOT / "statemachine" / "negative_sampling.asl.json").read_text()
GRAPH = json.loads(GRAPH_TEXT)


def all_states(graph: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in graph["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from all_states(state["ItemProcessor"])


STATES = dict(all_states(GRAPH))


def test_every_substitution_is_used_and_every_token_defined() -> None:
    resource = deployed().written["Resources"]["StateMachine"]["Properties"]
    tokens = set(re.findall(r"\$\{(\w+)\}", GRAPH_TEXT))
    assert set(resource["DefinitionSubstitutions"]) == tokens
    # The run on one machine fills in the same ones.
    assert set(substitutions("")) == tokens
    assert "${" not in json.dumps(deployed().definition())


def test_every_state_is_reached_and_every_way_ends() -> None:
    def followers(state: dict[str, Any]) -> set[str]:
        branches = [*state.get("Choices", []), *state.get("Catch", []), state]
        return {b[key] for b in branches for key in ("Next", "Default") if key in b}

    def walk(graph: dict[str, Any]) -> None:
        seen, todo = set(), [graph["StartAt"]]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += followers(graph["States"][name])
        assert seen == set(graph["States"])
        for name, state in graph["States"].items():
            ends = state.get("End") or state["Type"] in ("Fail", "Succeed")
            assert bool(followers(state)) != bool(ends), name

    walk(GRAPH)
    walk(GRAPH["States"]["FilterSweeps"]["ItemProcessor"])


def test_the_graph_calls_the_functions_of_the_template() -> None:
    called = {
        state["Parameters"]["FunctionName"].split(":function:")[1].removesuffix("Function"): name
        for name, state in all_states(deployed().definition())
        if state.get("Resource") == "arn:aws:states:::lambda:invoke"
    }
    # A function is named after the one state that calls it; PublishSparkCode is CloudFormation's.
    assert called == {name: name for name in deployed().functions() if name != "PublishSparkCode"}


def test_no_state_waits_less_than_what_it_waits_for() -> None:
    for name, function in deployed().functions().items():
        if name in STATES:
            assert STATES[name]["TimeoutSeconds"] >= function["Timeout"], name
    draw = STATES["SampleNegatives"]
    [application] = deployed().of_type("AWS::EMRServerless::Application").values()
    queue = application["SchedulerConfiguration"]["QueueTimeoutMinutes"]
    assert 15 <= queue <= 720  # botocore's model of EMR Serverless
    assert draw["TimeoutSeconds"] > 60 * (queue + draw["Parameters"]["ExecutionTimeoutMinutes"])
    assert STATES["MiniTest"]["TimeoutSeconds"] > draw["TimeoutSeconds"]
    # All of a mini-test, and then all of the run, within the machine's own limit.
    assert STATES["MiniTest"]["TimeoutSeconds"] < GRAPH["TimeoutSeconds"]


def test_only_tasks_have_timeouts() -> None:
    """AWS refuses a machine with a field that its state does not have."""
    for name, state in STATES.items():
        assert ("TimeoutSeconds" in state) == (state["Type"] == "Task"), name


def camel(value: Any) -> Any:
    """Parameters as botocore has them: Step Functions writes their names with a capital."""
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: camel(entry) for key, entry in value.items()}
    return [camel(entry) for entry in value] if isinstance(value, list) else value


def job_parameters(definition: dict[str, Any], root: str) -> dict[str, Any]:
    """What SampleNegatives sends, its paths and intrinsic functions worked out."""
    parameters = json.loads(json.dumps(definition["States"]["SampleNegatives"]["Parameters"]))
    assert parameters.pop("ClientToken.$") == (
        "States.Hash(States.Format('{} {}', $$.Execution.Id, $$.State.EnteredTime), 'SHA-256')"
    )
    parameters["ClientToken"] = hashlib.sha256(b"an execution and a time").hexdigest()
    assert parameters.pop("Name.$") == "States.Format('lensneg-{}', $$.Execution.Name)"
    parameters["Name"] = "lensneg-" + "x" * 80
    submit = parameters["JobDriver"]["SparkSubmit"]
    assert submit.pop("EntryPointArguments.$") == "States.Array('--run', $.root)"
    submit["EntryPointArguments"] = ["--run", root]
    format_ = submit.pop("SparkSubmitParameters.$")
    match = re.fullmatch(r"States\.Format\('([^']*)', '([^']*)', (\S+), (\S+)\)", format_)
    assert match is not None, format_
    assert match[3] == match[4] == "$.gate.executors"
    assert not set("{}\\") & set(match[2]), "States.Format would need them escaped"
    submit["SparkSubmitParameters"] = match[1].format(match[2], 2, 2)
    return parameters


def test_emr_takes_the_jobs_parameters() -> None:
    parameters = job_parameters(deployed().definition(), f"s3://{BUCKET}/out/runs/one")
    model = botocore.session.get_session().get_service_model("emr-serverless")
    shape = model.operation_model("StartJobRun").input_shape
    report = ParamValidator().validate(camel(parameters), shape)
    assert not report.has_errors(), report.generate_report()
    # What botocore leaves to the service: patterns, from its own model.
    assert re.fullmatch(shape.members["clientToken"].metadata["pattern"], parameters["ClientToken"])
    assert len(parameters["ClientToken"]) <= shape.members["clientToken"].metadata["max"]
    assert re.fullmatch(shape.members["executionRoleArn"].metadata["pattern"], parameters["ExecutionRoleArn"])
    spoiled = camel({**parameters, "Unknown": 1, "ExecutionTimeoutMinutes": "60"})
    assert ParamValidator().validate(spoiled, shape).has_errors()


#: How the job's parts get their names: Hadoop's committer, under Spark's own protocol, not those of EMR.
COMMITTER = {
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.sql.execution.datasources"
    ".SQLHadoopMapReduceCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.parquet.hadoop.ParquetOutputCommitter",
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.hadoop.fs.s3a.directory.marker.retention": "delete",
}


def test_the_job_is_that_of_the_local_run() -> None:
    """From the same state; only the values of two substitutions differ."""
    root = "ROOT"
    local = json.loads(render(substitutions(local_submit_parameters(2))))
    jobs = {}
    for name, definition in (("aws", deployed().definition()), ("local", local)):
        submit = job_parameters(definition, root)["JobDriver"]["SparkSubmit"]
        jobs[name] = [Path(submit["EntryPoint"]).name, *submit["EntryPointArguments"]]
        options = shlex.split(submit["SparkSubmitParameters"])
        assert options
        assert all(option.startswith("--") for option in options[::2]), options
        committer = [option for option in options if "commit" in option or "marker" in option]
        assert committer == [f"{key}={value}" for key, value in COMMITTER.items()], name
    assert jobs["aws"] == jobs["local"] == ["sample_negatives.py", "--run", root]


def test_the_driver_that_is_started_ahead_is_made_as_the_job_wants_it() -> None:
    """Another driver would have to start a Java of its own."""
    rendered = render(substitutions(local_submit_parameters(2)))
    wanted = job_parameters(json.loads(rendered), "ROOT")["JobDriver"]["SparkSubmit"]["SparkSubmitParameters"]
    ahead = driver_options(job_options(rendered))
    assert shlex.split(ahead) == shlex.split(driver_options(wanted))
    assert ahead == driver_options(wanted)


# ---- Payloads --------------------------------------------------------------------------------------------


def size(value: Any) -> int:
    return len(json.dumps(value).encode())


class Plan:
    """What the real PlanFanOut makes of so many sweep files of 1 GB."""

    def __init__(self, folder: Path, files: int) -> None:
        catalog = folder / "lenses.csv"
        catalog.write_text("name,ra,dec\na,1.0,2.0\n")
        text = config_text("negative_sampling_v1")
        prefix = f"s3://{BUCKET}/{'p' * 200}/"
        rows = 2_000_000
        sweeps = [
            {
                "uri": f"{prefix}sweep-{n:06d}.fits",
                "size": rows * 505,
                "etag": "e" * 36,
                "rows": rows,
                "release": 10002,
                "row_bytes": 505,
            }
            for n in range(files)
        ]
        record = {
            "run_id": "r" * 63,
            "mode": "full",
            "started_at": "2026-01-01T00:00:00Z",
            "out": str(folder),
            "config": {"uri": "config.yaml", "sha256": config_sha256(text), "text": text},
            "code": {"pipeline_version": "1", "git_commit": "c" * 40, "code_version": "1-c"},
            "sweeps": sweeps,
            "ignored_files": 0,
            "catalogs": [
                {
                    "spec": {"uri": str(catalog)},
                    "role": "positives",
                    "size": 1,
                    "etag": "e",
                    "sha256": hashlib.sha256(catalog.read_bytes()).hexdigest(),
                    "rows": 1,
                    "positions": 1,
                }
            ],
        }
        self.files = RunFiles(str(folder), "r" * 63)
        Path(self.files.root).mkdir(parents=True)
        Path(self.files.inventory).write_text(json.dumps(record))
        self.output = plan_fan_out(self.files.root).as_json()
        self.items = json.loads(Path(self.files.items).read_text())


@pytest.fixture(scope="module", params=[1_436, 10_000])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return Plan(tmp_path_factory.mktemp("plan"), request.param)


def worst_verdict(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict of a gate whose every check failed, each naming every item."""
    reasons = brief([f"{item['id']}: {'é' * 500}" for item in items], 3)
    checks = [
        Check(name="n" * 40, passed=False, expected="x" * 200, actual=reasons, remedy="h" * 200)
        for _ in range(20)
    ]
    return Gate.of(2, checks).verdict.as_json()


def test_no_payload_comes_near_the_limit(planned: Plan) -> None:
    """The largest that each state can get and give, with errors as long as Step Functions lets them be."""
    request = {
        "run_id": "r" * 63,
        "mode": "test-then-full",
        "config": f"s3://{BUCKET}/{'c' * 1000}",
        "sweeps": f"s3://{BUCKET}/{'s' * 1000}",
        "positives": [f"s3://{BUCKET}/{'p' * 1000}"] * 10,
        "exclude": [f"s3://{BUCKET}/{'x' * 1000}"] * 10,
        "spectroscopic": [f"s3://{BUCKET}/{'y' * 1000}"] * 10,
        "out": f"s3://{BUCKET}/{'o' * 1000}",
    }
    verdict = worst_verdict(planned.items)
    sizes: dict[str, int] = {"MiniTest": size({"mini_test_of": request}) + 500}
    failed_mini_test = {**request, "mini_test": ERROR_OUTPUT}
    sizes["Preflight"] = size({"input": failed_mini_test, "execution_arn": "a" * 300})
    data = {
        "root": planned.files.root + "o" * 1000,
        "mode": "full",
        "max_concurrency": 10_000,
        "gate": verdict,
    }
    data["items"] = planned.output
    sizes["PlanFanOut"] = size(data)
    sizes["FilterSweep"] = max(size({"root": data["root"], "item": item}) for item in planned.items)
    data["map_run"] = {"MapRunArn": "a" * 300, "ResultWriterDetails": {"Bucket": "b" * 63, "Key": "k" * 1024}}
    data["map_error"] = ERROR_OUTPUT
    sizes["SummarizeFanOut"] = size({"root": data["root"], "execution_arn": "a" * 300, "state": data})
    submit = job_parameters(deployed().definition(), data["root"])
    data["job"] = {"JobRun": {**submit, "StateDetails": "d" * 256}}
    data["job_error"] = ERROR_OUTPUT
    sizes["CheckSample"] = size({"root": data["root"], "execution_arn": "a" * 300, "state": data})
    assert max(sizes.values()) < MAX_PAYLOAD / 2, sizes
    # Neither grows with the number of files.
    assert sizes["FilterSweep"] < 4_000
    assert len(planned.items) >= 1_436


def test_the_history_does_not_grow_with_the_files() -> None:
    """Events of the longest way through the graph, with every retry made: a bound for any number of items.

    Throttling is retried as long as the execution lasts, so its time bounds those attempts, all states
    together. A wait is half of the limit in the mean.
    """

    def events(graph: dict[str, Any]) -> int:
        total = 2  # the execution's start and end
        throttled = 0.0
        for state in graph["States"].values():
            attempts = 1
            for retry in state.get("Retry", []):
                if retry["ErrorEquals"] == ["Lambda.TooManyRequestsException"]:
                    throttled = GRAPH["TimeoutSeconds"] / (retry["MaxDelaySeconds"] / 2)
                else:
                    attempts += retry["MaxAttempts"]
            # Entered, exited; and for each attempt scheduled, submitted, started and ended.
            total += 2 + (4 * attempts if state["Type"] in ("Task", "Map") else 0)
        return total + 4 * round(throttled)

    # Children have histories of their own.
    assert events(GRAPH) < MAX_EVENTS / 5
    assert events(GRAPH["States"]["FilterSweeps"]["ItemProcessor"]) < MAX_EVENTS / 10
    assert GRAPH["States"]["FilterSweeps"]["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"


def test_the_maps_results_go_to_s3() -> None:
    """In the state they would grow with the files; an output over the limit is an error even if dropped."""
    state = deployed().definition()["States"]["FilterSweeps"]
    assert state["ResultWriter"]["Parameters"]["Bucket"] == BUCKET
    assert len(state["Label"]) <= 40
    # Items have their own retries: the Map as a whole is tried again only where none of them is at fault.
    again = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert again == {"States.ItemReaderFailed", "States.ResultWriterFailed"}
