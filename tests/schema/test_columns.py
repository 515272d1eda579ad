"""The manifest's columns, and the hash of its content."""

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference

from lensneg.schema.columns import COLUMNS, MANIFEST_SCHEMA, POOL_SCHEMA, POSITIVES_SCHEMA, RUN_COLUMNS
from lensneg.schema.content import content_sha256, content_sha256_of
from lensneg.schema.sweep_columns import SWEEP_COLUMNS

#: The 48 columns of the plan, in its order, and then ours.
PLAN = [
    *("galaxy_id", "brickname", "objid", "ra", "dec", "type"),
    *("nobs_z", "nobs_z_bin", "type_bin"),
    *("flux_g", "flux_r", "flux_z", "flux_w1"),
    *("mag_g", "mag_r", "mag_z"),
    *("g_minus_r", "r_minus_z", "z_minus_w1"),
    *("psfsize_g", "psfsize_r", "psfsize_z"),
    *("psfdepth_g", "psfdepth_r", "psfdepth_z"),
    *("galdepth_g", "galdepth_r", "galdepth_z"),
    *("ebv",),
    *("maskbits", "fitbits"),
    *("mw_transmission_g", "mw_transmission_r", "mw_transmission_z"),
    *("shape_r", "shape_e1", "shape_e2", "sersic"),
    *("healpix_64", "healpix_128", "split"),
    *("pool", "confuser_category"),
    *("sweep_file", "row_index", "pipeline_version", "git_commit", "extraction_timestamp"),
]
#: Ours that stand among them, after the category.
CLASSES = ["confuser_flags", "fracflux_r", "rchisq_r", "flux_ivar_r"]
PHOTO_Z = ["z_phot_median", "z_phot_std", "z_phot_l68", "z_phot_u68"]
OURS = ["targetid", "release", "object_id", "sampling_priority", "sampling_weight", "draw", "fold", *PHOTO_Z]

NOT_NULL = {
    *("galaxy_id", "object_id", "brickname", "objid", "targetid", "release"),  # identifiers
    *("ra", "dec", "type", "nobs_z", "nobs_z_bin", "type_bin", "maskbits"),
    *("healpix_64", "healpix_128", "split", "pool"),
    *("sweep_file", "row_index", "pipeline_version", "git_commit", "extraction_timestamp"),
    *("sampling_priority", "sampling_weight", "confuser_flags", "draw"),
}


# ---------------------------------------------------------------- columns


PLACE = PLAN.index("confuser_category") + 1
ALL = PLAN[:PLACE] + CLASSES + PLAN[PLACE:] + OURS


def test_the_columns_of_the_plan_and_ours_among_and_after_them() -> None:
    assert len(PLAN) == 48
    assert MANIFEST_SCHEMA.names == ALL


def test_columns_that_are_never_null() -> None:
    assert {field.name for field in MANIFEST_SCHEMA if not field.nullable} == NOT_NULL


def test_types_of_columns() -> None:
    def names(kind: pa.DataType) -> set[str]:
        return {field.name for field in MANIFEST_SCHEMA if field.type == kind}

    assert names(pa.int64()) == {"targetid", "row_index", "sampling_priority"}
    assert names(pa.int32()) == {
        "objid",
        "maskbits",
        "healpix_64",
        "healpix_128",
        "release",
        "confuser_flags",
    }
    assert names(pa.int16()) == {"nobs_z", "fitbits", "fold"}
    assert names(pa.timestamp("us", tz="UTC")) == {"extraction_timestamp"}
    derived = {"mag_g", "mag_r", "mag_z", "g_minus_r", "r_minus_z", "z_minus_w1"}
    assert names(pa.float64()) == {"ra", "dec", "sampling_weight"} | derived
    catalogue = {name for name in PLAN if name.startswith(("flux", "psf", "gal", "mw", "shape"))}
    assert names(pa.float32()) == (catalogue | {"ebv", "sersic", *CLASSES[1:], *PHOTO_Z}) - {"galaxy_id"}


