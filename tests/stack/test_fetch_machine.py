"""The second state machine, executed: the real handlers, moto's S3, and a survey's server with faults."""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from bucket import Call
from deployed import BUCKET, ROOT, with_fetch
from iam import Asked, S3Call, allowing, as_list, like
from pipeline import machine_with, states_entered
from surveyserver import A, B, C, Survey, serving
from test_graph import MAX_EVENTS, all_states
from test_roles import DATA, HERE, LOGGING, TRACING, each

import functions.fetch_sweep
from lensneg import storage
from lensneg.local import worker
from lensneg.local.engine import Machine, render, substitutions
from lensneg.local.lambdas import Invocation
from lensneg.schema.fetch import LAST_SECONDS, FetchFiles, FetchItem, FetchRequest, FetchSummary
from lensneg.schema.resources import FETCH_MACHINE
from lensneg.storage import multipart
from lensneg.survey import pauses
from lensneg.survey.server import Server

PART = multipart.SMALLEST_PART
NUMBERS = random.Random(2)
D, LATE = "sweep-005p005-010p010.fits", "sweep-010p005-015p010.fits"
SIZES = {A: 70_000, B: 50_000, C: 60_000, D: 2 * PART + 9, LATE: 40_000}
SKY = {name: NUMBERS.randbytes(size) for name, size in SIZES.items()}
TO, FOLDER = f"s3://{BUCKET}/sweeps", f"s3://{BUCKET}/fetch"


