"""Suspects and hard negatives from the input to the verdict, against a look at every pair."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
import yaml
from conftest import edited
from pipeline import as_input, make_request, read_parts
from plainrun import failing, run_map, run_to_sample
from sphere import offset

from lensneg.page.dataset_card import dataset_card
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.request import RunRequest
from lensneg.schema.run import RunRecord
from lensneg.stages.preflight.gate1 import preflight
from lensneg.stages.publish_manifest import sample_record
from lensneg.stages.report import write_report
from lensneg.stages.validate_manifest import validate_manifest

Row = dict[str, Any]

SECTIONS = {
    "suspects": {"radius_arcsec": 2.0, "lens_rate": 0.01},
    "hard_negatives": {"match_radius_arcsec": 1.5, "share": 0.5},
}


def write_csv(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "ra", "dec", "TARGETID", "score"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def at(row: Row, arcsec: float, **more: Any) -> Row:
    """An entry at a distance from a row."""
    ra, dec = offset(row["ra"], row["dec"], 30.0, arcsec)
    return {"ra": ra, "dec": dec, **more}


@pytest.fixture(scope="module")
def pool(mapped: RunFiles) -> list[Row]:
    """The pool of the sky without suspects and hard negatives, in the order of TARGETIDs."""
    return sorted(read_parts(mapped.pool_folder), key=lambda row: row["targetid"])


@pytest.fixture(scope="module")
def request_(gate_sky: Path, pool: list[Row], tmp_path_factory: pytest.TempPathFactory) -> RunRequest:
    """A mini-test with two catalogues of suspects and two of hard negatives."""
    folder = tmp_path_factory.mktemp("listed")
    with (gate_sky / "positives.csv").open() as file:
        lens = next(csv.DictReader(file))
    faint = [
        {"ra": float(row["RA"]), "dec": float(row["DEC"])}
        for row in fitsio.read(str(min((gate_sky / "sweeps").iterdir())), columns=["RA", "DEC", "FLUX_Z"])
        if 0 < row["FLUX_Z"] < 1
    ]
    write_csv(
        folder / "by_position.csv",
        [at(row, 1.9, score=0.9) for row in pool[::9]]
        + [at(row, 2.1, score=0.9) for row in pool[1::9]]
        + [at(row, 0.0, score=0.1) for row in pool[2::9]]
        + [{"ra": lens["ra"], "dec": lens["dec"], "score": 1}],
    )
    write_csv(folder / "by_id.csv", [{"TARGETID": row["targetid"]} for row in pool[3::9]])
    write_csv(
        folder / "rings.csv",
        [at(row, 1.4, name=f"ring {i}") for i, row in enumerate(pool[4::9])]
        + [at(row, 1.6) for row in pool[5::9]]
        + [
            {"name": "faint", **faint[0]},
            {"name": "lens", "ra": lens["ra"], "dec": lens["dec"]},
            {"name": "suspect", **at(pool[0], 0.0)},
            {"name": "nothing", "ra": pool[0]["ra"], "dec": pool[0]["dec"] + 30 / 3600},
            {"name": "outside", "ra": (pool[0]["ra"] + 180) % 360, "dec": -80.0},
        ],
    )
    write_csv(
        folder / "merging.csv",
        [{"TARGETID": row["targetid"]} for row in (*pool[4:100:9], *pool[6::9])] + [{"TARGETID": 7}],
    )
    text = edited(yaml.safe_load((gate_sky / "config.yaml").read_text()), SECTIONS)
    (folder / "config.yaml").write_text(text)
    request = make_request(
        gate_sky, folder / "config.yaml", folder / "out", "one", "test", (gate_sky / "others.csv",)
    )
    return RunRequest.of_input(
        request.as_input()
        | {
            "suspects": [f"{folder}/by_position.csv?score=score&score_min=0.5", f"{folder}/by_id.csv"],
            "hard_negatives": [f"{folder}/rings.csv", f"{folder}/merging.csv?name=mergers"],
        }
    )


@pytest.fixture(scope="module")
def made(request_: RunRequest) -> RunFiles:
    """The mini-test, with its verdict and report."""
    run = run_to_sample(request_)
    assert validate_manifest(run.root).gate.passed
    write_report(run.root)
    return run


def entries(made: RunFiles, name: str) -> list[Row]:
    [uri] = [c.spec.uri for c in RunRecord.read(made.run).catalogs if c.name == name]
    with open(uri) as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if row["score"] == "" or float(row["score"]) >= 0.5]


def lists(entry: Row, row: Row, radius: float) -> bool:
    """Whether an entry lists a row, by the haversine."""
    if entry["TARGETID"] == str(row["targetid"]):
        return True
    if entry["ra"] == "":
        return False
    ra, dec, ra2, dec2 = np.radians([row["ra"], row["dec"], float(entry["ra"]), float(entry["dec"])])
    h = np.sin((dec - dec2) / 2) ** 2 + np.cos(dec) * np.cos(dec2) * np.sin((ra - ra2) / 2) ** 2
    return bool(np.degrees(2 * np.arcsin(np.sqrt(h))) * 3600 <= radius)


def test_the_pool_is_what_a_look_at_every_pair_says(made: RunFiles, pool: list[Row]) -> None:
    suspects = entries(made, "by_position.csv") + entries(made, "by_id.csv")
    rings, mergers = entries(made, "rings.csv"), entries(made, "merging.csv")
    expected, cut = {}, 0
    for row in pool:
        if any(lists(entry, row, 2.0) for entry in suspects):
            cut += 1
            continue
        kind = row["pool"], row["confuser_category"]
        if any(lists(entry, row, 1.5) for entry in mergers):
            kind = "N2", "external:mergers"
        if any(lists(entry, row, 1.5) for entry in rings):
            kind = "N2", "external:rings"
        expected[row["targetid"]] = kind
    found = {row["targetid"]: (row["pool"], row["confuser_category"]) for row in read_parts(made.pool_folder)}
    assert found == expected
    for row in read_parts(made.pool_folder):
        assert bool(row["confuser_flags"] >> 30) == (row["confuser_category"] or "").startswith("external:")
    assert {category for _, category in found.values()} >= {"external:rings", "external:mergers", None}
    fan_out = json.loads(Path(made.summary).read_text())
    assert fan_out["cut"]["suspect"] == cut > len(pool) / 5
    assert fan_out["rows_in"] == fan_out["rows_kept"] + sum(fan_out["cut"].values())
    categories = [category for _, category in expected.values()]
    for name in ("external:rings", "external:mergers", "edge_on_proxy"):
        assert fan_out["confusers"][name] == categories.count(name)


def test_the_whole_run_is_that_of_the_reference(made: RunFiles, request_: RunRequest) -> None:
    """Which knows no scores, so it gets the suspects that have them."""
    folder = Path(request_.config).parent
    catalogs = {spec.uri.rpartition("/")[2]: spec.uri for role in request_.catalogs.values() for spec in role}
    with open(catalogs["by_position.csv"]) as file:
        scored = [row for row in csv.DictReader(file) if float(row["score"]) >= 0.5]
    expected = reference.reference(
        [Path(sweep.uri) for sweep in RunRecord.read(made.run).sweeps],
        [Path(request_.positives[0].uri)],
        [Path(request_.exclude[0].uri)],
        yaml.safe_load(Path(request_.config).read_text()),
        [write_csv(folder / "scored.csv", scored), Path(catalogs["by_id.csv"])],
        {"rings": Path(catalogs["rings.csv"]), "mergers": Path(catalogs["merging.csv"])},
    )
    names = ("targetid", "pool", "confuser_category", "confuser_flags", "draw", "sampling_weight")
    found = read_parts(Path(made.sample_folder) / "negatives")
    assert [[row[name] for name in names] for row in found] == [
        [row[name] for name in names] for row in expected.negatives
    ]
    assert json.loads(Path(made.summary).read_text())["cut"] == expected.cuts


def test_the_ratios_stay_exact_without_the_suspects(made: RunFiles) -> None:
    negatives = read_parts(Path(made.sample_folder) / "negatives")
    suspects = entries(made, "by_position.csv") + entries(made, "by_id.csv")
    assert not any(lists(entry, row, 2.0) for row in negatives for entry in suspects)
    quotas = json.loads(Path(made.quotas).read_text())["strata"]
    missing = sum(stratum["shortfall"] for stratum in quotas)
    assert len(negatives) == sum(stratum["target"] for stratum in quotas) - missing
    assert any(stratum["target"] and not stratum["shortfall"] for stratum in quotas)


def test_a_suspect_that_is_a_positive_stays_one(made: RunFiles, request_: RunRequest) -> None:
    with open(request_.positives[0].uri) as file:
        lens = next(csv.DictReader(file))
    positives = pq.read_table(made.matched_positives)
    assert lens["name"] in positives["lens_name"].to_pylist()


def test_each_hard_negative_is_found_or_it_is_said_why_not(made: RunFiles, pool: list[Row]) -> None:
    matches = {row["name"]: row for row in pq.read_table(made.hard_negative_matches).to_pylist()}
    expected = {"faint": "faint", "lens": "near_lens", "suspect": "suspect", "nothing": "no source"}
    assert {name: matches[name]["status"] for name in expected} == expected
    assert "outside" not in matches
    for i, row in enumerate(pool[4::9]):
        ring = matches[f"ring {i}"]
        if ring["status"] == "hard negative":
            assert ring["targetid"] == row["targetid"]
            assert abs(ring["separation_arcsec"] - 1.4) < 1e-3
    rings, mergers = json.loads(Path(made.summary).read_text())["hard_negatives"]
    assert (rings["catalog"], rings["category"]) == ("rings.csv", "external:rings")
    assert rings["entries"] == rings["inside"] + 1
    for counts in (rings, mergers):
        assert counts["found"] > 5
        assert counts["inside"] == counts["found"] + sum(counts["missing"].values())
    assert rings["missing"]["faint"] >= 1
    assert rings["missing"]["near_lens"] >= 1
    assert mergers["missing"]["no source"] == 1
    checks = {check["name"]: check for check in json.loads(Path(made.gate(2)).read_text())["checks"]}
    check = checks["hard_negatives_found"]
    assert not check["passed"]
    assert not check["critical"]
    assert "1 of rings.csv: suspect" in check["actual"]


def test_validation_json_and_the_page_say_it(made: RunFiles) -> None:
    found = json.loads(Path(made.validation).read_text())
    fan_out, negatives = found["fan_out"], found["rows"]["negatives"]
    cut, kept = fan_out["cut"]["suspect"], fan_out["rows_kept"]
    assert found["suspects"]["cut"] == cut
    assert found["suspects"]["entries"] == len(entries(made, "by_position.csv") + entries(made, "by_id.csv"))
    assert found["suspects"]["expected_lenses"] == pytest.approx(0.01 * negatives)
    # More sources were cut than the rate has lenses, so none would be left.
    assert cut > 0.01 * (kept + cut)
    assert found["suspects"]["expected_left"] == 0
    drawn = {c["category"]: c["drawn"] for c in found["confusers"]}
    rows = read_parts(Path(made.sample_folder) / "negatives")
    assert drawn["external:rings"] == sum(row["confuser_category"] == "external:rings" for row in rows) > 0
    page = Path(made.report).read_text()
    for words in (">Suspects</h2>", "Hard negatives of catalogues", "external:mergers", "near lens "):
        assert words in page


def test_the_card_names_the_catalogues(made: RunFiles) -> None:
    record = sample_record(made, RunRecord.read(made.run))
    card = dataset_card(Manifest(f"{made.sample_folder}/manifest.json", record))
    assert "| suspects: by_id.csv, " in card
    assert "| hard negatives: merging.csv, " in card
    for line in ("- `external:NAME` in", "- Sources that the catalogues of suspects"):
        assert f"\n{line}" in card


def tampered(made: RunFiles, folder: Path, change: Any) -> set[str]:
    """The checks of gate 4 that fail once listed.parquet was changed."""
    shutil.copytree(made.out, folder / "out")
    files = RunFiles(str(folder / "out"), "one")
    table = pq.read_table(files.listed)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist(), files), table.schema), files.listed)
    assert not validate_manifest(files.root).gate.passed
    return failing(files.gate(4)) - failing(made.gate(4))


def first_negative(files: RunFiles) -> Row:
    return next(iter(read_parts(Path(files.sample_folder) / "negatives")))


def test_a_negative_near_a_suspect_fails_gate_4(made: RunFiles, tmp_path: Path) -> None:
    def change(rows: list[Row], files: RunFiles) -> list[Row]:
        return [rows[0] | at(first_negative(files), 1.99), *rows[1:]]

    assert tampered(made, tmp_path, change) == {"clear_of_suspects"}


def test_a_negative_with_a_suspects_targetid_fails_gate_4(made: RunFiles, tmp_path: Path) -> None:
    def change(rows: list[Row], files: RunFiles) -> list[Row]:
        return [rows[0] | {"targetid": first_negative(files)["targetid"]}, *rows[1:]]

    assert tampered(made, tmp_path, change) == {"clear_of_suspects"}


def test_a_hard_negative_of_no_catalogue_fails_gate_4(made: RunFiles, tmp_path: Path) -> None:
    def change(rows: list[Row], _files: RunFiles) -> list[Row]:
        rings = next(row["catalog"] for row in rows if row["name"] == "ring 0")
        return [row for row in rows if row["catalog"] != rings]

    assert tampered(made, tmp_path, change) == {"hard_negatives_rule"}


@pytest.mark.parametrize("role", ["suspects", "hard_negatives"])
def test_a_config_without_the_section_is_refused(
    role: str, request_: RunRequest, gate_sky: Path, tmp_path: Path
) -> None:
    data = as_input(request_) | {
        "config": str(gate_sky / "config.yaml"),
        "out": str(tmp_path),
        "run_id": "two",
    }
    verdict = preflight(data).gate
    assert not verdict.passed
    assert failing(RunFiles(str(tmp_path), "two").gate(1)) >= {f"{role}_in_config"}
    assert f"a section {role} of the config" in verdict.cause
    assert "negative_sampling_v2.yaml" in verdict.cause


def test_the_pool_is_the_same_however_the_files_are_cut(
    made: RunFiles, request_: RunRequest, tmp_path: Path
) -> None:
    config = edited(
        yaml.safe_load(Path(request_.config).read_text()), {"execution.target_item_bytes": 1 << 20}
    )
    (tmp_path / "config.yaml").write_text(config)
    data = as_input(request_) | {"config": f"{tmp_path}/config.yaml", "out": f"{tmp_path}/out"}
    files = run_map(RunRequest.of_input(data))

    def pool_of(run: RunFiles) -> set[tuple[Any, ...]]:
        names = ("targetid", "pool", "confuser_category")
        return {tuple(row[name] for name in names) for row in read_parts(run.pool_folder)}

    assert len(json.loads(Path(files.items).read_text())) > 2
    assert pool_of(files) == pool_of(made)
