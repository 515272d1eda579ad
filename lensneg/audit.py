"""The audit of a manifest: everything it promises, recomputed from its files.

Nothing here is shared with what made the rows: no rule of selection, pools, strata, sky or draw is imported,
but written once more from docs/science.md, on whole columns. Only the contract is common: the config, the
columns' declaration and the storage. So a fault of a rule, too, shows as a failed check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.chance import binomial
from lensneg.config import CONFUSER_CATEGORIES, SPLIT_ORDER, Config
from lensneg.gates import Check, brief
from lensneg.lookup import unlike_sweep
from lensneg.manifest import MANIFEST_SCHEMA, PARTS, WRITTEN_SCHEMA, content_sha256
from lensneg.quickhealpy import healpy

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

#: Logarithms of two libraries may differ in their last bits; magnitudes in nothing else.
_MAG_TOLERANCE: Final = 1e-9

#: Pairs of a row and a lens that are compared at once.
_PAIRS_AT_ONCE: Final = 2_000_000

#: Rows of sweep files are fetched by this many threads: on S3 each costs a round trip.
_FETCH_THREADS: Final = 32

_FAULT: Final = "this is a fault of lensneg, or the file was changed by hand: please report it"


@dataclass(frozen=True)
class Promised:
    """What a manifest.json says of one of its files."""

    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True)
class Subject:
    """A manifest to audit, and what it claims to be.

    Attributes
    ----------
    config : Config
    run_columns : mapping of str to str
        What stands in each of the columns that name the run.
    files : mapping of str to tuple of str
        URIs of the Parquet files of each of :data:`PARTS`, in order.
    promised : mapping of str to Promised
        By URI; empty where nothing was promised yet.
    strata : list of dict
        As in quotas.json: positives, target, shortfall, and by pool what is available and asked.
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees of all lenses to keep clear of.
    sweeps : mapping of str to FileInfo
        The sweep files at hand, by name.
    all_at_hand : bool
        Whether the sweep files must all be there; if not, one that is missing is a warning.
    missing_catalogs : tuple of str
        Catalogues of the run that are not there: a warning.
    """

    config: Config
    run_columns: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    promised: Mapping[str, Promised]
    strata: list[dict[str, Any]]
    ra: FloatArray
    dec: FloatArray
    sweeps: Mapping[str, storage.FileInfo]
    all_at_hand: bool = True
    missing_catalogs: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditedFile:
    """A file of the manifest as it was audited."""

    uri: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Audit:
    """The checks, and of what bytes they were made."""

    checks: tuple[Check, ...]
    files: dict[str, list[AuditedFile]]
    content_sha256: dict[str, str]

    def record(self) -> dict[str, Any]:
        """Return the audited bytes as they stand in audited.json."""
        return {
            part: {
                "files": [
                    {"name": storage.basename(f.uri), "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256}
                    for f in files
                ],
                "content_sha256": self.content_sha256.get(part, ""),
            }
            for part, files in self.files.items()
        }


def audit(subject: Subject) -> Audit:
    """Audit a manifest.

    Parameters
    ----------
    subject : Subject

    Returns
    -------
    Audit
        A check that depends on one that failed is left out: the one that failed says what to do.
    """
    read = _Files()
    tables = {part: read.table(part, subject.files.get(part, ())) for part in PARTS}
    checks = list(_file_checks(subject, read))
    if any(not check.passed for check in checks):
        return Audit(tuple(checks), read.audited, {})
    checks += _checks(subject, tables["negatives"], tables["positives"])
    return Audit(tuple(checks), read.audited, {part: content_sha256(tables[part]) for part in PARTS})


class _Files:
    """Reads the manifest's files, each once, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.audited: dict[str, list[AuditedFile]] = {}
        self.problems: list[str] = []
        self.schema_faults: list[str] = []

    def table(self, part: str, uris: Iterable[str]) -> pa.Table:
        tables = []
        self.audited[part] = []
        for uri in uris:
            try:
                data = storage.read_bytes(uri)
                table = pq.ParquetFile(pa.BufferReader(data)).read()
            except (pa.ArrowException, OSError) as error:
                self.problems.append(f"{uri}: {error}")
                continue
            self.audited[part].append(
                AuditedFile(uri, len(table), len(data), hashlib.sha256(data).hexdigest())
            )
            faults = [f"{storage.basename(uri)}: {fault}" for fault in schema_faults(table.schema)]
            self.schema_faults += [f"{part}/{fault}" for fault in faults]
            if not faults:
                tables.append(table.cast(WRITTEN_SCHEMA))
        if not self.audited[part] and not self.problems:
            self.problems.append(f"{part}: no Parquet files")
        return pa.concat_tables([WRITTEN_SCHEMA.empty_table(), *tables]).combine_chunks()


