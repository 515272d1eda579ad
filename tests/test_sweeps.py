"""Fetching sweep files from a real HTTP server that drops connections, is busy and serves wrong bytes; which
files are chosen; and what verify finds."""

import gzip
import hashlib
import http.server
import json
import re
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from survey import Survey, serving, with_checksums

from lensneg import storage
from lensneg.cli import main
from lensneg.cost.rates import load_rates
from lensneg.errors import InputError, LensnegError, TransientError
from lensneg.mocksky import write_mock_sky
from lensneg.survey.checksums import parse_checksums
from lensneg.survey.choose import Box, choose_sweeps
from lensneg.survey.fetch import Fetched, Target, fetch_sweeps
from lensneg.survey.releases import CHECKSUM_FILE, release_cells
from lensneg.survey.server import Server

A, B, C = "sweep-000p005-005p010.fits", "sweep-355p005-360p010.fits", "sweep-000p000-005p005.fits"


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sky")
    sky = write_mock_sky(folder, files=3, rows=600, seed=4)
    files = {path.name: path.read_bytes() for path in Path(sky.sweeps).iterdir()}
    assert set(files) == {A, B, C}
    return with_checksums(files)


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
    target = Target(str(folder), compress, scratch or Path(folder))
    return fetch_sweeps(server, names or (A,), target, checksums=server.checksums()[2], jobs=jobs,
                        watcher=watcher or Silent())  # fmt: skip


# Which files.


def test_the_release_is_the_published_list(shared_data: Callable[[str], Path]) -> None:
    names = shared_data("dr10.1_sweep_names.txt").read_text().split()
    assert list(release_cells()) == sorted(names)
    assert set(load_rates().sweeps.known_bytes) <= set(names)


def test_the_parity_band_has_641_files() -> None:
    # dr10-facts: 641 of the 1,436 files touch -18 < Dec < 32.
    assert len(choose_sweeps(boxes=[Box(0, 360, -18, 32)])) == 641
    assert len(choose_sweeps()) == 1436


@pytest.mark.parametrize(
    ("box", "names"),
    [
        (Box(1, 2, 6, 7), [A]),
        (Box(0, 5, 5, 10), [A]),  # borders are not shared
        (Box(359, 1, 6, 7), [A, B]),  # across RA 0
        (Box(4.9, 5.1, 4.9, 5.1), [C, A, "sweep-005p000-010p005.fits", "sweep-005p005-010p010.fits"]),
    ],
)
def test_a_box_takes_the_cells_that_it_overlaps(box: Box, names: list[str]) -> None:
    assert choose_sweeps(boxes=[box]) == sorted(names)


