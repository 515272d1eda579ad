"""lensneg sweeps: list, fetch and verify, as a person calls them."""

import gzip
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prototype import write_table
from surveyserver import A, B, C, Survey, serving, three_sweeps, with_checksums
from sweepfile import table
from usage import told

from lensneg.cli import main
from lensneg.commands.sweeps import list_
from lensneg.cost.listing import parse_listing
from lensneg.cost.tables import load_rates
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.survey.server import Server


@pytest.fixture
def sky() -> dict[str, bytes]:
    return three_sweeps()


@pytest.fixture
def survey(sky: dict[str, bytes]) -> Iterator[Survey]:
    with serving(sky) as survey:
        yield survey


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
    assert f"{folder}: {bytes_needed:,} bytes are needed for {3 - (there == 'A')} sweep files" in told(err)
    assert f"and {bytes_needed - 1:,} are free" in err
    assert re.search(remedies, err)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=bytes_needed + 1))
    assert door(*arguments)[0] == 3, "room enough: now it is fetched, and the checksums are found wrong"


@pytest.mark.parametrize("command", ["fetch", "list"])
def test_ctrl_c_ends_a_pause_that_the_server_asked_for(survey: Survey, tmp_path: Path, command: str) -> None:
    survey.faults[A] = [("later", 50)]
    survey.faulty_head = command == "list"
    options = ["--to", str(tmp_path / "sweeps")] if command == "fetch" else ["--ask"]
    words = [sys.executable, "-m", "lensneg", "sweeps", command, A, "--from", survey.url, *options]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 40
        while survey.faults[A] and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "interrupted (SIGINT); give the command again" in told(err.decode()), "there is no run to continue"


def test_failures_are_listed_and_end_with_3(door: Door, survey: Survey, tmp_path: Path) -> None:
    survey.always_wrong = {B}
    code, out, err = door("fetch", A, B, "--from", survey.url, "--to", tmp_path, "--quiet")
    assert code == 3
    assert out == ""
    assert f"{B}: {survey.url}{B}: its SHA-256 is" in told(err)
    assert "it tries again what failed" in told(err)
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


def test_verify_names_what_it_does_not_read(door: Door, sky: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / A).write_bytes(sky[A])
    (tmp_path / f"{B}.fz").write_bytes(b"x")
    (tmp_path / C).mkdir()
    code, out, err = door("verify", tmp_path)
    assert code == 1
    assert "1 sound (0 by checksum), 0 not" in out
    assert f"{tmp_path}/{B}.fz: it is not read; unpack" in told(err)
    assert f"{tmp_path}/{C}: not sound: a folder or a broken link" in told(err)
    assert door("verify", tmp_path, "--leave-out", "*.fz", "--leave-out", C)[0] == 0


def test_verify_without_checksums_says_so(door: Door, sky: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / A).write_bytes(sky[A])
    code, out, err = door("verify", tmp_path)
    assert code == 0
    assert "1 sound (0 by checksum)" in out
    assert "SHA-256 is not" in err
    assert door("verify", tmp_path / "nowhere")[0] == 2


