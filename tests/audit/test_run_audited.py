"""The audit of a run: each check fails by itself when, and only when, what it guards is spoiled.

One small run is made; every test spoils one thing of its manifest, or of what the manifest claims.
"""

import dataclasses
import gzip
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditcase import Change, audited_run, failed, spoil, subject_of
from conftest import edited
from pipeline import rewrite, set_column
from plainrun import edit_json

from lensneg import storage
from lensneg.audit.audit import audit
from lensneg.audit.subject import Audit, Subject
from lensneg.schema.check import Check
from lensneg.schema.code_version import CodeVersion
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import load_run
from lensneg.stages.validate_manifest import validate_manifest


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return audited_run(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def subject(files: RunFiles) -> Subject:
    return subject_of(files)


@pytest.fixture
def spoiled(subject: Subject, tmp_path: Path) -> Callable[..., Subject]:
    return partial(spoil, subject, tmp_path)


def with_config(subject: Subject, changes: dict[str, Any]) -> Subject:
    text = edited(subject.config.model_dump(mode="json"), changes)
    return dataclasses.replace(subject, config=Config.parse(text))


def one(
    name: str, change: Callable[[Any], Any], where: Callable[[dict[str, Any]], bool] = lambda _: True
) -> Change:
    """Change one cell: that of the first row for which ``where`` holds."""

    def spoil(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        i = next(i for i, row in enumerate(rows) if where(row))
        values = table[name].to_pylist()
        values[i] = change(values[i])
        return set_column(table, name, values)

    return spoil


def a_row_twice(table: pa.Table) -> pa.Table:
    """Put a row in the place of another one of its stratum and pool."""
    keys = [(r["nobs_z_bin"], r["type_bin"], r["pool"]) for r in table.to_pylist()]
    i = next(i for i in range(len(keys) - 1) if keys[i] == keys[i + 1])
    return pa.concat_tables([table.slice(0, i + 1), table.slice(i, 1), table.slice(i + 2)])


TABLES: dict[str, tuple[str, Change]] = {
    "a column lost": ("schema", lambda t: t.drop_columns(["sersic"])),
    "a column of another type": ("schema", lambda t: t.set_column(2, "objid", t["objid"].cast(pa.int64()))),
    "two columns swapped": ("schema", lambda t: t.select([*t.column_names[1::-1], *t.column_names[2:]])),
    "a row lost": ("row_count", lambda t: t.slice(1)),
    "a null": ("no_nulls", one("brickname", lambda _: None)),
    "an RA of 361": ("coordinates", one("ra", lambda _: 361.0)),
    "a Dec of NaN": ("coordinates", one("dec", lambda _: float("nan"))),
    "a row twice": ("unique_targetids", a_row_twice),
    "another name": ("keys", one("galaxy_id", lambda name: name + "0")),
    "another release": ("keys", one("release", lambda release: release - 1)),
    "another commit": ("provenance", one("git_commit", lambda _: "0" * 40)),
    "a magnitude off by a hundredth": ("magnitudes", one("mag_g", lambda m: m + 0.01, lambda r: r["mag_g"])),
    "a colour lost": ("magnitudes", one("r_minus_z", lambda _: None, lambda r: r["r_minus_z"] is not None)),
    "a masked source": ("selection_rule", one("maskbits", lambda bits: bits | 1 << 1)),
    "another depth": ("stratum_rule", one("nobs_z", lambda _: 30, lambda r: r["nobs_z"] < 11)),
    "another confuser": (
        "pool_rule",
        one(
            "confuser_category",
            lambda c: "blue_clumpy" if c != "blue_clumpy" else "ring_proxy",
            lambda r: r["pool"] == "N2",
        ),
    ),
    "an unknown confuser in N1": (
        "pool_rule",
        one("confuser_category", lambda _: "spiral", lambda r: r["pool"] == "N1"),
    ),
    "another priority": ("priority_rule", one("sampling_priority", lambda p: p ^ 1)),
    "a split swapped": ("split_rule", one("split", lambda s: "test" if s == "train" else "train")),
    "another pixel": ("split_rule", one("healpix_64", lambda pixel: pixel ^ 1)),
    "another weight": ("weights", one("sampling_weight", lambda w: 2 * w)),
}


def test_the_manifest_passes(subject: Subject) -> None:
    assert failed(subject) == set()


@pytest.mark.parametrize("how", TABLES)
def test_a_spoiled_table_fails_its_check_alone(spoiled: Callable[..., Subject], how: str) -> None:
    name, change = TABLES[how]
    assert failed(spoiled(change)) == {name}


def test_the_positives_are_audited_as_well(spoiled: Callable[..., Subject]) -> None:
    change = one("split", lambda s: "test" if s == "train" else "train")
    assert failed(spoiled(change, "positives")) == {"split_rule"}


def test_a_file_cut_short_is_named(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    path.write_bytes(Path(subject.files["negatives"][0]).read_bytes()[:-100])
    cut = dataclasses.replace(subject, files={**subject.files, "negatives": (str(path),)})
    [check] = [c for c in audit(cut).checks if not c.passed]
    assert check.name == "files_readable"
    assert str(path) in check.actual


#: Wide open, so that a test can close one of them.
WIDE = {
    "gates.chance_sigmas": 0.0,
    "gates.split_tolerance_points": 100.0,
    "gates.split_warning_points": 100.0,
}

CONFIGS: dict[str, dict[str, Any]] = {
    # No patch of a sky of two files has the fractions to a thousandth of a point.
    "split_fractions": {"gates.split_tolerance_points": 0.001},
    "split_fractions_close": {"gates.split_warning_points": 0.001},
    "n1_n2_ratio": {"negative_pools.n1_n2_ratio": [50, 50], "gates.n1_n2_tolerance_points": 5.0},
    "selection_rule": {"selection.z_mag_limit": 18.0},
    "priority_rule": {"negative_pools.seed": 43},
    "targets": {"negative_pools.neg_pos_ratio": 5},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_altered_config_fails_the_check_of_what_was_altered(subject: Subject, name: str) -> None:
    assert failed(with_config(subject, WIDE)) == set()
    # The quotas, too, are not those of another ratio of the pools.
    also = {"quota_rule"} if name == "n1_n2_ratio" else set()
    assert failed(with_config(subject, {**WIDE, **CONFIGS[name]})) == {name, *also}


def test_chance_widens_what_is_allowed_and_the_bound_is_shown(subject: Subject) -> None:
    changes = {**WIDE, "gates.split_tolerance_points": 0.001, "gates.chance_sigmas": 4.0}
    [check] = [c for c in audit(with_config(subject, changes)).checks if c.name == "split_fractions"]
    assert check.passed
    rows_by_pixel = Counter(
        pixel
        for uris in subject.files.values()
        for uri in uris
        for pixel in pq.read_table(uri)["healpix_128"].to_pylist()
    )
    rows = sum(rows_by_pixel.values())
    # Each pixel goes to train as a whole, with a probability of 0.7.
    variance = sum(0.7 * 0.3 * (n / rows) ** 2 for n in rows_by_pixel.values())
    bound = 0.001 + 100 * 4 * variance**0.5
    assert f"allowed 70% ± {bound:.3g} points (0.001 fixed + 4σ of chance" in check.actual


def claims(subject: Subject, change: Callable[[list[dict[str, Any]]], None]) -> Subject:
    strata = [stratum.as_json() for stratum in subject.strata]
    change(strata)
    changed = tuple(StratumQuota.model_validate(stratum) for stratum in strata)
    return dataclasses.replace(subject, strata=changed)


def test_a_row_in_another_stratum_than_claimed(subject: Subject) -> None:
    def change(strata: list[dict[str, Any]]) -> None:
        stratum = next(s for s in strata if [draw["quota"] > 1 for draw in s["draws"]] == [True, True])
        for name in ("pools", "draws"):
            stratum[name][0]["quota"] += 1
            stratum[name][1]["quota"] -= 1

    claimed = claims(subject, change)
    assert failed(claimed) - {"weights", "targets"} == {"strata_counts"}


def test_a_positive_more_than_claimed(subject: Subject) -> None:
    def change(strata: list[dict[str, Any]]) -> None:
        strata[0]["positives"] += 1

    assert failed(claims(subject, change)) == {"targets"}


def test_a_stratum_without_negatives(spoiled: Callable[..., Subject]) -> None:
    emptied: dict[str, Any] = {}

    def drop(table: pa.Table) -> pa.Table:
        emptied["key"] = key = (table["nobs_z_bin"][0].as_py(), table["type_bin"][0].as_py())
        keep = [(r["nobs_z_bin"], r["type_bin"]) != key for r in table.to_pylist()]
        return table.filter(pa.array(keep))

    def change(strata: list[dict[str, Any]]) -> None:
        [stratum] = [s for s in strata if (s["nobs_z_bin"], s["type_bin"]) == emptied["key"]]
        stratum["shortfall"] += sum(pool["quota"] for pool in stratum["pools"])
        stratum["draws"] = []
        for pool in stratum["pools"]:
            pool["quota"] = 0

    without = spoiled(drop)
    assert failed(claims(without, change)) == {"strata_represented"}


@pytest.mark.parametrize(("arcsec", "expected"), [(10.9, {"clear_of_lenses"}), (11.1, set())])
def test_a_negative_beside_a_lens(subject: Subject, arcsec: float, expected: set[str]) -> None:
    row = pq.read_table(subject.files["negatives"][0]).slice(0, 1).to_pylist()[0]
    beside = dataclasses.replace(
        subject, ra=np.append(subject.ra, row["ra"]), dec=np.append(subject.dec, row["dec"] + arcsec / 3600)
    )
    assert failed(beside) == expected


# ---------------------------------------------------------------- rows looked up in the sweep files


def with_sweeps(subject: Subject, folder: Path) -> Subject:
    infos = {storage.basename(info.uri): info for info in storage.list_files(str(folder))}
    return dataclasses.replace(subject, sweeps=infos, all_at_hand=True)


@pytest.fixture
def sweeps(files: RunFiles) -> Path:
    return Path(load_run(files.root).record.sweeps[0].uri).parent


def test_rows_are_found_again(subject: Subject, sweeps: Path) -> None:
    [check] = [c for c in audit(with_sweeps(subject, sweeps)).checks if c.name == "rows_found_again"]
    assert check.passed
    rows = sum(pq.read_metadata(uri).num_rows for uris in subject.files.values() for uri in uris)
    assert check.actual == f"{min(200, rows)} in 2 files"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: set_column(t, "row_index", [i + 1 for i in t["row_index"].to_pylist()]),
        lambda t: set_column(t, "ebv", [x + 1e-4 for x in t["ebv"].to_pylist()]),
        lambda t: set_column(t, "row_index", [10**7] * len(t)),
    ],
    ids=["rows shifted", "a value shifted", "rows beyond the end"],
)
def test_rows_that_are_not_the_sweeps_are_found_out(
    spoiled: Callable[..., Subject], sweeps: Path, change: Change
) -> None:
    assert failed(with_sweeps(spoiled(change), sweeps)) == {"rows_found_again"}


def test_a_brick_that_is_not_the_sweeps_is_found_out(spoiled: Callable[..., Subject], sweeps: Path) -> None:
    """BRICKID is in TARGETID alone; a change of it in all rows, and so of the priority, shows there only."""

    def change(table: pa.Table) -> pa.Table:
        ids = [targetid ^ (1 << 41) for targetid in table["targetid"].to_pylist()]
        return set_column(table, "targetid", ids)

    assert failed(with_sweeps(spoiled(change), sweeps)) == {"rows_found_again", "priority_rule"}


def test_rows_of_gzipped_files_are_found_again(
    spoiled: Callable[..., Subject], sweeps: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gzipped"
    folder.mkdir()
    for path in sweeps.glob("*.fits"):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))

    def rename(table: pa.Table) -> pa.Table:
        return set_column(table, "sweep_file", [f"{name}.gz" for name in table["sweep_file"].to_pylist()])

    subject = spoiled(rename)
    rewrite(tmp_path / "positives", rename)
    assert failed(with_sweeps(subject, folder)) == set()


def test_a_sweep_file_that_is_gone_is_critical_in_the_run_and_a_warning_elsewhere(
    subject: Subject, sweeps: Path
) -> None:
    for all_at_hand in (True, False):
        gone = dataclasses.replace(subject, sweeps={}, all_at_hand=all_at_hand)
        [check] = [c for c in audit(gone).checks if not c.passed]
        assert (check.name, check.critical) == ("sweeps_at_hand", all_at_hand)


@pytest.mark.parametrize(("name", "passes_in"), [("n1_n2_ratio", {"test"}), ("split_rule", set())])
def test_what_chance_breaks_is_a_warning_in_a_mini_test_alone(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, passes_in: set[str]
) -> None:
    broken = Check(name=name, passed=False, expected="1", actual="2", remedy="mend it")

    def audit_and_find(subject: Subject) -> Audit:
        found = audit(subject)
        return dataclasses.replace(found, checks=(*found.checks, broken))

    for mode in ("test", "full"):
        run = RunFiles(str(tmp_path / mode), files.run_id)
        shutil.copytree(files.out, run.out)
        edit_json(run.run, lambda record, mode=mode: record.update(mode=mode))
        assert validate_manifest(run.root).gate.passed
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[validate_manifest.__module__], "audit", audit_and_find)
            assert validate_manifest(run.root).gate.passed == (mode in passes_in)


def test_gate_4_refuses_other_code_than_the_runs(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFiles(str(tmp_path / "out"), files.run_id)
    shutil.copytree(files.out, run.out)
    monkeypatch.setattr("lensneg.stages.one_code.code_version", lambda: CodeVersion("1.0.0", "0" * 64, "abc"))
    verdict = validate_manifest(run.root).gate
    assert not verdict.passed
    assert verdict.cause.startswith("one_code: ")
