"""The rules that each row must obey, written once more."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import RowRule, Stated, Tally
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.check import Check
from lensneg.schema.columns import COLUMNS, MANIFEST_SCHEMA, PARTS
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.sweep_columns import MASKBITS

#: Logarithms of two libraries may differ in their last bits; magnitudes in nothing else.
_MAG_TOLERANCE: Final = 1e-9

#: TARGETIDs that are held at once.
_KEYS_AT_ONCE: Final = 1 << 22


def row_count(content: Content) -> Tally:
    """Count the negatives."""
    rows = content.rows["negatives"]
    return Stated(
        Check(
            name="row_count",
            passed=rows == content.asked,
            expected=f"{content.asked:,} negatives, as the quotas ask",
            actual=f"{rows:,}",
            remedy="the quotas were not met; see gate 3",
        )
    )


class NoNulls(Tally):
    """Looks for nulls in the columns that may hold none, and for NaN, which no column may hold.

    A position of NaN is off the sphere, which is a check of its own.
    """

    def __init__(self, content: Content) -> None:
        self._nulls, self._nans = set[str](), set[str]()

    def add(self, rows: Rows) -> None:
        """Look at each column."""
        for field in MANIFEST_SCHEMA:
            column = rows.table[field.name]
            if not field.nullable and column.null_count:
                self._nulls.add(field.name)
            is_judged = pa.types.is_floating(field.type) and field.name not in ("ra", "dec")
            if is_judged and pc.any(pc.is_nan(column)).as_py():
                self._nans.add(field.name)

    @property
    def faults(self) -> list[str]:
        """The columns that have some."""
        nulls = [f"nulls in {name}" for name in MANIFEST_SCHEMA.names if name in self._nulls]
        return nulls + [f"NaN in {name}" for name in MANIFEST_SCHEMA.names if name in self._nans]

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        yield Check.of_faults(
            "no_nulls",
            self.faults,
            expected="no null in critical columns, and no NaN",
            found="none",
            remedy="pool files are damaged; start again with another run id",
        )


def coordinates(content: Content) -> Tally:
    """Look for positions off the sphere."""
    return RowRule(
        "coordinates",
        "RA in [0, 360] and Dec in [-90, 90] degrees",
        lambda rows: rows.off_sphere,
        "a sweep file holds impossible coordinates",
    )


class UniqueTargetids(Tally):
    """Looks for a source in two rows.

    The column is read several times if it has more than so many rows that are held at once. Each time another
    share of the TARGETIDs is compared. A sampling priority is a one-to-one function of TARGETID, and uniform,
    so its highest bits make equal shares of any TARGETIDs.
    """

    def __init__(self, content: Content) -> None:
        self._content = content

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        rows = sum(self._content.rows.values())
        shares = -(-rows // _KEYS_AT_ONCE)
        distinct = sum(self._distinct(share, shares) for share in range(shares))
        yield Check(
            name="unique_targetids",
            passed=distinct == rows,
            expected="each TARGETID in one row",
            actual=f"{rows - distinct:,} rows too many" if distinct != rows else f"{distinct:,}",
            remedy="the sweep files hold sources twice",
        )

    def _distinct(self, share: int, shares: int) -> int:
        """Count the TARGETIDs of one of some equal shares, each once."""
        found = [np.empty(0, dtype=np.int64)]
        for array in chain.from_iterable(self._content.column(part, "targetid") for part in PARTS):
            ids = np.asarray(array)
            if shares > 1:
                place = _priorities(ids, 0).view(np.uint64) >> np.uint64(32)
                ids = ids[place * np.uint64(shares) >> np.uint64(32) == share]
            found.append(ids)
        ids = np.concatenate(found)
        del found
        ids.sort()
        return int(np.count_nonzero(ids[1:] != ids[:-1])) + bool(len(ids))


def keys(content: Content) -> Tally:
    """Compare TARGETID and the names with what they are made of; BRICKID is in the sweep file alone."""

    def wrong(rows: Rows) -> BoolArray:
        ids, table = rows["targetid"], rows.table
        unlike = (ids >> 42 != rows["release"]) | (ids & ((1 << 22) - 1) != rows["objid"])
        for name, between in (("galaxy_id", "_"), ("object_id", "-")):
            made = pc.binary_join_element_wise(table["brickname"], table["objid"].cast(pa.string()), between)
            unlike |= ~np.asarray(pc.equal(made, table[name]))
        return np.asarray(unlike)

    return RowRule("keys", "TARGETID, galaxy_id and object_id as release, brick and objid say", wrong)


class Provenance(Tally):
    """Compares the columns that name the run."""

    def __init__(self, content: Content) -> None:
        self._expected = content.subject.run_columns
        self._wrong = dict.fromkeys(self._expected, False)

    def add(self, rows: Rows) -> None:
        """Compare some rows."""
        for name, value in self._expected.items():
            same = pc.equal(rows.table[name], pa.scalar(value).cast(MANIFEST_SCHEMA.field(name).type))
            self._wrong[name] |= not pc.all(same, min_count=0).as_py()

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        yield Check.of_faults(
            "provenance",
            [name for name, wrong in self._wrong.items() if wrong],
            expected="the run's code, commit and start in every row",
            found=", ".join(self._expected.values()),
            saying="another ",
            remedy="files of two runs are mixed; start again with another run id",
        )


def magnitudes(content: Content) -> Tally:
    """Compare magnitudes and colours with the fluxes."""

    def wrong(rows: Rows) -> BoolArray:
        mags = rows.magnitudes
        expected = {
            "mag_g": mags["g"],
            "mag_r": mags["r"],
            "mag_z": mags["z"],
            "g_minus_r": mags["g"] - mags["r"],
            "r_minus_z": mags["r"] - mags["z"],
            "z_minus_w1": mags["z"] - mags["w1"],
        }
        unlike = np.zeros(len(rows), dtype=bool)
        for name, value in expected.items():
            written = rows[name]
            same = np.abs(written - value) <= _MAG_TOLERANCE
            unlike |= ~(same | (np.isnan(written) & np.isnan(value)))
        return unlike

    return RowRule("magnitudes", "magnitudes and colours as the fluxes say", wrong)


def selection_rule(content: Content) -> Tally:
    """Look for negatives that a cut should have dropped; exposures in bands other than z are not written."""
    cuts = content.config.selection
    excluded = content.config.exclusion.maskbits_value | 1 << MASKBITS["NPRIMARY"]

    def fails(rows: Rows) -> BoolArray:
        wrong = ~(rows.magnitudes["z"] < cuts.z_mag_limit)
        wrong |= ~rows.is_in("type", cuts.types)
        wrong |= rows["nobs_z"] < cuts.nobs_min["z"]
        wrong |= rows["maskbits"] & excluded != 0
        for column in COLUMNS:
            if column.sweep is not None and pa.types.is_floating(column.type):
                is_shape = column.name in ("shape_r", "shape_e1", "shape_e2", "sersic")
                wrong |= np.isinf(rows[column.name]) | (is_shape & np.isnan(rows[column.name]))
        if cuts.dec_range is not None:
            low, high = cuts.dec_range
            wrong |= ~((rows["dec"] > low) & (rows["dec"] < high))
        return np.asarray(wrong)

    return RowRule("selection_rule", "every negative passes the config's cuts", fails, parts=("negatives",))


def stratum_rule(content: Content) -> Tally:
    """Compare the bins with nobs_z and type."""
    strata = content.config.strata

    def wrong(rows: Rows) -> BoolArray:
        nobs, written = rows["nobs_z"], rows.index_in("nobs_z_bin", strata.nobs_z_bins)
        right = np.zeros(len(rows), dtype=bool)
        for i, (low, high) in enumerate(strata.bin_limits):
            right |= (written == i) & (nobs >= low) & (nobs <= (np.inf if high is None else high))
        right &= rows.is_in("type_bin", strata.types)
        right &= np.asarray(pc.equal(rows.table["type"], rows.table["type_bin"]))
        return ~right

    expected = "bins as nobs_z and type of every row say, and of the config's strata"
    return RowRule("stratum_rule", expected, wrong)


def pool_rule(content: Content) -> Tally:
    """Compare pool and confuser category with the row's columns."""

    def wrong(rows: Rows) -> BoolArray:
        if rows.part == "positives":
            return ~rows.is_in("pool", ["positive"])
        return _wrong_pool(rows, content.config)

    return RowRule("pool_rule", "pool and confuser category as the columns of every row say", wrong)


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
    n1 |= (category >= 0) & (config.negative_pools.pool_n1.population == "all")
    right = (rows.is_in("pool", ["N1"]) & n1) | (rows.is_in("pool", ["N2"]) & (category >= 0))
    right &= category == rows.index_in("confuser_category", CONFUSER_CATEGORIES)
    # A category that is none of the known ones must not pass for none.
    known = rows.is_in("confuser_category", CONFUSER_CATEGORIES)
    right &= known | rows.table["confuser_category"].is_null().to_numpy()
    return np.asarray(~right)


def priority_rule(content: Content) -> Tally:
    """Compare the sampling priority with TARGETID and seed."""
    seed = content.config.negative_pools.seed
    return RowRule(
        "priority_rule",
        "sampling priority as TARGETID and seed say",
        lambda rows: np.asarray(_priorities(rows["targetid"], seed) != rows["sampling_priority"]),
    )


def _priorities(ids: IntArray, seed: int) -> IntArray:
    """Return SplitMix64 of TARGETID plus SplitMix64 of the seed, as docs/science.md states it."""

    def mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        z = state + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return z ^ (z >> np.uint64(31))

    key = mix(np.array([seed], dtype=np.uint64))
    return mix(ids.astype(np.uint64) + key).astype(np.int64)
