"""What is below a folder of sweep files: taken, left out as asked, or named because it is not read."""

import os
from pathlib import Path
from typing import Any

import pytest

from lensneg import storage
from lensneg.errors import InputError, StorageError
from lensneg.survey.listing import find_checksums, find_sweeps, list_sweep_folder, look_into

A, B = "sweep-000m005-005p000.fits", "sweep-005m005-010p000.fits"

ALMOST = [
    f"{A}.fz",
    f"{A}.bz2",
    f"{A}.part",
    f"{A}~",
    "sweep-000m005-005p000.fit",
    "sweep-000m005-005p000.FITS",
    "sweep-000m005-005p000 (1).fits",
    "Sweep-000m005-005p000.fits.gz",
    "copy of sweep-000m005-005p000.fits",
    "sweep-0m5-5p0.fits",
]

OTHERS = [
    "sweep-000m005-005p000-pz.fits",
    "sweep-000m005-005p000-lc.fits.fz",
    f"{A}.sha256sum",
    f"{A}.gz.md5",
    "sweep-000m005-005p000.png",
    "sweeps.txt",
    "tractor-1512p025.fits",
    "region.fits",
    "README",
]


def lay_out(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return str(folder)


def names(infos: list[storage.FileInfo]) -> list[str]:
    return [storage.basename(info.uri) for info in infos]


@pytest.mark.parametrize("name", ALMOST)
def test_what_looks_like_a_sweep_file_is_named(tmp_path: Path, name: str) -> None:
    found = look_into(lay_out(tmp_path, f"south/{A}", f"south/deep/{name}"))
    assert (names(found.sweeps), found.not_read, found.others) == ([A], [f"south/deep/{name}"], 1)


def test_other_files_are_counted(tmp_path: Path) -> None:
    found = look_into(lay_out(tmp_path, A, *OTHERS))
    assert (names(found.sweeps), found.not_read, found.others) == ([A], [], len(OTHERS))


@pytest.mark.parametrize(
    "pattern", ["north", "north/", "north/deep", "*.fz", f"north/deep/{B}.fz", "nor*/d*/*.fz", f"{B}.fz"]
)
def test_the_user_can_leave_it_out(tmp_path: Path, pattern: str) -> None:
    folder = lay_out(tmp_path, A, f"north/deep/{B}.fz")
    found = look_into(folder, [pattern])
    assert (names(found.sweeps), found.not_read, found.left_out) == ([A], [], 1)
    assert look_into(folder, ["south", "deep/north", "*.bz2"]).not_read == [f"north/deep/{B}.fz"]


def test_sweep_files_that_are_left_out_are_not_taken(tmp_path: Path) -> None:
    found = look_into(lay_out(tmp_path, A, f"north/{B}"), ["north"])
    assert (names(found.sweeps), found.left_out, found.others) == ([A], 1, 0)
    with pytest.raises(InputError, match="no sweep file among 0 files"):
        find_sweeps(str(tmp_path), ["*.fits"])


def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may list all; so the system's answer is made up."""
    folder = lay_out(tmp_path, A, f"locked/{B}")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = look_into(folder)
    assert (names(found.sweeps), found.not_read) == ([A], ["locked (no permission)"])
    assert look_into(folder, ["locked"]).not_read == []
    with pytest.raises(StorageError, match=r"locked: access is denied \(Permission denied\)"):
        storage.list_files(folder)


def test_a_file_that_may_not_be_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that may be listed and not entered."""
    folder = lay_out(tmp_path, A, f"half/{B}")
    stat = Path.stat

    def refuse(path: Path, **options: Any) -> Any:
        if path.name == B:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    assert look_into(folder).not_read == [f"half/{B} (no permission)"]


def test_hidden_files_and_folders_are_no_inputs(tmp_path: Path) -> None:
    found = look_into(lay_out(tmp_path / ".here", A, f".Trash-1000/files/{B}", f"._{A}", f"x/.y/z/{B}.fz"))
    assert found == look_into(str(tmp_path / ".here"), ["none"])
    assert (names(found.sweeps), found.not_read, found.others) == ([A], [], 0)


def test_hidden_objects_are_no_inputs(s3: str) -> None:
    for name in (A, f".Trash/{B}", f"a/.b/{B}", f"._{A}"):
        storage.write_bytes(f"{s3}/.sky/sweeps/{name}", b"x")
    found = look_into(f"{s3}/.sky/sweeps")
    assert (names(found.sweeps), found.not_read, found.not_files, found.others) == ([A], [], [], 0)


def test_folders_and_broken_links_are_named(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, A, f"{B}/README")
    (tmp_path / f"{A}.fz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "other").symlink_to(tmp_path / "nowhere")
    assert look_into(folder).not_files == [str(tmp_path / f"{A}.fz"), str(tmp_path / B)]
    assert look_into(folder, [B, "*.fz"]).not_files == []


def test_a_table_is_taken_where_it_is_named(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, A, "field.csv")
    found = look_into(f"{folder}/field.csv")
    assert names(found.sweeps) == ["field.csv"]
    assert found[1:] == ([], [], 0, 0)
    assert list_sweep_folder(f"{folder}/field.csv") == found.sweeps
    assert find_checksums(f"{folder}/field.csv") == ""


def test_tables_are_taken_where_there_is_no_sweep_file(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "x.parquet", "a.csv", "b/c.PARQUET", "README")
    found = look_into(folder)
    assert (names(found.sweeps), found.others) == (["a.csv", "c.PARQUET"], 1)
    assert names(look_into(folder, ["b"]).sweeps) == ["a.csv"]


@pytest.mark.parametrize("name", [A, f"{A}.fz"])
def test_tables_beside_what_is_or_may_be_a_sweep_file_are_other_files(tmp_path: Path, name: str) -> None:
    found = look_into(lay_out(tmp_path, name, "lenses.csv"))
    assert "lenses.csv" not in names(found.sweeps)
    assert found.not_read == [name][: name != A]


def test_a_table_in_s3(s3: str) -> None:
    storage.write_bytes(f"{s3}/sweeps/{A}", b"x")
    storage.write_bytes(f"{s3}/sweeps/field.csv", b"x")
    assert names(look_into(f"{s3}/sweeps/field.csv").sweeps) == ["field.csv"]
    assert names(look_into(f"{s3}/sweeps").sweeps) == [A]
