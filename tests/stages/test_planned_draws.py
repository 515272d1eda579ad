"""A run whose pools overlap and whose negatives are matched: what it draws, and what gates 3 and 4 notice."""

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditcase import audited_run, failed, spoil, subject_of
from pipeline import rewrite, set_column
from plainrun import edit_json, failing

from lensneg.audit.subject import Subject
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import Quotas, StratumQuota
from lensneg.schema.tables import read_table
from lensneg.stages.check_sample.gate3 import check_sample

MORE = {
    "negative_pools.pool_n1.population": "all",
    "negative_pools.pool_n1.unmatched_share": 0.5,
    "negative_pools.pool_n2.category_shares": {"edge_on_proxy": 0.5},
    "matching": {"bins": {"mag_r": 3, "psfsize_z": 2}, "positives_per_cell": 2},
    "spatial_splits.folds": 3,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return audited_run(tmp_path_factory.mktemp("planned"), MORE)


@pytest.fixture
def draw(files: RunFiles, tmp_path: Path) -> RunFiles:
    """A copy of the run, to be spoiled."""
    shutil.copytree(files.out, tmp_path / "out")
    copy = RunFiles(str(tmp_path / "out"), files.run_id)
    edit_json(copy.run, lambda record: record.update(out=copy.out))
    return copy


@pytest.fixture
def subject(files: RunFiles) -> Subject:
    return subject_of(files)


def sample_of(files: RunFiles) -> list[dict[str, Any]]:
    return [row for uri in files.sample_parts("negatives") for row in read_table(uri).to_pylist()]


def is_of(row: dict[str, Any], stratum: StratumQuota) -> bool:
    return (row["nobs_z_bin"], row["type_bin"]) == (stratum.nobs_z_bin, stratum.type_bin)


def pool_of(files: RunFiles) -> list[dict[str, Any]]:
    return [row for path in Path(files.pool_folder).iterdir() for row in pq.read_table(path).to_pylist()]


def test_each_stratum_gets_its_ratio_and_no_source_is_in_both_pools(files: RunFiles) -> None:
    rows, quotas = sample_of(files), Quotas.read(files.quotas)
    drawn = Counter((row["nobs_z_bin"], row["type_bin"]) for row in rows)
    assert drawn == Counter({(s.nobs_z_bin, s.type_bin): s.quota for s in quotas.strata if s.quota})
    assert all(s.quota + s.shortfall == 4 * s.positives for s in quotas.strata)
    assert len({row["targetid"] for row in rows}) == len(rows)
    assert any(s.edges[0] for s in quotas.strata)
    kinds = {row["draw"].partition(":")[0] for row in rows}
    assert {"n1", "n1_matched", "n2"} <= kinds


def test_the_unmatched_n1_is_the_lowest_priorities_of_all_galaxies(files: RunFiles) -> None:
    rows, pool = sample_of(files), pool_of(files)
    for stratum in Quotas.read(files.quotas).strata:
        unmatched = {r["sampling_priority"] for r in rows if is_of(r, stratum) and r["draw"] == "n1"}
        lowest = sorted(r["sampling_priority"] for r in pool if is_of(r, stratum))[: len(unmatched)]
        assert unmatched == set(lowest)
    confusers = [row for row in rows if row["draw"] == "n1" and row["confuser_category"]]
    assert confusers
    assert {row["pool"] for row in confusers} == {"N1"}


def test_the_weighted_unmatched_n1_counts_the_pool(files: RunFiles) -> None:
    """The weights of a draw add up to the sources of its population, stratum by stratum."""
    rows, pool = sample_of(files), pool_of(files)
    for stratum in Quotas.read(files.quotas).strata:
        here = [r for r in rows if is_of(r, stratum) and r["draw"] == "n1"]
        if here:
            there = sum(is_of(r, stratum) for r in pool)
            assert sum(r["sampling_weight"] for r in here) == pytest.approx(there, rel=1e-12)


Change = Callable[[pa.Table], pa.Table]


def set_first(name: str, value: Callable[[Any], Any], where: Callable[[dict[str, Any]], bool]) -> Change:
    """Change a value in the first row for which ``where`` holds."""

    def change(rows: pa.Table) -> pa.Table:
        values, table = rows[name].to_pylist(), rows.to_pylist()
        place = next(i for i, row in enumerate(table) if where(row))
        values[place] = value(values[place])
        return set_column(rows, name, values)

    return change


OTHER_POPULATION = "not of what is drawn from"


def is_in_brightest_cell(row: dict[str, Any]) -> bool:
    return is_matched(row) and row["draw"].endswith(":0") and row["type_bin"] == "SER"


def is_matched(row: dict[str, Any]) -> bool:
    return bool(row["draw"].startswith("n1_matched"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_first("fold", lambda fold: fold + 1, lambda r: r["fold"] is not None), "fold"),
        (set_first("pool", lambda _: "N2", lambda r: r["draw"] == "n1"), "pool"),
        (set_first("draw", lambda _: "n1_matched:99", is_matched), "there is no such draw"),
        (set_first("mag_r", lambda mag: mag + 9, is_in_brightest_cell), OTHER_POPULATION),
        (
            set_first("confuser_category", lambda _: None, lambda r: r["pool"] == "N2"),
            OTHER_POPULATION,
        ),
    ],
)
def test_gate_3_notices(draw: RunFiles, change: Change, said: str) -> None:
    folder = Path(draw.draw_folder) / "negatives"
    rewrite(folder, change)
    gate = check_sample(draw.root).gate
    assert not gate.passed
    assert said in gate.cause
    assert "rows_as_ruled" in failing(draw.gate(3))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (set_first("fold", lambda fold: fold + 1, lambda r: r["fold"] is not None), "split_rule"),
        (set_first("draw", lambda _: "n1", is_matched), "strata_counts"),
        (set_first("sampling_weight", lambda weight: weight + 1, is_matched), "weights"),
    ],
)
def test_gate_4_notices(subject: Subject, tmp_path: Path, change: Change, expected: str) -> None:
    assert expected in failed(spoil(subject, tmp_path, change))


def claim(subject: Subject, by: Callable[[dict[str, Any]], None]) -> Subject:
    """The subject with other claims of its first stratum with cells."""
    strata = [stratum.as_json() for stratum in subject.strata]
    chosen = next(stratum for stratum in strata if stratum["edges"][0])
    by(chosen)
    return dataclasses.replace(subject, strata=tuple(StratumQuota.model_validate(s) for s in strata))


def change_edge(stratum: dict[str, Any]) -> None:
    stratum["edges"][0][0] += 0.001


def change_target(stratum: dict[str, Any]) -> None:
    stratum["pools"][0]["target"] -= 1
    stratum["pools"][1]["target"] += 1


def change_left(stratum: dict[str, Any]) -> None:
    next(d for d in stratum["draws"] if d["draw"].startswith("n1_matched"))["left"] = 0


@pytest.mark.parametrize("change", [change_edge, change_target, change_left])
def test_gate_4_works_the_quotas_out_again(
    subject: Subject, change: Callable[[dict[str, Any]], None]
) -> None:
    assert failed(claim(subject, change)) == {"quota_rule"}


def test_it_passes_as_it_is(files: RunFiles, subject: Subject) -> None:
    assert failed(subject) == set()
    assert json.loads(Path(files.quotas).read_text())["matched"] == ["mag_r", "psfsize_z"]
