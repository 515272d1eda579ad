"""The rules that each row must obey, written once more."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.listed_checks import is_external
from lensneg.audit.subject import Content
from lensneg.audit.tally import RowRule, Stated, Tally
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.check import Check
from lensneg.schema.columns import COLUMNS, MANIFEST_SCHEMA, PARTS
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES, EXTERNAL_BIT, TractorCriteria
from lensneg.schema.sweep_columns import FITBITS, MASKBITS, NAMED_MASKBITS

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
        wrong = ~(rows.limited_magnitudes("z", cuts) < cuts.z_mag_limit)
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


def cut_rule(content: Content) -> Tally:
    """Compare what positives say of the cuts with their columns."""
    cuts, config = content.config.selection, content.config
    seen_elsewhere = bool(set(cuts.nobs_min) - {"z"})

    def wrong(rows: Rows) -> BoolArray:
        if rows.lenses is None:
            return np.zeros(len(rows), dtype=bool)
        low, high = cuts.dec_range or (-np.inf, np.inf)
        fails = {
            "faint": ~(rows.limited_magnitudes("z", cuts) < cuts.z_mag_limit),
            "type": ~rows.is_in("type", cuts.types),
            "nobs": rows["nobs_z"] < cuts.nobs_min["z"],
            "footprint": ~((rows["dec"] > low) & (rows["dec"] < high)),
            "maskbits": rows["maskbits"] & config.exclusion.maskbits_value != 0,
        }
        first = np.select(list(fails.values()), list(fails), "")
        written = np.asarray(pc.fill_null(rows.lenses["cut"], ""))
        # Exposures in other bands than z are not written.
        unlike = (written != first) & ~(
            seen_elsewhere & (written == "nobs") & ~fails["faint"] & ~fails["type"]
        )
        passes = rows.lenses["passes_cuts"]
        unlike |= passes.is_null().to_numpy() | (np.asarray(pc.fill_null(passes, False)) != (written == ""))
        return np.asarray(unlike | ((config.positives.apply_cuts is True) & (written != "")))

    expected = "passes_cuts and cut as the columns of every positive say"
    return RowRule("cut_rule", expected, wrong, parts=("positives",))


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
    """Compare pool, confuser category and flags with the row's columns. Hard negatives are in N2."""
    hard = content.subject.hard_negatives
    external = None if hard is None else [category for category, _ in hard]
    expected = "pool, confuser category and flags as the columns of every row say"
    return RowRule("pool_rule", expected, lambda rows: _wrong_pool(rows, content.config, external))


def _wrong_pool(rows: Rows, config: Config, external: list[str] | None) -> BoolArray:
    n2, cuts = config.negative_pools.pool_n2.tractor_criteria, config.selection
    flux_r, shape_r = rows.limited("r", cuts), rows["shape_r"]
    e = np.sqrt(rows["shape_e1"] ** 2 + rows["shape_e2"] ** 2)
    mag_r = rows.limited_magnitudes("r", cuts)
    g_minus_r = rows.limited_magnitudes("g", cuts) - mag_r
    early = rows.is_in("type", n2.ring_proxy.types) | (
        rows.is_in("type", n2.ring_proxy.sersic_types) & (rows["sersic"] >= n2.ring_proxy.sersic_min)
    )
    edge, blue, large = n2.edge_on_proxy, n2.blue_clumpy_proxy, n2.large_galaxy_proxy
    criteria = [
        early & (flux_r >= n2.ring_proxy.flux_r_min),
        rows.is_in("type", edge.types) & (e >= edge.ellipticity_min) & (shape_r >= edge.shape_r_min),
        (g_minus_r <= blue.g_minus_r_max) & (mag_r <= blue.r_mag_max),
        (shape_r >= large.shape_r_min) & (flux_r >= large.flux_r_min),
        *_optional_criteria(rows, n2),
    ]
    hard = is_external(rows)
    flags = sum(np.where(met, 1 << i, 0) for i, met in enumerate(criteria))
    flags += np.where(hard, 1 << EXTERNAL_BIT, 0)
    wrong = np.asarray(rows["confuser_flags"] != flags)
    if rows.part == "positives":
        has_category = rows.table["confuser_category"].is_valid().to_numpy()
        return np.asarray(wrong | ~rows.is_in("pool", ["positive"]) | has_category)
    category = np.select(criteria, range(len(criteria)), -1)
    n1 = rows.is_in("type", config.negative_pools.pool_n1.galaxy_types)
    if config.negative_pools.pool_n1.population == "not_n2":
        n1 &= category < 0
    other = ~((rows.is_in("pool", ["N1"]) & n1) | (rows.is_in("pool", ["N2"]) & (category >= 0)))
    other |= category != rows.index_in("confuser_category", CONFUSER_CATEGORIES)
    # A category that is none of the known ones must not pass for none.
    known = rows.is_in("confuser_category", CONFUSER_CATEGORIES)
    other |= ~(known | rows.table["confuser_category"].is_null().to_numpy())
    if config.negative_pools.pool_n1.population == "not_n2":
        hard &= rows.is_in("pool", ["N2"])
    if external is not None:
        hard &= rows.is_in("confuser_category", external)
    return np.asarray(wrong | (other & ~hard))


def _optional_criteria(rows: Rows, n2: TractorCriteria) -> list[BoolArray]:
    """Return which rows meet the criteria from the fifth on. One that the config leaves out is not met."""
    found = [np.zeros(len(rows), dtype=bool)] * (len(CONFUSER_CATEGORIES) - 4)
    if n2.disk_proxy:
        late = rows.is_in("type", n2.disk_proxy.sersic_types) & (rows["sersic"] <= n2.disk_proxy.sersic_max)
        late |= rows.is_in("type", n2.disk_proxy.types)
        found[0] = late & (rows["shape_r"] >= n2.disk_proxy.shape_r_min)
    if n2.merger_proxy:
        large = rows["shape_r"] >= n2.merger_proxy.shape_r_min
        found[1] = large & (rows["fracflux_r"] >= n2.merger_proxy.fracflux_r_min)
    if n2.blend_proxy:
        found[2] = rows["fracflux_r"] >= n2.blend_proxy.fracflux_r_min
        bits = np.nan_to_num(rows["fitbits"]).astype(np.int64)  # a null has none
        for name in n2.blend_proxy.fitbits:
            found[2] = found[2] | (bits >> FITBITS[name] & 1 == 1)
    if n2.residual_proxy:
        ivar = np.where(rows["flux_ivar_r"] > 0, rows["flux_ivar_r"], 0.0)
        found[3] = rows["flux_r"] * np.sqrt(ivar) >= n2.residual_proxy.snr_r_min
        found[3] &= rows["rchisq_r"] >= n2.residual_proxy.rchisq_r_min
    if n2.artefact_proxy:
        for name in n2.artefact_proxy.maskbits:
            found[4] = found[4] | (rows["maskbits"] >> NAMED_MASKBITS[name] & 1 == 1)
    return found


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
