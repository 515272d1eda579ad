"""The removal of objects with their versions: of those below a prefix, and of nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lensneg.aws import removal
from lensneg.aws.calls import Aws
from lensneg.aws.removal import put_back_latest, refuse_what_is_there, remove_below
from lensneg.errors import InputError, LensnegError
from lensneg.schema.publication import Latest

EARLIER = datetime.now(UTC) - timedelta(hours=1)


def latest(run_id: str) -> bytes:
    record = Latest(run_id=run_id, manifest="m", config_sha256="c", started_at="s", published_at="p")
    return record.model_dump_json().encode()


@pytest.fixture
def client(s3: str) -> Any:
    """S3 with the bucket ``sky``, which keeps versions."""
    client = boto3.client("s3")
    client.put_bucket_versioning(Bucket="sky", VersioningConfiguration={"Status": "Enabled"})
    return client


@pytest.fixture
def plain(s3: str) -> Any:
    """S3 with the bucket ``sky``, which keeps no versions."""
    return boto3.client("s3")


def everything(client: Any) -> set[tuple[str, str]]:
    found = client.list_object_versions(Bucket="sky")
    entries = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    return {(entry["Key"], entry["VersionId"]) for entry in entries}


def test_all_versions_and_markers_below_a_prefix_go_and_no_other_object(client: Any) -> None:
    for key in ("a/smoke-1", "a/smoke-10/x", "a/smoke-2/x", "b/smoke-1/x"):
        client.put_object(Bucket="sky", Key=key, Body=b"theirs")
    client.delete_object(Bucket="sky", Key="a/smoke-2/x")
    before = everything(client)
    for body in (b"one", b"two"):
        client.put_object(Bucket="sky", Key="a/smoke-1/x", Body=body)
    client.delete_object(Bucket="sky", Key="a/smoke-1/x")
    assert remove_below(Aws(), "sky", ["a/smoke-1/"]) == 3
    assert everything(client) == before


def test_more_objects_than_one_call_may_name_are_removed(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_OBJECTS_PER_CALL", 2)
    for i in range(5):
        plain.put_object(Bucket="sky", Key=f"a/{i}", Body=b"x")
    assert remove_below(Aws(), "sky", ["a/"]) == 5
    assert everything(plain) == set()


def test_what_s3_does_not_remove_is_an_error_that_names_it() -> None:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        version = {"Key": "a/x", "VersionId": "v1", "LastModified": EARLIER, "ETag": '"e"'}
        stubber.add_response(
            "list_object_versions", {"Versions": [version]}, {"Bucket": "sky", "Prefix": "a/"}
        )
        stubber.add_response(
            "delete_objects",
            {"Errors": [{"Key": "a/x", "Code": "AccessDenied", "Message": "Access Denied"}]},
            {"Bucket": "sky", "Delete": {"Objects": [{"Key": "a/x", "VersionId": "v1"}], "Quiet": True}},
        )
        with pytest.raises(InputError, match=r"a/x for example: Access Denied.*grant s3:DeleteObjectVersion"):
            remove_below(Aws(make_client=lambda _: client), "sky", ["a/"])


def test_objects_that_arrive_again_and_again_are_an_error() -> None:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        for _ in range(5):
            version = {"Key": "a/x", "VersionId": "v1", "LastModified": EARLIER, "ETag": '"e"'}
            stubber.add_response("list_object_versions", {"Versions": [version]})
            stubber.add_response("delete_objects", {})
        with pytest.raises(LensnegError, match="a/x for example; remove them"):
            remove_below(Aws(make_client=lambda _: client), "sky", ["a/"])


def test_a_prefix_in_use_is_refused_also_if_only_a_delete_marker_is_left(client: Any) -> None:
    refuse_what_is_there(Aws(), "sky", ["a/smoke-1/"])
    version = client.put_object(Bucket="sky", Key="a/smoke-1/x", Body=b"x")["VersionId"]
    client.delete_object(Bucket="sky", Key="a/smoke-1/x")
    client.delete_object(Bucket="sky", Key="a/smoke-1/x", VersionId=version)
    with pytest.raises(InputError, match="there is a/smoke-1/x already"):
        refuse_what_is_there(Aws(), "sky", ["b/smoke-1/", "a/smoke-1/"])


def put_back(before: bytes | None) -> str:
    return put_back_latest(Aws(), "sky", "out/latest.json", "smoke-1", before, EARLIER)


def test_with_versions_only_the_runs_own_version_goes(client: Any) -> None:
    for run_id in ("first", "second"):
        client.put_object(Bucket="sky", Key="out/latest.json", Body=latest(run_id))
    client.put_object(Bucket="sky", Key="out/latest.json.old", Body=latest("smoke-1"))
    before = everything(client)
    for _ in range(2):
        client.put_object(Bucket="sky", Key="out/latest.json", Body=latest("smoke-1"))
    assert put_back(latest("second")) == "latest.json is as it was"
    assert everything(client) == before
    assert client.get_object(Bucket="sky", Key="out/latest.json")["Body"].read() == latest("second")


def test_with_versions_a_later_publication_of_someone_else_stays_the_latest(client: Any) -> None:
    for run_id in ("first", "smoke-1", "second"):
        client.put_object(Bucket="sky", Key="out/latest.json", Body=latest(run_id))
    put_back(latest("first"))
    assert client.get_object(Bucket="sky", Key="out/latest.json")["Body"].read() == latest("second")
    assert len(everything(client)) == 2


@pytest.mark.parametrize("body", [latest("other"), b"damaged", None])
def test_without_versions_what_does_not_name_the_run_stays(plain: Any, body: bytes | None) -> None:
    if body:
        plain.put_object(Bucket="sky", Key="out/latest.json", Body=body)
    assert put_back(latest("first")) == "latest.json is as it was"
    assert bool(everything(plain)) == bool(body)


def test_without_versions_the_earlier_content_is_written_back(plain: Any) -> None:
    plain.put_object(Bucket="sky", Key="out/latest.json", Body=latest("smoke-1"))
    assert put_back(latest("first")) == "latest.json names the run that it named before"
    assert plain.get_object(Bucket="sky", Key="out/latest.json")["Body"].read() == latest("first")


def test_without_versions_what_was_not_there_before_is_removed(plain: Any) -> None:
    plain.put_object(Bucket="sky", Key="out/latest.json", Body=latest("smoke-1"))
    assert put_back(None) == "latest.json is removed, as there was none"
    assert everything(plain) == set()


@pytest.mark.parametrize("before", [latest("first"), None])
def test_without_versions_a_publication_at_the_same_moment_wins(plain: Any, before: bytes | None) -> None:
    """Someone else publishes after latest.json was read, before it is written back or removed."""
    plain.put_object(Bucket="sky", Key="out/latest.json", Body=latest("smoke-1"))

    def publish(**_: Any) -> None:
        events.unregister(name, publish)
        plain.put_object(Bucket="sky", Key="out/latest.json", Body=latest("second"))

    aws = Aws()
    events = aws.client("s3").meta.events
    name = f"before-call.s3.{'PutObject' if before else 'DeleteObject'}"
    events.register(name, publish)
    told = put_back_latest(aws, "sky", "out/latest.json", "smoke-1", before, EARLIER)
    assert told == "latest.json was written by someone else"
    assert plain.get_object(Bucket="sky", Key="out/latest.json")["Body"].read() == latest("second")
