"""Storage: the same behaviour on a disk and in S3, whole files or none, and errors that tell."""

import errno
import hashlib
import json
import os
import stat as stat_module
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from moto.core.botocore_stubber import MockRawResponse
from s3_faults import S3Faults, with_s3_faults

from lensneg import storage
from lensneg.errors import InputError, StorageError, TransientError
from lensneg.storage import multipart


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder on the disk, or a prefix of an empty bucket."""
    if request.param == "disk":
        return str(tmp_path / "data")
    return f"{request.getfixturevalue('s3')}/data"


def files_in(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------- both


def test_what_is_written_is_read(root: str) -> None:
    uri = storage.join(root, "a", "b.bin")
    data = bytes(range(256)) * 100
    assert storage.write_bytes(uri, data) is True
    assert storage.read_bytes(uri) == data
    assert storage.write_bytes(uri, b"new") is True
    assert storage.read_bytes(uri) == b"new"


def test_an_empty_file(root: str) -> None:
    uri = storage.join(root, "empty")
    storage.write_bytes(uri, b"")
    assert storage.read_bytes(uri) == b""
    assert storage.stat(uri).size == 0


def test_a_file_that_is_made_piece_by_piece(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In S3 in parts, of which all but the last are of one size."""
    monkeypatch.setattr(multipart, "PART", multipart.SMALLEST_PART)
    uri = storage.join(root, "a", "b.bin")
    pieces = [bytes([i]) * size for i, size in enumerate((1, 7 << 20, 0, 6 << 20, 3))]
    assert storage.write_chunks(uri, iter(pieces)) == (13 << 20) + 4
    assert storage.read_bytes(uri) == b"".join(pieces)
    assert storage.write_chunks(uri, []) == 0
    assert storage.read_bytes(uri) == b""


def test_a_piece_that_cannot_be_made_leaves_the_old_file(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "PART", multipart.SMALLEST_PART)
    uri = storage.join(root, "a.bin")
    storage.write_bytes(uri, b"old")

    def pieces() -> Iterator[bytes]:
        yield bytes(6 << 20)
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        storage.write_chunks(uri, pieces())
    assert storage.read_bytes(uri) == b"old"
    if storage.is_s3(uri):
        assert "Uploads" not in storage.s3_client().list_multipart_uploads(Bucket="sky")
    else:
        assert files_in(Path(root)) == ["a.bin"]


@pytest.mark.parametrize(
    ("start", "size", "expected"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (3, None, b"3456789"), (9, 1, b"9"), (8, 100, b"89")],
)
def test_a_range(root: str, start: int, size: int | None, expected: bytes) -> None:
    uri = storage.join(root, "digits")
    storage.write_bytes(uri, b"0123456789")
    assert storage.read_bytes(uri, start, size) == expected


def test_a_file_that_is_not_there(root: str) -> None:
    uri = storage.join(root, "nothing")
    storage.write_bytes(storage.join(root, "other"), b"x")
    assert not storage.exists(uri)
    for act in (storage.read_bytes, storage.read_json, storage.stat):
        with pytest.raises(FileNotFoundError, match="nothing"):
            act(uri)
    with pytest.raises(FileNotFoundError):
        storage.open_range(uri, 0, 1)


def test_stat_tells_size_and_a_tag_that_changes_with_the_bytes(root: str) -> None:
    uri = storage.join(root, "a")
    storage.write_bytes(uri, b"one")
    first = storage.stat(uri)
    assert (first.uri, first.size) == (uri, 3)
    assert storage.stat(uri) == first
    time.sleep(0.02)  # a disk's clock may tick a hundred times a second
    storage.write_bytes(uri, b"two")
    assert storage.stat(uri).etag != first.etag


