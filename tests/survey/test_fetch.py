"""Fetching sweep files from a real HTTP server that drops connections, is busy and serves wrong bytes."""

import errno
import fcntl
import gzip
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from surveyserver import A, B, C, Survey, serving, three_sweeps

from lensneg import storage
from lensneg.errors import InputError, LensnegError, TransientError
from lensneg.survey.fetch import Fetched, FetchPlan, fetch_sweeps
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.survey.server import Server


@pytest.fixture
def sky() -> dict[str, bytes]:
    return three_sweeps()


@pytest.fixture
def survey(sky: dict[str, bytes]) -> Iterator[Survey]:
    with serving(sky) as survey:
        yield survey


class Silent:
    """A watcher that adds up."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()

    def started(self, name: str, size: int | None) -> None:
        pass

    def advanced(self, name: str, n_bytes: int) -> None:
        self.came[name] += n_bytes

    def ended(self, result: Fetched) -> None:
        pass


def fetch(survey: Survey, folder: Path | str, *names: str, compress: bool = False, jobs: int = 1,
          scratch: Path | None = None, watcher: Silent | None = None) -> list[Fetched]:  # fmt: skip
    server = Server(survey.url, attempts=3, backoff=0.001)
    checksums = server.checksums().sha256
    plan = FetchPlan(server, names or (A,), str(folder), scratch or Path(folder), compress, checksums, jobs)
    return fetch_sweeps(plan, watcher or Silent())


def test_files_arrive_whole_and_several_at_a_time(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    watcher = Silent()
    results = fetch(survey, tmp_path, A, B, C, jobs=2, watcher=watcher)
    assert [(r.name, r.outcome) for r in results] == [(n, "fetched") for n in (A, B, C)]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {n: sky[n] for n in (A, B, C)}
    assert watcher.came == {name: len(sky[name]) for name in (A, B, C)}
    assert survey.most_at_once <= 2


def test_two_fetches_into_one_folder_write_no_file_together(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    others: list[Fetched] = []

    class Beside(Silent):
        """Runs another fetch into the same folder while the bytes of the first come."""

        def advanced(self, name: str, n_bytes: int) -> None:
            super().advanced(name, n_bytes)
            if not others and self.came[name]:
                others.extend(fetch(survey, tmp_path, A, B))

    survey.faults[A] = [("drop", 100_000)]
    (first,) = fetch(survey, tmp_path, watcher=Beside())
    assert [other.outcome for other in others] == ["failed", "fetched"]
    part = tmp_path / f".{A}.part"
    assert others[0].reason == f"{part}: another process fetches it; wait for its end, or name another folder"
    assert first.outcome == "fetched"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {n: sky[n] for n in (A, B)}
    assert fetch(survey, tmp_path, A, B)[0].outcome == "there already"


def test_a_file_that_another_process_has_just_finished_is_left_alone(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def just_before(file: BinaryIO, how: int) -> None:
        monkeypatch.undo()
        os.replace(tmp_path / f".{A}.part", tmp_path / A)  # by the holder of the lock, who then ends
        lock(file, how)

    (tmp_path / f".{A}.part").write_bytes(sky[A])
    monkeypatch.setattr(fcntl, "flock", just_before)
    assert fetch(survey, tmp_path)[0].outcome == "there already"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(A, sky[A])]
    assert survey.gets(A) == []


def test_the_lock_of_a_fetch_that_was_killed_is_free(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    script = "import sys, time, pathlib; from lensneg.survey.part_file import sole_writer\n"
    script += "with sole_writer(pathlib.Path(sys.argv[1])) as file:\n"
    script += "    file.write(bytes(50_000)); file.flush(); print('locked', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script, str(tmp_path / f".{A}.part")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        assert "another process fetches it" in fetch(survey, tmp_path)[0].reason
        other.kill()
        other.wait()
    assert fetch(survey, tmp_path)[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A], "none of the zeros that the other left"


def test_a_dropped_connection_goes_on_from_where_it_broke(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    survey.faults[A] = [("drop", 100_000), ("drop", 50_000), ("drop", 1)]
    (result,) = fetch(survey, tmp_path)
    assert result.outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]
    assert survey.gets(A) == ["", "bytes=100000-", "bytes=150000-", "bytes=150001-"]
    assert survey.sent[A] == len(sky[A]), "no byte was sent twice"


def test_the_next_command_goes_on_with_what_came(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    survey.faults[A] = [("drop", 100_000)] + [("drop", 0)] * 3
    (result,) = fetch(survey, tmp_path)
    assert result.outcome == "failed"
    assert "3 times in a row after 100,000 bytes" in result.reason
    assert "the same command goes on" in result.reason
    assert [path.name for path in tmp_path.iterdir()] == [f".{A}.part"]
    (result,) = fetch(survey, tmp_path)
    assert result.outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]
    assert survey.gets(A)[-1] == "bytes=100000-"


def test_a_server_without_ranges_starts_again(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    survey.ranges = False
    survey.faults[A] = [("drop", 100_000)]
    watcher = Silent()
    (result,) = fetch(survey, tmp_path, watcher=watcher)
    assert result.outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]
    assert watcher.came[A] == len(sky[A]), "thrown away bytes count back"


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("length", ["chunks", "close"])
def test_a_server_that_gives_no_length(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, length: str, head: bool
) -> None:
    survey.length, survey.head = length, head
    (result,) = fetch(survey, tmp_path)
    assert result.outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]
    assert survey.gets(A) == [""], "fetched once"
    survey.faults[B] = [("drop", 100_000)]
    (result,) = fetch(survey, tmp_path, B)
    assert result.outcome == "fetched"
    assert (tmp_path / B).read_bytes() == sky[B]


def test_without_length_and_checksum_a_file_could_be_cut_short(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    survey.length = "close"
    plan = FetchPlan(Server(survey.url, backoff=0.001), [A], str(tmp_path), tmp_path, False, None, 1)
    (result,) = fetch_sweeps(plan, Silent())
    assert result.outcome == "failed"
    assert "does not say how long the file is, and there is no checksum of it; name a list" in result.reason
    survey.length = "chunks"
    survey.faults[A] = [("drop", 100_000)]
    assert fetch_sweeps(plan, Silent())[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]


@pytest.mark.parametrize("left", ["all", "more"])
def test_a_part_that_is_whole_or_too_long(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, left: str
) -> None:
    (tmp_path / f".{A}.part").write_bytes(sky[A] + (b"" if left == "all" else b"x" * 9))
    (result,) = fetch(survey, tmp_path)
    assert result.outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]


def test_a_file_that_is_replaced_meanwhile_comes_whole(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    survey.etags[A] = '"one"'
    survey.faults[A] = [("replace", 100_000)]
    plan = FetchPlan(Server(survey.url, backoff=0.001), [A], str(tmp_path), tmp_path, False, None, 1)
    assert fetch_sweeps(plan, Silent())[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A][::-1], "not the beginning of one and the end of the other"
    assert survey.gets(A) == ["", "bytes=100000-"]


def test_a_busy_server_is_asked_again(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    survey.faults[A] = [("busy", 503), ("busy", 429)]
    assert fetch(survey, tmp_path)[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]


def test_a_full_disk_is_named(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Server, "download", download)
    part = tmp_path / f".{A}.part"
    expected = f"{part}: the disk is full (No space left on device); free some space there, and start again"
    assert fetch(survey, tmp_path)[0].reason == expected


def test_a_server_at_fault_is_not_a_wrong_address(survey: Survey, tmp_path: Path) -> None:
    survey.faults[A] = [("busy", 520)]
    assert fetch(survey, tmp_path)[0].reason.endswith("the server answers 520 ???; try again later")
    survey.faults[A] = [("busy", 403)]
    assert fetch(survey, tmp_path)[0].reason.endswith("the server answers 403 Forbidden; check the address")


def test_a_pause_that_the_server_asks_for_is_kept_if_it_is_short(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    survey.faults[A] = [("later", 1)]
    survey.faults[B] = [("later", 3600)]
    began = time.monotonic()
    kept, given_up = fetch(survey, tmp_path, A, B, jobs=2)
    assert 1 <= time.monotonic() - began < 30
    assert (kept.outcome, given_up.outcome) == ("fetched", "failed")
    assert (tmp_path / A).read_bytes() == sky[A]
    remedy = "the same command goes on after it"
    assert given_up.reason == f"{survey.url}: the server asks for a pause of 3,600 s (503); {remedy}"


def test_wrong_bytes_once_are_fetched_again(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    survey.faults[A] = [("wrong", 1234)]
    assert fetch(survey, tmp_path)[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]
    assert survey.gets(A) == ["", ""]


def test_wrong_bytes_twice_fail_and_leave_nothing(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    survey.always_wrong = {A}
    watcher = Silent()
    first, second = fetch(survey, tmp_path, A, B, watcher=watcher)
    assert (first.outcome, second.outcome) == ("failed", "fetched")
    assert "SHA-256" in first.reason
    assert hashlib.sha256(sky[A]).hexdigest()[:12] in first.reason
    assert [path.name for path in tmp_path.iterdir()] == [B]
    assert watcher.came[A] == 0


def test_a_part_of_another_version_is_replaced(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / f".{A}.part").write_bytes(b"of another version" * 1000)
    assert fetch(survey, tmp_path)[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]


def test_without_a_checksum_no_bytes_of_an_earlier_command_are_used(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / f".{A}.part").write_bytes(b"of another version" * 1000)
    survey.faults[A] = [("drop", 100_000)]
    watcher = Silent()
    plan = FetchPlan(Server(survey.url, backoff=0.001), [A], str(tmp_path), tmp_path, False, None, 1)
    assert fetch_sweeps(plan, watcher)[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]
    assert survey.gets(A) == ["", "bytes=100000-"], "its own bytes are"
    assert watcher.came[A] == len(sky[A])


def test_what_is_there_is_left_alone(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    fetch(survey, tmp_path, A)
    (tmp_path / B).write_bytes(sky[B][:-1])
    before = (tmp_path / A).stat().st_mtime_ns
    results = fetch(survey, tmp_path, A, B)
    assert [r.outcome for r in results] == ["there already", "fetched"]
    assert (tmp_path / A).stat().st_mtime_ns == before
    assert (tmp_path / B).read_bytes() == sky[B]
    assert len(survey.gets(A)) == 1


def test_gzip_is_the_same_bytes_each_time(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    fetch(survey, tmp_path / "one", compress=True)
    fetch(survey, tmp_path / "two", compress=True)
    packed = (tmp_path / "one" / f"{A}.gz").read_bytes()
    assert gzip.decompress(packed) == sky[A]
    assert packed == (tmp_path / "two" / f"{A}.gz").read_bytes()
    assert packed[3:8] == bytes(5), "no name and no time in the header"
    assert [path.name for path in (tmp_path / "one").iterdir()] == [f"{A}.gz"]
    assert fetch(survey, tmp_path / "one", compress=True)[0].outcome == "there already"


def test_an_interruption_ends_the_others_and_loses_nothing(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    interrupted = threading.Event()

    class Impatient(Silent):
        def started(self, name: str, size: int | None) -> None:
            if name == B:
                assert interrupted.wait(30)

        def ended(self, result: Fetched) -> None:
            interrupted.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(survey, tmp_path, A, B, C, watcher=Impatient())
    assert (tmp_path / A).read_bytes() == sky[A]
    assert survey.gets(C) == [], "nothing was begun after it"
    results = fetch(survey, tmp_path, A, B, C)
    assert [r.outcome for r in results if r.name != B] == ["there already", "fetched"]
    assert (tmp_path / B).read_bytes() == sky[B]


@pytest.mark.parametrize("compress", [False, True])
def test_to_s3_in_parts_with_its_checksum(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, s3: str, compress: bool
) -> None:
    # One file of 9 MB: boto3 uploads in parts from 8 MiB on.
    big = sky[A] + bytes(9 << 20)
    survey.files[A] = big
    digest = hashlib.sha256(big).hexdigest()
    survey.files[CHECKSUM_FILE] = f"{digest}  {A}\n".encode()
    target = f"{s3}/dr10"
    (result,) = fetch(survey, target, compress=compress, scratch=tmp_path)
    assert (result.outcome, result.uri) == ("fetched", f"{target}/{A}{'.gz' if compress else ''}")
    stored = storage.read_bytes(result.uri)
    assert (gzip.decompress(stored) if compress else stored) == big
    assert compress or "-" in storage.stat(result.uri).etag, "an ETag of parts"
    assert list(tmp_path.iterdir()) == []
    assert fetch(survey, target, compress=compress, scratch=tmp_path)[0].outcome == "there already"
    survey.files[CHECKSUM_FILE] = f"{'0' * 64}  {A}\n".encode()
    assert fetch(survey, target, compress=compress, scratch=tmp_path)[0].outcome == "failed"


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("compress", [False, True])
def test_what_another_tool_put_in_s3_is_left_alone(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, s3: str, compress: bool, checked: bool
) -> None:
    """aws s3 cp stores no checksum with the object."""
    uri = f"{s3}/dr10/{A}{'.gz' if compress else ''}"
    whole = gzip.compress(sky[A]) if compress else sky[A]
    sums = {A: hashlib.sha256(sky[A]).hexdigest()} if checked else None
    plan = FetchPlan(Server(survey.url), [A], f"{s3}/dr10", tmp_path, compress, sums, 1)
    storage.write_bytes(uri, whole[:-9])
    assert fetch_sweeps(plan, Silent())[0].outcome == "fetched", "it was cut short"
    storage.write_bytes(uri, whole)
    assert fetch_sweeps(plan, Silent())[0].outcome == "there already"
    assert storage.read_bytes(uri) == whole


@pytest.mark.parametrize("place", ["disk", "s3"])
@pytest.mark.parametrize("compress", [False, True])
def test_without_a_size_the_content_shows_what_is_there(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, s3: str, compress: bool, place: str
) -> None:
    survey.length = "chunks"
    to = str(tmp_path) if place == "disk" else f"{s3}/dr10"
    uri = f"{to}/{A}{'.gz' if compress else ''}"
    whole = gzip.compress(sky[A]) if compress else sky[A]
    for cut in (b"", whole[:-9]):
        storage.write_bytes(uri, cut)
        assert fetch(survey, to, compress=compress, scratch=tmp_path)[0].outcome == "fetched"
    storage.write_bytes(uri, whole)
    assert fetch(survey, to, compress=compress, scratch=tmp_path)[0].outcome == "there already"
    assert len(survey.gets(A)) == 2


def test_a_file_that_is_not_there_or_has_no_checksum(survey: Survey, tmp_path: Path) -> None:
    del survey.files[A]
    survey.files[CHECKSUM_FILE] = re.sub(rb".*" + B.encode() + rb"\n", b"", survey.files[CHECKSUM_FILE])
    gone, unlisted, sound = fetch(survey, tmp_path, A, B, C)
    assert "404" in gone.reason
    assert "not in the list of checksums" in unlisted.reason
    assert sound.outcome == "fetched"


def test_the_list_of_checksums_is_found_in_the_index(survey: Survey) -> None:
    survey.files["other.sha256sum"] = survey.files.pop(CHECKSUM_FILE)
    assert Server(survey.url).checksums().name == "other.sha256sum"
    survey.files["another.sha256sum"] = b""
    with pytest.raises(InputError, match="found 2 of them"):
        Server(survey.url).checksums()


def test_no_server_at_all(survey: Survey) -> None:
    closed = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    port = closed.server_address[1]
    closed.server_close()
    with pytest.raises(TransientError, match="no connection to the server"):
        Server(f"http://127.0.0.1:{port}/", attempts=1, backoff=0.001).size(A)
    with pytest.raises(LensnegError, match="expected the http"):
        Server("ftp://host/x")
