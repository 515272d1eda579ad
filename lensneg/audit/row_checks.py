"""The rules that each row must obey, written once more."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.check import Check
from lensneg.schema.columns import COLUMNS, MANIFEST_SCHEMA
from lensneg.schema.config import CONFUSER_CATEGORIES, Config
from lensneg.schema.sweep_columns import MASKBITS

#: Logarithms of two libraries may differ in their last bits; magnitudes in nothing else.
_MAG_TOLERANCE: Final = 1e-9

FAULT: Final = "this is a fault of lensneg, or the file was changed by hand: please report it"


def none_wrong(name: str, wrong: BoolArray, expected: str, remedy: str = FAULT) -> Check:
    """Return a check that no row is wrong."""
    count, actual = int(wrong.sum()), f"all {len(wrong):,} rows"
    if count:
        first = int(np.flatnonzero(wrong)[0])
        actual = f"not in {count:,} of {len(wrong):,} rows, the first in row {first:,}"
    return Check(
        name=name,
        passed=not count,
        expected=expected,
        actual=actual,
        remedy=remedy,
    )


def row_count(content: Content) -> Iterator[Check]:
    """Count the negatives."""
    yield Check(
        name="row_count",
        passed=len(content.negatives) == content.asked,
        expected=f"{content.asked:,} negatives, as the quotas ask",
        actual=f"{len(content.negatives):,}",
        remedy="the quotas were not met; see gate 3",
    )


def no_nulls(content: Content) -> Iterator[Check]:
    """Look for nulls in the columns that may hold none, and for NaN, which no column may hold."""
    table = content.both.table
    faults = [f"nulls in {f.name}" for f in MANIFEST_SCHEMA if not f.nullable and table[f.name].null_count]
    for field in MANIFEST_SCHEMA:
        if (
            field.nullable
            and pa.types.is_floating(field.type)
            and pc.any(pc.is_nan(table[field.name])).as_py()
        ):
            faults.append(f"NaN in {field.name}")
    yield Check.of_faults(
        "no_nulls",
        faults,
        expected="no null in critical columns, and no NaN",
        found="none",
        remedy="pool files are damaged; start again with another run id",
    )


def coordinates(content: Content) -> Iterator[Check]:
    """Look for positions off the sphere."""
    yield none_wrong(
        "coordinates",
        content.off_sphere,
        "RA in [0, 360] and Dec in [-90, 90] degrees",
        "a sweep file holds impossible coordinates",
    )


def unique_targetids(content: Content) -> Iterator[Check]:
    """Look for a source in two rows."""
    rows = len(content.both)
    distinct = pc.count_distinct(content.both.table["targetid"]).as_py()
    yield Check(
        name="unique_targetids",
        passed=distinct == rows,
        expected="each TARGETID in one row",
        actual=f"{rows - distinct:,} rows too many" if distinct != rows else f"{distinct:,}",
        remedy="the sweep files hold sources twice",
    )


def keys(content: Content) -> Iterator[Check]:
    """Compare TARGETID and galaxy_id with what they are made of; BRICKID is in the sweep file alone."""
    rows = content.both
    ids, table = rows["targetid"], rows.table
    wrong = (ids >> 42 != rows["release"]) | (ids & ((1 << 22) - 1) != rows["objid"])
    name = pc.binary_join_element_wise(table["brickname"], table["objid"].cast(pa.string()), "_")
    wrong |= ~np.asarray(pc.equal(name, table["galaxy_id"]))
    yield none_wrong("keys", wrong, "TARGETID and galaxy_id as release, brick and objid say")


def provenance(content: Content) -> Iterator[Check]:
    """Compare the columns that name the run."""
    expected = content.subject.run_columns
    wrong = [
        name
        for name, value in expected.items()
        if not pc.all(
            pc.equal(content.both.table[name], pa.scalar(value).cast(MANIFEST_SCHEMA.field(name).type)),
            min_count=0,  # no rows name no other run
        ).as_py()
    ]
    yield Check.of_faults(
        "provenance",
        wrong,
        expected="the run's code, commit and start in every row",
        found=", ".join(expected.values()),
        saying="another ",
        remedy="files of two runs are mixed; start again with another run id",
    )


def magnitudes(content: Content) -> Iterator[Check]:
    """Compare magnitudes and colours with the fluxes."""
    rows, mags = content.both, content.both.magnitudes
    expected = {
        "mag_g": mags["g"],
        "mag_r": mags["r"],
        "mag_z": mags["z"],
        "g_minus_r": mags["g"] - mags["r"],
        "r_minus_z": mags["r"] - mags["z"],
        "z_minus_w1": mags["z"] - mags["w1"],
    }
    wrong = np.zeros(len(rows), dtype=bool)
    for name, value in expected.items():
        written = rows[name]
        same = np.abs(written - value) <= _MAG_TOLERANCE
        wrong |= ~(same | (np.isnan(written) & np.isnan(value)))
    yield none_wrong("magnitudes", wrong, "magnitudes and colours as the fluxes say")


def selection_rule(content: Content) -> Iterator[Check]:
    """Look for negatives that a cut should have dropped; exposures in bands other than z are not written."""
    rows, cuts = content.negatives, content.config.selection
    wrong = ~(rows.magnitudes["z"] < cuts.z_mag_limit)
    wrong |= ~rows.is_in("type", cuts.types)
    wrong |= rows["nobs_z"] < cuts.nobs_min["z"]
    excluded = content.config.exclusion.maskbits_value | 1 << MASKBITS["NPRIMARY"]
    wrong |= rows["maskbits"] & excluded != 0
    for column in COLUMNS:
        if column.sweep is not None and pa.types.is_floating(column.type):
            is_shape = column.name in ("shape_r", "shape_e1", "shape_e2", "sersic")
            wrong |= np.isinf(rows[column.name]) | (is_shape & np.isnan(rows[column.name]))
    if cuts.dec_range is not None:
        low, high = cuts.dec_range
        wrong |= ~((rows["dec"] > low) & (rows["dec"] < high))
    yield none_wrong("selection_rule", np.asarray(wrong), "every negative passes the config's cuts")


def stratum_rule(content: Content) -> Iterator[Check]:
    """Compare the bins with nobs_z and type."""
    rows, strata = content.both, content.config.strata
    nobs, written = rows["nobs_z"], rows.index_in("nobs_z_bin", strata.nobs_z_bins)
    right = np.zeros(len(rows), dtype=bool)
    for i, (low, high) in enumerate(strata.bin_limits):
        right |= (written == i) & (nobs >= low) & (nobs <= (np.inf if high is None else high))
    right &= rows.is_in("type_bin", strata.types)
    right &= np.asarray(pc.equal(rows.table["type"], rows.table["type_bin"]))
    yield none_wrong(
        "stratum_rule",
        ~right,
        "bins as nobs_z and type of every row say, and of the config's strata",
    )


def pool_rule(content: Content) -> Iterator[Check]:
    """Compare pool and confuser category with the row's columns."""
    not_positive = ~content.positives.is_in("pool", ["positive"])
    yield none_wrong(
        "pool_rule",
        np.concatenate([_wrong_pool(content.negatives, content.config), not_positive]),
        "pool and confuser category as the columns of every row say",
    )