def test_files_are_listed_at_any_depth_in_order(root: str) -> None:
    for name in ("b", "a/2", "a/10", "a/1/x", "a.x", "Z"):
        storage.write_bytes(storage.join(root, *name.split("/")), name.encode())
    storage.write_bytes(root + "-beside", b"not below the folder")
    listed = storage.list_files(root)
    names = [info.uri.removeprefix(root + "/") for info in listed]
    assert names == ["Z", "a.x", "a/1/x", "a/10", "a/2", "b"]
    assert [info.size for info in listed] == [len(name) for name in names]
    assert listed == [storage.stat(info.uri) for info in listed]


def test_if_absent_leaves_what_is_there(root: str) -> None:
    uri = storage.join(root, "run.json")
    assert storage.write_bytes(uri, b"first", if_absent=True) is True
    assert storage.write_bytes(uri, b"second", if_absent=True) is False
    assert storage.read_bytes(uri) == b"first"
    assert [info.uri for info in storage.list_files(root)] == [uri]


def test_json_round_trip(root: str) -> None:
    uri = storage.join(root, "a.json")
    value = {"b": [1, 2.5, None, True], "a": "α"}
    assert storage.write_json(uri, value) is True
    assert storage.read_json(uri) == value
    assert json.loads(storage.read_bytes(uri).decode("utf-8")) == value
    assert storage.write_json(uri, {}, if_absent=True) is False


def test_json_has_no_nan(root: str) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(storage.join(root, "a.json"), float("nan"))
    assert not storage.exists(storage.join(root, "a.json"))


def test_delete(root: str) -> None:
    uri = storage.join(root, "a")
    storage.write_bytes(uri, b"x")
    storage.delete(uri)
    assert not storage.exists(uri)
    storage.delete(uri)


def test_a_hash_is_that_of_all_bytes(root: str) -> None:
    """Of more than are held at once."""
    data = bytes(range(256)) * 12_345
    storage.write_bytes(f"{root}/data", data)
    assert storage.sha256(f"{root}/data", len(data)) == hashlib.sha256(data).hexdigest()
    with pytest.raises(FileNotFoundError):
        storage.sha256(f"{root}/none", 7)


@pytest.mark.parametrize(("start", "size"), [(0, 10), (2, 5), (9, 1), (0, 3)])
@pytest.mark.parametrize("step", [1, 4, 100])
def test_a_stream_of_a_range(root: str, start: int, size: int, step: int) -> None:
    uri = storage.join(root, "digits")
    storage.write_bytes(uri, b"0123456789")
    reader = storage.open_range(uri, start, size)
    read = b""
    buffer = bytearray(step)
    while count := reader.readinto(memoryview(buffer)):
        read += bytes(buffer[:count])
    reader.close()
    assert read == b"0123456789"[start : start + size]


def test_a_stream_ends_where_the_file_ends(root: str) -> None:
    uri = storage.join(root, "digits")
    storage.write_bytes(uri, b"0123456789")
    reader = storage.open_range(uri, 8, 100)
    buffer = bytearray(100)
    assert reader.readinto(memoryview(buffer)) == 2
    assert reader.readinto(memoryview(buffer)) == 0
    reader.close()


@pytest.mark.parametrize("size", [0, -1])
def test_a_stream_of_nothing_is_refused(root: str, size: int) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        storage.open_range(storage.join(root, "a"), 0, size)


