"""What the state machine and the Spark job may do is what their parts need, no less and no more.

Functions: test_pipeline_in_s3.py, from the calls that they make. A state machine makes its calls inside AWS;
so what each of its parts needs is written down here from the Step Functions developer guide ("IAM policies
for integrated services", "IAM policies for Distributed Map", "Logging", "X-Ray") and compared with its role.
"""

from fnmatch import fnmatch
from typing import Any

import pytest
from deployed import ACCOUNT, BUCKET, REGION, STACK, deployed
from iam import S3Call, allowing, like, refusal
from test_graph import all_states

from lensneg import storage
from lensneg.schema.layout import RunFiles
from lensneg.stages.preflight.account import (
    APPLICATION_VARIABLE,
    FUNCTIONS_VARIABLE,
    ON_AWS_VARIABLE,
    Limits,
    account_checks,
)

HERE = f"{REGION}:{ACCOUNT}"
MACHINE = f"arn:aws:states:{HERE}:stateMachine:{STACK}"
RULE = f"arn:aws:events:{HERE}:rule/StepFunctionsGetEventsFor"
DATA = f"arn:aws:s3:::{BUCKET}"

Grants = set[tuple[str, str]]


def each(actions: str, *resources: str) -> Grants:
    return {(action, resource) for action in actions.split() for resource in resources}


def needs_of(state: dict[str, Any]) -> Grants:
    """What a state needs of the machine's role."""
    managed_rule = "events:PutTargets events:PutRule events:DescribeRule"
    if state["Type"] == "Map":
        parallel = state["ItemReader"]["Resource"], state["ResultWriter"]["Resource"]
        assert parallel == ("arn:aws:states:::s3:getObject", "arn:aws:states:::s3:putObject")
        return (
            each("states:StartExecution", MACHINE)
            | each(
                "states:DescribeExecution states:StopExecution", f"arn:aws:states:{HERE}:execution:{STACK}/*"
            )
            | each("s3:GetObject", f"{DATA}/out/runs/*/items.json")
            | each(
                "s3:PutObject s3:GetObject s3:ListMultipartUploadParts s3:AbortMultipartUpload",
                f"{DATA}/map-results/*",
            )
        )
    if state["Type"] != "Task":
        return set()
    if state["Resource"] == "arn:aws:states:::lambda:invoke":
        return each("lambda:InvokeFunction", state["Parameters"]["FunctionName"])
    if state["Resource"] == "arn:aws:states:::states:startExecution.sync:2":
        return (
            each("states:StartExecution", MACHINE)
            | each(
                "states:DescribeExecution states:StopExecution", f"arn:aws:states:{HERE}:execution:{STACK}:*"
            )
            | each(managed_rule, f"{RULE}StepFunctionsExecutionRule")
        )
    assert state["Resource"] == "arn:aws:states:::emr-serverless:startJobRun.sync"
    application = f"arn:aws:emr-serverless:{HERE}:/applications/00app"
    return (
        each("emr-serverless:StartJobRun", application)
        | each("emr-serverless:GetJobRun emr-serverless:CancelJobRun", f"{application}/jobruns/*")
        | each("iam:PassRole", state["Parameters"]["ExecutionRoleArn"])
        | each(managed_rule, f"{RULE}EMRServerlessJobRule")
    )


LOGGING = each(
    "logs:CreateLogDelivery logs:GetLogDelivery logs:UpdateLogDelivery logs:DeleteLogDelivery "
    "logs:ListLogDeliveries logs:PutResourcePolicy logs:DescribeResourcePolicies logs:DescribeLogGroups",
    "*",
)
TRACING = each(
    "xray:PutTraceSegments xray:PutTelemetryRecords xray:GetSamplingRules xray:GetSamplingTargets", "*"
)


def test_the_machine_may_do_what_its_states_need_and_no_more() -> None:
    needed: Grants = set().union(*(needs_of(state) for _, state in all_states(deployed().definition())))
    assert deployed().grants("StateMachineRole") == needed | LOGGING | TRACING