def _wrong_pool(rows: Rows, config: Config) -> BoolArray:
    n2 = config.negative_pools.pool_n2.tractor_criteria
    flux_r, shape_r = rows["flux_r"], rows["shape_r"]
    e = np.sqrt(rows["shape_e1"] ** 2 + rows["shape_e2"] ** 2)
    mag_r = rows.magnitudes["r"]
    early = rows.is_in("type", n2.ring_proxy.types) | (
        rows.is_in("type", n2.ring_proxy.sersic_types) & (rows["sersic"] >= n2.ring_proxy.sersic_min)
    )
    edge, blue, large = n2.edge_on_proxy, n2.blue_clumpy_proxy, n2.large_galaxy_proxy
    criteria = [
        early & (flux_r >= n2.ring_proxy.flux_r_min),
        rows.is_in("type", edge.types) & (e >= edge.ellipticity_min) & (shape_r >= edge.shape_r_min),
        (rows.magnitudes["g"] - mag_r <= blue.g_minus_r_max) & (mag_r <= blue.r_mag_max),
        (shape_r >= large.shape_r_min) & (flux_r >= large.flux_r_min),
    ]
    category = np.select(criteria, range(len(criteria)), -1)
    n1 = (category < 0) & rows.is_in("type", config.negative_pools.pool_n1.galaxy_types)
    right = (rows.is_in("pool", ["N1"]) & n1) | (rows.is_in("pool", ["N2"]) & (category >= 0))
    right &= category == rows.index_in("confuser_category", CONFUSER_CATEGORIES)
    # A category that is none of the known ones must not pass for none.
    known = rows.is_in("confuser_category", CONFUSER_CATEGORIES)
    right &= known | rows.table["confuser_category"].is_null().to_numpy()
    return np.asarray(~right)


def priority_rule(content: Content) -> Iterator[Check]:
    """Compare the sampling priority with TARGETID and seed."""
    rows = content.both
    wrong = _priorities(rows["targetid"], content.config.negative_pools.seed) != rows["sampling_priority"]
    yield none_wrong("priority_rule", wrong, "sampling priority as TARGETID and seed say")


def _priorities(ids: IntArray, seed: int) -> IntArray:
    """Return SplitMix64 of TARGETID plus SplitMix64 of the seed, as docs/science.md states it."""

    def mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        z = state + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return z ^ (z >> np.uint64(31))

    key = mix(np.array([seed], dtype=np.uint64))
    return mix(ids.astype(np.uint64) + key).astype(np.int64)