def test_a_list_of_checksums_is_named_or_done_without(
    door: Door, survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    del survey.files[CHECKSUM_FILE]
    (tmp_path / "sums").write_bytes(sky[CHECKSUM_FILE])
    arguments = ("fetch", A, "--from", survey.url, "--to")
    code, _, err = door(*arguments, tmp_path / "none")
    assert code == 2
    assert "found none; name one with --checksums, or give --unchecked" in told(err)
    assert door(*arguments, tmp_path / "unchecked", "--unchecked")[0] == 0
    assert [path.name for path in (tmp_path / "unchecked").iterdir()] == [A]
    assert door(*arguments, tmp_path / "named", "--checksums", tmp_path / "sums")[0] == 0
    assert (tmp_path / "named" / "sums.sha256sum").read_bytes() == sky[CHECKSUM_FILE]
    code, out, _ = door("verify", tmp_path / "unchecked", "--checksums", tmp_path / "sums")
    assert (code, "1 sound (1 by checksum)" in out) == (0, True)
    for name in ("one", "two"):
        (tmp_path / "named" / f"{name}.sha256sum").touch()
    assert "3 lists of checksums; name one" in told(door("verify", tmp_path / "named")[2])


def test_list_takes_the_cells_of_a_catalogue(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "lenses.csv"
    path.write_text("name,ra,dec\na,0.0,5.0\nb,359.9,9.99\nc,200,80\n")
    assert door("list", "--near", path)[1] == f"{A}  # 1 lens\n{B}  # 1 lens\n"
    assert door("list", "--near", path, "--box", 180, 360, -90, 90)[1] == f"{B}  # 1 lens\n"
    path.write_text("name,ra,dec\na,-0:0:24,5:0:0\nb,-,-\n")
    code, out, err = door("list", "--near", path)
    assert (code, out) == (0, f"{B}  # 1 lens\n")
    assert "ra read as sexagesimal hours" in err
    assert "rows without a position: 1" in err
    code, _, err = door("list", "--near", tmp_path / "nowhere.csv")
    assert (code, "nowhere.csv: no such file" in told(err)) == (2, True)


def test_the_files_of_dr9_are_those_of_its_list_of_checksums(
    door: Door, survey: Survey, sky: dict[str, bytes], tmp_path: Path
) -> None:
    """They are 10 degrees wide. The estimate of a size is twice DR10.1's mean of 993,393,705 bytes."""
    wide = {"sweep-000p005-010p010.fits": sky[A], "sweep-350p005-360p010.fits": sky[B]}
    survey.files = dict(with_checksums(wide))
    survey.files["legacysurvey_dr9_south_sweep_9.0.sha256sum"] = survey.files.pop(CHECKSUM_FILE)
    survey.files[""] = b'<a href="legacysurvey_dr9_south_sweep_9.0.sha256sum">'
    of_dr9 = ("--release", "DR9-south", "--from", survey.url)
    code, out, err = door("list", "--box", 9, 11, 6, 7, *of_dr9)
    assert (code, out) == (0, "sweep-000p005-010p010.fits\n")
    assert "1 sweep files of DR9 south, about 2.0 GB" in err
    by_config = ("--config", "negative_sampling_dr9_south", "--from", survey.url)
    assert door("list", "--box", 9, 11, 6, 7, *by_config) == (code, out, err)
    code, out, err = door("list", "--box", 9, 11, 6, 7, *of_dr9, "--ask")
    assert out == f"sweep-000p005-010p010.fits {len(sky[A])}\n"
    refused = door("list", A, *of_dr9)[2]
    assert A in refused
    assert "no sweep file of DR9 south" in refused
    assert door("fetch", "--box", 9, 11, 6, 7, *of_dr9, "--to", tmp_path / "dr9")[0] == 0
    assert (tmp_path / "dr9" / "sweep-000p005-010p010.fits").read_bytes() == sky[A]


@pytest.mark.parametrize(
    ("releases", "found"), [("10002, 9011", "DR10.1 and DR9-north"), ("8000", "none of")]
)
def test_a_config_of_several_versions_or_of_none_names_no_files(
    door: Door, tmp_path: Path, releases: str, found: str
) -> None:
    config = tmp_path / "own.yaml"
    own = f"extends: negative_sampling_v1\nname: own\nversion: 1.0.0\nsweeps: {{releases: [{releases}]}}\n"
    config.write_text(own)
    code, _, err = door("list", "--config", config)
    assert code == 2
    assert f"its releases are of {found}" in told(err)
    assert door("list", "--config", config, "--release", "DR10.1", "--box", 0, 5, 0, 5)[0] == 0


def test_the_address_of_dr9_is_that_of_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Asked(Exception):  # noqa: N818
        pass

    def ask(self: Server) -> None:
        asked.append(self.base_url)
        raise Asked

    monkeypatch.setattr(Server, "checksums", ask)
    with pytest.raises(Asked):
        list_.main(["--release", "DR9-north"], standalone_mode=False)
    assert asked == ["https://portal.nersc.gov/cfs/cosmo/data/legacysurvey/dr9/north/sweep/9.0/"]


def test_list_ranks_the_files_by_their_lenses(door: Door, survey: Survey, tmp_path: Path) -> None:
    """By hand: B holds three lenses, one of them by two entries 2" apart, A two, C one; one lies in none."""
    path = tmp_path / "lenses.csv"
    lenses = ["357,6", "357,7", "358,8", f"358,{8 + 2 / 3600}", "1,6", "2,7", "1,1", "200,80"]
    path.write_text("ra,dec\n" + "\n".join(lenses))
    _, out, err = door("list", "--near", path, "--ask", "--from", survey.url)
    sizes = {name: len(survey.files[name]) for name in (A, B, C)}
    assert out == f"{B} {sizes[B]}  # 3 lenses\n{A} {sizes[A]}  # 2 lenses\n{C} {sizes[C]}  # 1 lens\n"
    assert "they hold 6 of 7 lenses (86%)" in err
    _, out, err = door("list", "--near", path, "--best", 2)
    assert [line.split()[0] for line in out.splitlines()] == [B, A]
    assert "they hold 5 of 7 lenses (71%)" in err
    listing = json.loads(door("list", "--near", path, "--best", 1, "--json")[1])
    assert ([f["lenses"] for f in listing["files"]], listing["lenses"], listing["lenses_given"]) == (
        [3],
        3,
        7,
    )
    assert [s.name for s in parse_listing(out, "best.txt", load_rates()).sweeps] == sorted([A, B])
    code, _, err = door("list", "--best", 1)
    assert code == 2
    assert "--best: the lenses are not known; name them with --near FILE" in told(err)
    code, out, _ = door("fetch", "--near", path, "--best", 1, "--from", survey.url, "--to", tmp_path / "to")
    assert (code, out) == (0, "1 fetched, 0 there already, 0 failed\n")
    assert (tmp_path / "to" / B).exists()


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


def test_verify_a_table(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "field.csv"
    write_table(path, table([{"OBJID": 1}, {"OBJID": 2}]))
    code, out, _ = door("verify", path)
    assert code == 0
    assert "1 sweep files, 2 rows" in out
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "list").write_text(f"{digest}  field.csv\n")
    assert "1 sound (1 by checksum)" in door("verify", path, "--checksums", tmp_path / "list")[1]
    path.write_text(path.read_text().replace("SER", "SERSIC", 1))
    code, _, err = door("verify", path)
    assert code == 1
    assert "row 0, column TYPE: 'SERSIC' does not fit" in err