#: What Spark asks of S3 through S3A, by what it does (Hadoop's pages "Committing work to S3 with the S3A
#: committers" and "S3A directory marker behavior", and FileOutputCommitter's algorithm 2). None of it was
#: tried on EMR.
DRAW = "out/runs/one/draw"
ATTEMPT = f"{DRAW}/negatives/_temporary/0/_temporary/attempt_1"
S3A_CALLS = {
    "reads its code, the quotas and the pool": [
        ("HeadObject", "code/0/sample_negatives.py"),
        ("GetObject", "code/0/sample_negatives.py"),
        ("GetObject", "out/runs/one/quotas.json"),
        ("ListObjectsV2", "out/runs/one/pool/"),
        ("GetObject", "out/runs/one/pool/sweep-000m005-005p000.parquet"),
    ],
    "removes what an earlier job wrote": [
        ("ListObjectsV2", f"{DRAW}/negatives/"),
        ("DeleteObject", f"{DRAW}/negatives/part-0.parquet"),
        ("PutObject", f"{DRAW}/"),
    ],
    "sets a job up, which makes a folder": [
        ("ListObjectsV2", f"{DRAW}/negatives/_temporary/0/"),
        ("ListObjectsV2", f"{DRAW}/"),
        ("ListObjectsV2", "out/runs/one/"),
        ("PutObject", f"{DRAW}/negatives/_temporary/0/"),
    ],
    "writes a part, a large one in pieces, and gives up": [
        ("CreateMultipartUpload", f"{ATTEMPT}/part-0.parquet"),
        ("UploadPart", f"{ATTEMPT}/part-0.parquet"),
        ("CompleteMultipartUpload", f"{ATTEMPT}/part-0.parquet"),
        ("ListParts", f"{ATTEMPT}/part-0.parquet"),
        ("AbortMultipartUpload", f"{ATTEMPT}/part-0.parquet"),
    ],
    "commits a task, which renames": [
        ("HeadObject", f"{ATTEMPT}/part-0.parquet"),
        ("GetObject", f"{ATTEMPT}/part-0.parquet"),
        ("PutObject", f"{DRAW}/negatives/part-0.parquet"),
        ("DeleteObject", f"{ATTEMPT}/part-0.parquet"),
        ("PutObject", f"{ATTEMPT}/"),
    ],
    "removes the marks of the folders above a file": [
        ("DeleteObject", f"{DRAW}/negatives/segment=0/"),
        ("DeleteObject", f"{DRAW}/negatives/"),
        ("DeleteObject", f"{DRAW}/"),
        ("DeleteObject", "out/runs/one/"),
        ("DeleteObject", "out/runs/"),
        ("DeleteObject", "out/"),
    ],
    "commits the job, which removes _temporary": [
        ("ListObjectsV2", f"{DRAW}/negatives/_temporary/"),
        ("DeleteObject", f"{DRAW}/negatives/_temporary/0/"),
    ],
    "writes the summary": [("HeadObject", f"{DRAW}/summary.json"), ("PutObject", f"{DRAW}/summary.json")],
    "keeps logs, which EMR does with the same role": [
        ("PutObject", "emr-logs/applications/00app/jobs/1/SPARK_DRIVER/stdout.gz")
    ],
}


def s3a_call(operation: str, key: str) -> S3Call:
    is_listing = operation == "ListObjectsV2"
    return S3Call(operation, BUCKET, "" if is_listing else key, key if is_listing else "")


@pytest.mark.parametrize("what", S3A_CALLS)
def test_the_job_may_do_what_s3a_needs(what: str) -> None:
    for operation, key in S3A_CALLS[what]:
        call = s3a_call(operation, key)
        asked = [call.asked]
        if operation in ("HeadObject", "GetObject"):  # S3A looks whether there is such an object
            asked.append(call.asked_if_missing)
        for question in asked:
            assert allowing(deployed().statements("EmrJobRole"), question), refusal("EmrJobRole", question)


def test_the_job_may_do_no_more() -> None:
    """Every grant is used by one of the calls."""
    calls = [s3a_call(*call).asked for calls in S3A_CALLS.values() for call in calls]
    calls.append(s3a_call("AbortMultipartUpload", "emr-logs/x").asked)  # EMR's upload of a large log
    calls.append(s3a_call("ListParts", "emr-logs/x").asked)
    unused = {
        (action, resource)
        for action, resource in deployed().grants("EmrJobRole")
        if not any(asked.action == action and like(resource, asked.resource) for asked in calls)
    }
    assert not unused
    entry = deployed().definition()["States"]["SampleNegatives"]["Parameters"]["JobDriver"]["SparkSubmit"]
    assert entry["EntryPoint"].startswith(f"s3://{BUCKET}/code/")


@pytest.mark.parametrize(
    "key",
    [
        "out/manifests/one/manifest.json",
        "out/latest.json",
        "out/runs/one/sample/negatives/part-00000.parquet",
        "out/runs/one/quotas.json",
        "out/runs/one/drawn",
        "sweeps/a.fits",
        "code/x",
    ],
)
def test_the_job_can_change_nothing_else(key: str) -> None:
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not deployed().allowing("EmrJobRole", action, f"{DATA}/{key}")


@pytest.mark.parametrize("prefix", ["", "out/", "out/manifests/", "configs/", "sweeps/"])
def test_the_job_can_list_nothing_else(prefix: str) -> None:
    assert not deployed().allowing("EmrJobRole", "s3:ListBucket", DATA, prefix)


WITHDRAWN = (
    "preflight.txt", "gates/gate*.json", "quarantine.json", "validation.json", "cost.json", "report.html",
    "audited.json", "job.json", "quotas.json", "fan_out.json", "sample/*.json", "draw/*.json",
    "errors/*.json",
)  # fmt: skip


