"""The whole pipeline with every URI on s3://: the manifest is that on disk, and IAM would refuse no call.

A mini-test on disk, and the full run that it opens the way for in S3: both through the real state machine,
handlers and Spark job, the second against moto's server.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from bucket import MirroredEmr, RecordingLambda, get_folder, put_folder, s3_of, s3_server
from conftest import config_text, edited
from deployed import BUCKET, ROOT, deployed
from pipeline import OPEN_GATES, SilentWatcher, as_input, files_of, make_request

from lensneg.local.emr import local_submit_parameters
from lensneg.local.engine import local_machine
from lensneg.local.runner import machine
from lensneg.mocksky import write_mock_sky
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.publication import MiniTestRecord
from lensneg.schema.request import RunRequest, mini_test_id
from lensneg.schema.run import RunRecord

RUN_ID = "example"
ROOT_URI = f"s3://{BUCKET}/out/runs/{RUN_ID}"
LEFT = f"out/manifests/{RUN_ID}/negatives/part-00099.parquet"

#: Operations of S3 whose action has another name (service authorization reference, Amazon S3).
ACTIONS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket"}


class InS3:
    """The run in S3, and what it left."""

    def __init__(self, url: str, folder: Path) -> None:
        self.sky, self.config = folder / "sky", folder / "config.yaml"
        write_mock_sky(self.sky, files=2, rows=8_000, seed=31)
        changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5, "execution.target_item_bytes": 2**21}
        self.config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
        self.disk = self._run_on_disk(folder / "disk")
        put_folder(url, self.sky / "sweeps", "sweeps")
        s3_of(url).upload_file(str(self.sky / "positives.csv"), BUCKET, "catalogs/positives.csv")
        s3_of(url).upload_file(str(self.config), BUCKET, "configs/config.yaml")
        # What a publication that was cut short would have left.
        s3_of(url).put_object(Bucket=BUCKET, Key=LEFT, Body=b"left")
        self.url = url
        functions = RecordingLambda(url, 2, folder / "logs")
        self.emr = MirroredEmr(url, folder / "emr")
        request = RunRequest.of_input(
            json.loads((ROOT / "functions/events/Preflight.json").read_text())["input"]
        )
        self.request = request.model_copy(update={"mode": "full"})
        try:
            self._note_the_mini_test(functions)
            with local_machine(functions, self.emr, local_submit_parameters(2)) as state_machine:
                self.execution = state_machine.execute(RUN_ID, as_input(self.request))
            self.sent = list(functions.events)
            # What this run has no occasion for: a publication that is repeated, and a quarantine.
            self.after = {
                name: functions.invoke(name, json.dumps({"root": ROOT_URI})).error
                for name in ("PublishManifest", "Quarantine")
            }
        finally:
            self.emr.stop()
            functions.stop()
        self.calls = functions.calls
        get_folder(url, "out/", folder / "copy")
        self.copy = folder / "copy"

    def _note_the_mini_test(self, functions: RecordingLambda) -> None:
        """Take the mini-test on disk for one of the inputs in S3: gate 1 tells them apart by their ETags."""
        mini_test = {**as_input(self.request), "mode": "test", "run_id": mini_test_id(RUN_ID)}
        functions.invoke("Preflight", json.dumps({"input": mini_test}))
        s3 = s3_of(self.url)
        key = f"out/runs/{mini_test_id(RUN_ID)}/inventory.json"
        inventory = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        [note] = (Path(self.disk.out) / "minitests").iterdir()
        record = MiniTestRecord.read(str(note))
        inputs = RunRecord.of_json(inventory, key).inputs_sha256
        body = record.model_copy(update={"inputs_sha256": inputs}).model_dump_json().encode()
        s3.put_object(Bucket=BUCKET, Key=f"out/minitests/{note.name}", Body=body)

    def _run_on_disk(self, folder: Path) -> RunFiles:
        request = make_request(self.sky, self.config, folder / "out", "disk", "test")
        with machine(2, folder / "logs", SilentWatcher()) as state_machine:
            execution = state_machine.execute("disk", as_input(request))
        assert execution["status"] == "SUCCEEDED", execution.get("cause")
        return files_of(request)


@pytest.fixture(scope="module")
def in_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InS3]:
    with s3_server() as url:
        yield InS3(url, tmp_path_factory.mktemp("s3"))


def test_it_is_published(in_s3: InS3) -> None:
    assert in_s3.execution["status"] == "SUCCEEDED", in_s3.execution
    latest = json.loads((in_s3.copy / "latest.json").read_text())
    assert latest["manifest"] == f"manifests/{RUN_ID}/manifest.json"


def test_what_a_publication_that_was_cut_short_left_is_removed(in_s3: InS3) -> None:
    published = in_s3.copy / f"manifests/{RUN_ID}"
    assert Path(published, "negatives/part-00000.parquet").exists()
    assert not (in_s3.copy / LEFT.removeprefix("out/")).exists()


def test_it_can_be_published_again_and_set_aside(in_s3: InS3) -> None:
    assert in_s3.after == {"PublishManifest": None, "Quarantine": None}


def test_the_manifest_is_that_of_the_run_on_disk(in_s3: InS3) -> None:
    manifest = json.loads((in_s3.copy / f"manifests/{RUN_ID}/manifest.json").read_text())
    for part in ("negatives", "positives"):
        paths = sorted(Path(in_s3.disk.sample_folder, part).glob("*.parquet"))
        table = pa.concat_tables([pq.ParquetFile(path).read() for path in paths])
        assert len(table) > 0
        assert content_sha256(table) == manifest[part]["content_sha256"]


def test_the_map_streams_ranges(in_s3: InS3) -> None:
    """More than one item of a file, each by GETs of parts of it."""
    items = [event["item"] for name, event in in_s3.sent if name == "FilterSweep"]
    assert len({item["id"] for item in items}) > len({item["sweep"] for item in items}) == 2
    reads = [c for c in in_s3.calls if c.caller == "FilterSweep" and c.key.startswith("sweeps/")]
    assert {call.status for call in reads if call.operation == "GetObject"} == {206}


# ---- Events ----------------------------------------------------------------------------------------------


def event_of(name: str) -> dict[str, Any]:
    """An event of functions/events, as `sam local invoke` would send it."""
    event: dict[str, Any] = json.loads((ROOT / f"functions/events/{name}.json").read_text())
    return event


def shape(value: Any) -> Any:
    """What an event is made of: its keys, and the kinds of their values."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape(entry) for entry in value]
    return type(value).__name__