class InProcess:
    """The functions in this process; keeps their events and the calls that they make to S3."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.calls: list[Call] = []
        self._caller = ""

    def invoke(self, name: str, body: str) -> Invocation:
        self.events.append((name, json.loads(body)))
        self._caller = name  # SummarizeFetch follows all of the others
        try:
            return Invocation(**worker.invoke(name, body))
        finally:
            self._caller = "" if name == "SummarizeFetch" else name

    def note(self, http_response: Any, model: Any, **_: Any) -> None:
        key = urlsplit(http_response.url).path.lstrip("/").removeprefix(f"{BUCKET}/")
        prefix = S3Call.of_request(model.name, http_response.url).prefix
        self.calls.append(Call(self._caller, model.name, key, prefix, http_response.status_code))

    def stop(self) -> None:
        """There is nothing to stop."""


class Fetches:
    """Two executions: one in which much goes wrong, and one after it."""

    def __init__(self, machine: Machine, functions: InProcess, survey: Survey) -> None:
        self.machine, self.functions, self.survey = machine, functions, survey
        survey.faults[A] = [("drop", 1000), ("busy", 503), ("later", 1)]
        survey.faults[D] = [("stall", PART + 1000)]  # longer than its first invocation
        survey.faults[LATE] = [("too many", 2)]
        survey.always_wrong.add(B)
        storage.s3_client().put_object(
            Bucket=BUCKET, Key=f"sweeps/{C}", Body=SKY[C], Metadata={"sha256": sha256(C)}
        )
        self.first = self.run("first")
        self.asked_in_first = Counter(name for method, name, _ in survey.log if method == "GET")
        survey.always_wrong.clear()
        survey.log.clear()
        self.second = self.run("second")
        self.asked_in_second = {name for _, name, _ in survey.log}

    def run(self, fetch_id: str) -> dict[str, Any]:
        files = FetchFiles.below(FOLDER, fetch_id)
        files.write_items(FetchItem(name=name, sha256=sha256(name)) for name in SKY)
        bucket, key = storage.bucket_and_key(files.items)
        request = FetchRequest(
            root=files.root, base_url=self.survey.url, to=TO, bucket=bucket, key=key, max_concurrency=2
        )
        return self.machine.execute(fetch_id, request.as_json())


def sha256(name: str) -> str:
    return hashlib.sha256(SKY[name]).hexdigest()


@pytest.fixture(scope="module")
def fetches() -> Iterator[Fetches]:
    functions_ = InProcess()
    left = {D: [LAST_SECONDS + 0.3]}

    def remaining(_: worker.LocalContext) -> int:
        item = functions_.events[-1][1].get("item", {}).get("name", "")
        return int(1000 * (left[item].pop() if left.get(item) else 900))

    with pytest.MonkeyPatch.context() as patch, serving(SKY) as survey:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(functions.fetch_sweep, "Server", partial(Server, attempts=3, backoff=0.001))
        patch.setattr(pauses, "LONGEST_PAUSE", 1.5)  # in a function; longer ones in the state machine
        patch.setattr(multipart, "PART", PART)
        patch.setattr(worker.LocalContext, "get_remaining_time_in_millis", remaining)
        storage.s3_client.cache_clear()
        with machine_with(functions_, None):  # type: ignore[arg-type]
            definition = render(substitutions("", FETCH_MACHINE), FETCH_MACHINE)
            storage.s3_client().create_bucket(Bucket=BUCKET)
            storage.s3_client().meta.events.register("after-call.s3", functions_.note)
            yield Fetches(Machine(definition, "fetch"), functions_, survey)
        storage.s3_client.cache_clear()


def test_a_fetch_with_a_bad_file_fails_and_the_others_are_there(fetches: Fetches) -> None:
    assert (fetches.first["status"], fetches.first["error"]) == ("FAILED", "FilesNotFetched")
    assert re.search(rf"^1 of 5 files: {B}: .*its SHA-256 is .* twice", fetches.first["cause"])
    assert "lensneg aws fetch tries them again" in fetches.first["cause"]
    summary = FetchSummary.read(FetchFiles.below(FOLDER, "first").summary)
    assert (summary.files, summary.fetched, summary.there_already) == (5, 3, 1)
    assert [failure.name for failure in summary.failed] == [B]
    assert summary.bytes == SIZES[A] + SIZES[D] + SIZES[LATE]
    assert summary.usd > 0


def test_the_next_fetch_brings_only_what_is_missing(fetches: Fetches) -> None:
    assert fetches.second["status"] == "SUCCEEDED", fetches.second
    assert fetches.asked_in_second == {B}
    for name, data in SKY.items():
        assert storage.read_bytes(f"{TO}/{name}") == data
        assert storage.metadata(f"{TO}/{name}") == {"sha256": sha256(name)}
    assert not storage.list_files(f"{FOLDER}/incoming")
    assert not storage.list_files(f"{FOLDER}/uploads")


def test_a_file_is_invoked_again_until_it_is_whole(fetches: Fetches) -> None:
    steps: dict[str, list[dict[str, Any]]] = {}
    for name, event in fetches.functions.events:
        if name == "FetchSweep" and event["root"].endswith("first"):
            steps.setdefault(event["item"]["name"], []).append(event["step"])
    assert {name: len(of) for name, of in steps.items()} == {A: 1, B: 2, C: 1, D: 2, LATE: 2}
    assert [step["wait_seconds"] for step in steps[LATE]] == [1, 2], "as the server asks, without a function"
    assert len(steps[B][1]["wrong"]) == 64
    assert steps[D][1]["invocations"] == 1
    assert fetches.asked_in_first[D] == 2


def test_the_server_is_spared(fetches: Fetches) -> None:
    assert fetches.survey.most_at_once <= 2


def test_the_states_say_how_it_ended(fetches: Fetches) -> None:
    assert states_entered(fetches.machine, "first") == [
        "FetchSweeps", "SummarizeFetch", "EveryFileFetched", "FetchFailed"
    ]  # fmt: skip
    assert states_entered(fetches.machine, "second")[-1] == "Fetched"


# ---- As it is deployed -----------------------------------------------------------------------------------


GRAPH = json.loads(FETCH_MACHINE.read_text())
CHILD = GRAPH["States"]["FetchSweeps"]["ItemProcessor"]


def test_the_events_are_those_of_the_state_machine(fetches: Fetches) -> None:
    for name in ("FetchSweep", "SummarizeFetch"):
        event = json.loads((ROOT / f"functions/events/{name}.json").read_text())
        sent = next(e for function, e in fetches.functions.events if function == name)
        assert event.keys() == sent.keys()
        for key in ("item", "step"):
            assert event.get(key, {}).keys() == sent.get(key, {}).keys()


def test_errors_that_may_pass_are_tried_again_and_no_others() -> None:
    main = json.loads((ROOT / "statemachine" / "negative_sampling.asl.json").read_text())["States"]
    for task in (CHILD["States"]["FetchSweep"], GRAPH["States"]["SummarizeFetch"]):
        again = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        known = {error for retry in main["SummarizeFanOut"]["Retry"] for error in retry["ErrorEquals"]}
        assert known <= again
        assert "InputError" not in again


def test_it_stays_within_the_limits_of_step_functions() -> None:
    functions_ = with_fetch().functions()
    for name, state in all_states(GRAPH):
        assert ("TimeoutSeconds" in state) == (state["Type"] == "Task"), name
        if state["Type"] == "Task":
            assert state["TimeoutSeconds"] >= functions_[name]["Timeout"], name
    # A file of 2.5 GB at 10 kB/s takes 334 invocations; each is at most 13 events, without retries.
    assert MAX_EVENTS > 334 * 13
    assert len(GRAPH["States"]["FetchSweeps"]["Label"]) <= 40


def asked(call: Call) -> list[Asked]:
    """What IAM is asked for a call (service authorization reference, Amazon S3)."""
    of_call = [call.in_s3.asked]
    if call.status == 404:
        of_call.append(call.in_s3.asked_if_missing)
    if call.operation == "CopyObject":
        of_call.append(Asked("s3:GetObject", f"{DATA}/fetch/incoming/{call.key.removeprefix('sweeps/')}"))
    return of_call


def pairs(role: str, statements: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Each action and resource of statements, as a test names them."""
    for statement in statements:
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield role, action, resource.removeprefix(f"{DATA}/")