# ---------------------------------------------------------------- the disk


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    uri = str(tmp_path / "a")
    storage.write_bytes(uri, b"old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(
        StorageError, match=f"{uri}: the disk is full .no space left.*free some space there, and start again$"
    ):
        storage.write_bytes(uri, b"new, and longer")
    assert files_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_first_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError, match=r"no space left.*free some space"):
        storage.write_bytes(str(tmp_path / "a"), b"new", if_absent=True)
    assert files_in(tmp_path) == []


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the bytes are being written, the name still stands for the old file."""
    uri = str(tmp_path / "a")
    storage.write_bytes(uri, b"old")
    seen = []
    fsync = os.fsync

    def look(handle: int) -> None:
        seen.append((storage.read_bytes(uri), [info.uri for info in storage.list_files(str(tmp_path))]))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", look)
    storage.write_bytes(uri, b"new")
    assert seen == [(b"old", [uri])]


def test_one_of_many_writers_wins(tmp_path: Path) -> None:
    uri = str(tmp_path / "run.json")

    def write(writer: int) -> bool:
        return storage.write_bytes(uri, b"%d" % writer, if_absent=True)

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(write, range(24)))
    assert won.count(True) == 1
    assert storage.read_bytes(uri) == b"%d" % won.index(True)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@pytest.mark.parametrize("if_absent", [False, True])
def test_a_file_has_the_permissions_that_the_umask_allows(
    tmp_path: Path, umask: int, mode: int, if_absent: bool
) -> None:
    before = os.umask(umask)
    try:
        storage.write_bytes(str(tmp_path / "new" / "a"), b"x", if_absent=if_absent)
    finally:
        os.umask(before)
    assert stat_module.S_IMODE((tmp_path / "new" / "a").stat().st_mode) == mode
    assert stat_module.S_IMODE((tmp_path / "new").stat().st_mode) == 0o777 & ~umask


def test_hidden_files_are_not_listed(tmp_path: Path) -> None:
    for name in (".a.123", "b"):
        (tmp_path / name).touch()
    assert [storage.basename(info.uri) for info in storage.list_files(str(tmp_path))] == ["b"]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for act in (storage.read_bytes, lambda uri: storage.open_range(uri, 0, 1)):
        with pytest.raises(InputError, match="pipe: neither a file nor a folder"):
            act(str(tmp_path / "pipe"))


def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "broken").symlink_to(tmp_path / "nowhere")
    assert [info.uri for info in storage.list_files(str(tmp_path))] == [str(tmp_path / "a" / "file")]
    assert storage.list_non_files(str(tmp_path), []) == [str(tmp_path / p) for p in ("a", "a/broken", "a/up")]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "a" / "b"), b"whole")
    (tmp_path / "a" / ".writing-b.x7").touch()
    (tmp_path / "a" / ".other").touch()
    storage.remove_temporary_files(str(tmp_path))
    assert files_in(tmp_path) == ["a/.other", "a/b"]


def test_on_aws_a_file_of_the_function_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc/self/environ holds the role's keys, and an error message could quote it."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lensneg-Preflight")
    for uri in ("/proc/self/environ", "file:///etc/passwd", "~/config.yaml"):
        with pytest.raises(InputError, match="on AWS every file is in S3"):
            storage.normalize(uri)
    assert storage.normalize("s3://bucket/key") == "s3://bucket/key"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        storage.list_files(str(tmp_path / "nowhere"))


# ---------------------------------------------------------------- S3


def test_an_object_in_s3_has_its_bytes_and_key(s3: str) -> None:
    storage.write_bytes(f"{s3}/a/b.bin", b"bytes")
    stored = storage.s3_client().get_object(Bucket="sky", Key="a/b.bin")
    assert stored["Body"].read() == b"bytes"
    assert storage.stat(f"{s3}/a/b.bin").etag == hashlib.md5(b"bytes").hexdigest()


def test_a_whole_bucket_is_listed(s3: str) -> None:
    for number in range(3):
        storage.write_bytes(f"{s3}/{number}", b"")
    assert [info.uri for info in storage.list_files("s3://sky")] == [f"s3://sky/{i}" for i in range(3)]


def test_the_mark_of_an_empty_folder_is_no_file(s3: str) -> None:
    """As the console of S3 and Hadoop's S3A write it."""
    for key in ("sky/", "sky/pool/", "sky/pool/a"):
        storage.s3_client().put_object(Bucket="sky", Key=key, Body=b"")
    files = storage.list_files("s3://sky")
    assert [info.uri for info in files] == ["s3://sky/sky/pool/a"]
    assert storage.list_non_files("s3://sky", files) == ["s3://sky/sky", "s3://sky/sky/pool"]


