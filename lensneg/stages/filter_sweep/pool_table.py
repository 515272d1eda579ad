"""The map's columns of the manifest."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.rules.photometry import magnitude
from lensneg.rules.pools import POOLS, classify
from lensneg.rules.priority import sampling_priority, targetid
from lensneg.rules.rows import Rows
from lensneg.rules.selection import first_failed_rule, is_one_of
from lensneg.rules.sky import healpix_pixel
from lensneg.rules.strata import nobs_z_bin, type_order
from lensneg.schema.columns import COLUMNS, NULL_FOR_NAN, POOL_SCHEMA, POSITIVE, POSITIVES_SCHEMA
from lensneg.schema.config import CONFUSER_CATEGORIES
from lensneg.schema.item import Item
from lensneg.schema.pool import pool_order
from lensneg.schema.run import Run
from lensneg.schema.sweep_columns import SOURCE_TYPES
from lensneg.stages.filter_sweep.nearby_lenses import NearbyLenses

#: The sweep column behind each column that is copied.
_SWEEP_COLUMN: Final = {column.name: column.sweep for column in COLUMNS if column.sweep is not None}


def pool_table(run: Run, item: Item, gathered: Rows, near: NearbyLenses, cut: dict[str, int]) -> pa.Table:
    """Return the survivors in the order of a pool file.

    What the pool and the lenses cut is added to ``cut``.
    """
    config = run.config
    pool, category = classify(gathered, config.pools)
    near_lens = np.zeros(len(gathered), dtype=bool)
    near_lens[near.lenses.pairs(gathered["RA"], gathered["DEC"]).source] = True
    cut["no_pool"] += int((pool < 0).sum())
    cut["near_lens"] += int(((pool >= 0) & near_lens).sum())
    ids, priority = _identity(gathered, run, item)
    type_rank = np.array([type_order(config.strata).index(name) for name in SOURCE_TYPES])
    segment = nobs_z_bin(gathered["NOBS_Z"], config.strata) * len(SOURCE_TYPES)
    segment = (segment + type_rank[gathered.source_type()]) * len(POOLS) + pool
    survivors = np.flatnonzero((pool >= 0) & ~near_lens)
    order = survivors[pool_order(segment[survivors], priority[survivors])]
    return _describe(
        gathered.take(order),
        _Identity(ids[order], priority[order]),
        pa.DictionaryArray.from_arrays(pool[order], list(POOLS)),
        pa.DictionaryArray.from_arrays(
            pa.array(category[order], mask=category[order] < 0), list(CONFUSER_CATEGORIES)
        ),
        run,
        item,
    )


def candidate_matches(rows: Rows, near: NearbyLenses, run: Run, item: Item) -> pa.Table:
    """Return the sources that lie within the match radius of a positive, with its catalogue row."""
    pairs = near.positives.pairs(rows["RA"], rows["DEC"])
    real = np.flatnonzero(~is_one_of(rows.take(pairs.source), ["DUP"]))
    matched = rows.take(pairs.source[real])
    positive = pa.DictionaryArray.from_arrays(np.zeros(len(real), np.int8), [POSITIVE])
    no_category = pa.nulls(len(real), pa.string())
    table = _describe(matched, _identity(matched, run, item), positive, no_category, run, item)
    return pa.table(
        [
            *table.cast(POOL_SCHEMA).columns,
            near.positive_rows[pairs.position[real]],
            pairs.separation_arcsec[real],
            pa.array(first_failed_rule(matched, run.config.selection), pa.string()),
        ],
        schema=POSITIVES_SCHEMA,
    )


class _Identity(NamedTuple):
    targetid: npt.NDArray[np.int64]
    sampling_priority: npt.NDArray[np.int64]


def _identity(rows: Rows, run: Run, item: Item) -> _Identity:
    try:
        ids = targetid(rows["RELEASE"], rows["BRICKID"], rows["OBJID"])
    except ValueError as error:
        raise SweepError(
            f"{error}", where=item.sweep, remedy="the file is damaged, fetch it again"
        ) from error
    return _Identity(ids, sampling_priority(ids, run.config.sampling.seed))


def _describe(
    rows: Rows, identity: _Identity, pool: pa.Array, category: pa.Array, run: Run, item: Item
) -> pa.Table:
    """Return the map's columns of the manifest for some rows; text of few values as dictionaries."""
    config = run.config
    releases = set(np.unique(rows["RELEASE"]).tolist()) - set(config.sweeps.releases)
    if releases:
        raise SweepError(
            f"holds sources of RELEASE {min(releases)}",
            where=item.sweep,
            remedy=f"the config takes {', '.join(map(str, config.sweeps.releases))} (sweeps.releases)",
        )
    mags = {band: magnitude(rows[f"FLUX_{band.upper()}"]) for band in ("g", "r", "z", "w1")}
    bins = nobs_z_bin(rows["NOBS_Z"], config.strata)
    pixel = healpix_pixel(128, rows["RA"], rows["DEC"])
    kind = pa.DictionaryArray.from_arrays(rows.source_type(), list(SOURCE_TYPES))
    computed = {
        "brickname": _text(rows["BRICKNAME"], item),
        "nobs_z_bin": pa.DictionaryArray.from_arrays(
            np.where(bins < 0, len(config.strata.nobs_z_bins), bins), [*config.strata.nobs_z_bins, ""]
        ),
        "type": kind,
        "type_bin": kind,
        "mag_g": mags["g"],
        "mag_r": mags["r"],
        "mag_z": mags["z"],
        "g_minus_r": mags["g"] - mags["r"],
        "r_minus_z": mags["r"] - mags["z"],
        "z_minus_w1": mags["z"] - mags["w1"],
        "healpix_64": pixel // 4,  # NESTED: four pixels make one of half the nside
        "healpix_128": pixel,
        "pool": pool,
        "confuser_category": category,
        "sweep_file": pa.DictionaryArray.from_arrays(
            np.zeros(len(rows), np.int8), [storage.basename(item.sweep)]
        ),
        "row_index": rows.row_index,
        **identity._asdict(),
    }

    def column(field: pa.Field) -> pa.Array:
        values = computed[field.name] if field.name in computed else rows[_SWEEP_COLUMN[field.name]]
        if isinstance(values, pa.Array):
            return values
        if field.name in NULL_FOR_NAN:
            return pa.array(values, field.type, mask=np.isnan(values))
        return pa.array(values.astype(field.type.to_pandas_dtype(), copy=False), field.type)

    columns = [column(field) for field in POOL_SCHEMA]
    fields = [field.with_type(values.type) for field, values in zip(POOL_SCHEMA, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))


def _text(values: npt.NDArray[np.bytes_], item: Item) -> pa.Array:
    try:
        return pc.ascii_trim_whitespace(pa.array(values, pa.binary()).cast(pa.string()))
    except pa.ArrowInvalid as error:
        raise SweepError(
            "a brick's name is not text", where=item.sweep, remedy="fetch the file again"
        ) from error
