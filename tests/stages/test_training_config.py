"""A run of negative_sampling_v2: its pool against the reference, row for row, and gate 4."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import reference
import yaml
from conftest import config_text, edited
from pipeline import OPEN_GATES, make_request, write_other_lenses
from plainrun import run_to_sample

from lensneg.mocksky import write_mock_sky
from lensneg.schema.columns import POOL_SCHEMA
from lensneg.schema.gate import read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.tables import read_table
from lensneg.stages.validate_manifest import validate_manifest

#: A wide border, so that some of few rows are near one.
CHANGES = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 4, "spatial_splits.border_arcsec": 100.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFiles, reference.Reference]:
    """A run of two files, and what it must come to."""
    folder = tmp_path_factory.mktemp("training")
    write_mock_sky(folder / "sky", files=2, rows=10_000, seed=41)
    write_other_lenses(folder / "sky", folder / "others.csv")
    text = edited(yaml.safe_load(config_text("negative_sampling_v2")), CHANGES)
    (folder / "config.yaml").write_text(text)
    others = (folder / "others.csv",)
    request = make_request(folder / "sky", folder / "config.yaml", folder / "out", "one", "test", others)
    expected = reference.reference(
        sorted((folder / "sky" / "sweeps").iterdir()), [folder / "sky" / "positives.csv"], list(others),
        yaml.safe_load(text),
    )  # fmt: skip
    return run_to_sample(request), expected


def test_the_pool_is_the_references_row_for_row(made: tuple[RunFiles, reference.Reference]) -> None:
    files, expected = made
    found: list[dict[str, Any]] = []
    for path in sorted(Path(files.pool_folder).iterdir()):
        found += pq.read_table(path).to_pylist()
    names = [name for name in POOL_SCHEMA.names if name in reference.ROW_COLUMNS]
    mags = [name for name in names if name.startswith("mag_") or "_minus_" in name]
    for row, other in zip(sorted(found, key=lambda row: row["targetid"]), expected.pool, strict=True):
        assert {n: row[n] for n in names if n not in mags} == {n: other[n] for n in names if n not in mags}
    flags = Counter(bit for row in found for bit in range(9) if row["confuser_flags"] >> bit & 1)
    assert min(flags[bit] for bit in (0, 1, 4, 6, 8)) > 0


def test_rows_are_cut_under_the_references_reason(made: tuple[RunFiles, reference.Reference]) -> None:
    files, expected = made
    cut = Counter[str]()
    for path in Path(files.stats_folder).iterdir():
        cut.update(yaml.safe_load(path.read_text())["cut"])
    assert dict(cut) == expected.cuts
    assert cut["border"] > 10


def test_positives_keep_their_place_and_say_which_cut_they_fail(
    made: tuple[RunFiles, reference.Reference],
) -> None:
    files, expected = made
    rows = read_table(files.matched_positives).to_pylist()
    names = ("targetid", "passes_cuts", "cut", "confuser_flags")
    found = [tuple(row[name] for name in names) for row in rows]
    assert found == [tuple(row[name] for name in names) for row in expected.positives]
    assert any(row["cut"] for row in rows)


def test_the_sample_passes_gate_4(made: tuple[RunFiles, reference.Reference]) -> None:
    files, _ = made
    gate = validate_manifest(files.root).gate
    assert gate.passed, gate.cause
    names = {check.name for record in read_gates(files) for check in record.checks}
    assert {"clear_of_borders", "splits_apart", "cut_rule", "pool_rule"} <= names