def test_more_files_than_a_page_of_a_listing_holds(s3: str) -> None:
    asked = {"Bucket": "sky", "Prefix": "pool/"}
    first, second = ([{"Key": f"pool/{n}", "Size": n, "ETag": '"e"'}] for n in (1, 2))
    with Stubber(storage.s3_client()) as stub:
        page = {"Contents": first, "IsTruncated": True, "NextContinuationToken": "more"}
        stub.add_response("list_objects_v2", page, asked)
        page = {"Contents": second, "IsTruncated": False}
        stub.add_response("list_objects_v2", page, asked | {"ContinuationToken": "more"})
        listed = storage.list_files(f"{s3}/pool")
    assert listed == [storage.FileInfo(f"s3://sky/pool/{n}", n, "e") for n in (1, 2)]


def test_a_prefix_without_files_lists_nothing(s3: str) -> None:
    assert storage.list_files(f"{s3}/nothing") == []


def test_a_bucket_that_is_not_there(s3: str, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"x")
    for act in (
        storage.read_bytes,
        storage.list_files,
        lambda uri: storage.write_bytes(uri, b"x"),
        lambda uri: storage.put_file(str(tmp_path / "b"), uri),
        lambda uri: storage.upload(tmp_path / "b", uri, {}),
    ):
        with pytest.raises(InputError) as refused:
            act("s3://nowhere/a")
        assert (refused.value.what, refused.value.where) == ("no bucket nowhere", "s3://nowhere/a")
        assert "check its name" in refused.value.remedy


def test_the_message_of_a_missing_object_is_more_than_its_name(s3: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"no such file: '{s3}/a'"):
        storage.stat(f"{s3}/a")


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [("AccessDenied", 403, InputError), ("SlowDown", 503, TransientError), ("Strange", 400, StorageError)],
)
def test_an_upload_says_why_it_fails(
    s3: str, tmp_path: Path, code: str, status: int, expected: type[Exception]
) -> None:
    (tmp_path / "b").write_bytes(b"x")
    with Stubber(storage.s3_client()) as stub:
        stub.add_client_error("put_object", code, "told by S3", http_status_code=status)
        with pytest.raises(expected, match=f"{s3}/a"):
            storage.upload(tmp_path / "b", f"{s3}/a", {})


def test_access_denied_by_a_bucket_policy(s3: str) -> None:
    storage.write_bytes(f"{s3}/a", b"secret")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": "arn:aws:s3:::sky/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    storage.s3_client().put_bucket_policy(Bucket="sky", Policy=policy)
    for act in (
        lambda: storage.read_bytes(f"{s3}/a"),
        lambda: storage.open_range(f"{s3}/a", 0, 1),
        lambda: storage.write_bytes(f"{s3}/b", b"x"),
        lambda: storage.write_bytes(f"{s3}/b", b"x", if_absent=True),
    ):
        with pytest.raises(InputError, match=r"s3://sky/[ab]: access denied; grant this role access"):
            act()


def test_access_denied_names_the_action_that_s3_names(s3: str) -> None:
    said = 'User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: s3:PutObject on resource: "b"'
    with Stubber(storage.s3_client()) as stub:
        stub.add_client_error("put_object", "AccessDenied", said, http_status_code=403)
        with pytest.raises(InputError, match="access denied: s3:PutObject is not granted; grant this role"):
            storage.write_bytes(f"{s3}/a", b"x")


