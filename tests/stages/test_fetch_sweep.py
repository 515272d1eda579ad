"""One file from the survey's server into S3: what the bucket holds in the end, whatever went wrong before."""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from s3_faults import S3Faults, with_s3_faults
from surveyserver import A, Survey, serving

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.schema.fetch import LAST_SECONDS, FetchedFile, FetchFiles, FetchItem, FetchStep
from lensneg.stages import fetch_sweep as stage
from lensneg.stages.fetch_sweep import fetch_sweep
from lensneg.storage import multipart
from lensneg.survey.server import Server

#: The smallest part here, so that files are small. tests/stack/test_fetch_machine.py has that of S3.
PART = 1 << 18
#: Two parts and a third one.
DATA = random.Random(1).randbytes(2 * PART + 50_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "PART", PART)
    monkeypatch.setattr(multipart, "SMALLEST_PART", PART)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", PART)


@pytest.fixture
def survey() -> Iterator[Survey]:
    with serving({A: DATA}) as survey:
        survey.etags[A] = '"one"'
        yield survey


@pytest.fixture
def files(s3: str) -> FetchFiles:
    return FetchFiles.below(f"{s3}/fetch", "first")


def fetch(
    survey: Survey,
    files: FetchFiles,
    step: FetchStep | None = None,
    seconds: float = 900.0,
) -> FetchStep:
    server = Server(survey.url, attempts=3, backoff=0.001)
    item = FetchItem(name=A, sha256=SHA256)
    return fetch_sweep(files, "s3://sky/sweeps", item, step or FetchStep(), server, seconds)


def cut_short(survey: Survey, files: FetchFiles, sha256: str = SHA256) -> FetchStep:
    """An invocation whose time is over when a part and 1,000 bytes have come."""
    server, write = Server(survey.url, attempts=3, backoff=0.001), stage._Parts.write
    survey.faults[A] = [("drop", PART + 1000)]

    def end(self: stage._Parts, data: bytes) -> None:
        write(self, data)
        if self.tell() == PART + 1000:
            server.stop.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage._Parts, "write", end)
        item = FetchItem(name=A, sha256=sha256)
        return fetch_sweep(files, "s3://sky/sweeps", item, FetchStep(), server, 900.0)


def objects() -> dict[str, int]:
    """All objects, and every version of them, with their sizes."""
    found = storage.s3_client().list_object_versions(Bucket="sky").get("Versions", [])
    return {entry["Key"]: entry["Size"] for entry in found}


def is_there() -> None:
    """The file is in the bucket with its checksum, and nothing of its upload is."""
    assert storage.read_bytes(f"s3://sky/sweeps/{A}") == DATA
    assert storage.metadata(f"s3://sky/sweeps/{A}") == {"sha256": SHA256}
    assert objects() == {
        f"sweeps/{A}": len(DATA),
        f"fetch/first/fetched/{A}.json": pytest.approx(200, abs=60),
    }
    assert "Uploads" not in storage.s3_client().list_multipart_uploads(Bucket="sky")


def start_of(asked: str) -> int:
    """The first byte of a range."""
    return int(asked.removeprefix("bytes=").rstrip("-"))


@contextmanager
def denied(operation: str, below: str = "") -> Iterator[list[str]]:
    """S3 denies an operation below a prefix. moto, which would do it all the same, does not hear of it."""
    seen: list[str] = []

    def deny(request: Any, **_: Any) -> None:
        key = urlsplit(request.url).path.lstrip("/")
        if key.startswith(below):
            seen.append(key)
            refusal = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(refusal, operation)  # type: ignore[arg-type]

    events = storage.s3_client().meta.events
    events.register_first(f"before-send.s3.{operation}", deny)
    try:
        yield seen
    finally:
        events.unregister(f"before-send.s3.{operation}", deny)


