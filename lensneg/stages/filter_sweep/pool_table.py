"""Fill the manifest's columns that the map writes: of the survivors, and of candidate matches."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.errors import SweepError
from lensneg.rules.borders import near_border
from lensneg.rules.photometry import magnitude
from lensneg.rules.pools import POOLS, classify
from lensneg.rules.priority import sampling_priority, targetid, targetids_of
from lensneg.rules.rows import Rows
from lensneg.rules.selection import first_failed_rule, is_one_of, is_primary
from lensneg.rules.sky import healpix_pixel
from lensneg.rules.strata import nobs_z_bin, type_order
from lensneg.rules.usable import all_usable, has_identity
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.columns import COLUMNS, POOL_SCHEMA, POSITIVE, POSITIVES_SCHEMA, READ_BY_NEED
from lensneg.schema.input_name import input_name
from lensneg.schema.item import Item
from lensneg.schema.pool import pool_order
from lensneg.schema.pools_config import CONFUSER_CATEGORIES, EXTERNAL_BIT
from lensneg.schema.run import Run
from lensneg.schema.sweep_columns import SOURCE_TYPES
from lensneg.stages.filter_sweep.nearby_lenses import NearbyLenses
from lensneg.survey.versions import release_text

#: The sweep column behind each column that is copied.
_SWEEP_COLUMN: Final = {column.name: column.sweep for column in COLUMNS if column.sweep is not None}


#: The column of a ``-pz`` file behind each column that is copied.
_PZ_COLUMN: Final = {column.name: column.pz for column in COLUMNS if column.pz is not None}


def pool_table(run: Run, item: Item, gathered: Rows, near: NearbyLenses, cut: dict[str, int]) -> pa.Table:
    """Return the survivors in the order of a pool file.

    The rows that the pool, the lenses, the borders of splits and the suspects cut are added to ``cut``.
    """
    config, identity = run.config, _identity(gathered, run)
    place = gathered["RA"], gathered["DEC"], identity["targetid"]
    pool, category, flags = classify(gathered, config)
    external = near.hard_negatives.first_group(*place, near.hard_groups)
    pool[external >= 0] = 1
    flags[external >= 0] |= 1 << EXTERNAL_BIT
    near_lens = _near_lens(near, gathered["RA"], gathered["DEC"])
    cut["no_pool"] += int((pool < 0).sum())
    cut["near_lens"] += int(((pool >= 0) & near_lens).sum())
    type_rank = np.array([type_order(config.strata).index(name) for name in SOURCE_TYPES])
    segment = nobs_z_bin(gathered["NOBS_Z"], config.strata) * len(SOURCE_TYPES)
    segment = (segment + type_rank[gathered.source_type()]) * len(POOLS) + pool
    survivors = np.flatnonzero((pool >= 0) & ~near_lens)
    at_border = near_border(place[0][survivors], place[1][survivors], config.spatial_splits)
    cut["border"] += int(at_border.sum())
    survivors = survivors[~at_border]
    suspect = near.suspects.holds(*(values[survivors] for values in place))
    cut["suspect"] += int(suspect.sum())
    survivors = survivors[~suspect]
    priority = identity["sampling_priority"][survivors]
    order = survivors[pool_order(segment[survivors], priority)]
    category = np.where(external >= 0, len(CONFUSER_CATEGORIES) + external, category)[order].astype(np.int16)
    known = {name: values[order] for name, values in identity.items()} | {
        "pool": pa.DictionaryArray.from_arrays(pool[order], list(POOLS)),
        "confuser_category": pa.DictionaryArray.from_arrays(
            pa.array(category, mask=category < 0), [*CONFUSER_CATEGORIES, *near.external]
        ),
        "confuser_flags": flags[order],
    }
    return _describe(gathered.take(order), known, run, item)


def candidate_matches(rows: Rows, near: NearbyLenses, run: Run, item: Item) -> pa.Table:
    """Return the sources within the match radius of a catalogue's entry, with the entry's row.

    The rows of hard negatives follow on those of the lenses. DUP sources, those of unknown type or not
    primary, bad rows, and rows with a value that cannot be used match nothing.
    """
    place = rows["RA"], rows["DEC"]
    pairs = near.positives.pairs(*place)
    listed = near.hard_negatives.pairs(*place, targetids_of(rows))
    source = np.concatenate([pairs.source, listed.source])
    entry = np.concatenate(
        [near.positive_rows[pairs.position], len(run.lenses) + near.hard_rows[listed.position]]
    )
    separation = np.concatenate([pairs.separation_arcsec, listed.separation_arcsec])
    near_by = rows.take(source)
    is_real = is_one_of(near_by, SOURCE_TYPES) & ~is_one_of(near_by, ["DUP"])
    is_real &= has_identity(near_by) & is_primary(near_by)
    real = np.flatnonzero(is_real & all_usable(near_by, run.config))
    matched = rows.take(source[real])
    check_releases(matched, run, item)
    known = _identity(matched, run)
    cut = np.array(first_failed_rule(matched, run.config), dtype=object)
    is_left = (entry[real] >= len(run.lenses)) & (cut == None)  # noqa: E711 (element by element)
    place = matched["RA"], matched["DEC"]
    near_lens, suspect = _near_lens(near, *place), near.suspects.holds(*place, known["targetid"])
    cut[is_left & suspect] = "suspect"
    cut[is_left & near_border(*place, run.config.spatial_splits)] = "border"
    cut[is_left & near_lens] = "near_lens"
    known |= {
        "pool": pa.DictionaryArray.from_arrays(np.zeros(len(real), np.int8), [POSITIVE]),
        "confuser_category": pa.nulls(len(real), pa.string()),
        "confuser_flags": classify(matched, run.config).flags,
    }
    return pa.table(
        [
            *_describe(matched, known, run, item).cast(POOL_SCHEMA).columns,
            entry[real],
            separation[real],
            pa.array(cut, pa.string()),
        ],
        schema=POSITIVES_SCHEMA,
    )


def _near_lens(near: NearbyLenses, ra: FloatArray, dec: FloatArray) -> BoolArray:
    """Return which sources are within the exclusion radius of a lens."""
    found = np.zeros(len(ra), dtype=bool)
    found[near.lenses.pairs(ra, dec).source] = True
    return found


def _photo_z(rows: Rows, column: str) -> FloatArray:
    """Return a value of the ``-pz`` file, NaN where there is none: there it is -99, or there is no file."""
    values = rows[column] if column in rows else np.full(len(rows), np.nan, np.float32)
    return np.where((values >= 0) & np.isfinite(values), values, np.nan)


def check_releases(rows: Rows, run: Run, item: Item) -> None:
    """Refuse rows of a release that the config does not allow. Gate 1 reads only a file's first row."""
    release, allowed = rows["RELEASE"], run.config.sweeps.releases
    other = np.flatnonzero(~np.isin(release, allowed))
    if len(other):
        i = int(other[0])
        raise SweepError(
            f"row {rows.row_index[i]:,} is of RELEASE {release_text(int(release[i]))}",
            where=item.sweep,
            remedy=f"the config allows {', '.join(map(release_text, allowed))}: fetch the file again, "
            "or allow it (sweeps.releases)",
        )