def test_requesters_pay_for_the_named_buckets_alone(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 denies a read from a bucket whose requesters pay to who does not say so in a header."""
    storage.write_bytes(f"{s3}/a", b"bytes")
    storage.s3_client().create_bucket(Bucket="free")
    storage.write_bytes("s3://free/a", b"bytes")
    seen: list[str] = []

    def charge(request: Any, **_: Any) -> AWSResponse | None:
        pays = request.headers.get("x-amz-request-payer") == b"requester"
        bucket = "sky" if "sky" in request.url else "free"
        seen.append(f"{bucket} {'paid' if pays else 'free'}")
        if bucket == "sky" and not pays:
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            return AWSResponse(
                request.url, 403, {}, MockRawResponse(b"" if request.method == "HEAD" else body)
            )
        return None

    reads = [
        lambda uri: storage.read_bytes(f"{uri}/a"),
        lambda uri: storage.stat(f"{uri}/a"),
        storage.list_files,
    ]
    for named, pays in (("", False), ("other", False), ("other,sky", True)):
        monkeypatch.setenv("LENSNEG_REQUESTER_PAYS", named)
        storage.s3_client.cache_clear()
        storage.s3_client().meta.events.register_first("before-send.s3", charge)
        for read in reads:
            read("s3://free")
            if pays:
                read(s3)
                continue
            with pytest.raises(InputError, match="name the bucket in LENSNEG_REQUESTER_PAYS"):
                read(s3)
    storage.s3_client.cache_clear()
    assert Counter(seen) == {"free free": 9, "sky free": 6, "sky paid": 3}


#: What to call for each operation of S3's interface.
OPERATIONS: dict[str, Callable[[str], Any]] = {
    "get_object": storage.read_bytes,
    "head_object": storage.stat,
    "put_object": lambda uri: storage.write_bytes(uri, b"x"),
    "list_objects_v2": storage.list_files,
    "delete_object": storage.delete,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("SlowDown", 503, TransientError),
        ("InternalError", 500, TransientError),
        ("RequestTimeout", 400, TransientError),
        ("AccessDenied", 403, InputError),
        ("NoSuchBucket", 404, InputError),
        ("NoSuchKey", 404, FileNotFoundError),
    ],
)
def test_what_s3_answers(s3: str, operation: str, code: str, status: int, expected: type[Exception]) -> None:
    with Stubber(storage.s3_client()) as stub:
        stub.add_client_error(operation, code, "told by S3", http_status_code=status)
        with pytest.raises(expected, match="s3://sky/a"):
            OPERATIONS[operation](f"{s3}/a")
        stub.assert_no_pending_responses()


def test_no_connection_is_worth_another_try(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="the network")

    monkeypatch.setattr(storage.s3_client(), "get_object", fail)
    with pytest.raises(TransientError, match="s3://sky/a"):
        storage.read_bytes(f"{s3}/a")


# ---------------------------------------------------------------- URIs


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b/k/", "s3://b/k"),
        ("s3://b", "s3://b"),
        ("s3://b/", "s3://b"),
        ("/data/sweeps/", "/data/sweeps"),
        ("file:///data/sweeps", "/data/sweeps"),
    ],
)
def test_normalize(uri: str, expected: str) -> None:
    assert storage.normalize(uri) == expected


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.normalize("build/out") == str(tmp_path / "build" / "out")
    monkeypatch.setenv("HOME", "/home/astronomer")
    assert storage.normalize("~/sky") == "/home/astronomer/sky"


@pytest.mark.parametrize("uri", ["http://x/y", "gs://b/k", "s3a://b/k", "s3://", "s3:///k"])
def test_another_kind_of_uri_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match=r"expected .*s3://bucket/prefix"):
        storage.normalize(uri)


def test_parts_of_uris() -> None:
    assert storage.join("s3://b/k/", "a", "b") == "s3://b/k/a/b"
    assert storage.basename("s3://b/k/a.fits") == "a.fits"
    assert storage.basename("/data/sweeps/") == "sweeps"
    assert storage.bucket_and_key("s3://b/k/a") == ("b", "k/a")
    assert storage.bucket_and_key("/data/a") == ("local", "data/a")


def test_an_object_in_many_parts_is_read_in_order(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.s3, "PART_BYTES", 1000)
    data = bytes(range(256)) * 100
    storage.write_bytes(f"{s3}/many", data)
    reader = storage.open_range(f"{s3}/many", 37, 20_011)
    buffer, found = memoryview(bytearray(777)), b""
    while count := reader.readinto(buffer):
        found += bytes(buffer[:count])
    reader.close()
    assert found == data[37 : 37 + 20_011]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries at once; the list has how long each would have waited. Other threads sleep as they did."""
    waited: list[float] = []
    mine, sleep = threading.get_ident(), time.sleep

    def noted(seconds: float) -> None:
        if threading.get_ident() == mine:
            waited.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    return waited


def test_a_body_that_breaks_off_is_read_again(s3: str, no_waiting: list[float]) -> None:
    data = bytes(range(256)) * 40
    storage.write_bytes(f"{s3}/data", data)
    with with_s3_faults(S3Faults(0.5, seed=3, kinds=("short body",))) as faults:
        for first in range(0, 10_000, 1000):
            assert storage.read_bytes(f"{s3}/data", first, 150) == data[first : first + 150]
    assert faults.injected["short body"] > 5
    assert len(no_waiting) == faults.injected["short body"]


def test_a_body_that_always_breaks_off_is_an_error(s3: str, no_waiting: list[float]) -> None:
    storage.write_bytes(f"{s3}/data", bytes(100))
    with (
        with_s3_faults(S3Faults(1.0, kinds=("short body",))) as faults,
        pytest.raises(TransientError, match=r"s3://sky/data: .* in 6 attempts"),
    ):
        storage.read_bytes(f"{s3}/data")
    assert faults.requests["GetObject"] == 6


@pytest.mark.parametrize(
    ("code", "status", "error", "tried"),
    [
        ("SlowDown", 503, TransientError, 8),
        ("InternalError", 500, TransientError, 8),
        ("AccessDenied", 403, InputError, 1),
        ("InvalidAccessKeyId", 403, InputError, 1),
        ("InvalidRequest", 400, StorageError, 1),
        ("NoSuchKey", 404, FileNotFoundError, 1),
    ],
)
def test_only_what_may_work_again_is_tried_again(
    s3: str, no_waiting: list[float], code: str, status: int, error: type[Exception], tried: int
) -> None:
    requests = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        requests.append(request)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
        return AWSResponse(request.url, status, {"content-length": str(len(body))}, MockRawResponse(body))

    events = storage.s3_client().meta.events
    events.register_first("before-send.s3", answer)
    try:
        with pytest.raises(error, match="s3://sky/a") as caught:
            storage.read_bytes(f"{s3}/a")
    finally:
        events.unregister("before-send.s3", answer)
    assert len(requests) == tried
    assert isinstance(caught.value, TransientError) == (tried > 1)


def test_a_conditional_write_whose_answer_was_lost_is_ours(s3: str, no_waiting: list[float]) -> None:
    """botocore sends it again, and is told that the object is there: the one that it wrote itself."""
    faults = S3Faults(1.0, kinds=("answer lost",))

    def clear_up(seconds: float) -> None:
        faults.share = 0.0

    with with_s3_faults(faults), pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", clear_up)
        assert storage.write_bytes(f"{s3}/run.json", b"mine", if_absent=True) is True
    assert faults.requests["PutObject"] == 2
    assert storage.write_bytes(f"{s3}/run.json", b"another's", if_absent=True) is False
    assert storage.read_bytes(f"{s3}/run.json") == b"mine"


def test_a_range_beyond_the_end_of_an_object_is_empty(s3: str) -> None:
    storage.write_bytes(f"{s3}/short", bytes(100))
    assert storage.read_bytes(f"{s3}/short", 100, 50) == b""
    assert storage.read_bytes(f"{s3}/short", 90, 50) == bytes(10)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such names")
@pytest.mark.parametrize("name", [b"sweep-\xe9.fits", b"fold\xe9r/sweep.fits", b"fold\xe9r/.hidden"])
def test_a_name_that_is_not_text_is_named(tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").close()
    shown = rf"{tmp_path}/.*\\udce9.*: its name is not UTF-8; rename it"
    with pytest.raises(InputError, match=shown):
        _ = [storage.list_files(str(tmp_path)), storage.list_non_files(str(tmp_path), [])]
