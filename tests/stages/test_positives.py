"""The positives: each catalogue entry with its own source, whatever the order of entries and sources."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lensneg.schema.columns import POSITIVES_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.lens_facts import facts_schema
from lensneg.schema.lenses import Lenses
from lensneg.schema.run import Run
from lensneg.schema.tables import write_table
from lensneg.stages.summarize_fan_out.positives import match_positives, read_matches

Row = dict[str, Any]

READ, HALF_READ = "sweep-010p005-015p010.fits", "sweep-015p005-020p010.fits"

#: Name, RA, Dec, and whether it is a positive.
ENTRIES = [
    ("a lens to keep clear of", 12.0, 7.0, False),
    ("without a source", 12.0, 7.0, True),
    ("first of two of one source", 13.0, 7.0, True),
    ("second of two of one source", 13.0, 7.0, True),
    ("of an EXP", 11.0, 8.0, True),
    ("of a masked DEV", 11.0, 9.0, True),
    ("outside", 30.0, 7.0, True),
    ("in a file that is half read", 16.0, 7.0, True),
    ("across the border", 9.9999, 7.0, True),
]


#: A type without strata.
NO_EXP = {"strata.types": ["SER", "DEV", "REX"]}


def candidate(entry: int, targetid: int, arcsec: float, where: str, **changes: Any) -> Row:
    """A source near an entry. In every file the row numbers begin anew."""
    row: Row = {f.name: "x" if f.type == pa.string() else targetid % 7 for f in POSITIVES_SCHEMA}
    nobs_z_bin, type_bin = where.split("/")
    return row | {
        "catalog_row": entry, "targetid": targetid, "separation_arcsec": arcsec, "nobs_z_bin": nobs_z_bin,
        "type_bin": type_bin, "row_index": 1, "cut": None, **changes,
    }  # fmt: skip


CANDIDATES = {
    "last": [candidate(8, 80, 1.0, "1-2/SER", sweep_file="a"), candidate(4, 60, 0.1, "3-5/EXP")],
    "first": [
        candidate(5, 50, 0.2, "3-5/DEV", sweep_file="b", cut="maskbits"),
        candidate(3, 70, 0.3, "3-5/SER", sweep_file="c"),
        candidate(2, 70, 0.4, "3-5/SER", sweep_file="c"),
        candidate(2, 90, 0.5, "6-10/SER", sweep_file="c"),
    ],
    "empty": [],
}


def match(config: Config, folder: Path) -> tuple[list[Row], list[Row], dict[str, int]]:
    """The matches, the positives, and the counts."""
    files = RunFiles(str(folder), "one")
    names, ra, dec, is_positive = zip(*ENTRIES, strict=True)
    nothing = np.full(len(names), np.nan)
    extra, numbers = config.positives.columns, range(9)
    said = [[f"grade {i}" for i in numbers], [i / 8 for i in numbers], [None] * 9]
    said += [[f"{name} {i}" for i in numbers] for name in extra]
    facts = pa.table(said, schema=facts_schema(extra))
    lenses = Lenses(
        np.array(ra), np.array(dec), np.array(is_positive), list(names), np.zeros(len(names), np.int32),
        nothing, facts,
    )  # fmt: skip
    record: Any = SimpleNamespace(
        sweeps=[SimpleNamespace(name=n, uri=n, rows=9, box=None) for n in (READ, HALF_READ)],
        catalogs=[SimpleNamespace(name="lenses.csv")],
    )
    stats: Any = []
    for (name, rows), sweep, read in zip(CANDIDATES.items(), (READ, READ, HALF_READ), (5, 4, 8), strict=True):
        sha256 = ""
        if rows:
            sha256 = write_table(files.positives(name), pa.Table.from_pylist(rows, POSITIVES_SCHEMA)).sha256
        item = SimpleNamespace(id=name, sweep=sweep)
        stats.append(
            SimpleNamespace(item=item, candidate_matches=len(rows), rows_in=read, positives_sha256=sha256)
        )
    run = Run(record, config, files, lenses)
    matches, positives, counts = match_positives(run, stats, read_matches(run, stats))
    return matches.to_pylist(), positives.to_pylist(), dict(counts)


def found(matches: list[Row]) -> dict[str, tuple[Any, ...]]:
    return {row["name"]: tuple(row.values())[1:] for row in matches}


def test_each_entry_has_its_own_source(plan_with: Any, tmp_path: Path) -> None:
    matches, _, _ = match(plan_with({"positives.apply_cuts": True, **NO_EXP}), tmp_path)
    assert found(matches) == {
        "without a source": (12.0, 7.0, True, "no source", None, None, None, None, None),
        "first of two of one source": (13.0, 7.0, True, "positive", 0.4, 70, "3-5", "SER", None),
        "second of two of one source": (13.0, 7.0, True, "positive", 0.3, 70, "3-5", "SER", None),
        "of an EXP": (11.0, 8.0, True, "outside strata", 0.1, 60, "3-5", "EXP", None),
        "of a masked DEV": (11.0, 9.0, True, "fails cuts", 0.2, 50, "3-5", "DEV", "maskbits"),
        "across the border": (9.9999, 7.0, False, "positive", 1.0, 80, "1-2", "SER", None),
    }


@pytest.mark.parametrize(
    ("apply_cuts", "targetids"), [(True, [80, 70]), (False, [80, 70, 50]), ("flag", [80, 70, 50])]
)
def test_a_source_is_one_positive(
    plan_with: Any, tmp_path: Path, apply_cuts: Any, targetids: list[int]
) -> None:
    """In the order of the strata; a config that does not ask for the cuts takes the masked one too."""
    matches, positives, counts = match(plan_with({"positives.apply_cuts": apply_cuts, **NO_EXP}), tmp_path)
    assert [row["targetid"] for row in positives] == targetids
    assert (found(matches)["of a masked DEV"][3] == "positive") == (50 in targetids)
    assert counts == {
        "entries": 8, "inside": 5, "matched": 4, "unmatched": 1, "outside_strata": 1, "failing_cuts": 1,
        "sources": len(targetids),
    }  # fmt: skip


def test_a_positive_says_which_cut_it_fails(plan_with: Any, tmp_path: Path) -> None:
    positives = match(plan_with({"positives.apply_cuts": "flag", **NO_EXP}), tmp_path)[1]
    assert {row["targetid"]: (row["passes_cuts"], row["cut"]) for row in positives} == {
        80: (True, None), 70: (True, None), 50: (False, "maskbits"),
    }  # fmt: skip


def test_a_positive_says_which_lens_it_is(plan_with: Any, tmp_path: Path) -> None:
    """The first entry of the catalogues on a source says it."""
    changes = {"positives.columns": ["Ref"], **NO_EXP}
    rows = {row["targetid"]: row for row in match(plan_with(changes), tmp_path)[1]}
    assert [name for name in rows[70] if name.startswith("lens_")] == [
        "lens_name", "lens_catalog", "lens_grade", "lens_redshift", "lens_einstein_radius", "lens_Ref",
    ]  # fmt: skip
    assert {n: tuple(row[f"lens_{k}"] for k in ("name", "catalog", "grade", "redshift", "Ref")) for n, row in
            rows.items()} == {
        80: ("across the border", "lenses.csv", "grade 8", 1.0, "Ref 8"),
        70: ("first of two of one source", "lenses.csv", "grade 2", 0.25, "Ref 2"),
        50: ("of a masked DEV", "lenses.csv", "grade 5", 0.625, "Ref 5"),
    }  # fmt: skip
