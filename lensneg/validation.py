"""Gate 4: the manifest recomputed from the files as written, by code that shares nothing with the draw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.config import SPLIT_ORDER, Config
from lensneg.gates import Check, Gate, brief
from lensneg.manifest import MANIFEST_SCHEMA, WRITTEN_SCHEMA
from lensneg.run import Lenses, Run, load_run, read_table
from lensneg.sky import PositionIndex, healpix_pixel, split_of_pixel

#: A split may miss its fraction by this many standard deviations on top of the fixed tolerance. The draw
#: of a pixel's split is the chance here, so the fewer pixels a sky has, the wider the bound.
SPLIT_SIGMAS = 4.0


@dataclass(frozen=True)
class Written:
    """What the draw wrote."""

    negatives: pa.Table
    positives: pa.Table
    problems: list[str]


def validate_manifest(root: str) -> dict[str, Any]:
    """Audit what the draw wrote: gate 4.

    Parameters
    ----------
    root : str
        The run's folder.

    Returns
    -------
    dict
        The ``gate``'s verdict.
    """
    run = load_run(root)
    written = _read(run)
    quotas = storage.read_json(run.files.quotas)
    checks = list(_checks(run, written, quotas))
    return {"gate": Gate.of(4, checks).write(run.files.gate(4))}


def _read(run: Run) -> Written:
    problems: list[str] = []
    tables = []
    for part in ("negatives", "positives"):
        uris = run.files.sample_parts(part)
        if not uris:
            problems.append(f"sample/{part}: no Parquet files")
        parts = []
        for uri in uris:
            try:
                parts.append(_plain(read_table(uri)))
            except (pa.ArrowException, OSError) as error:
                problems.append(f"{uri}: {error}")
        try:
            tables.append(pa.concat_tables(parts) if parts else WRITTEN_SCHEMA.empty_table())
        except pa.ArrowInvalid as error:
            problems.append(f"sample/{part}: its files differ in their columns: {error}")
            tables.append(WRITTEN_SCHEMA.empty_table())
    return Written(tables[0], tables[1], problems)


def _plain(table: pa.Table) -> pa.Table:
    """Return a table whose fields say nothing but name and type."""
    fields = [field.with_nullable(True).remove_metadata() for field in table.schema]
    return table.cast(pa.schema(fields))


def _checks(run: Run, written: Written, quotas: dict[str, Any]) -> Iterable[Check]:
    yield Check(
        name="files_readable",
        passed=not written.problems,
        expected="Parquet files of negatives and of positives",
        actual=brief(written.problems) if written.problems else "all readable",
        hint="read the job's log; start again with the same run id",
    )
    wrong = _schema_faults(written)
    yield Check(
        name="schema",
        passed=not wrong,
        expected=f"the {len(MANIFEST_SCHEMA)} columns of the manifest, in order and typed",
        actual=brief(wrong) if wrong else f"{len(MANIFEST_SCHEMA)} columns",
        hint="the Spark job and lensneg are of different versions; deploy both together",
    )
    if wrong or written.problems:
        return
    table = pa.concat_tables([written.negatives, written.positives])
    negatives = written.negatives
    asked = sum(pool["quota"] for stratum in quotas["strata"] for pool in stratum["pools"])
    yield _equal("row_count", asked, len(negatives), "the quotas were not met; see gate 3")
    nulls = [f.name for f in MANIFEST_SCHEMA if not f.nullable and table[f.name].null_count]
    yield Check(
        name="no_nulls",
        passed=not nulls,
        expected="no null in critical columns",
        actual=brief(nulls) if nulls else "none",
        hint="pool files are damaged; start again with another run id",
    )
    if nulls:
        return
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    on_sphere = (ra >= 0) & (ra < 360) & (dec >= -90) & (dec <= 90)
    yield Check(
        name="coordinates",
        passed=bool(on_sphere.all()),
        expected="RA in [0, 360), Dec in [-90, 90] degrees",
        actual=f"{int((~on_sphere).sum()):,} rows outside",
        hint="a sweep file holds impossible coordinates",
    )
    yield _equal(
        "unique_targetids",
        len(table),
        pc.count_distinct(table["targetid"]).as_py(),
        "the sweep files hold sources twice",
    )
    yield from _split_checks(run.config, table)
    yield _pool_ratio(run.config, negatives)
    yield _strata(quotas, negatives)
    yield _lens_distance(run.lenses, run.config, negatives)


def _equal(name: str, expected: int, actual: int, hint: str) -> Check:
    return Check(
        name=name,
        passed=expected == actual,
        expected=f"{expected:,}",
        actual=f"{actual:,}",
        hint=hint,
    )


def _schema_faults(written: Written) -> list[str]:
    faults = []
    for part, table in (("negatives", written.negatives), ("positives", written.positives)):
        if table.column_names != MANIFEST_SCHEMA.names:
            faults.append(f"{part}: columns {brief(table.column_names, 60)}")
            continue
        faults += [
            f"{part}.{field.name} is {table.schema.field(field.name).type}, not {field.type}"
            for field in MANIFEST_SCHEMA
            if table.schema.field(field.name).type != field.type
        ]
    return faults


def _split_checks(config: Config, table: pa.Table) -> Iterable[Check]:
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    pixel = healpix_pixel(config.split.nside, ra, dec)
    split = split_of_pixel(pixel, config.split)
    written = table["split"].to_numpy(zero_copy_only=False).astype(np.str_)
    wrong = (pixel != table["healpix_128"].to_numpy()) | (split != written)
    wrong |= healpix_pixel(64, ra, dec) != table["healpix_64"].to_numpy()
    yield Check(
        name="split_rule",
        passed=not wrong.any(),
        expected="pixel and split of every row as its position says",
        actual=f"{int(wrong.sum()):,} rows differ",
        hint="this is a fault of lensneg: please report it",
    )
    tolerance = config.gates.split_tolerance_points / 100
    spread = _pixel_spread(pixel)
    faults, found = [], []
    for name in SPLIT_ORDER:
        expected = getattr(config.split.fractions, name)
        actual = float((written == name).mean()) if len(written) else 0.0
        allowed = tolerance + SPLIT_SIGMAS * float(np.sqrt(expected * (1 - expected))) * spread
        text = f"{name} {actual:.1%} (allowed {expected:.0%} ± {allowed:.1%})"
        found.append(text)
        if abs(actual - expected) > allowed:
            faults.append(text)
    yield Check(
        name="split_fractions",
        passed=not faults,
        expected=f"within {tolerance:.0%} and {SPLIT_SIGMAS:g} standard deviations of the config's",
        actual=", ".join(faults or found),
        hint="a small sky has few pixels; add sweep files, or raise gates.split_tolerance_points",
        critical=False,
    )


def _pixel_spread(pixel: npt.NDArray[np.int64]) -> float:
    """Return sqrt(sum of squared row shares by pixel).

    A split's share of rows is the sum of the shares w of its pixels, each in it with probability p, so
    its variance is p (1 - p) sum(w^2).
    """
    if len(pixel) == 0:
        return 0.0
    share = np.unique(pixel, return_counts=True)[1] / len(pixel)
    return float(np.sqrt((share**2).sum()))


def _pool_ratio(config: Config, negatives: pa.Table) -> Check:
    ratio = config.sampling.n1_n2_ratio
    expected = ratio[0] / sum(ratio)
    n1 = pc.sum(pc.equal(negatives["pool"], "N1")).as_py() or 0
    actual = n1 / len(negatives) if len(negatives) else 0.0
    tolerance = config.gates.n1_n2_tolerance_points / 100
    return Check(
        name="n1_n2_ratio",
        passed=abs(actual - expected) <= tolerance,
        expected=f"N1 {expected:.0%} ± {tolerance:.0%}",
        actual=f"{actual:.1%}",
        hint="one pool is short and was filled from the other: see the strata's backfill",
    )


def _strata(quotas: dict[str, Any], negatives: pa.Table) -> Check:
    groups = negatives.group_by(["nobs_z_bin", "type_bin"]).aggregate([([], "count_all")]).to_pylist()
    found = {(g["nobs_z_bin"], g["type_bin"]): g["count_all"] for g in groups}
    wrong = []
    for stratum in quotas["strata"]:
        key = (stratum["nobs_z_bin"], stratum["type_bin"])
        asked = sum(pool["quota"] for pool in stratum["pools"])
        if found.pop(key, 0) != asked:
            wrong.append(f"{'/'.join(key)} has not its {asked:,} rows")
    wrong += [f"{'/'.join(key)} is not a stratum of the config" for key in found]
    return Check(
        name="strata_represented",
        passed=not wrong,
        expected="each stratum with the rows of its quota, and no other",
        actual=brief(wrong) if wrong else f"{len(quotas['strata'])} strata",
        hint="the files do not belong to this run's quotas; start again with another run id",
    )


def _lens_distance(lenses: Lenses, config: Config, negatives: pa.Table) -> Check:
    radius = config.lenses.exclusion_radius_arcsec
    index = PositionIndex(lenses.ra, lenses.dec, radius)
    near = index.pairs(negatives["ra"].to_numpy(), negatives["dec"].to_numpy())
    return Check(
        name="clear_of_lenses",
        passed=len(near.source) == 0,
        expected=f'no negative within {radius:g}" of any of {len(lenses.ra):,} catalogue positions',
        actual=f"{len(np.unique(near.source)):,} negatives",
        hint="this is a fault of lensneg: please report it",
    )