def test_a_file_comes_in_parts_and_is_checked_before_it_has_its_name(
    survey: Survey, files: FetchFiles
) -> None:
    storage.s3_client().put_bucket_versioning(Bucket="sky", VersioningConfiguration={"Status": "Enabled"})
    with with_s3_faults(S3Faults(0.0)) as calls:
        step = fetch(survey, files)
    assert (step.whole, step.invocations, step.idle) == (True, 1, 0)
    assert calls.requests["UploadPart"] == 3
    is_there()  # a version that stayed would be paid for
    done = FetchedFile.read(files.fetched(A))
    assert (done.name, done.outcome, done.size, done.invocations) == (A, "fetched", len(DATA), 1)


def test_a_connection_that_is_cut_goes_on_where_it_was(survey: Survey, files: FetchFiles) -> None:
    survey.faults[A] = [("drop", PART + 7), ("drop", 11)]
    assert fetch(survey, files).whole
    is_there()
    assert survey.gets(A) == ["", f"bytes={PART + 7}-", f"bytes={PART + 18}-"]
    assert survey.sent[A] == len(DATA)


def test_parts_outlive_a_server_that_breaks_down(survey: Survey, files: FetchFiles) -> None:
    survey.faults[A] = [("drop", PART + 9), *[("busy", 500)] * 4]
    with pytest.raises(TransientError, match="the server answers 500"):
        fetch(survey, files)
    assert fetch(survey, files, FetchStep()).whole  # as the state machine's retry does
    is_there()
    assert start_of(survey.gets(A)[-1]) >= PART


def test_a_file_that_takes_longer_than_an_invocation_goes_on_in_the_next(
    survey: Survey, files: FetchFiles
) -> None:
    first = cut_short(survey, files)
    assert (first.whole, first.idle, first.wait_seconds) == (False, 0, 1)
    assert not storage.exists(f"s3://sky/sweeps/{A}")
    second = fetch(survey, files, first)
    assert (second.whole, second.invocations) == (True, 2)
    assert second.seconds > first.seconds > 0
    is_there()
    assert survey.gets(A)[0] == ""
    assert start_of(survey.gets(A)[1]) >= PART
    assert FetchedFile.read(files.fetched(A)).invocations == 2


def test_an_invocation_ends_before_its_time_is_over(survey: Survey, files: FetchFiles) -> None:
    survey.faults[A] = [("stall", 1000)]
    survey.on_stall = partial(time.sleep, 0.4)
    step = fetch(survey, files, seconds=LAST_SECONDS + 0.1)
    assert (step.whole, step.idle) == (False, 1)


def test_less_than_a_part_is_kept_if_s3_takes_it(
    survey: Survey, files: FetchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "PART", 2 * PART)
    first = cut_short(survey, files)
    assert (first.whole, first.idle) == (False, 0)
    assert fetch(survey, files, first).whole
    is_there()
    assert start_of(survey.gets(A)[1]) >= PART


def test_an_invocation_in_which_too_little_comes_is_counted(survey: Survey, files: FetchFiles) -> None:
    step = FetchStep()
    for idle in range(1, 6):
        survey.faults[A] = [("stall", 1000)]
        survey.on_stall = partial(time.sleep, 0.05)
        step = fetch(survey, files, step, seconds=0)
        assert (step.whole, step.idle) == (False, idle)
    with pytest.raises(TransientError, match="nothing was stored, 6 times in a row after 0 bytes"):
        fetch(survey, files, step, seconds=0)


def test_a_file_that_changes_in_the_archive_begins_anew(survey: Survey, files: FetchFiles) -> None:
    """The bytes that are there are those of another version: nothing of both is mixed."""
    survey.files[A] = DATA[::-1]
    survey.etags[A] = '"old"'
    first = cut_short(survey, files)
    assert not first.whole
    survey.files[A], survey.etags[A] = DATA, '"new"'
    assert fetch(survey, files, first).whole
    is_there()
    assert survey.gets(A)[1].startswith("bytes=")
    assert survey.sent[A] >= len(DATA)


