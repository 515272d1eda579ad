"""What a published manifest is compared with: its own claims, and inputs that are at hand, moved or gone."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from published import publish

from lensneg.audit.published import _positions, published_subject
from lensneg.audit.subject import Subject
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest

SWEEP = "sweep-000p005-005p010.fits"


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """A manifest of 12 negatives and 3 positives, made of one sweep file and a lens at RA 1, Dec 6."""
    return publish(tmp_path)


def subject_of(files: RunFiles, sweeps: str | None = None, exclude: tuple[CatalogSpec, ...] = ()) -> Subject:
    return published_subject(Manifest.open(files.manifest), sweeps, exclude)


def catalog(path: Path, *positions: tuple[float, float]) -> CatalogSpec:
    path.write_text("name,ra,dec\n" + "".join(f"n,{ra},{dec}\n" for ra, dec in positions))
    return CatalogSpec.parse(str(path))


def positions(subject: Subject) -> list[tuple[float, float]]:
    return list(zip(subject.ra.tolist(), subject.dec.tolist(), strict=True))


def test_its_own_claims(files: RunFiles) -> None:
    subject = subject_of(files)
    manifest = Manifest.open(files.manifest)
    assert subject.config == manifest.config
    assert subject.run_columns == {
        "pipeline_version": manifest.record.run.code.pipeline_version,
        "git_commit": manifest.record.run.code.git_commit,
        "extraction_timestamp": "2026-01-02T03:04:05Z",
    }
    assert subject.strata == manifest.record.strata
    folder = files.manifest_folder
    assert subject.files == {
        "negatives": (f"{folder}/negatives/part-00000.parquet",),
        "positives": (f"{folder}/positives/part-00000.parquet",),
    }
    sizes = {uri: file.bytes for uri, file in subject.promised.items()}
    assert sizes == {uri: Path(uri).stat().st_size for uris in subject.files.values() for uri in uris}
    assert subject.all_at_hand is False


def test_inputs_where_the_run_found_them(files: RunFiles) -> None:
    subject = subject_of(files)
    assert positions(subject) == [(1.0, 6.0)]
    assert subject.missing_catalogs == ()
    inputs = Path(files.out).parent / "inputs"
    [(name, info)] = subject.sweeps.items()
    assert (name, info.uri, info.size) == (SWEEP, str(inputs / "sweeps" / SWEEP), 4)


def test_further_catalogues_come_on_top(files: RunFiles, tmp_path: Path) -> None:
    more = (
        catalog(tmp_path / "a.csv", (10.0, 20.0), (11.0, 21.0)),
        catalog(tmp_path / "b.csv", (12.0, 22.0)),
    )
    subject = subject_of(files, exclude=more)
    assert sorted(positions(subject)) == [(1.0, 6.0), (10.0, 20.0), (11.0, 21.0), (12.0, 22.0)]
    assert subject.missing_catalogs == ()


def test_inputs_that_are_gone(files: RunFiles) -> None:
    shutil.rmtree(Path(files.out).parent / "inputs")
    subject = subject_of(files)
    assert positions(subject) == []
    assert (subject.ra.dtype, subject.dec.dtype) == (np.float64, np.float64)
    assert subject.missing_catalogs == ("lenses.csv",)
    assert subject.sweeps == {}


def test_a_copy_of_a_catalogue_that_is_gone_stands_for_it(files: RunFiles, tmp_path: Path) -> None:
    (Path(files.out).parent / "inputs" / "lenses.csv").unlink()
    (tmp_path / "copies").mkdir()
    path = tmp_path / "copies" / "under another name.csv"
    path.write_text("name,ra,dec\na,1,6\n")
    copy = CatalogSpec.parse(str(path))
    subject = subject_of(files, exclude=(copy,))
    assert (positions(subject), subject.missing_catalogs) == ([(1.0, 6.0)], ())
    assert subject.is_positive is not None
    assert subject.is_positive.tolist() == [True]
    other = catalog(tmp_path / "copies" / "others.csv", (2.0, 6.0))
    subject = subject_of(files, exclude=(other,))
    assert (positions(subject), subject.missing_catalogs) == ([(2.0, 6.0)], ("lenses.csv",))


def test_a_catalogue_of_the_same_name_and_other_content_does_not_stand_for_it(
    files: RunFiles, tmp_path: Path
) -> None:
    (tmp_path / "copies").mkdir()
    other = catalog(tmp_path / "copies" / "lenses.csv", (2.0, 6.0))
    catalog(Path(files.out).parent / "inputs" / "lenses.csv", (3.0, 6.0))
    subject = subject_of(files, exclude=(other,))
    assert subject.missing_catalogs == ("lenses.csv (with other content)",)
    assert subject.is_positive is None
    assert sorted(positions(subject)) == [(2.0, 6.0), (3.0, 6.0)]


def test_sweep_files_of_another_size_are_not_those_of_the_run(files: RunFiles, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / SWEEP).write_bytes(b"other rows")
    assert subject_of(files, sweeps=str(tmp_path / "others")).sweeps == {}


def test_one_look_tells_whether_the_runs_folder_is_there(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand would take a while: the lookup of rows says which file is gone."""
    manifest = Manifest.open(files.manifest)
    [first] = manifest.record.run.sweeps
    gone = first.model_copy(update={"uri": "/gone/sweep-005p005-010p010.fits"})
    run = manifest.record.run.model_copy(update={"sweeps": (first, gone)})
    monkeypatch.setattr(manifest, "record", manifest.record.model_copy(update={"run": run}))
    found = published_subject(manifest, None, ())
    assert list(found.sweeps) == [SWEEP, "sweep-005p005-010p010.fits"]