def _identity(rows: Rows, run: Run) -> dict[str, Any]:
    """Return the columns ``targetid`` and ``sampling_priority``."""
    ids = targetid(rows["RELEASE"], rows["BRICKID"], rows["OBJID"])
    return {"targetid": ids, "sampling_priority": sampling_priority(ids, run.config.negative_pools.seed)}


def _describe(rows: Rows, known: dict[str, Any], run: Run, item: Item) -> pa.Table:
    """Return the map's columns of the manifest; text of few values as dictionaries.

    Parameters
    ----------
    rows : Rows
    known : dict of str to array
        The columns that do not follow from the rows alone.
    run : Run
    item : Item
    """
    strata = run.config.strata
    mags = {band: magnitude(rows[f"FLUX_{band.upper()}"]) for band in ("g", "r", "z", "w1")}
    bins = nobs_z_bin(rows["NOBS_Z"], strata)
    pixel = healpix_pixel(128, rows["RA"], rows["DEC"])
    kind = pa.DictionaryArray.from_arrays(rows.source_type(), list(SOURCE_TYPES))
    computed = known | {
        "brickname": pc.ascii_trim_whitespace(pa.array(rows["BRICKNAME"], pa.binary()).cast(pa.string())),
        "nobs_z_bin": pa.DictionaryArray.from_arrays(
            np.where(bins < 0, len(strata.nobs_z_bins), bins), [*strata.nobs_z_bins, ""]
        ),
        "type": kind,
        "type_bin": kind,
        **{f"mag_{band}": mags[band] for band in "grz"},
        "g_minus_r": mags["g"] - mags["r"],
        "r_minus_z": mags["r"] - mags["z"],
        "z_minus_w1": mags["z"] - mags["w1"],
        "healpix_64": pixel // 4,  # NESTED: four pixels make one of half the nside
        "healpix_128": pixel,
        "sweep_file": pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int8), [input_name(item.sweep)]),
        "row_index": rows.row_index,
        **{name: _photo_z(rows, column) for name, column in _PZ_COLUMN.items()},
    }

    def column(field: pa.Field) -> pa.Array:
        sweep = _SWEEP_COLUMN.get(field.name)
        if sweep in READ_BY_NEED and sweep not in rows:
            return pa.nulls(len(rows), field.type)
        values = computed[field.name] if field.name in computed else rows[_SWEEP_COLUMN[field.name]]
        if isinstance(values, pa.Array):
            return values
        lacking = np.isnan(values) if field.nullable and pa.types.is_floating(field.type) else None
        try:
            return pa.array(values, mask=lacking).cast(field.type)
        except pa.ArrowInvalid as error:  # a whole number that needs a wider column than the manifest's
            remedy = "the file is damaged, or not a sweep file: fetch it again"
            raise SweepError(f"{field.name}: {error}", where=item.sweep, remedy=remedy) from error

    columns = [column(field) for field in POOL_SCHEMA]
    fields = [field.with_type(values.type) for field, values in zip(POOL_SCHEMA, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))