def test_every_column_that_a_sweep_has_is_copied_from_it() -> None:
    in_sweeps = {column.name for column in SWEEP_COLUMNS}
    assert {column.name: column.sweep for column in COLUMNS} == {
        name: name.upper() if name.upper() in in_sweeps else None for name in ALL
    }


def test_photometric_redshifts_are_copied_from_the_pz_files() -> None:
    assert {c.name: c.pz for c in COLUMNS if c.pz} == {name: name.upper() for name in PHOTO_Z}


def test_pool_files_lack_what_only_the_draw_knows() -> None:
    drawn = {"galaxy_id", "object_id", "split", "sampling_weight", "draw", "fold", *RUN_COLUMNS}
    assert POOL_SCHEMA.names == [name for name in MANIFEST_SCHEMA.names if name not in drawn]
    assert POSITIVES_SCHEMA.names[: len(POOL_SCHEMA)] == POOL_SCHEMA.names


def test_columns_carry_their_units_and_meaning() -> None:
    for field in MANIFEST_SCHEMA:
        assert field.metadata[b"description"]
    units = {f.name: f.metadata.get(b"unit", b"").decode() for f in MANIFEST_SCHEMA}
    assert units["ra"] == "deg"
    assert units["flux_z"] == "nanomaggy"
    assert units["psfdepth_r"] == "1/nanomaggy^2"
    assert units["mag_z"] == "mag"
    assert units["shape_r"] == "arcsec"
    assert units["objid"] == ""


def test_the_reference_writes_the_same_columns() -> None:
    assert [name for name in ALL if name not in RUN_COLUMNS] == reference.ROW_COLUMNS


# ---------------------------------------------------------------- the hash of the content

ROWS = 3
DAY = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)


def value(kind: pa.DataType, row: int) -> Any:
    if pa.types.is_string(kind):
        return f"text {row}"
    if pa.types.is_timestamp(kind):
        return DAY.replace(second=row)
    return row + 1


def manifest(column: str = "", row: int = 0, cell: Any = None) -> pa.Table:
    """A manifest of three rows, with one cell changed."""
    columns = {field.name: [value(field.type, i) for i in range(ROWS)] for field in MANIFEST_SCHEMA}
    if column:
        columns[column][row] = cell
    nullable = pa.schema([field.with_nullable(True) for field in MANIFEST_SCHEMA])
    return pa.table(columns, schema=nullable)


def test_the_hash_is_64_hexadecimal_digits_and_repeats() -> None:
    assert len(content_sha256(manifest())) == 64
    assert int(content_sha256(manifest()), 16) > 0
    assert content_sha256(manifest()) == content_sha256(manifest())