def test_a_wrong_checksum_is_tried_once_more(survey: Survey, files: FetchFiles) -> None:
    survey.faults[A] = [("wrong", PART + 3)]
    first = fetch(survey, files)
    assert not first.whole
    assert len(first.wrong) == 64
    assert objects() == {}
    assert fetch(survey, files, first).whole
    is_there()


def test_a_checksum_that_is_wrong_twice_fails_the_file(survey: Survey, files: FetchFiles) -> None:
    survey.always_wrong.add(A)
    first = fetch(survey, files)
    with pytest.raises(InputError, match=rf"{A}: its SHA-256 is .* the list of checksums says .* twice"):
        fetch(survey, files, first)
    assert objects() == {}


@pytest.mark.parametrize("kind", ["later", "too many"])
def test_a_short_pause_is_waited_for_and_a_long_one_left_to_the_state_machine(
    survey: Survey, files: FetchFiles, kind: str
) -> None:
    survey.faults[A] = [("drop", PART + 5), (kind, 1), ("drop", 10), (kind, 90)]
    step = fetch(survey, files)
    assert (step.whole, step.wait_seconds, step.idle) == (False, 90, 0)
    assert fetch(survey, files, step).whole
    is_there()
    assert start_of(survey.gets(A)[-1]) >= PART


def test_a_pause_of_hours_fails_the_file(survey: Survey, files: FetchFiles) -> None:
    survey.faults[A] = [("later", 3601)]
    with pytest.raises(TransientError, match="asks for a pause of 3,601 s"):
        fetch(survey, files)


def test_what_is_there_is_not_fetched(survey: Survey, files: FetchFiles) -> None:
    storage.s3_client().put_object(
        Bucket="sky", Key=f"sweeps/{A}", Body=b"as it is", Metadata={"sha256": SHA256}
    )
    storage.write_bytes(files.incoming(A), b"of an invocation that died after the copy")
    assert fetch(survey, files).whole
    assert survey.log == []
    assert FetchedFile.read(files.fetched(A)).outcome == "there already"
    assert not storage.exists(files.incoming(A))


@pytest.mark.parametrize(("there", "gets"), [(DATA, 0), (DATA[:-1] + b"x", 1)])
def test_what_is_there_without_a_checksum_is_read(
    survey: Survey, files: FetchFiles, there: bytes, gets: int
) -> None:
    storage.write_bytes(f"s3://sky/sweeps/{A}", there)
    assert fetch(survey, files).whole
    assert len(survey.gets(A)) == gets
    assert storage.read_bytes(f"s3://sky/sweeps/{A}") == DATA


def test_an_upload_for_another_checksum_is_not_continued(survey: Survey, files: FetchFiles) -> None:
    assert not cut_short(survey, files, sha256="0" * 64).whole
    assert fetch(survey, files).whole
    is_there()
    assert survey.gets(A) == ["", ""]