def schema_faults(schema: pa.Schema) -> list[str]:
    """Return how a table's columns differ from the manifest's, in names, order and types."""
    if schema.names != MANIFEST_SCHEMA.names:
        missing = [name for name in MANIFEST_SCHEMA.names if name not in schema.names]
        extra = [name for name in schema.names if name not in MANIFEST_SCHEMA.names]
        parts = [f"no {brief(missing)}"] * bool(missing) + [f"unknown {brief(extra)}"] * bool(extra)
        return [", ".join(parts) or "columns in another order"]
    return [
        f"{field.name} is {schema.field(field.name).type}, not {field.type}"
        for field in MANIFEST_SCHEMA
        if schema.field(field.name).type != field.type
    ]


def _file_checks(subject: Subject, read: _Files) -> Iterator[Check]:
    yield Check(
        name="files_readable",
        passed=not read.problems,
        expected="Parquet files of negatives and of positives",
        actual=brief(read.problems, 3) if read.problems else f"{sum(map(len, read.audited.values()))} files",
        hint="read the job's log, or fetch the files again",
    )
    if subject.promised:
        wrong = [
            storage.basename(f.uri)
            for files in read.audited.values()
            for f in files
            if subject.promised.get(f.uri) != Promised(f.bytes, f.sha256, f.rows)
        ]
        yield Check(
            name="files_intact",
            passed=not wrong,
            expected="every file with the bytes, SHA-256 and rows that manifest.json promises",
            actual=f"not so: {brief(wrong)}" if wrong else f"{len(subject.promised)} files",
            hint="the files were changed or damaged after publication: fetch them again",
        )
    yield Check(
        name="schema",
        passed=not read.schema_faults,
        expected=f"the {len(MANIFEST_SCHEMA)} columns of the manifest, in order and typed",
        actual=brief(read.schema_faults, 3) if read.schema_faults else f"{len(MANIFEST_SCHEMA)} columns",
        hint="the Spark job and lensneg are of different versions; deploy both together",
    )


