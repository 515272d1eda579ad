"""What the rules say of each row of any kind of table, against the reference."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import reference

import lensneg
from lensneg import rules
from lensneg.errors import InputError
from lensneg.rules.rows import Rows
from lensneg.schema.config import Config


def galaxies() -> dict[str, list[Any]]:
    """Sources of all kinds, as plain lists by lower-case name."""
    random = np.random.default_rng(3)
    n = 400

    def uniform(low: float, high: float) -> list[float]:
        return random.uniform(low, high, n).astype(np.float32).tolist()

    return {
        "release": [10002] * n, "brickid": random.integers(0, 1 << 20, n).tolist(), "objid": list(range(n)),
        "type": random.choice(["PSF", "REX", "EXP", "DEV", "SER", "DUP"], n).tolist(),
        "ra": random.uniform(0, 360, n).tolist(), "dec": random.uniform(-60, 30, n).tolist(),
        "nobs_z": random.integers(0, 14, n).tolist(),
        "maskbits": random.choice([0, 0, 0, 2, 1 << 11], n).tolist(),
        "flux_g": uniform(-1, 8), "flux_r": uniform(-1, 12), "flux_z": uniform(5, 30),
        "shape_r": uniform(0, 4), "shape_e1": uniform(-0.6, 0.6), "shape_e2": uniform(-0.6, 0.6),
        "sersic": uniform(0.5, 6),
    }  # fmt: skip


def plainly(columns: dict[str, list[Any]], config: dict[str, Any]) -> list[dict[str, Any]]:
    """What the rules say of each row, by the reference."""
    said = []
    for row in map(
        dict, (zip(columns, values, strict=True) for values in zip(*columns.values(), strict=True))
    ):
        pool, category = reference.pool_of(row, config["negative_pools"])
        target = reference.target_id(row["release"], row["brickid"], row["objid"])
        said.append(
            {
                "targetid": target,
                "cut": reference.selection_failure(row, config),
                "pool": pool,
                "confuser_category": category,
                "confuser_flags": reference.flags_of(row, config["negative_pools"]),
                "nobs_z_bin": reference.nobs_bin(row["nobs_z"], config["strata"]["nobs_z_bins"]),
                "split": reference.split_of(row["ra"], row["dec"], config["spatial_splits"]),
                "sampling_priority": reference.sampling_priority(target, config["negative_pools"]["seed"]),
            }
        )
    return said


def structured(columns: dict[str, list[Any]]) -> np.ndarray:
    """The columns as a FITS reader gives them."""
    kinds = {
        "release": ">i2",
        "brickid": ">i4",
        "objid": ">i4",
        "type": "S3",
        "nobs_z": ">i2",
        "maskbits": ">i4",
    }
    fields = [(name.upper(), kinds.get(name, ">f8" if name in ("ra", "dec") else ">f4")) for name in columns]
    rows = np.zeros(len(columns["ra"]), fields)
    for name, values in columns.items():
        rows[name.upper()] = values
    return rows


@pytest.mark.parametrize("kind", [pa.table, pd.DataFrame, pl.DataFrame, structured])
def test_what_the_rules_say_of_any_kind_of_table(kind: Any, plan: Config, plan_dict: dict[str, Any]) -> None:
    columns = galaxies()
    said = lensneg.rules.describe(kind(columns), plan).to_pylist()
    assert said == plainly(columns, plan_dict)
    assert {row["cut"] for row in said} == {None, "faint", "type", "nobs", "maskbits"}
    assert {row["pool"] for row in said} == {None, "N1", "N2"}


def test_text_is_kept_as_it_is_in_a_file() -> None:
    rows = Rows.of(pa.table({"brickname": ["1512p025", "0001m000"], "type": ["DEV", "PSF"]}))
    assert rows["BRICKNAME"].tolist() == [b"1512p025", b"0001m000"]
    assert rows["TYPE"].tolist() == [b"DEV", b"PSF"]


def test_missing_values_and_columns_are_named(plan: Config) -> None:
    columns = galaxies()
    with pytest.raises(InputError, match="1 values of nobs_z are missing; fill or drop them"):
        rules.describe(pa.table({**columns, "nobs_z": [None, *columns["nobs_z"][1:]]}), plan)
    columns.pop("sersic")
    with pytest.raises(KeyError, match="SERSIC"):
        rules.describe(pa.table(columns), plan)


def test_columns_keep_their_types_where_no_row_is_cut_or_of_a_pool(plan_with: Any) -> None:
    columns = {name: values[:3] for name, values in galaxies().items()}
    columns |= {"type": ["EXP"] * 3, "flux_g": [1.0] * 3, "flux_r": [2.0] * 3, "shape_r": [0.5] * 3}
    columns |= {"flux_z": [20.0] * 3, "nobs_z": [3] * 3, "maskbits": [0] * 3}
    no_exp = plan_with({"negative_pools.pool_n1.galaxy_types": ["SER"]})
    said = rules.describe(pa.table(columns), no_exp)
    assert said["cut"].to_pylist() == said["pool"].to_pylist() == [None] * 3
    text = {"cut", "pool", "confuser_category", "nobs_z_bin", "split"}
    assert {field.name for field in said.schema if field.type == pa.string()} == text
    numbers = {name: str(said.schema.field(name).type) for name in said.column_names if name not in text}
    assert numbers == {"targetid": "int64", "confuser_flags": "int32", "sampling_priority": "int64"}
