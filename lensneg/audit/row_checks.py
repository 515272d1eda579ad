"""The rules that each row must obey, written once more."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Subject
from lensneg.schema.arrays import BoolArray
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import MANIFEST_SCHEMA
from lensneg.schema.config import CONFUSER_CATEGORIES, Config

#: Logarithms of two libraries may differ in their last bits; magnitudes in nothing else.
_MAG_TOLERANCE: Final = 1e-9

FAULT: Final = "this is a fault of lensneg, or the file was changed by hand: please report it"


def none_wrong(name: str, wrong: BoolArray, expected: str, hint: str) -> Check:
    """Return a check that no row is wrong."""
    count = int(wrong.sum())
    first = f", the first in row {int(np.flatnonzero(wrong)[0]):,}" if count else ""
    return Check(
        name=name,
        passed=not count,
        expected=expected,
        actual=f"not in {count:,} of {len(wrong):,} rows{first}" if count else f"all {len(wrong):,} rows",
        hint=hint,
    )


def keys_check(rows: Rows) -> Check:
    """TARGETID and galaxy_id against what they are made of; BRICKID is in the sweep file alone."""
    ids = rows["targetid"]
    wrong = (ids >> 42 != rows["release"]) | (ids & ((1 << 22) - 1) != rows["objid"])
    table = rows.table
    objid = table["objid"].cast(pa.string())
    name = pc.binary_join_element_wise(table["brickname"], objid, "_")
    wrong |= ~np.asarray(pc.equal(name, table["galaxy_id"]))
    return none_wrong("keys", wrong, "TARGETID and galaxy_id as release, brick and objid say", FAULT)


def provenance_check(subject: Subject, rows: Rows) -> Check:
    wrong = []
    for name, value in subject.run_columns.items():
        expected = pa.scalar(value).cast(MANIFEST_SCHEMA.field(name).type)
        if not pc.all(pc.equal(rows.table[name], expected)).as_py():
            wrong.append(name)
    return Check(
        name="provenance",
        passed=not wrong,
        expected="the run's code, commit and start in every row",
        actual=f"another {brief(wrong)}" if wrong else ", ".join(subject.run_columns.values()),
        hint="files of two runs are mixed; start again with another run id",
    )


def wrong_magnitudes(rows: Rows) -> BoolArray:
    mags = rows.magnitudes
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
    return wrong


def outside_selection(rows: Rows, config: Config) -> BoolArray:
    """Return the rows that a cut should have dropped; exposures in bands other than z are not written."""
    cuts = config.selection
    wrong = ~(rows.magnitudes["z"] < cuts.mag_z_max)
    wrong |= ~rows.is_in("type", cuts.types)
    wrong |= rows["nobs_z"] < cuts.nobs_min["z"]
    wrong |= rows["maskbits"] & cuts.maskbits_value != 0
    if cuts.dec_range is not None:
        low, high = cuts.dec_range
        wrong |= ~((rows["dec"] > low) & (rows["dec"] < high))
    return np.asarray(wrong)


def wrong_stratum(rows: Rows, config: Config) -> BoolArray:
    nobs = rows["nobs_z"]
    bins = np.full(len(rows), -2)
    for i, (low, high) in enumerate(config.strata.bin_limits):
        bins[(nobs >= low) & (nobs <= (np.inf if high is None else high))] = i
    wrong = bins != rows.index_in("nobs_z_bin", config.strata.nobs_z_bins)
    wrong |= ~rows.is_in("type_bin", config.strata.types)
    wrong |= ~np.asarray(pc.equal(rows.table["type"], rows.table["type_bin"]))
    return np.asarray(wrong)


def wrong_pool(rows: Rows, config: Config) -> BoolArray:
    n2 = config.pools.n2
    flux_r, shape_r = rows["flux_r"], rows["shape_r"]
    e = np.hypot(rows["shape_e1"], rows["shape_e2"])
    mag_r = rows.magnitudes["r"]
    early = rows.is_in("type", n2.ring_proxy.types) | (
        rows.is_in("type", n2.ring_proxy.sersic_types) & (rows["sersic"] >= n2.ring_proxy.sersic_min)
    )
    edge, blue, large = n2.edge_on_proxy, n2.blue_clumpy, n2.large_galaxy
    criteria = [
        early & (flux_r >= n2.ring_proxy.flux_r_min),
        rows.is_in("type", edge.types) & (e >= edge.ellipticity_min) & (shape_r >= edge.shape_r_min),
        (rows.magnitudes["g"] - mag_r <= blue.g_minus_r_max) & (mag_r <= blue.mag_r_max),
        (shape_r >= large.shape_r_min) & (flux_r >= large.flux_r_min),
    ]
    category = np.select(criteria, range(len(criteria)), -1)
    pool = np.where(category >= 0, 1, np.where(rows.is_in("type", config.pools.n1.types), 0, -2))
    wrong = pool != rows.index_in("pool", ["N1", "N2"])
    wrong |= category != rows.index_in("confuser_category", CONFUSER_CATEGORIES)
    # A category that is none of the known ones must not pass for none.
    known = rows.is_in("confuser_category", CONFUSER_CATEGORIES)
    doubtful: BoolArray = wrong | (~known & rows.table["confuser_category"].is_valid().to_numpy())
    return doubtful


def priorities(ids: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """SplitMix64 of TARGETID plus SplitMix64 of the seed, as docs/science.md states it."""

    def mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        z = state + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return z ^ (z >> np.uint64(31))

    key = mix(np.array([seed], dtype=np.uint64))
    return mix(ids.astype(np.uint64) + key).astype(np.int64)