def test_preflight_may_remove_what_a_start_withdraws(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(storage, "delete", removed.append)
    monkeypatch.setattr(storage, "list_files", lambda uri, **_: [storage.FileInfo(f"{uri}/a.json", 1, "")])
    RunFiles("/out", "one").withdraw()
    granted = [f"/out/runs/*/{name}" for name in WITHDRAWN]
    assert all(any(fnmatch(uri, pattern) for pattern in granted) for uri in removed)
    assert {p for p in granted if not any(fnmatch(u, p) for u in removed)} == {"/out/runs/*/preflight.txt"}


def test_no_function_can_delete_or_publish_but_those_that_must() -> None:
    may_delete, may_publish = set(), set()
    for name in deployed().functions():
        for action, resource in deployed().grants(f"{name}Role"):
            assert "*" not in action
            if action == "s3:DeleteObject":
                may_delete.add((name, resource))
            if action == "s3:PutObject" and "/out/" in resource and "/runs/" not in resource:
                may_publish.add(name)
    # A manifest.json is never deleted; parts without one are what a publication that was cut short left.
    assert may_delete == {
        *(("Preflight", f"{DATA}/out/runs/*/{name}") for name in WITHDRAWN),
        ("FilterSweep", f"{DATA}/out/runs/*/errors/*.json"),
        ("CheckSample", f"{DATA}/out/runs/*/sample/*/part-*.parquet"),
        ("PublishManifest", f"{DATA}/out/manifests/*/part-*.parquet"),
    }
    assert may_publish == {"PublishManifest"}


class Recorder:
    """The clients of an account that is in order; keeps what is asked, as IAM would name it."""

    def __init__(self) -> None:
        self.asked: Grants = set()

    def client(self, service: str) -> Any:
        recorder = self
        prefix = {"service-quotas": "servicequotas"}.get(service, service)
        answers = {
            "get_application": {"application": {"state": "CREATED", "maximumCapacity": {"cpu": "16 vCPU"}}},
            "get_service_quota": {"Quota": {"Value": 16.0}},
            "get_account_settings": {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}},
            "get_function_concurrency": {},
            "get_function_configuration": {"State": "Inactive"},
            "invoke": {},
        }

        class Client:
            def __getattr__(self, operation: str) -> Any:
                def call(**parameters: str) -> Any:
                    on = parameters.get("applicationId", parameters.get("FunctionName", "*"))
                    name = "".join(word.capitalize() for word in operation.split("_"))
                    name = {"Invoke": "InvokeFunction"}.get(name, name)
                    recorder.asked.add((f"{prefix}:{name}", on))
                    return answers[operation]

                return call

        return Client()


def looks_at_the_account() -> Grants:
    """What gate 1 asks of the account with the environment that the template gives Preflight."""
    variables = deployed().functions()["Preflight"]["Environment"]["Variables"]
    recorder = Recorder()
    checks = list(account_checks(Limits(100), {ON_AWS_VARIABLE: "Preflight", **variables}, recorder.client))
    assert [check.name for check in checks if not check.passed] == ["functions_ready"]
    called = variables[FUNCTIONS_VARIABLE].split(",")
    # All that the graph calls after Preflight: an inactive one is woken.
    assert {name.strip("<>") for name in called} == {
        f"{name}Function" for name in deployed().functions() if name not in ("Preflight", "PublishSparkCode")
    }
    arns = {
        variables[APPLICATION_VARIABLE]: f"arn:aws:emr-serverless:{HERE}:/applications/00app",
        **{name: f"arn:aws:lambda:{HERE}:function:{name.strip('<>')}" for name in called},
        "*": "*",
    }
    return {(action, arns[resource]) for action, resource in recorder.asked}


def test_preflight_may_look_at_the_account_and_at_no_more_of_it() -> None:
    assert len(looks_at_the_account()) == 4 + 2 * 8
    others = ("s3:", "logs:", "xray:")
    granted = {grant for grant in deployed().grants("PreflightRole") if not grant[0].startswith(others)}
    assert granted == looks_at_the_account()


def test_every_function_may_write_logs_and_traces() -> None:
    for name in deployed().functions():
        other = {g for g in deployed().grants(f"{name}Role") if not g[0].startswith("s3:")}
        if name == "Preflight":
            other -= looks_at_the_account()
        if name == "PlanFanOut":
            application = f"arn:aws:emr-serverless:{HERE}:/applications/00app"
            assert ("emr-serverless:StartApplication", application) in other
            other.discard(("emr-serverless:StartApplication", application))
        [group] = {resource for action, resource in other if action == "logs:PutLogEvents"}
        assert other == each("logs:CreateLogStream logs:PutLogEvents", group) | each(
            "xray:PutTraceSegments xray:PutTelemetryRecords", "*"
        )


def test_a_mini_test_may_be_recorded() -> None:
    """The run of test_pipeline_in_s3.py is a full one, which records none."""
    uri = RunFiles(f"s3://{BUCKET}/out", "one").mini_test("c" * 64, "1-c")
    assert deployed().allowing("PublishManifestRole", "s3:PutObject", uri.replace("s3://", "arn:aws:s3:::"))


def test_roles_are_for_one_service_and_no_other_account() -> None:
    services = {}
    for name, role in deployed().of_type("AWS::IAM::Role").items():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        services[name] = statement["Principal"]["Service"]
        if services[name] != "lambda.amazonaws.com":
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert services.pop("StateMachineRole") == "states.amazonaws.com"
    assert services.pop("EmrJobRole") == "emr-serverless.amazonaws.com"
    assert set(services.values()) == {"lambda.amazonaws.com"}
