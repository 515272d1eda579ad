"""A value that a sweep file does not have is null in the manifest, in every column, for every reader."""

from pathlib import Path

import duckdb
import fitsio
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from conftest import config_text, edited
from pipeline import OPEN_GATES, make_request
from plainrun import run_to_sample

from lensneg.mocksky import write_mock_sky
from lensneg.schema.columns import COLUMNS, NEEDED_COLUMNS
from lensneg.stages.validate_manifest import validate_manifest

#: The columns that are copied from a sweep file and may lack a value.
FLOATS = [c for c in COLUMNS if c.sweep in NEEDED_COLUMNS and c.nullable and pa.types.is_floating(c.type)]


def test_what_is_nan_in_the_sweep_files_is_null(tmp_path: Path) -> None:
    sky, random = tmp_path / "sky", np.random.default_rng(8)
    write_mock_sky(sky, files=2, rows=4_000, seed=52)
    sweeps = {}
    for path in (sky / "sweeps").glob("sweep-*.fits"):
        with fitsio.FITS(path, "rw") as file:
            rows = file[1].read()
            for column in FLOATS:
                rows[column.sweep][random.random(len(rows)) < 0.1] = np.nan
            file[1].write(rows)
        sweeps[path.name] = rows
    config = tmp_path / "config.yaml"
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    files = run_to_sample(make_request(sky, config, tmp_path / "out", "one", "test"))
    verdict = validate_manifest(files.root).gate
    assert verdict.passed, verdict.cause
    paths = [uri for part in ("negatives", "positives") for uri in files.sample_parts(part)]
    table = pa.concat_tables([pq.read_table(path) for path in paths], promote_options="default")
    lacking = 0
    for row in table.to_pylist():
        source = sweeps[row["sweep_file"]][row["row_index"]]
        for column in FLOATS:
            value = float(source[column.sweep])
            assert row[column.name] == (None if np.isnan(value) else value), column.name
            lacking += row[column.name] is None
        for name, flux in (("mag_g", "flux_g"), ("mag_r", "flux_r"), ("mag_z", "flux_z")):
            assert (row[name] is None) == (row[flux] is None or row[flux] <= 0)
    assert lacking > len(table)
    for name in ("flux_g", "mag_g", "shape_r", "sersic"):
        by_polars = len(pl.scan_parquet(paths, extra_columns="ignore").collect().filter(pl.col(name) > 1.5))
        [[by_duckdb]] = duckdb.sql(
            f"SELECT count(*) FROM read_parquet({paths}) WHERE {name} > 1.5"
        ).fetchall()
        assert by_polars == by_duckdb == sum((value or 0) > 1.5 for value in table[name].to_pylist())
