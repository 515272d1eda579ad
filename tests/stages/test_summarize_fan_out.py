"""Gate 2: each check fails by itself when, and only when, what it guards is spoiled."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import edited
from plainrun import draw_plainly, edit_json, failing

from lensneg.rules.quotas import compute_quotas
from lensneg.rules.strata import Stratum
from lensneg.schema.code_version import CodeVersion
from lensneg.schema.gate import Verdict
from lensneg.schema.item import ItemError, read_items
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import Run, _load_run, load_run
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.filter_sweep import item
from lensneg.stages.publish_manifest import publish_manifest
from lensneg.stages.report import write_report
from lensneg.stages.summarize_fan_out.checks import Findings, _strata
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out
from lensneg.stages.validate_manifest import validate_manifest


@pytest.fixture
def spread(mapped: RunFiles, tmp_path: Path) -> RunFiles:
    """A copy of that run, as if it were a full one, to be spoiled."""
    shutil.copytree(mapped.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    edit_json(files.run, lambda record: record.update(out=files.out, mode="full"))
    return files


def a_stats_file(files: RunFiles) -> Path:
    return sorted(Path(files.stats_folder).iterdir())[0]


def lose_an_item(files: RunFiles) -> None:
    a_stats_file(files).unlink()


def lose_a_row(files: RunFiles) -> None:
    def change(stats: dict[str, Any]) -> None:
        stats["cut"]["faint"] -= 1

    edit_json(a_stats_file(files), change)


def plan_fewer_rows(files: RunFiles) -> None:
    """items.json and stats agree on fewer rows than the sweep file has."""
    [item] = [i for i in json.loads(Path(files.items).read_text()) if i["id"] == a_stats_file(files).stem]

    def shorten(entry: dict[str, Any]) -> None:
        if entry["id"] == item["id"]:
            entry["n_rows"] -= 7

    def items(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            shorten(entry)

    def stats(value: dict[str, Any]) -> None:
        shorten(value["item"])
        value["rows_in"] -= 7
        value["cut"]["faint"] -= 7

    edit_json(files.items, items)
    edit_json(a_stats_file(files), stats)


def change_a_catalogue(files: RunFiles) -> None:
    def move(record: dict[str, Any]) -> None:
        source = record["catalogs"][-1]
        path = Path(files.out) / "others.csv"
        path.write_text(Path(source["spec"]["uri"]).read_text() + "\n")
        source["spec"]["uri"] = str(path)

    edit_json(files.run, move)


def configure(changes: dict[str, Any]) -> Callable[[RunFiles], None]:
    """Another config with the same name, version and hash: the map's work stays valid."""

    def change(files: RunFiles) -> None:
        def edit(record: dict[str, Any]) -> None:
            record["config"]["text"] = edited(yaml.safe_load(record["config"]["text"]), changes)

        edit_json(files.run, edit)

    return change


def lose_the_matches(files: RunFiles) -> None:
    """Half of the positives get a catalogue position where there is no source."""
    table = pq.read_table(files.lenses)
    positive = table.filter(table["is_positive"])
    empty = positive.set_column(
        2, table.schema.field("dec"), pa.array([dec + 0.002 for dec in positive["dec"].to_pylist()])
    )
    pq.write_table(pa.concat_tables([table, *[empty] * 3]), files.lenses)


def positives_of_another_type(files: RunFiles) -> None:
    for path in Path(files.positives_folder).iterdir():
        rewrite_column(path, "type_bin", "PSF")
        data = path.read_bytes()
        found = {"positives_bytes": len(data), "positives_sha256": hashlib.sha256(data).hexdigest()}
        edit_json(files.stats(path.stem), lambda stats, found=found: stats.update(found))


def rewrite_column(path: Path, name: str, value: Any) -> None:
    table = pq.ParquetFile(path).read()
    i = table.column_names.index(name)
    values = pa.array([value] * len(table), table.schema.field(name).type)
    pq.write_table(table.set_column(i, table.schema.field(name), values), path)