def test_a_catalogue_takes_the_cells_that_hold_its_positions(tmp_path: Path) -> None:
    path = tmp_path / "lenses.csv"
    path.write_text("name,ra,dec\na,0.0,5.0\nb,359.9,9.99\nc,200,80\n")
    assert choose_sweeps(catalogs=[str(path)]) == [A, B]
    assert choose_sweeps(catalogs=[str(path)], boxes=[Box(180, 360, -90, 90)]) == [B]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"names": ["sweep-000p085-005p090.fits"]}, "no sweep file of DR10.1"),
        ({"boxes": [Box(0, 10, 60, 70)]}, "no sweep file of DR10.1 meets"),
        ({"boxes": [Box(0, 10, 7, 6)]}, "the lower one first"),
        ({"boxes": [Box(0, 400, 6, 7)]}, "from 0 to 360"),
        ({"boxes": [Box(7, 7, 6, 7)]}, "an empty range"),
        ({"catalogs": ["nowhere.csv"]}, "nowhere.csv"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(conditions: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_sweeps(**conditions)  # type: ignore[arg-type]


def test_checksum_lists() -> None:
    digest = "AB" * 32
    text = f"{digest}  ./10.1/{A}\n\n{'0' * 64} *{B}\n"
    assert parse_checksums(text, "list") == {A: "ab" * 32, B: "0" * 64}
    with pytest.raises(InputError, match="list: line 1: got '<html>'"):
        parse_checksums("<html>", "list")
    with pytest.raises(InputError, match="another checksum"):
        parse_checksums(f"{digest}  x\n{'0' * 64}  x", "list")


# Fetching.


def test_files_arrive_whole_and_several_at_a_time(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    watcher = Silent()
    results = fetch(survey, tmp_path, A, B, C, jobs=2, watcher=watcher)
    assert [(r.name, r.outcome) for r in results] == [(n, "fetched") for n in (A, B, C)]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {n: sky[n] for n in (A, B, C)}
    assert watcher.came == {name: len(sky[name]) for name in (A, B, C)}
    assert survey.most_at_once <= 2


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


@pytest.mark.parametrize("left", ["all", "more"])
def test_a_part_that_is_whole_or_too_long(
    survey: Survey, sky: dict[str, bytes], tmp_path: Path, left: str
) -> None:
    (tmp_path / f".{A}.part").write_bytes(sky[A] + (b"" if left == "all" else b"x" * 9))
    (result,) = fetch(survey, tmp_path)
    assert result.outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]


def test_a_busy_server_is_asked_again(survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    survey.faults[A] = [("busy", 503), ("busy", 429)]
    assert fetch(survey, tmp_path)[0].outcome == "fetched"
    assert (tmp_path / A).read_bytes() == sky[A]


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


def test_a_file_that_is_not_there_or_has_no_checksum(survey: Survey, tmp_path: Path) -> None:
    del survey.files[A]
    survey.files[CHECKSUM_FILE] = re.sub(rb".*" + B.encode() + rb"\n", b"", survey.files[CHECKSUM_FILE])
    gone, unlisted, sound = fetch(survey, tmp_path, A, B, C)
    assert "404" in gone.reason
    assert "not in the list of checksums" in unlisted.reason
    assert sound.outcome == "fetched"


def test_the_list_of_checksums_is_found_in_the_index(survey: Survey) -> None:
    survey.files["other.sha256sum"] = survey.files.pop(CHECKSUM_FILE)
    assert Server(survey.url).checksums()[0] == "other.sha256sum"
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


# The commands.


class Door:
    """``lensneg sweeps`` within this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["lensneg", "sweeps", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return int(ended.value.code or 0), out, err


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    return Door(monkeypatch, capsys)


def test_fetch_then_verify(door: Door, survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "sweeps"
    code, out, err = door("fetch", A, B, "--from", survey.url, "--to", folder, "--jobs", 2)
    assert (code, out) == (0, "2 fetched, 0 there already, 0 failed\n")
    assert "MB/s" in err
    assert "left" in err
    assert sorted(path.name for path in folder.iterdir()) == sorted([A, B, CHECKSUM_FILE])
    code, out, _ = door("verify", folder)
    assert code == 0
    assert "2 sweep files, 1,200 rows" in out
    assert "2 sound (2 by checksum), 0 not" in out


@pytest.mark.parametrize(
    ("to", "options", "there", "needed", "folder", "remedies"),
    [
        # All files on a disk; those of two at a time on the way to S3; gzip at 0.6 of the size, and two files
        # before they are gzipped; the half of A that has come already.
        ("here", (), "", "A+B+C", "here", "--to, store the files with --gzip, or.*--near"),
        ("s3://sky/x", ("--scratch", "fast"), "", "A+B", "fast", "--scratch, or.*--jobs"),
        ("here", ("--gzip",), "", "0.6*(A+B+C) + A+B", "here", "--to, or"),
        ("here", (), "A", "B+C", "here", "--to"),
        ("here", (), "half of A", "A-A//2+B+C", "here", "--to"),
    ],
)
def test_a_disk_with_too_little_room_is_refused_before_the_first_byte(
    to: str, options: tuple[str, ...], there: str, needed: str, folder: str, remedies: str,
    door: Door, survey: Survey, sky: dict[str, bytes], s3: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for extra, name in enumerate((C, B, A)):  # A is the largest, then B
        survey.files[name] = sky[name] + bytes(extra * 1000)
    (tmp_path / "here").mkdir()
    if there:
        whole = there == "A"
        (tmp_path / "here" / (A if whole else f".{A}.part")).write_bytes(
            survey.files[A][: None if whole else len(survey.files[A]) // 2]
        )
    a, b, c = (len(survey.files[name]) for name in (A, B, C))
    bytes_needed = int(eval(needed, {}, {"A": a, "B": b, "C": c}))
    usage = shutil.disk_usage(tmp_path)
    arguments = ("fetch", A, B, C, "--to", to, "--from", survey.url, "--jobs", 2, *options)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=bytes_needed - 1))
    code, _, err = door(*arguments)
    assert code == 2
    assert not [entry for entry in survey.log if entry[0] == "GET" and entry[1].endswith(".fits")]
    assert f"{folder}: {bytes_needed:,} bytes are needed for {3 - (there == 'A')} sweep files" in err
    assert f"and {bytes_needed - 1:,} are free" in err
    assert re.search(remedies, err)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=bytes_needed + 1))
    assert door(*arguments)[0] == 3, "room enough: now it is fetched, and the checksums are found wrong"


def test_failures_are_listed_and_end_with_3(door: Door, survey: Survey, tmp_path: Path) -> None:
    survey.always_wrong = {B}
    code, out, err = door("fetch", A, B, "--from", survey.url, "--to", tmp_path, "--quiet")
    assert code == 3
    assert "1 fetched, 0 there already, 1 failed" in out
    assert f"failed: {B}: {survey.url}{B}: its SHA-256 is" in err
    assert "MB/s" not in err
    code, out, _ = door("fetch", A, B, "--from", survey.url, "--to", tmp_path, "--json")
    assert code == 3
    assert [f["outcome"] for f in json.loads(out)["files"]] == ["there already", "failed"]


def test_verify_names_what_is_wrong(door: Door, sky: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / A).write_bytes(sky[A][:200_000] + b"\0" + sky[A][200_001:])
    (tmp_path / B).write_bytes(sky[B][:-2880])
    (tmp_path / f"{C}.gz").write_bytes(gzip.compress(sky[C]))
    (tmp_path / CHECKSUM_FILE).write_bytes(sky[CHECKSUM_FILE])
    assert sky[A][200_000] != 0
    code, out, err = door("verify", tmp_path, "--json")
    assert code == 1
    found = {file["name"]: file for file in json.loads(out)["files"]}
    assert "its SHA-256 is" in found[A]["fault"]
    assert "600 rows" in found[B]["fault"]
    assert found[f"{C}.gz"]["fault"] == ""
    assert found[f"{C}.gz"]["checked"] is True
    assert found[f"{C}.gz"]["rows"] == 600
    assert "not sound" in err
    # A damaged byte among the rows is not seen in the header.
    (tmp_path / B).unlink()
    assert door("verify", tmp_path, "--headers-only")[0] == 0
    (tmp_path / f"{C}.gz").write_bytes(gzip.compress(sky[C])[:-9])
    code, _, err = door("verify", tmp_path)
    assert "damaged or cut short" in err


def test_verify_without_checksums_says_so(door: Door, sky: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / A).write_bytes(sky[A])
    code, out, err = door("verify", tmp_path)
    assert code == 0
    assert "1 sound (0 by checksum)" in out
    assert "checksums are not" in err
    assert door("verify", tmp_path / "nowhere")[0] == 2


def test_list_is_what_cost_reads(door: Door, survey: Survey, sky: dict[str, bytes], tmp_path: Path) -> None:
    code, out, err = door("list", "--box", 359, 1, 6, 7)
    assert (code, out) == (0, f"{A}\n{B}\n")
    assert "2 sweep files of DR10.1, about 2.0 GB" in err
    code, out, _ = door("list", A, "--ask", "--from", survey.url)
    assert out == f"{A} {len(sky[A])}\n"
    code, out, _ = door("list", "--json")
    listing = json.loads(out)
    assert len(listing["files"]) == 1436
    assert listing["bytes"] == pytest.approx(1.43e12, rel=0.01)
    assert door("list", "nonsense.fits")[0] == 2
