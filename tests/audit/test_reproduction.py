"""A run again from its record: every input that changed is named, and every difference of the manifests."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from published import publish, row
from surveyserver import serving

from lensneg import storage
from lensneg.audit import reproduction
from lensneg.audit.reproduction import (
    Difference,
    Inputs,
    compare_manifests,
    look_at_inputs,
    other_sweeps,
    request_again,
)
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.code_version import CodeVersion
from lensneg.schema.config import config_sha256
from lensneg.schema.item import NotRead
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.survey.listing import look_into

Rows = dict[str, list[dict[str, Any]]]
SWEEP = "sweep-000p005-005p010.fits"


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return publish(tmp_path)


def inputs_of(files: RunFiles) -> Path:
    return Path(files.out).parent / "inputs"


# Inputs.


def test_unchanged_inputs_differ_in_nothing(files: RunFiles) -> None:
    original = Manifest.open(files.run)
    assert Manifest.open(files.manifest).record == original.record
    assert look_at_inputs(original.record.run, None, ()).differences == ()


def test_each_changed_input_is_named(files: RunFiles) -> None:
    inputs = inputs_of(files)
    with open(inputs / "lenses.csv", "a") as catalog:
        catalog.write("b,2,7\n")
    (inputs / "sweeps" / SWEEP).write_bytes(b"more rows")
    record = Manifest.open(files.run).record.run
    older = record.model_copy(
        update={"code": record.code.model_copy(update={"code_version": "0.0.9-abc", "git_commit": "f00"})}
    )
    found = look_at_inputs(older, None, ()).differences
    assert [(d.kind, d.name, d.missing) for d in found] == [
        ("catalogue", "lenses.csv", False),
        ("sweep", SWEEP, False),
        ("code", "lensneg", False),
    ]
    assert "9 bytes, the run's had 4" in found[1].text
    assert "made with 0.0.9-abc: check out commit f00" in found[2].text


def test_a_catalogue_of_other_bytes_is_told_by_its_sha256(files: RunFiles) -> None:
    """And the ones after it are looked at as well."""
    record = Manifest.open(files.run).record.run
    [first] = record.catalogs
    second = inputs_of(files) / "others.csv"
    second.write_text("name,ra,dec\nb,2,7\n")
    spec = first.spec.model_copy(update={"uri": str(second)})
    both = (first, first.model_copy(update={"spec": spec, "role": "exclude", "sha256": "0" * 64}))
    Path(first.spec.uri).write_text("name,ra,dec\na,1,6.5\n")
    found = look_at_inputs(record.model_copy(update={"catalogs": both}), None, ())
    now = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (Path(first.spec.uri), second)]
    assert found.differences == (
        Difference(
            "catalogue",
            "lenses.csv",
            f"{first.spec.uri}: its SHA-256 is {now[0][:12]}…, the run's was {first.sha256[:12]}…",
        ),
        Difference(
            "catalogue", "others.csv", f"{second}: its SHA-256 is {now[1][:12]}…, the run's was {'0' * 12}…"
        ),
    )
    assert found.missing == []
    assert found.catalogs == both


def test_a_file_that_the_run_did_not_read_is_left_out(files: RunFiles) -> None:
    """Whatever became of it."""
    record = Manifest.open(files.run).record.run
    os.unlink(inputs_of(files) / "sweeps" / SWEEP)
    parts = [NotRead(sweep=SWEEP, first_row=at, rows=617, reason="broken") for at in (0, 617)]
    assert look_at_inputs(record, None, (), parts) == Inputs((), record.catalogs, ())


def test_a_file_that_the_run_read_in_part_is_a_difference(files: RunFiles) -> None:
    record = Manifest.open(files.run).record.run
    part = NotRead(sweep=SWEEP, first_row=617, rows=617, reason="broken")
    found = look_at_inputs(record, None, (), [part])
    assert found.sweeps == (record.sweeps[0].uri,)
    what = f"the run did not read {SWEEP}, rows 617 to 1,233: broken; a second run reads them"
    assert found.differences == (Difference("sweep", SWEEP, what),)


def test_a_touched_sweep_file_may_have_the_same_bytes(files: RunFiles) -> None:
    os.utime(inputs_of(files) / "sweeps" / SWEEP, (1, 1))
    record = Manifest.open(files.run).record.run
    (difference,) = look_at_inputs(record, None, ()).differences
    assert difference[:2] == ("sweep", SWEEP)
    now = storage.stat(record.sweeps[0].uri).etag
    assert f": its ETag is {now}, the run's was {record.sweeps[0].etag} (" in difference.text
    assert difference.text.endswith("its bytes may be the same)")


def test_an_object_of_s3_with_another_etag_has_other_bytes(files: RunFiles, s3: str) -> None:
    storage.write_bytes(f"{s3}/sky/{SWEEP}", b"rows")
    record = Manifest.open(files.run).record.run
    etag = storage.stat(f"{s3}/sky/{SWEEP}").etag
    (difference,) = look_at_inputs(record, f"{s3}/sky", ()).differences
    was = record.sweeps[0].etag
    text = f"{s3}/sky/{SWEEP}: its ETag is {etag}, the run's was {was}"
    assert difference == Difference("sweep", SWEEP, text)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"code_version": "0.0.9-abc"}, "check out commit"),
        ({"git_commit": "f00"}, "check out commit f00"),
        ({"git_commit": "f00-dirty"}, "it had changes that no commit holds"),
        ({"code_version": "0.0.9-abc", "git_commit": "unknown"}, "it had changes that no commit holds"),
    ],
)
def test_other_code_is_named_with_the_way_to_it(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], remedy: str
) -> None:
    here = CodeVersion("1.0.0", "c0ffee" * 10, "abc")
    monkeypatch.setattr(reproduction, "code_version", lambda: here)
    record = Manifest.open(files.run).record.run
    same = {"pipeline_version": "1.0.0", "git_commit": "abc", "code_version": here.code_version}
    code = record.code.model_copy(update=same)
    assert look_at_inputs(record.model_copy(update={"code": code}), None, ()).differences == ()
    then = code.model_copy(update=changes)
    (difference,) = look_at_inputs(record.model_copy(update={"code": then}), None, ()).differences
    assert difference[:2] == ("code", "lensneg")
    assert difference.text.startswith(f"this is {here.code_version}, commit abc; the run was made with ")
    assert f"{then.code_version}: {remedy}" in difference.text


def test_moved_inputs_are_found_where_they_are_said_to_be(files: RunFiles, tmp_path: Path) -> None:
    record = Manifest.open(files.run).record.run
    moved = tmp_path / "moved"
    shutil.move(inputs_of(files), moved)
    gone = look_at_inputs(record, None, ())
    assert [d[:2] for d in gone.missing] == [("catalogue", "lenses.csv"), ("sweep", SWEEP)]
    assert "--catalog PATH/lenses.csv" in gone.missing[0].text
    assert "--sweeps URI" in gone.missing[1].text
    found = look_at_inputs(record, str(moved / "sweeps"), [str(moved / "lenses.csv")])
    assert found.differences == ()
    assert found.sweeps == (str(moved / "sweeps" / SWEEP),)
    assert [catalog.spec.uri for catalog in found.catalogs] == [str(moved / "lenses.csv")]
    deeper = look_at_inputs(record, str(moved), [str(moved / "lenses.csv")])
    assert (deeper.differences, deeper.sweeps) == ((), found.sweeps)
    with pytest.raises(InputError, match=r"no catalogue of this name; it had lenses\.csv"):
        look_at_inputs(record, None, [str(moved / "other.csv")])


def test_a_folder_that_lacks_a_sweep_file_is_named_with_it(files: RunFiles, tmp_path: Path) -> None:
    record = Manifest.open(files.run).record.run
    empty = tmp_path / "empty"
    empty.mkdir()
    [(kind, name, text, missing)] = look_at_inputs(record, str(empty), ()).differences
    assert (kind, name, missing) == ("sweep", SWEEP, True)
    assert text.startswith(f"{empty}/{SWEEP}: no such file")
    with pytest.raises(InputError, match=r"--sweeps .*nowhere: no such folder"):
        look_at_inputs(record, str(tmp_path / "nowhere"), ())


def test_a_catalogue_that_the_run_did_not_have_is_refused_with_those_that_it_had(files: RunFiles) -> None:
    record = Manifest.open(files.run).record.run
    [first] = record.catalogs
    spec = first.spec.model_copy(update={"uri": "/inputs/b.csv"})
    record = record.model_copy(update={"catalogs": (first, first.model_copy(update={"spec": spec}))})
    with pytest.raises(InputError, match=r"other\.csv: .*this name; it had b\.csv, lenses\.csv$"):
        look_at_inputs(record, None, ["/inputs/other.csv"])


def test_the_second_request_repeats_the_first(files: RunFiles, tmp_path: Path) -> None:
    record = Manifest.open(files.run).record.run
    stranger = inputs_of(files) / "sweeps" / "sweep-005p005-010p010.fits"
    stranger.write_bytes(b"a file that came later")
    out = tmp_path / "again"
    request = request_again(record, look_at_inputs(record, None, ()), str(out))
    assert (request.run_id, request.started_at, request.mode) == (
        "tiny",
        "2026-01-02T03:04:05Z",
        "test-then-full",
    )
    # The config comes from the record, as its file is gone; the stranger does not come along.
    assert config_sha256(storage.read_bytes(request.config).decode()) == record.config.sha256
    assert [(Path(f.uri).name, f.size, f.etag) for f in storage.list_files(request.sweeps)] == [
        (SWEEP, record.sweeps[0].size, record.sweeps[0].etag)
    ]
    publish(tmp_path / "x")
    again = r"manifests/tiny/manifest\.json: there is one already; .*--out"
    with pytest.raises(InputError, match=again):
        request_again(record, look_at_inputs(record, None, ()), str(tmp_path / "x" / "out"))


def test_streamed_files_are_those_of_their_sha256(files: RunFiles, tmp_path: Path) -> None:
    """On the server the second run compares it; a file at hand is compared here."""
    record = Manifest.open(files.run).record.run
    with serving({SWEEP: b"rows"}) as survey:
        digest = hashlib.sha256(b"rows").hexdigest()
        there = {"uri": survey.url + SWEEP, "etag": f"sha256:{digest}"}
        record = record.model_copy(update={"sweeps": (record.sweeps[0].model_copy(update=there),)})
        inputs = look_at_inputs(record, None, ())
        assert inputs.differences == ()
        assert other_sweeps(inputs.sweeps) == []
        request = request_again(record, inputs, str(tmp_path / "again"))
        assert Path(request.sweeps).read_text() == f"{survey.url}{SWEEP}\n"
    fetched = inputs_of(files) / "sweeps"
    assert look_at_inputs(record, str(fetched), ()).differences == ()
    (fetched / SWEEP).write_bytes(b"ROWS")
    (difference,) = look_at_inputs(record, str(fetched), ()).differences
    assert f"its SHA-256 is not the run's {digest[:12]}…" in difference.text


def test_catalogues_keep_their_roles_and_a_second_attempt_finds_the_first(
    files: RunFiles, tmp_path: Path
) -> None:
    record = Manifest.open(files.run).record.run
    [first] = record.catalogs
    clear = first.model_copy(update={"role": "exclude", "spec": CatalogSpec(uri="/inputs/b.csv?")})
    spectra = first.model_copy(update={"role": "spectroscopic", "spec": CatalogSpec(uri="/inputs/c.fits")})
    record = record.model_copy(update={"catalogs": (clear, first, spectra)})
    inputs = look_at_inputs(record, None, ())
    out = tmp_path / "deep" / "again"
    for _ in range(2):
        request = request_again(record, inputs, str(out))
        assert (request.positives, request.exclude) == ((first.spec,), (clear.spec,))
        assert request.spectroscopic == (spectra.spec,)
        assert request.out == str(out)
        # What is laid out for the run lies in a folder of its own, beside what the run writes.
        assert request.config == str(out / "inputs" / "plan.yaml")
        assert request.sweeps == str(out / "inputs" / "sweeps")
        assert [path.name for path in Path(request.sweeps).iterdir()] == [SWEEP]


@pytest.mark.parametrize(
    ("uris", "prefix"),
    [
        (("s3://sky/dr10/a.fits",), "s3://sky/dr10"),
        (("s3://sky/dr10/a.csv",), "s3://sky/dr10/a.csv"),
        (("s3://sky/dr10/a.csv", "s3://sky/dr10/b.csv"), "s3://sky/dr10"),
        (("s3://sky/dr10/a.fits", "s3://sky/dr10/b.fits"), "s3://sky/dr10"),
        (("s3://sky/dr10/a.fits", "s3://sky/dr10/more/b.fits"), None),
        (("s3://sky/dr10/a.fits", "s3://heaven/dr10/b.fits"), None),
    ],
)
def test_sweep_files_in_s3_are_below_one_prefix(
    files: RunFiles, tmp_path: Path, s3: str, uris: tuple[str, ...], prefix: str | None
) -> None:
    record = Manifest.open(files.run).record.run
    inputs = Inputs(uris, record.catalogs, ())
    if prefix is not None:
        assert request_again(record, inputs, str(tmp_path)).sweeps == prefix
        return
    with pytest.raises(InputError, match=r"below 2 prefixes of S3; .*--sweeps"):
        request_again(record, inputs, str(tmp_path))


def test_what_lies_beside_the_recorded_files_in_s3_is_no_input(
    files: RunFiles, tmp_path: Path, s3: str
) -> None:
    """A prefix may have got more sweep files since, below it as well. Other files do not matter."""
    record = Manifest.open(files.run).record.run
    for name in (SWEEP, "region.sha256sum"):
        storage.write_bytes(f"{s3}/dr10/{name}", b"rows")
    inputs = Inputs((f"{s3}/dr10/{SWEEP}",), record.catalogs, ())
    assert request_again(record, inputs, str(tmp_path)).sweeps == f"{s3}/dr10"
    new, odd = "new/sweep-355p005-360p010.fits", "[a]/sweep-355p005-360p010.fits.fz"
    for name in (new, odd):
        storage.write_bytes(f"{s3}/dr10/{name}", b"rows")
    assert sorted(other_sweeps(inputs.sweeps)) == [odd, new]
    request = request_again(record, inputs, str(tmp_path))
    found = look_into(request.sweeps, request.leave_out)
    assert ([info.uri for info in found.sweeps], found.not_read) == ([f"{s3}/dr10/{SWEEP}"], [])


def test_of_two_files_with_a_recorded_name_the_recorded_one_is_taken(
    files: RunFiles, tmp_path: Path, s3: str
) -> None:
    record = Manifest.open(files.run).record.run
    for place, data in {"a": b"others", "b": b"rows", "c": b"more rows"}.items():
        storage.write_bytes(f"{s3}/dr10/{place}/{SWEEP}", data)
    found = look_at_inputs(record, f"{s3}/dr10", ())
    assert found.sweeps == (f"{s3}/dr10/b/{SWEEP}",)  # by its size: 4 bytes
    etag = storage.stat(f"{s3}/dr10/a/{SWEEP}").etag
    recorded = record.sweeps[0].model_copy(update={"etag": etag})
    found = look_at_inputs(record.model_copy(update={"sweeps": (recorded,)}), f"{s3}/dr10", ())
    assert found.sweeps == (f"{s3}/dr10/a/{SWEEP}",)


def test_a_copy_below_the_recorded_file_in_s3_is_left_out(files: RunFiles, tmp_path: Path, s3: str) -> None:
    record = Manifest.open(files.run).record.run
    other = "sweep-355p005-360p010.fits"
    for place in (SWEEP, f"old/{SWEEP}", f"b/{other}", other):
        storage.write_bytes(f"{s3}/dr10/{place}", b"rows")
    request = request_again(record, Inputs((f"{s3}/dr10/{SWEEP}",), record.catalogs, ()), str(tmp_path))
    taken = look_into(request.sweeps, request.leave_out).sweeps
    assert [info.uri for info in taken] == [f"{s3}/dr10/{SWEEP}"]


# Manifests.


def drop_row(rows: Rows) -> Rows:
    return {**rows, "negatives": rows["negatives"][:-1]}


def swap_row(rows: Rows) -> Rows:
    return {**rows, "negatives": [*rows["negatives"][:-1], row(50, "N2")]}


def other_value(rows: Rows) -> Rows:
    first = {**rows["negatives"][0], "flux_r": 7.0, "split": "test"}
    return {**rows, "negatives": [first, *rows["negatives"][1:]]}


def other_code(rows: Rows) -> Rows:
    return {part: [{**r, "git_commit": "f00"} for r in some] for part, some in rows.items()}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda rows: rows, (True, True, 0, 0, ())),
        (other_code, (True, False, 0, 0, ())),
        (drop_row, (False, False, 1, 0, ())),
        (swap_row, (False, False, 1, 1, ())),
        (other_value, (False, False, 0, 0, ("flux_r", "split"))),
    ],
)
def test_what_differs_is_counted_and_named(
    files: RunFiles, tmp_path: Path, change: Callable[[Rows], Rows], verdict: tuple[Any, ...]
) -> None:
    again = publish(tmp_path / "again", change=change)
    found = compare_manifests(Manifest.open(files.manifest), Manifest.open(again.manifest))
    assert found[0] == ("negatives", *verdict)
    assert found[1].same_content


def test_rows_that_are_not_at_hand_are_not_compared(files: RunFiles, tmp_path: Path) -> None:
    again = publish(tmp_path / "again", change=drop_row)
    for path in Path(files.manifest_folder, "negatives").iterdir():
        path.unlink()
    found = compare_manifests(Manifest.open(files.manifest), Manifest.open(again.manifest))
    assert found[0] == ("negatives", False, False, 0, 0, ())


def with_nan(rows: Rows) -> Rows:
    return {
        part: [{**r, "shape_r": float("nan"), "mag_g": float("nan")} for r in some]
        for part, some in rows.items()
    }


def test_what_is_no_number_in_both_does_not_differ(tmp_path: Path) -> None:
    """In a column of 32 bits and in one of 64."""
    before = publish(tmp_path / "before", change=with_nan)
    again = publish(tmp_path / "again", change=lambda rows: other_value(with_nan(rows)))
    found = compare_manifests(Manifest.open(before.manifest), Manifest.open(again.manifest))
    assert found[0].columns == ("flux_r", "split")