GATE_2: dict[str, tuple[Callable[[RunFiles], None], set[str]]] = {
    "an item without stats": (lose_an_item, {"items_done"}),
    "a row that is not accounted for": (lose_a_row, {"rows_accounted"}),
    "rows that no item has": (plan_fewer_rows, {"items_cover_sweeps"}),
    "a catalogue that changed": (change_a_catalogue, {"inputs_unchanged"}),
    "catalogue positions without sources": (lose_the_matches, {"positives_matched"}),
    "positives of a type without strata": (positives_of_another_type, {"positives_in_strata"}),
    "too many confusers": (configure({"gates.n2_fraction_range": [0.0, 0.01]}), {"n2_fraction"}),
    "too few confusers": (configure({"gates.n2_fraction_range": [0.99, 1.0]}), {"n2_fraction"}),
    "strata that are short": (
        configure(
            {
                "negative_pools.neg_pos_ratio": 999,
                "gates.stratum_shortfall_max": 0.0,
                "gates.chance_sigmas": 0.0,
            }
        ),
        {"strata_available"},
    ),
}


def gate_2(files: RunFiles) -> tuple[set[str], Verdict]:
    _load_run.cache_clear()  # the run was changed behind its back
    verdict = summarize_fan_out(files.root).gate
    return failing(files.gate(2)), verdict


def test_gate_2_passes(spread: RunFiles) -> None:
    assert gate_2(spread) == (set(), Verdict(gate="Gate2FanOutComplete", passed=True, cause=""))


@pytest.mark.parametrize("how", GATE_2)
def test_what_gate_2_refuses_fails_one_check(spread: RunFiles, how: str) -> None:
    spoil, expected = GATE_2[how]
    spoil(spread)
    failed, verdict = gate_2(spread)
    assert failed == expected
    assert not verdict.passed
    assert next(iter(expected)) in verdict.cause


#: The checks that a few files may fail by chance.
OF_CHANCE = {"positives_matched", "positives_in_strata", "n2_fraction", "strata_available"}


@pytest.mark.parametrize("how", GATE_2)
def test_what_chance_breaks_is_a_warning_in_a_mini_test(spread: RunFiles, how: str) -> None:
    spoil, expected = GATE_2[how]
    spoil(spread)
    edit_json(spread.run, lambda record: record.update(mode="test"))
    failed, verdict = gate_2(spread)
    assert (failed, verdict.passed) == (expected, expected <= OF_CHANCE)


def test_a_mini_test_whose_positives_have_no_source_goes_through(spread: RunFiles) -> None:
    """There is nothing to draw, and each later step still does its work."""
    for path in Path(spread.positives_folder).iterdir():
        path.unlink()
    for path in Path(spread.stats_folder).iterdir():
        edit_json(path, lambda stats: stats.update(positives_bytes=0, candidate_matches=0))
    edit_json(spread.run, lambda record: record.update(mode="test"))
    failed, verdict = gate_2(spread)
    assert (failed, verdict.passed) == ({"positives_in_strata"}, True)
    draw_plainly(Path(spread.root))
    for judged in (check_sample(spread.root), validate_manifest(spread.root)):
        assert judged.gate.passed, judged.gate.cause
    assert publish_manifest(spread.root).kind == "mini_test"
    write_report(spread.root)


def test_an_item_that_may_fail_is_a_warning(spread: RunFiles) -> None:
    configure({"execution.tolerated_failures": 1})(spread)
    lose_an_item(spread)
    failed, verdict = gate_2(spread)
    assert (failed, verdict.passed) == ({"items_done"}, True)


def test_the_error_of_an_item_is_quoted(spread: RunFiles) -> None:
    lost = a_stats_file(spread)
    lost.unlink()
    ItemError(item=lost.stem, message="a.fits: KeyError: 'SERSIC'").write(spread.error(lost.stem))
    failed, verdict = gate_2(spread)
    assert (failed, verdict.passed) == ({"items_done"}, False)
    assert f"{lost.stem}: a.fits: KeyError: 'SERSIC'" in verdict.cause


def test_items_of_two_codes_are_refused(spread: RunFiles) -> None:
    """Also where the config tolerates the loss of the item."""
    configure({"execution.tolerated_failures": 1})(spread)
    edit_json(a_stats_file(spread), lambda stats: stats.update(code_version="0.0.9-abc"))
    failed, verdict = gate_2(spread)
    assert failed == {"items_done", "one_code"}
    assert not verdict.passed
    assert "also 0.0.9-abc" in verdict.cause
    assert "lensneg 0.0.9-abc filtered it" in Path(spread.gate(2)).read_text()