def test_the_hash_changes_with_each_truth() -> None:
    def hashed(*values: bool | None) -> str:
        table = pa.table({"passes": pa.array(values, pa.bool_())})
        return content_sha256(table, table.schema)

    pairs = [(True, False), (False, True), (True, None), (True, True), (None, True), (None, False)]
    assert len({hashed(*pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("column", [name for name in ALL if name not in RUN_COLUMNS])
def test_the_hash_changes_with_any_cell(column: str) -> None:
    kind = MANIFEST_SCHEMA.field(column).type
    whole = content_sha256(manifest())
    for row in range(ROWS):
        assert content_sha256(manifest(column, row, value(kind, 100))) != whole
        assert content_sha256(manifest(column, row, None)) != whole


@pytest.mark.parametrize("column", ["pipeline_version", "git_commit", "extraction_timestamp"])
def test_the_hash_does_not_depend_on_when_and_by_what_code(column: str) -> None:
    kind = MANIFEST_SCHEMA.field(column).type
    for row in range(ROWS):
        assert content_sha256(manifest(column, row, value(kind, 50))) == content_sha256(manifest())


def test_run_columns_are_those_that_name_the_run() -> None:
    assert set(RUN_COLUMNS) == {"pipeline_version", "git_commit", "extraction_timestamp"}


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("confuser_category", None, ""),
        ("fitbits", None, 0),
        ("mag_g", None, 0.0),
        ("mag_g", None, float("nan")),
        ("flux_g", 0.0, -0.0),
        ("ra", 1.0, 1.0000000000000002),
    ],
)
def test_values_that_look_alike_have_other_hashes(column: str, one: Any, other: Any) -> None:
    assert content_sha256(manifest(column, 1, one)) != content_sha256(manifest(column, 1, other))


def test_text_cannot_flow_from_one_cell_into_the_next() -> None:
    texts = pa.array(["a\nb", "", "c"]), pa.array(["a", "b\n", "c"])
    at = MANIFEST_SCHEMA.get_field_index("brickname")
    one, other = (manifest().set_column(at, "brickname", text) for text in texts)
    assert content_sha256(one) != content_sha256(other)


def test_the_hash_depends_on_the_order_of_rows() -> None:
    assert content_sha256(manifest().take([1, 0, 2])) != content_sha256(manifest())


def test_the_hash_depends_on_the_number_of_rows() -> None:
    assert content_sha256(manifest().slice(0, 2)) != content_sha256(manifest())
    assert content_sha256(manifest().slice(0, 0)) != content_sha256(manifest())


def test_the_hash_does_not_depend_on_chunks_files_or_the_order_of_columns(tmp_path: Path) -> None:
    whole = manifest("confuser_category", 1, None)
    expected = content_sha256(whole)
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 2)])
    assert chunked["objid"].num_chunks > 1
    assert content_sha256(chunked) == expected
    assert content_sha256(whole.select(whole.schema.names[::-1])) == expected
    large = whole.set_column(0, "galaxy_id", whole["galaxy_id"].cast(pa.large_string()))
    assert content_sha256(large) == expected
    for compression in ("none", "zstd"):
        path = tmp_path / f"{compression}.parquet"
        pq.write_table(whole, path, compression=compression, row_group_size=1)
        assert content_sha256(pq.read_table(path)) == expected


def hash_of_whole_columns(table: pa.Table) -> str:
    """The hash without pieces: of each column first which values are null, then all values."""
    digest = hashlib.sha256()
    for field in MANIFEST_SCHEMA:
        if field.name in RUN_COLUMNS:
            continue
        values = table[field.name].to_pylist()
        digest.update(field.name.encode() + b"\0" + bytes(value is None for value in values))
        if pa.types.is_string(field.type):
            digest.update(json.dumps([value or "" for value in values]).encode())
        else:
            numbers = [0 if value is None else value for value in values]
            kind = np.dtype(field.type.to_pandas_dtype()).newbyteorder("<")
            digest.update(np.array(numbers, dtype=kind).tobytes())
    return digest.hexdigest()


TEXTS = ["plain", "", None, 'a "quoted" one', "back\\slash", "a\tb", "\x7f", "Sérsic", "", '", "', None]


@pytest.mark.parametrize("lengths", [[11], [1] * 11, [4, 0, 7], [0, 10, 1]])
@pytest.mark.parametrize("at_once", [1, 3, 1 << 16])
def test_the_hash_of_pieces_is_that_of_whole_columns(
    lengths: list[int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lensneg.schema.content._ROWS_AT_ONCE", at_once)
    rows = manifest().take([i % 3 for i in range(11)])
    changed = {"galaxy_id": TEXTS, "type": ["SER"] * 11, "mag_g": [None, 1.5, *[float("nan")] * 7, None, 0.0]}
    for name, values in changed.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
    starts = np.cumsum([0, *lengths]).tolist()
    pieces = [rows.slice(start, length) for start, length in zip(starts, lengths, strict=False)]
    found = content_sha256_of(11, lambda name: (piece[name].combine_chunks() for piece in pieces))
    assert found == hash_of_whole_columns(rows) == content_sha256(rows)


def test_a_column_without_nulls_is_read_once_and_another_one_twice() -> None:
    table, read = manifest("mag_r", 2, None), Counter[str]()

    def arrays(name: str) -> list[pa.Array]:
        read[name] += 1
        return table[name].chunks

    assert content_sha256_of(ROWS, arrays) == content_sha256(table)
    assert {name: times for name, times in read.items() if times != 1} == {"mag_r": 2}