def test_a_throttled_s3_is_waited_for(
    survey: Survey, files: FetchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    faults = S3Faults(0.3, kinds=("SlowDown", "InternalError", "answer lost"), seed=3)
    with with_s3_faults(faults):
        assert fetch(survey, files).whole
    assert faults.injected.total() > 4
    assert storage.read_bytes(f"s3://sky/sweeps/{A}") == DATA
    assert not storage.exists(files.incoming(A))


def test_an_s3_that_stays_busy_is_left_to_the_retries_of_the_state(
    survey: Survey, files: FetchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    faults = S3Faults(1.0, kinds=("SlowDown",))
    with with_s3_faults(faults), pytest.raises(TransientError, match="busy"):
        fetch(survey, files)
    assert faults.injected["SlowDown"] == 8
    assert fetch(survey, files).whole
    is_there()


@pytest.mark.parametrize(
    ("operation", "below", "named"),
    [
        ("CreateMultipartUpload", "fetch/", f"s3://sky/fetch/incoming/{A}"),
        ("UploadPart", "fetch/", f"s3://sky/fetch/incoming/{A}"),
        ("CopyObject", "sweeps/", f"s3://sky/sweeps/{A}"),
    ],
)
def test_a_denied_write_fails_the_file(
    survey: Survey, files: FetchFiles, operation: str, below: str, named: str
) -> None:
    with (
        denied(operation, below) as seen,
        pytest.raises(InputError, match=f"{named}: access denied; grant this role access to it"),
    ):
        fetch(survey, files)
    assert len(seen) == 1, "it would be denied again"
    assert not storage.exists(f"s3://sky/sweeps/{A}")


def interrupted_at(operation: str, request: Callable[..., FetchStep]) -> None:
    """An invocation dies right before a request, as if it was killed."""
    with denied(operation), pytest.raises(InputError):
        request()


@pytest.mark.parametrize("operation", ["CompleteMultipartUpload", "CopyObject", "DeleteObject"])
def test_an_invocation_that_died_is_continued(survey: Survey, files: FetchFiles, operation: str) -> None:
    interrupted_at(operation, partial(fetch, survey, files))
    assert fetch(survey, files).whole
    assert storage.read_bytes(f"s3://sky/sweeps/{A}") == DATA
    assert not storage.exists(files.incoming(A))
    assert not storage.exists(files.upload(A))
    assert survey.sent[A] == len(DATA), "no byte came twice"


def test_parts_are_completed_with_their_checksums(s3: str) -> None:
    """S3 refuses to complete an upload with checksums if they are not named. It lists them; moto does not."""
    sent: list[bytes] = []

    def keep(request: Any, **_: Any) -> None:
        sent.append(request.body)

    def add(parsed: dict[str, Any], **_: Any) -> None:
        for part in parsed.get("Parts", []):
            part["ChecksumCRC32"] = f"crc{part['PartNumber']}="

    events = storage.s3_client().meta.events
    events.register("after-call.s3.ListParts", add)
    events.register_first("before-send.s3.CompleteMultipartUpload", keep)
    try:
        upload = multipart.begin(f"{s3}/a")
        multipart.put_part(f"{s3}/a", upload, 1, b"a")
        multipart.complete(f"{s3}/a", upload)
    finally:
        events.unregister("after-call.s3.ListParts", add)
        events.unregister("before-send.s3.CompleteMultipartUpload", keep)
    assert b"<ChecksumCRC32>crc1=</ChecksumCRC32>" in sent[0]


def test_a_completion_whose_answer_was_lost_is_one(s3: str) -> None:
    """botocore sends it again, and S3 does not know the upload any more."""
    upload = multipart.begin(f"{s3}/a")
    multipart.put_part(f"{s3}/a", upload, 1, b"a")

    def lose(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "CompleteMultipartUpload")

    events = storage.s3_client().meta.events
    events.register_first("before-send.s3.CompleteMultipartUpload", lose)
    try:
        multipart.complete(f"{s3}/a", upload)
    finally:
        events.unregister("before-send.s3.CompleteMultipartUpload", lose)


def test_an_upload_that_s3_has_discarded_begins_anew(survey: Survey, files: FetchFiles) -> None:
    """The bucket's rule aborts uploads after three days."""
    first = cut_short(survey, files)
    [upload] = storage.s3_client().list_multipart_uploads(Bucket="sky")["Uploads"]
    multipart.abort(files.incoming(A), upload["UploadId"])
    with pytest.raises(TransientError, match="the upload is not there any more"):
        multipart.complete(files.incoming(A), upload["UploadId"])
    assert fetch(survey, files, first).whole
    is_there()
    assert survey.gets(A) == ["", ""]


def test_a_large_object_is_copied_in_parts(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "COPY_PART", 5 << 20)  # the library takes no smaller one
    storage.write_bytes(f"{s3}/a", bytes(11_000_000))
    with with_s3_faults(S3Faults(0.0)) as calls:
        multipart.copy(f"{s3}/a", f"{s3}/b", {"sha256": SHA256})
    assert calls.requests["UploadPartCopy"] == 3
    assert storage.stat(f"{s3}/b").size == 11_000_000
    assert storage.metadata(f"{s3}/b") == {"sha256": SHA256}