def test_an_item_says_which_code_ran(spread: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that is not what the plan saw, if the code was deployed anew in between."""
    [first, *_] = read_items(spread.items)
    Path(spread.stats(first.id)).unlink()
    newer = CodeVersion("0.0.9", "a" * 64, "b" * 40)
    monkeypatch.setattr(item, "code_version", lambda: newer)
    _load_run.cache_clear()
    assert item.filter_item(load_run(spread.root), first).code_version == newer.code_version
    assert "one_code" in gate_2(spread)[0]


def test_bad_rows_are_a_warning_that_names_the_items(spread: RunFiles) -> None:
    def change(stats: dict[str, Any]) -> None:
        stats["cut"]["faint"] -= 3
        stats["cut"]["bad_row"] += 3

    path = a_stats_file(spread)
    edit_json(path, change)
    failed, verdict = gate_2(spread)
    assert (failed, verdict.passed) == ({"bad_rows"}, True)
    text = json.loads(Path(spread.gate(2)).read_text())
    [check] = [check for check in text["checks"] if check["name"] == "bad_rows"]
    assert check["critical"] is False
    assert check["actual"] == f"3 rows cut, without: 3 in {Path(path).stem}"
    assert json.loads(Path(spread.summary).read_text())["cut"]["bad_row"] == 3


def test_columns_with_unusable_values_are_a_warning(spread: RunFiles) -> None:
    def change(stats: dict[str, Any]) -> None:
        stats["cut"]["faint"] -= 5
        stats["cut"]["unusable"] += 5
        stats["unusable"] = {"SERSIC": 2, "NOBS_Z": 3}

    edit_json(a_stats_file(spread), change)
    failed, verdict = gate_2(spread)
    assert failed == {"values_usable"}
    assert verdict.passed
    text = json.loads(Path(spread.gate(2)).read_text())
    [check] = [check for check in text["checks"] if check["name"] == "values_usable"]
    assert check["critical"] is False
    assert check["actual"] == "cut, with no usable value: NOBS_Z in 3 rows, SERSIC in 2 rows"


def found(run: Run, quotas: list[StratumQuota]) -> Findings:
    """Findings of which only the run and its quotas matter."""
    return Findings(run, [], [], None, tuple(quotas), None, None, set())  # type: ignore[arg-type]


def test_a_mini_test_does_not_fail_by_chance_and_a_full_run_is_not_excused(spread: RunFiles) -> None:
    """One positive with 60 of 100 negatives: two files may well hold so few; the whole sky may not."""
    _load_run.cache_clear()
    run = load_run(spread.root)
    config = run.config.model_copy(
        update={
            "gates": run.config.gates.model_copy(update={"stratum_shortfall_max": 0.0}),
            "negative_pools": run.config.negative_pools.model_copy(update={"neg_pos_ratio": 100}),
        }
    )

    def short(mode: str, positives: int, available: int) -> bool:
        stratum = Stratum("3-5", "SER")
        quotas = compute_quotas({stratum: positives}, {(stratum, "N1"): available}, config)
        told = type(run)(run.record.model_copy(update={"mode": mode}), config, run.files, run.lenses)
        [check] = [c for c in _strata(found(told, quotas)) if c.name == "strata_available"]
        return not check.passed

    assert not short("test", 1, 60)
    assert short("full", 1, 60)
    # 2,500 positives: sigma is sqrt(1/2500 + 1/250000) = 2 %, so 8 % may be missing.
    assert not short("test", 2_500, 231_000)
    assert short("test", 2_500, 229_000)


def test_strata_that_the_cuts_leave_empty_are_a_warning(spread: RunFiles) -> None:
    _load_run.cache_clear()
    run = load_run(spread.root)
    changed = run.config.model_copy(
        update={"selection": run.config.selection.model_copy(update={"nobs_min": {"z": 3}})}
    )
    quotas = compute_quotas({Stratum("1-2", "SER"): 4}, {}, changed)
    checks = list(_strata(found(run, quotas)))
    assert [(c.name, c.critical) for c in checks if not c.passed] == [("strata_reachable", False)]
