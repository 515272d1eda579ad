"""The whole pipeline with every URI on s3://: the manifest is that on disk, and IAM refuses no call.

A mini-test on disk, and the full run that it opens the way for in S3. This goes through the real state
machine, handlers and Spark job, against moto's server, where each call needs a statement of the template.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from bucket import Call, MirroredEmr, RecordingLambda, get_folder, put_folder, s3_of, s3_server
from conftest import config_text, edited
from deployed import BUCKET, KEY, ROOT, Deployed, deployed, with_fetch
from iam import allowing, as_list, like
from pipeline import OPEN_GATES, as_input, make_request
from plainrun import run_to_sample

from lensneg.local.emr import local_submit_parameters
from lensneg.local.engine import local_machine
from lensneg.mocksky import write_mock_sky
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.publication import MiniTestRecord
from lensneg.schema.request import RunRequest, mini_test_id
from lensneg.schema.run import RunRecord
from lensneg.stages.publish_manifest import publish_manifest
from lensneg.stages.validate_manifest import validate_manifest

RUN_ID = "example"
ROOT_URI = f"s3://{BUCKET}/out/runs/{RUN_ID}"
RUN, PUBLISHED = f"out/runs/{RUN_ID}", f"out/manifests/{RUN_ID}"
MINI_TEST = "mini-test"

#: What earlier executions of the run would have left: a publication that was cut short, a draw of more rows,
#: an item that failed, and the verdict of a gate.
LEFT = (
    f"{PUBLISHED}/negatives/part-00099.parquet",
    f"{RUN}/sample/negatives/part-00099.parquet",
    f"{RUN}/errors/an-item.json",
    f"{RUN}/gates/gate4.json",
)


class InS3:
    """The run in S3, and what it left."""

    def __init__(self, url: str, folder: Path) -> None:
        self.sky, self.config = folder / "sky", folder / "config.yaml"
        write_mock_sky(self.sky, files=2, rows=8_000, seed=31)
        changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5, "execution.target_item_bytes": 2**21}
        self.config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
        self.disk = self._run_on_disk(folder / "disk" / "out")
        put_folder(url, self.sky / "sweeps", "sweeps")
        s3_of(url).upload_file(str(self.sky / "positives.csv"), BUCKET, "catalogs/positives.csv")
        s3_of(url).upload_file(str(self.config), BUCKET, "configs/config.yaml")
        for key in LEFT:
            s3_of(url).put_object(Bucket=BUCKET, Key=key, Body=b"left")
        self.url = url
        self.functions = functions = RecordingLambda(url, 2, folder / "logs", deployed())
        self.emr = MirroredEmr(url, folder / "emr", deployed())
        request = RunRequest.of_input(
            json.loads((ROOT / "functions/events/Preflight.json").read_text())["input"]
        )
        self.request = request.model_copy(update={"mode": "full"})
        try:
            self._note_the_mini_test(functions)
            with local_machine(functions, self.emr, local_submit_parameters(2)) as state_machine:
                self.execution = state_machine.execute(RUN_ID, as_input(self.request))
            refused = sorted({(c.caller, str(c.in_s3.asked)) for c in functions.calls if c.status == 403})
            assert self.execution["status"] == "SUCCEEDED", (self.execution.get("cause"), refused)
            self.sent = list(functions.events)
            get_folder(url, "out/", folder / "copy")
            self.copy = folder / "copy"
            self.after = self._what_the_run_had_no_occasion_for()
            self.missing = self._of_missing_inputs()
            self.refused_calls = [call for call in functions.calls if call.status == 403]
            self.calls = functions.calls
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.emr.stop()
        self.functions.stop()

    def invoke(self, name: str, root: str = ROOT_URI, **more: Any) -> Any:
        """Invoke a function by hand; return its error."""
        return self.functions.invoke(name, json.dumps({"root": root, **more})).error

    def keys(self, prefix: str) -> dict[str, bytes]:
        """What there is below a prefix."""
        s3 = s3_of(self.url)
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {e["Key"]: s3.get_object(Bucket=BUCKET, Key=e["Key"])["Body"].read() for e in listed}

    def delete(self, *keys: str) -> None:
        for key in keys:
            s3_of(self.url).delete_object(Bucket=BUCKET, Key=key)

    def _what_the_run_had_no_occasion_for(self) -> dict[str, Any]:
        """Invoke functions as other runs would; return the error of each, or a difference."""
        published, after = self.keys(PUBLISHED), {"PublishManifest again": self.invoke("PublishManifest")}
        # A publication that is cut short before each of its last steps, and the next attempt at it.
        steps = [f"{PUBLISHED}/negatives/part-00000.parquet", f"{PUBLISHED}/README.md"]
        steps += [f"{PUBLISHED}/manifest.json", "out/latest.json"]
        for n, step in enumerate(steps):
            self.delete(*steps[n:])
            after[f"cut short before {step}"] = self.invoke("PublishManifest")
            assert self.keys(PUBLISHED) == published
        item = next(event["item"] for name, event in self.sent if name == "FilterSweep")
        self.delete(f"{RUN}/stats/{item['id']}.json")
        s3_of(self.url).put_object(Bucket=BUCKET, Key=f"{RUN}/errors/{item['id']}.json", Body=b"{}")
        after["an item is tried again"] = self.invoke("FilterSweep", item=item)
        self._copy_as_mini_test()
        after["a mini-test"] = self.invoke("PublishManifest", f"s3://{BUCKET}/out/runs/{MINI_TEST}")
        after["Quarantine"] = self.invoke("Quarantine")
        return after

    def _of_missing_inputs(self) -> dict[str, str]:
        """What gate 1 says of inputs that are not there."""
        found = {}
        for name, uri in (("config", "configs/none.yaml"), ("positives", "catalogs/none.csv")):
            uri = f"s3://{BUCKET}/{uri}"
            data = {**as_input(self.request), "run_id": "missing"}
            data[name] = [{"uri": uri}] if name == "positives" else uri
            result = self.functions.invoke("Preflight", json.dumps({"input": data})).result
            found[uri] = result["gate"]["cause"]
        return found

    def _copy_as_mini_test(self) -> None:
        """What PublishManifest reads of a mini-test: that of this run, with another mode."""
        for name in ("run.json", "inventory.json", "gates/gate4.json", "lenses.parquet"):
            [body] = self.keys(f"{RUN}/{name}").values()
            if name in ("run.json", "inventory.json"):
                body = json.dumps({**json.loads(body), "run_id": MINI_TEST, "mode": "test"}).encode()
            s3_of(self.url).put_object(Bucket=BUCKET, Key=f"out/runs/{MINI_TEST}/{name}", Body=body)

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

    def _run_on_disk(self, out: Path) -> RunFiles:
        """The mini-test, made stage by stage in this process and without Spark."""
        files = run_to_sample(make_request(self.sky, self.config, out, "disk", "test"))
        assert validate_manifest(files.root).gate.passed
        publish_manifest(files.root)
        return files


@pytest.fixture(scope="module")
def in_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InS3]:
    with s3_server() as url:
        run = InS3(url, tmp_path_factory.mktemp("s3"))
        yield run
        run.stop()


def test_it_is_published(in_s3: InS3) -> None:
    latest = json.loads((in_s3.copy / "latest.json").read_text())
    assert latest["manifest"] == f"manifests/{RUN_ID}/manifest.json"


def test_its_cost_is_estimated(in_s3: InS3) -> None:
    cost = json.loads((in_s3.copy / f"runs/{RUN_ID}/cost.json").read_text())
    assert cost["estimate_missing"] is None
    assert cost["estimate"]["usd"] > 0


def test_what_earlier_executions_left_is_removed(in_s3: InS3) -> None:
    left = {key: in_s3.copy / key.removeprefix("out/") for key in LEFT}
    assert [key for key, path in left.items() if path.exists()] == [f"{RUN}/gates/gate4.json"]
    assert left[f"{RUN}/gates/gate4.json"].read_bytes() != b"left"


def test_every_other_way_through_the_functions_is_allowed(in_s3: InS3) -> None:
    """A publication cut short and repeated, an item tried again, a mini-test, a quarantine."""
    assert {what: error for what, error in in_s3.after.items() if error} == {}


def test_a_missing_input_is_called_missing_and_not_forbidden(in_s3: InS3) -> None:
    assert len(in_s3.missing) == 2
    for uri, cause in in_s3.missing.items():
        assert uri in cause
        assert "no such file" in cause
        assert "denied" not in cause


def test_the_manifest_is_that_of_the_run_on_disk(in_s3: InS3) -> None:
    manifest = json.loads((in_s3.copy / f"manifests/{RUN_ID}/manifest.json").read_text())
    for part in ("negatives", "positives"):
        paths = sorted(Path(in_s3.disk.sample_folder, part).glob("*.parquet"))
        table = pa.concat_tables([pq.ParquetFile(path).read() for path in paths])
        assert len(table) > 0
        assert content_sha256(table, table.schema) == manifest[part]["content_sha256"]


def test_the_job_leaves_its_parts_and_its_summary(in_s3: InS3) -> None:
    """No _temporary, no _SUCCESS, and no mark of a folder."""
    files = [path for path in (in_s3.copy / f"runs/{RUN_ID}/draw").rglob("*") if path.is_file()]
    assert {path.name for path in files if path.suffix != ".parquet"} == {"summary.json"}
    assert not [path for path in files if "_temporary" in path.parts]


def test_the_map_streams_ranges(in_s3: InS3) -> None:
    """More than one item of a file, each by GETs of parts of it."""
    items = [event["item"] for name, event in in_s3.sent if name == "FilterSweep"]
    assert len({item["id"] for item in items}) > len({item["sweep"] for item in items}) == 2
    reads = [c for c in in_s3.calls if c.caller == "FilterSweep" and c.key.startswith("sweeps/")]
    assert {call.status for call in reads if call.operation == "GetObject"} == {206}


# ---- Events ----------------------------------------------------------------------------------------------


#: The events of this graph's functions; test_fetch_machine.py has the others.
EVENTS = sorted(
    {p.stem for p in (ROOT / "functions/events").glob("*.json")} - {"FetchSweep", "SummarizeFetch"}
)


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


@pytest.mark.parametrize("name", EVENTS)
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
    assert names == set(with_fetch().functions())


# ---- Roles -----------------------------------------------------------------------------------------------


def about(statement: dict[str, Any]) -> str:
    """A statement as a test names it."""
    return f"{statement['Sid']}: {statement['Action']}"


def used(call: Call) -> list[dict[str, Any]]:
    """The statements that allowed a call of a function."""
    roles = deployed().statements(f"{call.caller}Role")
    found = allowing(roles, call.in_s3.asked)
    return found + (allowing(roles, call.in_s3.asked_if_missing) if call.status == 404 else [])


def test_no_call_of_the_functions_was_refused(in_s3: InS3) -> None:
    assert len(in_s3.calls) > 100
    assert {call.caller for call in in_s3.calls} == set(deployed().functions()) - {"PublishSparkCode"}
    assert in_s3.refused_calls == []


#: Statements that these runs had no occasion to use: what they are for is that a file or an input that has
#: gone missing since gate 1 is called missing, and not forbidden.
UNUSED = {
    ("PlanFanOut", "Listing: s3:ListBucket"),
    ("SummarizeFanOut", "Sweeps: s3:GetObject"),  # of a folder of more than one file it reads the listing
    *((name, "CatalogsListing: s3:ListBucket") for name in ("PlanFanOut", "SummarizeFanOut")),
    *((name, "SweepsListing: s3:ListBucket") for name in ("FilterSweep", "ValidateManifest")),
}


def test_every_statement_about_s3_is_used(in_s3: InS3) -> None:
    granted = {
        (name, about(statement))
        for name in {call.caller for call in in_s3.calls}
        for statement in deployed().statements(f"{name}Role")
        if str(statement["Action"]).startswith("s3:")
    }
    assert granted - {(c.caller, about(s)) for c in in_s3.calls for s in used(c)} == UNUSED


def test_every_key_that_a_role_may_delete_is_deleted(in_s3: InS3) -> None:
    """No wider than what the runs deleted: each pattern of each statement was met."""
    patterns = {
        (name, resource)
        for name in deployed().functions()
        for statement in deployed().statements(f"{name}Role")
        if statement["Action"] == "s3:DeleteObject"
        for resource in as_list(statement["Resource"])
    }
    deleted = [call for call in in_s3.calls if call.operation == "DeleteObject"]
    assert patterns == {
        (name, resource)
        for name, resource in patterns
        for call in deleted
        if call.caller == name and like(resource, call.in_s3.asked.resource)
    }


def test_a_bucket_with_a_key_of_the_institutions(in_s3: InS3) -> None:
    before = in_s3.keys(PUBLISHED)
    stack = Deployed(KmsKeyArn=KEY)
    try:
        in_s3.functions.grant(in_s3.functions.roles, KEY)  # of a stack that was not told of the key
        refused = in_s3.invoke("PublishManifest")
        in_s3.functions.grant({n: stack.statements(f"{n}Role") for n in stack.functions()}, KEY)
        in_s3.delete(f"{PUBLISHED}/manifest.json", f"{PUBLISHED}/README.md")
        published = in_s3.invoke("PublishManifest")
    finally:
        in_s3.functions.grant(in_s3.functions.roles)
    assert "kms:Decrypt is not granted" in refused["errorMessage"]
    assert published is None
    assert in_s3.keys(PUBLISHED) == before


def without(sid: str) -> dict[str, list[dict[str, Any]]]:
    """The functions' roles without the statements of a name."""
    roles = {name: deployed().statements(f"{name}Role") for name in deployed().functions()}
    return {name: [s for s in statements if s["Sid"] != sid] for name, statements in roles.items()}


@pytest.mark.parametrize(
    ("sid", "key", "said"),
    [
        ("WritesWhatPassed", "README.md", "s3:PutObject is not granted"),
        ("RemovesWhatAPublicationThatWasCutShortLeft", "left", "s3:DeleteObject is not granted"),
        ("Manifests", "README.md", "access denied"),
        ("Listing", "README.md", "access denied"),  # it is missing, which S3 does not say to this role
    ],
)
def test_a_missing_statement_is_met_at_the_call(in_s3: InS3, sid: str, key: str, said: str) -> None:
    before = in_s3.keys(PUBLISHED)
    in_s3.delete(f"{PUBLISHED}/manifest.json", f"{PUBLISHED}/README.md")
    if key == "left":
        s3_of(in_s3.url).put_object(Bucket=BUCKET, Key=LEFT[0], Body=b"left")
    try:
        in_s3.functions.grant(without(sid))
        error = in_s3.invoke("PublishManifest")
    finally:
        in_s3.functions.grant(in_s3.functions.roles)
    assert error is not None
    assert said in error["errorMessage"], error
    assert in_s3.functions.calls[-1].status == 403
    assert in_s3.invoke("PublishManifest") is None
    assert in_s3.keys(PUBLISHED) == before
