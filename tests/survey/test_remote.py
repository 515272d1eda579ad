"""Sweep files and HATS partitions on a web server, as inputs of a run."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import config_text
from pipeline import make_request
from plainrun import run_map
from surveyserver import A, B, C, Survey, serving, three_sweeps

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.mocksky import write_mock_sky
from lensneg.schema.item import Item, ItemStats, read_items
from lensneg.schema.layout import RunFiles
from lensneg.stages.filter_sweep.source_file import source_file
from lensneg.survey.listing import look_into
from lensneg.survey.releases import BASE_URL, CHECKSUM_FILE
from lensneg.survey.remote import list_remote


@pytest.fixture
def survey() -> Iterator[Survey]:
    with serving(three_sweeps()) as survey:
        yield survey


def sha256(name: str) -> str:
    return hashlib.sha256(three_sweeps()[name]).hexdigest()


def test_a_folder_has_the_files_of_its_list_of_checksums(survey: Survey) -> None:
    sizes = {name: len(data) for name, data in three_sweeps().items()}
    found = look_into(survey.url, leave_out=[B])
    assert found.sweeps == [
        storage.FileInfo(f"{survey.url}{name}", sizes[name], f"sha256:{sha256(name)}") for name in (C, A)
    ]
    assert found.left_out == 1


def test_a_listing_names_files_of_the_release_or_of_any_folder(survey: Survey, tmp_path: Path) -> None:
    listing = tmp_path / "best.txt"
    listing.write_text(f"# a remark\n{survey.url}{A} 12  # 3 lenses\n\n{survey.url}{B}\n{survey.url}{A}\n")
    assert [info.uri for info in list_remote(str(listing))] == [f"{survey.url}{A}", f"{survey.url}{B}"]
    for line, fault in {
        "nonsense.fits": "best.txt, line 1: got 'nonsense.fits'; expected the name or the address",
        f"folder/{A}": "best.txt, line 1: got 'folder/",
        "# nothing": "it names no sweep file",
        f"{survey.url}sweep-100p005-105p010.fits": "sweep-100p005-105p010.fits: not in the list of checksums",
    }.items():
        listing.write_text(line)
        with pytest.raises(InputError) as refused:
            list_remote(str(listing))
        assert fault in str(refused.value)


def test_a_name_alone_is_of_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("lensneg.survey.remote._of_folder", lambda *given: asked.append(given) or [])
    (tmp_path / "best.txt").write_text(f"{A} 12\n{B}\n")
    list_remote(str(tmp_path / "best.txt"))
    assert asked == [(BASE_URL, (A, B))]


def item_of(survey: Survey, name: str = A, digest: str = "") -> Item:
    etag = f"sha256:{digest or sha256(name)}"
    size = len(three_sweeps()[name])
    return Item(id=name, sweep=survey.url + name, size=size, etag=etag, first_row=0, n_rows=1, n_bytes=size)


def test_a_file_is_there_for_the_time_of_its_item(survey: Survey, tmp_path: Path) -> None:
    with source_file(item_of(survey), str(tmp_path)) as source:
        assert Path(source.uri).read_bytes() == three_sweeps()[A]
    with pytest.raises(ZeroDivisionError), source_file(item_of(survey), str(tmp_path)):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_other_bytes_is_refused_and_not_kept(survey: Survey, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="its SHA-256 is"),
        source_file(item_of(survey, digest="0" * 64), str(tmp_path)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_slow_file_goes_on_at_the_next_attempt(survey: Survey, tmp_path: Path) -> None:
    survey.faults[A] = [("stall", 100_000)]
    with (
        pytest.raises(TransientError, match=r"not here after 0\.5 s; what came is kept"),
        source_file(item_of(survey), str(tmp_path), seconds=0.5),
    ):
        pass
    came = (tmp_path / f".{A}.part").stat().st_size
    assert came > 0
    with source_file(item_of(survey), str(tmp_path)) as source:
        assert Path(source.uri).read_bytes() == three_sweeps()[A]
    assert survey.gets(A)[-1] == (f"bytes={came}-")


def test_nothing_is_fetched_without_a_folder_for_it(survey: Survey) -> None:
    with pytest.raises(InputError, match="lensneg run --stream fetches it"), source_file(item_of(survey), ""):
        pass


def test_of_a_hats_catalogue_ranges_are_read_and_nothing_is_fetched(tmp_path: Path) -> None:
    """The rows of each partition become the same as those of the catalogue on the disk."""
    write_mock_sky(tmp_path, files=2, rows=6_000, seed=51, file_format="hats")
    (tmp_path / "config.yaml").write_text(config_text("negative_sampling_v1"))
    request = make_request(tmp_path, tmp_path / "config.yaml", tmp_path / "out", "disk", "test")
    root = Path(request.sweeps)
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with serving(files) as survey:
        url = survey.url.rstrip("/")
        runs = [run_map(request)]
        runs.append(run_map(request.model_copy(update={"run_id": "web", "sweeps": url})))
    disk, web = ([ItemStats.read(run.stats(item.id)) for item in read_items(run.items)] for run in runs)
    assert [stats.pool_sha256 for stats in disk] == [stats.pool_sha256 for stats in web]
    assert sum(stats.rows_kept for stats in disk) > 0
    assert isinstance(runs[0], RunFiles)
    assert CHECKSUM_FILE not in files