@pytest.mark.parametrize("name", [p.stem for p in sorted((ROOT / "functions" / "events").glob("*.json"))])
def test_the_events_are_those_of_the_state_machine(in_s3: InS3, name: str) -> None:
    event = event_of(name)
    if name == "PublishSparkCode":
        assert event["ResourceProperties"]["Destination"] == f"s3://{BUCKET}/code"
        return
    sent = [e for function, e in in_s3.sent if function == name]
    if name == "Quarantine":  # this run had none; the graph sends what ValidateManifest gets
        sent = [e for function, e in in_s3.sent if function == "ValidateManifest"]
    if name == "Preflight":  # a catalogue may be written as text or taken apart
        assert set(event["input"]) <= set(sent[-1]["input"])
        return
    assert event["root"] == ROOT_URI
    assert any(shape({**event, "state": None}) == shape({**e, "state": None}) for e in sent)


def test_there_is_an_event_for_every_function() -> None:
    names = {path.stem for path in (ROOT / "functions" / "events").glob("*.json")}
    assert names == set(deployed().functions())


# ---- Roles -----------------------------------------------------------------------------------------------


def needed(call: Any) -> set[tuple[str, str]]:
    """The actions and resources that IAM asks for a call."""
    bucket = f"arn:aws:s3:::{BUCKET}"
    action = "s3:" + ACTIONS.get(call.operation, call.operation)
    asked = {(action, bucket if action == "s3:ListBucket" else f"{bucket}/{call.key}")}
    if call.status == 404:  # S3 says so only to who may list the bucket; to others it says 403
        asked.add(("s3:ListBucket", bucket))
    return asked


def test_every_call_of_the_functions_is_granted(in_s3: InS3) -> None:
    assert len(in_s3.calls) > 100
    assert {call.caller for call in in_s3.calls} == set(deployed().functions()) - {"PublishSparkCode"}
    refused = {
        (call.caller, action, re.sub(r"[^/]*\.(parquet|json|fits)$", r"*.\1", resource))
        for call in in_s3.calls
        for action, resource in needed(call)
        if not deployed().allowing(f"{call.caller}Role", action, resource)
    }
    assert not refused


#: Grants that this run had no occasion to use, each with when it is used.
UNUSED = {
    ("PublishManifest", "s3:PutObject", "out/minitests/*"): "a mini-test that passed is recorded",
    (
        "CheckSample",
        "s3:DeleteObject",
        "out/runs/*/sample/*/part-*.parquet",
    ): "an earlier draw left more",
    ("Preflight", "s3:DeleteObject", "out/runs/*/errors/*.json"): "an item failed in an earlier execution",
    ("PlanFanOut", "s3:ListBucket", ""): "a file that is missing is called missing, not forbidden",
    ("SummarizeFanOut", "s3:GetObject", "sweeps/*"): "a folder of one file is not listed",
}


def test_every_grant_of_the_functions_is_used(in_s3: InS3) -> None:
    used: set[tuple[str, str, str]] = set()
    for call in in_s3.calls:
        for action, resource in needed(call):
            for grant in deployed().allowing(f"{call.caller}Role", action, resource):
                used.add((call.caller, *grant))
    granted = {
        (name, action, resource)
        for name in {call.caller for call in in_s3.calls}
        for action, resource in deployed().grants(f"{name}Role")
        if action.startswith("s3:")
    }
    idle = {
        (name, action, resource.split(":::")[1].partition("/")[2])
        for name, action, resource in granted - used
    }
    assert idle == set(UNUSED)