#: Grants that these fetches had no occasion to use, each with when it is used.
UNUSED = {
    ("FetchSweep", "s3:AbortMultipartUpload", "fetch/incoming/*"): "a file changed in the archive",
    ("FetchSweep", "s3:AbortMultipartUpload", "sweeps/sweep-*"): "the copy of a large file failed",
    ("FetchSweep", "s3:AbortMultipartUpload", "sweeps/DR*/sweep-*"): "the copy of a large file of DR9 failed",
    ("FetchSweep", "s3:PutObject", "sweeps/DR*/sweep-*"): "files of DR9 are fetched",
    ("FetchSweep", "s3:DeleteObjectVersion", "fetch/incoming/*"): "the bucket keeps versions",
    ("FetchSweep", "s3:DeleteObjectVersion", "fetch/uploads/*"): "the bucket keeps versions",
}


def test_every_call_is_granted_and_every_grant_is_used(fetches: Fetches) -> None:
    stack, used = with_fetch(), set()
    for call in fetches.functions.calls:
        if call.caller:
            for question in asked(call):
                found = allowing(stack.statements(f"{call.caller}Role"), question)
                assert found, (call, question)
                used |= {
                    pair
                    for pair in pairs(call.caller, found)
                    if like(pair[1], question.action)
                    and like(pair[2], question.resource.removeprefix(f"{DATA}/"))
                }
    granted = {
        pair
        for name in ("FetchSweep", "SummarizeFetch")
        for pair in pairs(name, stack.statements(f"{name}Role"))
        if pair[1].startswith("s3:")
    }
    assert granted - used == set(UNUSED)


@pytest.mark.parametrize(
    "key", ["out/latest.json", "configs/a.yaml", "code/x", "sweeps/other.txt", "catalogs/a"]
)
def test_a_fetch_can_change_nothing_but_sweep_files(key: str) -> None:
    for role in ("FetchSweepRole", "SummarizeFetchRole", "FetchStateMachineRole"):
        for action in ("s3:PutObject", "s3:DeleteObject"):
            assert not with_fetch().allowing(role, action, f"{DATA}/{key}"), role


def test_a_sweeps_bucket_of_its_own_is_written_to() -> None:
    from deployed import Deployed

    stack = Deployed(FetchSweeps="true", SweepsBucketName="all-sweeps")
    assert stack.allowing("FetchSweepRole", "s3:PutObject", f"arn:aws:s3:::all-sweeps/{A}")
    assert stack.allowing("FetchSweepRole", "s3:PutObject", f"arn:aws:s3:::all-sweeps/DR9-south/{A}")
    assert not stack.allowing("FetchSweepRole", "s3:PutObject", f"{DATA}/sweeps/{A}")


def test_the_machine_may_do_what_its_states_need_and_no_more() -> None:
    definition = with_fetch().definition("FetchStateMachine", "fetch_sweeps.asl.json")
    machine = f"arn:aws:states:{HERE}:stateMachine:lensneg-fetch"
    called = [s["Parameters"]["FunctionName"] for _, s in all_states(definition) if s["Type"] == "Task"]
    assert with_fetch().outputs()["FetchStateMachineArn"] == machine
    assert with_fetch().grants("FetchStateMachineRole") == (
        each("lambda:InvokeFunction", *called)
        | each("states:StartExecution", machine)
        | each(
            "states:DescribeExecution states:StopExecution",
            f"arn:aws:states:{HERE}:execution:lensneg-fetch/*",
        )
        | each("s3:GetObject", f"{DATA}/fetch/*/items.json")
        | each(
            "s3:PutObject s3:GetObject s3:ListMultipartUploadParts s3:AbortMultipartUpload",
            f"{DATA}/map-results/*",
        )
        | LOGGING
        | TRACING
    )