class _Rows:
    """The rows of a table as arrays, each made when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers; floats as float64, a null as NaN."""
        column = self.table[name]
        if pa.types.is_floating(column.type):
            return np.asarray(column.to_numpy(), dtype=np.float64)
        return np.asarray(column.to_numpy())

    def is_in(self, name: str, values: Iterable[str]) -> BoolArray:
        """Return which rows hold one of some texts."""
        return np.asarray(pc.is_in(self.table[name], pa.array(list(values), pa.string())))

    def index_in(self, name: str, values: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return which of some texts each row holds; -1 for none of them."""
        found = pc.index_in(self.table[name], pa.array(list(values), pa.string()))
        return np.asarray(pc.fill_null(found, -1)).astype(np.int64)

    @cached_property
    def magnitudes(self) -> dict[str, FloatArray]:
        """AB magnitude by band; NaN where there is no positive flux."""
        found = {}
        for band in ("g", "r", "z", "w1"):
            flux = self[f"flux_{band}"]
            with np.errstate(divide="ignore", invalid="ignore"):
                found[band] = np.where(flux > 0, 22.5 - 2.5 * np.log10(flux), np.nan)
        return found

    @cached_property
    def pixels(self) -> npt.NDArray[np.int64]:
        """HEALPix pixel at nside 128, NESTED."""
        theta, phi = np.radians(90.0 - self["dec"]), np.radians(self["ra"])
        return np.asarray(healpy.ang2pix(128, theta, phi, nest=True), dtype=np.int64)


def _checks(subject: Subject, negatives: pa.Table, positives: pa.Table) -> Iterator[Check]:
    config = subject.config
    both = _Rows(pa.concat_tables([negatives, positives]).combine_chunks())
    drawn = _Rows(negatives)
    asked = sum(pool["quota"] for stratum in subject.strata for pool in stratum["pools"])
    yield Check(
        name="row_count",
        passed=len(drawn) == asked,
        expected=f"{asked:,} negatives, as the quotas ask",
        actual=f"{len(drawn):,}",
        hint="the quotas were not met; see gate 3",
    )
    nulls = [f.name for f in MANIFEST_SCHEMA if not f.nullable and both.table[f.name].null_count]
    yield Check(
        name="no_nulls",
        passed=not nulls,
        expected="no null in critical columns",
        actual=f"nulls in {brief(nulls)}" if nulls else "none",
        hint="pool files are damaged; start again with another run id",
    )
    if nulls:
        return
    ra, dec = both["ra"], both["dec"]
    on_sphere = (ra >= 0) & (ra < 360) & (dec >= -90) & (dec <= 90)
    yield _none_wrong(
        "coordinates",
        ~on_sphere,
        "RA in [0, 360) and Dec in [-90, 90] degrees",
        "a sweep file holds impossible coordinates",
    )
    distinct = pc.count_distinct(both.table["targetid"]).as_py()
    yield Check(
        name="unique_targetids",
        passed=distinct == len(both),
        expected="each TARGETID in one row",
        actual=f"{len(both) - distinct:,} rows too many" if distinct != len(both) else f"{distinct:,}",
        hint="the sweep files hold sources twice",
    )
    yield _keys(both)
    yield _run_columns(subject, both)
    yield _none_wrong(
        "magnitudes",
        _wrong_magnitudes(both),
        "magnitudes and colours as the fluxes say",
        _FAULT,
    )
    yield _none_wrong(
        "selection_rule", _outside_selection(drawn, config), "every negative passes the config's cuts", _FAULT
    )
    yield _none_wrong(
        "stratum_rule",
        _wrong_stratum(both, config),
        "bins as nobs_z and type of every row say, and of the config's strata",
        _FAULT,
    )
    yield _none_wrong(
        "pool_rule",
        np.concatenate([_wrong_pool(drawn, config), ~_Rows(positives).is_in("pool", ["positive"])]),
        "pool and confuser category as the columns of every row say",
        _FAULT,
    )
    yield _none_wrong(
        "priority_rule",
        _priorities(both["targetid"], config.sampling.seed) != both["sampling_priority"],
        "sampling priority as TARGETID and seed say",
        _FAULT,
    )
    if on_sphere.all():
        yield from _split_checks(config, both)
    yield _pool_ratio(config, drawn)
    if len(drawn) == asked:
        yield from _strata_checks(subject, negatives, positives)
    yield from _clear_of_lenses(subject, drawn, _Rows(positives))
    yield from _found_again(subject, both.table)


def _none_wrong(name: str, wrong: BoolArray, expected: str, hint: str) -> Check:
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


def _keys(rows: _Rows) -> Check:
    """TARGETID and galaxy_id against what they are made of; BRICKID is in the sweep file alone."""
    ids = rows["targetid"]
    wrong = (ids >> 42 != rows["release"]) | (ids & ((1 << 22) - 1) != rows["objid"])
    table = rows.table
    objid = table["objid"].cast(pa.string())
    name = pc.binary_join_element_wise(table["brickname"], objid, "_")
    wrong |= ~np.asarray(pc.equal(name, table["galaxy_id"]))
    return _none_wrong("keys", wrong, "TARGETID and galaxy_id as release, brick and objid say", _FAULT)


def _run_columns(subject: Subject, rows: _Rows) -> Check:
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


def _wrong_magnitudes(rows: _Rows) -> BoolArray:
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


def _outside_selection(rows: _Rows, config: Config) -> BoolArray:
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


def _wrong_stratum(rows: _Rows, config: Config) -> BoolArray:
    nobs = rows["nobs_z"]
    bins = np.full(len(rows), -2)
    for i, (low, high) in enumerate(config.strata.bin_limits):
        bins[(nobs >= low) & (nobs <= (np.inf if high is None else high))] = i
    wrong = bins != rows.index_in("nobs_z_bin", config.strata.nobs_z_bins)
    wrong |= ~rows.is_in("type_bin", config.strata.types)
    wrong |= ~np.asarray(pc.equal(rows.table["type"], rows.table["type_bin"]))
    return np.asarray(wrong)


def _wrong_pool(rows: _Rows, config: Config) -> BoolArray:
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


def _priorities(ids: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """SplitMix64 of TARGETID plus SplitMix64 of the seed, as docs/science.md states it."""

    def mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        z = state + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return z ^ (z >> np.uint64(31))

    key = mix(np.array([seed], dtype=np.uint64))
    return mix(ids.astype(np.uint64) + key).astype(np.int64)


def _split_checks(config: Config, rows: _Rows) -> Iterator[Check]:
    fractions = [getattr(config.split.fractions, name) for name in SPLIT_ORDER]
    pixels, inverse = np.unique(rows.pixels, return_inverse=True)
    u = np.array(
        [
            int(hashlib.sha256(f"{p}_{config.split.seed}".encode()).hexdigest()[:8], 16)
            for p in pixels.tolist()
        ]
    )
    split = np.digitize(u / 2.0**32, np.cumsum(fractions)[:-1])[inverse]
    written = rows.index_in("split", SPLIT_ORDER)
    wrong = (
        (rows.pixels != rows["healpix_128"]) | (rows.pixels >> 2 != rows["healpix_64"]) | (split != written)
    )
    yield _none_wrong(
        "split_rule",
        wrong,
        "pixels and split of every row as its position says",
        "a position was changed, or this is a fault of lensneg: please report it",
    )
    # A split's share is the sum of the shares w of its pixels, each in it with probability p; so its
    # variance is p (1 - p) sum(w^2), as if the rows were 1 / sum(w^2) independent ones.
    share = np.bincount(inverse) / max(1, len(rows))
    worth = 1 / float((share**2).sum()) if len(rows) else 0.0
    gates = config.gates
    for name, points, critical in (
        ("split_fractions", gates.split_tolerance_points, True),
        ("split_fractions_close", gates.split_warning_points, False),
    ):
        faults, found = [], []
        for i, (label, expected) in enumerate(zip(SPLIT_ORDER, fractions, strict=True)):
            actual = float((written == i).mean()) if len(rows) else 0.0
            allowed = binomial(points / 100, expected, worth, gates.chance_sigmas)
            found.append(f"{label} {actual:.1%}, allowed {expected:.0%} {allowed}")
            if abs(actual - expected) > allowed.total:
                faults.append(found[-1])
        yield Check(
            name=name,
            passed=not faults,
            expected=f"within {points:g} points of the config's fractions, and what chance does to "
            f"{len(pixels):,} pixels",
            actual="; ".join(faults or found),
            hint="a small sky has few pixels: add sweep files, or set the split points in a new config",
            critical=critical,
        )


def _pool_ratio(config: Config, drawn: _Rows) -> Check:
    ratio = config.sampling.n1_n2_ratio
    expected = ratio[0] / sum(ratio)
    actual = float(drawn.is_in("pool", ["N1"]).mean()) if len(drawn) else 0.0
    gates = config.gates
    allowed = binomial(gates.n1_n2_tolerance_points / 100, expected, len(drawn), gates.chance_sigmas)
    return Check(
        name="n1_n2_ratio",
        passed=abs(actual - expected) <= allowed.total,
        expected=f"N1 {expected:.0%} {allowed}",
        actual=f"N1 {actual:.1%} of {len(drawn):,} negatives",
        hint="one pool is short and was filled from the other: see the strata's backfill",
    )


def _counts(table: pa.Table, *keys: str) -> dict[tuple[str, ...], int]:
    groups = table.group_by(list(keys)).aggregate([([], "count_all")]).to_pylist()
    return {tuple(group[key] for key in keys): group["count_all"] for group in groups}


def _strata_checks(subject: Subject, negatives: pa.Table, positives: pa.Table) -> Iterator[Check]:
    drawn = _counts(negatives, "nobs_z_bin", "type_bin", "pool")
    lenses = _counts(positives, "nobs_z_bin", "type_bin")
    ratio = subject.config.sampling.neg_pos_ratio
    unlike, empty, unmet = [], [], []
    for stratum in subject.strata:
        key = (stratum["nobs_z_bin"], stratum["type_bin"])
        name = "/".join(key)
        found = {pool["pool"]: drawn.pop((*key, pool["pool"]), 0) for pool in stratum["pools"]}
        unlike += [
            f"{name}/{pool['pool']}: {found[pool['pool']]:,} of {pool['quota']:,}"
            for pool in stratum["pools"]
            if found[pool["pool"]] != pool["quota"]
        ]
        count = lenses.pop(key, 0)
        if count and stratum["reachable"] and not sum(found.values()):
            empty.append(name)
        missing = ratio * count - sum(pool["quota"] for pool in stratum["pools"])
        if (count, missing) != (stratum["positives"], stratum["shortfall"]):
            unmet.append(f"{name}: {count:,} positives, {missing:,} negatives missing")
    unlike += [f"{'/'.join(key)} is not of the config's strata" for key in drawn]
    unmet += [f"{'/'.join(key)}: {n:,} positives in no stratum of the config" for key, n in lenses.items()]
    yield Check(
        name="strata_counts",
        passed=not unlike,
        expected="each stratum and pool with the rows of its quota, and no other",
        actual=brief(unlike) if unlike else f"{len(subject.strata)} strata",
        hint="the files do not belong to this run's quotas; start again with another run id",
    )
    yield Check(
        name="strata_represented",
        passed=not empty,
        expected="negatives in every stratum that has positives",
        actual=f"none in {brief(empty)}" if empty else f"{len(subject.strata)} strata",
        hint="add sweep files, or merge bins in a new config",
    )
    yield Check(
        name="targets",
        passed=not unmet,
        expected=f"{ratio:,} negatives for each positive of each stratum, but for the shortfall reported",
        actual=brief(unmet) if unmet else f"{len(positives):,} positives",
        hint="positives and quotas do not belong together; start again with another run id",
    )
    yield _weights(subject, negatives)


def _weights(subject: Subject, negatives: pa.Table) -> Check:
    expected = {
        (s["nobs_z_bin"], s["type_bin"], p["pool"]): p["available"] / p["quota"]
        for s in subject.strata
        for p in s["pools"]
        if p["quota"]
    }
    keys = ["nobs_z_bin", "type_bin", "pool"]
    extremes = negatives.group_by(keys).aggregate([("sampling_weight", "min"), ("sampling_weight", "max")])
    wrong = [
        "/".join(group[key] for key in keys)
        for group in extremes.to_pylist()
        for weight in (expected.get(tuple(group[key] for key in keys)),)
        if weight is None or {group["sampling_weight_min"], group["sampling_weight_max"]} != {weight}
    ]
    return Check(
        name="weights",
        passed=not wrong,
        expected="sampling weight available / drawn in every stratum and pool",
        actual=f"not in {brief(wrong)}" if wrong else f"{len(extremes):,} strata and pools",
        hint=_FAULT,
    )


def near_any(
    ra: FloatArray, dec: FloatArray, lens_ra: FloatArray, lens_dec: FloatArray, radius_arcsec: float
) -> BoolArray:
    """Return which positions lie within a radius of any lens.

    By bands of declination, which hold wherever RA begins and however it narrows towards a pole, then by
    the haversine.

    Parameters
    ----------
    ra, dec, lens_ra, lens_dec : ndarray of float64
        Degrees.
    radius_arcsec : float

    Returns
    -------
    ndarray of bool, shape of ``ra``

    Examples
    --------
    >>> one = np.array([0.0])
    >>> near_any(np.array([359.9999, 0.1]), np.array([0.0, 0.0]), one, one, 1.0).tolist()
    [True, False]
    """
    near = np.zeros(len(ra), dtype=bool)
    order = np.argsort(dec, kind="stable")
    radius = radius_arcsec / 3600
    first = np.searchsorted(dec[order], lens_dec - radius * (1 + 1e-9), side="left")
    last = np.searchsorted(dec[order], lens_dec + radius * (1 + 1e-9), side="right")
    count = last - first
    block = np.cumsum(count) // _PAIRS_AT_ONCE
    for number in np.unique(block):
        lens = np.flatnonzero(block == number)
        which = np.repeat(lens, count[lens])
        within = np.arange(len(which)) - np.repeat(np.cumsum(count[lens]) - count[lens], count[lens])
        row = order[first[which] + within]
        lat, lens_lat = np.radians(dec[row]), np.radians(lens_dec[which])
        half_lon = np.radians(ra[row] - lens_ra[which]) / 2
        square = np.sin((lat - lens_lat) / 2) ** 2 + np.cos(lat) * np.cos(lens_lat) * np.sin(half_lon) ** 2
        near[row[2 * np.arcsin(np.sqrt(square)) <= np.radians(radius)]] = True
    return near


def _clear_of_lenses(subject: Subject, drawn: _Rows, positives: _Rows) -> Iterator[Check]:
    if subject.missing_catalogs:
        yield Check(
            name="catalogs_at_hand",
            passed=False,
            expected="the lens catalogues of the run",
            actual=f"not there: {brief(subject.missing_catalogs)}; the manifest's own positives stand in",
            hint="name copies of them, so that every position can be kept clear of",
            critical=False,
        )
    radius = subject.config.lenses.exclusion_radius_arcsec
    near = near_any(drawn["ra"], drawn["dec"], subject.ra, subject.dec, radius)
    on_positive = np.isin(drawn["targetid"], positives["targetid"])
    if subject.missing_catalogs:
        # A source matched to a positive may lie that much nearer than its catalogue position.
        match = subject.config.positives.match_radius_arcsec
        near |= near_any(drawn["ra"], drawn["dec"], positives["ra"], positives["dec"], radius - match)
    yield _none_wrong(
        "clear_of_lenses",
        near | on_positive,
        f'no negative within {radius:g}" of any of {len(subject.ra):,} catalogue positions, or a positive',
        "a catalogue has grown since the run, a position was changed, or this is a fault of lensneg",
    )


def _found_again(subject: Subject, table: pa.Table) -> Iterator[Check]:
    """Look up a random sample of rows in the sweep files."""
    wanted = min(subject.config.gates.rows_found_again, len(table))
    rng = np.random.default_rng(subject.config.sampling.seed)
    chosen = table.take(pa.array(np.sort(rng.choice(len(table), wanted, replace=False))))
    at_hand = np.asarray(pc.is_in(chosen["sweep_file"], pa.array(list(subject.sweeps), pa.string())))
    missing = sorted(set(chosen["sweep_file"].filter(pa.array(~at_hand)).to_pylist()))
    if missing or not subject.all_at_hand:
        yield Check(
            name="sweeps_at_hand",
            passed=not missing,
            expected=f"the sweep files of {wanted:,} random rows",
            actual=f"not there: {brief(missing, 3)}" if missing else f"{int(at_hand.sum()):,} rows' files",
            hint="name their folder or prefix, so that rows can be looked up in them",
            critical=subject.all_at_hand,
        )
    rows = chosen.filter(pa.array(at_hand))
    if not len(rows):
        return
    names = rows["sweep_file"].to_numpy(zero_copy_only=False)
    groups = [(name, rows.filter(pa.array(names == name))) for name in np.unique(names).tolist()]

    def look(group: tuple[str, pa.Table]) -> list[str]:
        return unlike_sweep(subject.sweeps[group[0]], group[1])

    with ThreadPoolExecutor(_FETCH_THREADS) as threads:
        wrong = [fault for faults in threads.map(look, groups) for fault in faults]
    yield Check(
        name="rows_found_again",
        passed=not wrong,
        expected=f"{len(rows):,} random rows in their sweep files at row_index, with the same values",
        actual=f"{len(wrong):,} not: {brief(wrong, 3)}"
        if wrong
        else f"{len(rows):,} in {len(groups):,} files",
        hint="the sweep files are not those of this run, or rows were changed; fetch them again",
    )
