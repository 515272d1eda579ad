"""A run's verdicts and numbers for validation.json and the report."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.page import acceptance, comparison
from lensneg.rules.systems import near_any
from lensneg.schema import validation as results
from lensneg.schema.columns import PARTS, POSITIVE
from lensneg.schema.config import CONFUSER_CATEGORIES, SPLIT_ORDER
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.gate import GATE_NAMES, read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest, RowCounts
from lensneg.schema.quotas import Quotas, draws_of
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import read_sample_summary
from lensneg.schema.spectroscopy import SpectroscopicLenses
from lensneg.schema.tables import read_table

#: The columns that summary and figures need: a tenth of a manifest's bytes.
_COLUMNS: Final = (
    "confuser_category",
    "healpix_64",
    "healpix_128",
    *acceptance.NEEDED,
    *comparison.NEEDED,
)


def read_rows(files: RunFiles) -> pa.Table | None:
    """Read the columns that summary and figures need from the published manifest, or else from the sample.

    Parameters
    ----------
    files : RunFiles
        The run.

    Returns
    -------
    pyarrow.Table or None
        Negatives, then positives. None if there are no rows, or they cannot be read.
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


def summarize(run: Run, rows: pa.Table | None, samples: comparison.Samples) -> results.ValidationRecord:
    """Return a run's verdicts and numbers.

    Parameters
    ----------
    run : Run
        The run.
    rows : pyarrow.Table or None
        The result of :func:`read_rows`.
    samples : mapping
        The result of :func:`lensneg.page.comparison.samples_of`.

    Returns
    -------
    ValidationRecord
        The content of validation.json.
    """
    gates, record, config = tuple(read_gates(run.files)), run.record, run.config
    fan_out = FanOutSummary.read_if_there(run.files.summary)
    counts, sample = None, results.SampleOverview()
    if rows is not None:
        positives = int(pc.sum(pc.equal(rows["pool"], POSITIVE)).as_py())
        counts = RowCounts(negatives=len(rows) - positives, positives=positives)
        sample = acceptance.overview(rows.slice(0, counts.negatives), record.started_at)
    return results.ValidationRecord(
        **dict(sample),
        run_id=record.run_id,
        mode=record.mode,
        started_at=record.started_at,
        passed=len(gates) == len(GATE_NAMES) and all(gate.passed for gate in gates),
        gates=gates,
        rows=counts,
        splits=tuple(_splits(run, rows)) if rows is not None else (),
        strata=strata_table(run.files),
        confusers=_confusers(fan_out, rows) if fan_out else (),
        quantities=comparison.compare(samples) if rows is not None else (),
        fan_out=fan_out,
        spectroscopic=_spectroscopic(run, rows),
        config=results.ConfigResult(name=config.name, version=config.version, sha256=record.config.sha256),
        code=record.code,
        inputs=_inputs(run),
        reproduce=reproduce(run),
    )


def _spectroscopic(run: Run, rows: pa.Table | None) -> results.SpectroscopicResult | None:
    lenses = SpectroscopicLenses.read_if_there(run.files.spectroscopic)
    if lenses is None:
        return None
    near = None
    if rows is not None:
        negatives = rows.filter(pc.not_equal(rows["pool"], POSITIVE))
        ra, dec = negatives["ra"].to_numpy(), negatives["dec"].to_numpy()
        spectra, radius = run.is_spectroscopic, run.config.exclusion.known_lens_radius_arcsec
        near = int(near_any(ra, dec, run.lenses.ra[spectra], run.lenses.dec[spectra], radius).sum())
    return results.SpectroscopicResult(**dict(lenses), negatives_near=near)


def _inputs(run: Run) -> results.InputsResult:
    sweeps = run.record.sweeps
    lines = "".join(f"{s.name} {s.size} {s.etag}\n" for s in sweeps)
    return results.InputsResult(
        sweeps=len(sweeps),
        sweep_rows=sum(sweep.rows for sweep in sweeps),
        sweep_bytes=sum(sweep.size for sweep in sweeps),
        sweeps_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        catalogs=tuple(
            results.CatalogResult(
                uri=c.spec.uri, role=c.role, sha256=c.sha256, positions=c.positions, others=c.others
            )
            for c in run.record.catalogs
        ),
    )


def strata_table(files: RunFiles) -> tuple[results.StratumResult, ...]:
    """Return the targets of all strata, and what was drawn.

    Parameters
    ----------
    files : RunFiles
        The run.

    Returns
    -------
    tuple of StratumResult
        In the manifest's order. Empty if the run has no quotas yet.
    """
    quotas = Quotas.read_if_there(files.quotas)
    if quotas is None:
        return ()
    summary = read_sample_summary(files)
    rows = {key: entry.rows for key, entry in summary.drawn.items()} if summary else {}
    found = []
    for stratum in quotas.strata:
        pools = tuple(
            results.PoolResult(
                pool=p.pool, available=p.available, backfill=p.backfill, drawn=rows.get(key, 0)
            )
            for key, p in draws_of((stratum,))
        )
        found.append(
            results.StratumResult(
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


def _splits(run: Run, rows: pa.Table) -> Iterator[results.SplitResult]:
    split = rows["split"].to_numpy(zero_copy_only=False)
    positive = rows["pool"].to_numpy(zero_copy_only=False) == POSITIVE
    pixels = rows["healpix_128"].to_numpy()
    for name in SPLIT_ORDER:
        here = split == name
        yield results.SplitResult(
            split=name,
            expected=getattr(run.config.spatial_splits.allocations, name),
            fraction=round(float(here.mean()), 6),
            negatives=int((here & ~positive).sum()),
            positives=int((here & positive).sum()),
            pixels=len(np.unique(pixels[here])),
        )


def _confusers(fan_out: FanOutSummary, rows: pa.Table | None) -> tuple[results.ConfuserResult, ...]:
    counts = rows["confuser_category"].value_counts().to_pylist() if rows is not None else []
    drawn = {entry["values"]: entry["counts"] for entry in counts}
    return tuple(
        results.ConfuserResult(category=name, pool=fan_out.confusers.get(name, 0), drawn=drawn.get(name, 0))
        for name in CONFUSER_CATEGORIES
    )


def reproduce(run: Run) -> tuple[str, ...]:
    """Return the commands that make the same rows again, under another run id.

    Parameters
    ----------
    run : Run
        The run.

    Returns
    -------
    tuple of str
        Commands for a shell. The first one checks the code out, if its commit is known.
    """
    commit = run.record.code.git_commit
    command = run.record.request(run.files.out).command(
        "test" if run.record.mode == "test" else "test-then-full"
    )
    known = commit != "unknown" and not commit.endswith("-dirty")
    return (f"git checkout {commit}", command) if known else (command,)