def test_sweep_files_that_were_moved(files: RunFiles, tmp_path: Path) -> None:
    inputs = Path(files.out).parent / "inputs"
    shutil.move(inputs / "sweeps", tmp_path / "moved")
    assert subject_of(files).sweeps == {}
    [(name, info)] = subject_of(files, sweeps=str(tmp_path / "moved")).sweeps.items()
    assert (name, info.uri, info.size) == (SWEEP, str(tmp_path / "moved" / SWEEP), 4)


def test_a_folder_or_catalogue_that_was_named_must_be_there(files: RunFiles, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--sweeps .*nowhere: no such folder"):
        subject_of(files, sweeps=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        subject_of(files, exclude=(CatalogSpec.parse(str(tmp_path / "nowhere.csv")),))


def test_rows_that_are_not_selected_are_lenses_too(files: RunFiles, tmp_path: Path) -> None:
    record = Manifest.open(files.manifest).record.run
    path = tmp_path / "graded.csv"
    path.write_text("name,ra,dec,grade\na,1,6,A\nb,2,7,B\n")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for options, role, expected in (
        ("", "positives", [(1.0, 6.0), (2.0, 7.0)]),
        ("&others=ignore", "positives", [(1.0, 6.0)]),
        ("", "exclude", [(1.0, 6.0)]),
    ):
        spec = CatalogSpec.parse(f"{path}?where.grade=A{options}")
        [catalog] = record.catalogs
        graded = catalog.model_copy(update={"spec": spec, "role": role, "sha256": sha256})
        lenses, _, missing = _positions(record.model_copy(update={"catalogs": (graded,)}), ())
        ra, dec = lenses.ra, lenses.dec
        assert list(zip(ra.tolist(), dec.tolist(), strict=True)) == expected
        assert missing == ()


def test_spectroscopic_catalogues_are_told_apart(files: RunFiles, tmp_path: Path) -> None:
    manifest = Manifest.open(files.manifest)
    [first] = manifest.record.run.catalogs
    spec = catalog(tmp_path / "spectra.csv", (2.0, 6.0), (3.0, 7.0))
    sha256 = hashlib.sha256((tmp_path / "spectra.csv").read_bytes()).hexdigest()
    source = first.model_copy(update={"spec": spec, "role": "spectroscopic", "sha256": sha256})
    run = manifest.record.run.model_copy(update={"catalogs": (first, source)})
    lenses, roles, _ = _positions(run, ())
    ra = lenses.ra
    assert ra.tolist() == [1.0, 2.0, 3.0]
    assert {role: None if mask is None else mask.tolist() for role, mask in roles.items()} == {
        "positives": [True, False, False],
        "exclude": [False, False, False],
        "spectroscopic": [False, True, True],
    }
    # A copy under another name stands for it; without one its positions are not known.
    (tmp_path / "spectra.csv").rename(tmp_path / "moved.csv")
    lenses, roles, missing = _positions(run, (CatalogSpec.parse(str(tmp_path / "moved.csv")),))
    ra = lenses.ra
    assert (ra.tolist(), missing) == ([2.0, 3.0, 1.0], ())
    assert roles["spectroscopic"] is not None
    assert roles["spectroscopic"].tolist() == [True, True, False]
    lenses, roles, missing = _positions(run, ())
    ra = lenses.ra
    assert (roles["spectroscopic"], missing) == (None, ("spectra.csv",))
    assert roles["positives"] is not None
