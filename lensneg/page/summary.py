"""A run's verdicts and numbers, as they stand in validation.json."""

import hashlib
from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.page import comparison
from lensneg.schema.columns import PARTS
from lensneg.schema.config import CONFUSER_CATEGORIES, SPLIT_ORDER
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.gate import GATE_NAMES, read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest, RowCounts
from lensneg.schema.quotas import DrawKey, Quotas
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import read_sample_summary
from lensneg.schema.tables import read_table
from lensneg.schema.validation import (
    CatalogResult,
    ConfigResult,
    ConfuserResult,
    InputsResult,
    PoolResult,
    SplitResult,
    StratumResult,
    ValidationRecord,
)

#: The columns that the figures are drawn from: a tenth of a manifest's bytes.
_COLUMNS: Final = (
    "ra",
    "dec",
    "pool",
    "confuser_category",
    "split",
    "healpix_64",
    "healpix_128",
    *comparison.NEEDED,
)


def read_rows(files: RunFiles) -> pa.Table | None:
    """Read the columns that the figures need, of the published manifest, or of what the draw wrote.

    Returns
    -------
    pyarrow.Table or None
        Negatives, then positives; None where there are none, or none that can be read.
    """
    try:
        if storage.exists(files.manifest):
            manifest = Manifest.open(files.manifest)
            tables = [manifest.dataset(part).to_table(columns=list(_COLUMNS)) for part in PARTS]
        else:
            uris = [uri for part in PARTS for uri in files.sample_parts(part)]
            tables = [read_table(uri).select(_COLUMNS) for uri in uris]
        table = pa.concat_tables(tables).combine_chunks()
    except (OSError, KeyError, pa.ArrowException, LensnegError):
        return None
    return table if len(table) else None


def summarize(run: Run, rows: pa.Table | None, samples: comparison.Samples) -> ValidationRecord:
    """Return a run's verdicts and numbers.

    Parameters
    ----------
    run : Run
    rows : pyarrow.Table or None
        Of :func:`read_rows`.
    samples : mapping
        Of :func:`lensneg.page.comparison.samples_of`.
    """
    gates, record = tuple(read_gates(run.files)), run.record
    fan_out = FanOutSummary.read_if_there(run.files.summary)
    counts = None
    if rows is not None:
        positives = int(pc.sum(pc.equal(rows["pool"], "positive")).as_py())
        counts = RowCounts(negatives=len(rows) - positives, positives=positives)
    return ValidationRecord(
        run_id=record.run_id,
        mode=record.mode,
        started_at=record.started_at,
        passed=len(gates) == len(GATE_NAMES) and all(gate.passed for gate in gates),
        gates=gates,
        rows=counts,
        splits=_splits(run, rows) if rows is not None else (),
        strata=strata_table(run.files),
        confusers=_confusers(fan_out, rows) if fan_out else (),
        quantities=comparison.compare(samples) if rows is not None else (),
        fan_out=fan_out,
        config=ConfigResult(name=run.config.name, version=run.config.version, sha256=record.config.sha256),
        code=record.code,
        inputs=_inputs(run),
        reproduce=reproduce(run),
    )


def _inputs(run: Run) -> InputsResult:
    sweeps = run.record.sweeps
    lines = "".join(f"{s.name} {s.size} {s.etag}\n" for s in sweeps)
    return InputsResult(
        sweeps=len(sweeps),
        sweep_rows=sum(sweep.rows for sweep in sweeps),
        sweep_bytes=sum(sweep.size for sweep in sweeps),
        sweeps_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        catalogs=tuple(
            CatalogResult(uri=c.spec.uri, role=c.role, sha256=c.sha256, positions=c.positions)
            for c in run.record.catalogs
        ),
    )


def strata_table(files: RunFiles) -> tuple[StratumResult, ...]:
    """Return, for each stratum, its positives, target, rows drawn from each pool, and shortfall.

    Empty where the run has no quotas yet.
    """
    quotas = Quotas.read_if_there(files.quotas)
    if quotas is None:
        return ()
    summary = read_sample_summary(files)
    rows = {key: entry.rows for key, entry in summary.drawn.items()} if summary else {}
    found = []
    for stratum in quotas.strata:
        pools = tuple(
            PoolResult(
                pool=pool.pool,
                available=pool.available,
                backfill=pool.backfill,
                drawn=rows.get(DrawKey(stratum.nobs_z_bin, stratum.type_bin, pool.pool), 0),
            )
            for pool in stratum.pools
        )
        found.append(
            StratumResult(
                nobs_z_bin=stratum.nobs_z_bin,
                type_bin=stratum.type_bin,
                positives=stratum.positives,
                target=stratum.target,
                drawn=sum(pool.drawn for pool in pools),
                shortfall=stratum.shortfall,
                pools=pools,
            )
        )
    return tuple(found)


def _splits(run: Run, rows: pa.Table) -> tuple[SplitResult, ...]:
    split = rows["split"].to_numpy(zero_copy_only=False)
    positive = rows["pool"].to_numpy(zero_copy_only=False) == "positive"
    pixels = rows["healpix_128"].to_numpy()
    found = []
    for name in SPLIT_ORDER:
        here = split == name
        found.append(
            SplitResult(
                split=name,
                expected=getattr(run.config.split.fractions, name),
                fraction=round(float(here.mean()), 6),
                negatives=int((here & ~positive).sum()),
                positives=int((here & positive).sum()),
                pixels=len(np.unique(pixels[here])),
            )
        )
    return tuple(found)


def _confusers(fan_out: FanOutSummary, rows: pa.Table | None) -> tuple[ConfuserResult, ...]:
    drawn: Counter[str] = Counter()
    if rows is not None:
        counts = rows["confuser_category"].value_counts().to_pylist()
        drawn.update({entry["values"]: entry["counts"] for entry in counts if entry["values"]})
    return tuple(
        ConfuserResult(category=name, pool=fan_out.confusers.get(name, 0), drawn=drawn[name])
        for name in CONFUSER_CATEGORIES
    )


def reproduce(run: Run) -> tuple[str, ...]:
    """Return the commands that make a run again: the same rows, under another run id."""
    commit = run.record.code.git_commit
    command = run.record.request().command("test" if run.record.mode == "test" else "test-then-full")
    known = commit != "unknown" and not commit.endswith("-dirty")
    return (f"git checkout {commit}", command) if known else (command,)
