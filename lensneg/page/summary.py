"""A run's verdicts and numbers for validation.json and the report."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc

from lensneg.page import acceptance, comparison
from lensneg.page.sample_rows import SampleRows
from lensneg.rules.exclusion import exclusion_radius
from lensneg.rules.listed import expected_lenses
from lensneg.rules.pools import POOLS
from lensneg.rules.systems import near_any
from lensneg.schema import validation as results
from lensneg.schema.columns import POSITIVE
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.gate import GATE_NAMES, read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import RowCounts
from lensneg.schema.options import Mode
from lensneg.schema.quotas import Quotas, draws_of
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import read_sample_summary
from lensneg.schema.spectroscopy import SpectroscopicLenses
from lensneg.schema.tables import count_rows
from lensneg.shortcuts.columns import NEEDED, Sample
from lensneg.shortcuts.shortcuts import find_shortcuts


def summarize(run: Run, rows: SampleRows | None, samples: comparison.Samples) -> results.ValidationRecord:
    """Return a run's verdicts and numbers.

    Parameters
    ----------
    run : Run
        The run.
    rows : SampleRows or None
        The result of :func:`lensneg.page.sample_rows.open_rows`.
    samples : mapping
        The result of :func:`lensneg.page.comparison.samples_of`.

    Returns
    -------
    ValidationRecord
        The content of validation.json.
    """
    gates, record, config = tuple(read_gates(run.files)), run.record, run.config
    fan_out = FanOutSummary.read_if_there(run.files.summary)
    counts, sample, shortcuts = None, results.SampleOverview(), None
    if rows is not None:
        pools = count_rows(rows.both(["pool"]), ["pool"])
        positives = pools[POSITIVE,]
        counts = RowCounts(negatives=pools.total() - positives, positives=positives)
        sample = acceptance.overview(rows.negatives, record.started_at)
        compared = Sample(counts.negatives)
        for table in rows.both(NEEDED):
            compared.add(table)
        shortcuts = find_shortcuts(compared.table, config.gates.shortcut_auc_max)
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
        confusers=_confusers(run, fan_out, rows) if fan_out else (),
        quantities=comparison.compare(samples) if rows is not None else (),
        shortcuts=shortcuts,
        fan_out=fan_out,
        spectroscopic=_spectroscopic(run, rows),
        suspects=_suspects(run, fan_out, counts),
        config=results.ConfigResult(name=config.name, version=config.version, sha256=record.config.sha256),
        code=record.code,
        inputs=_inputs(run),
        reproduce=reproduce(run),
    )


def _spectroscopic(run: Run, rows: SampleRows | None) -> results.SpectroscopicResult | None:
    lenses = SpectroscopicLenses.read_if_there(run.files.spectroscopic)
    if lenses is None:
        return None
    near = None
    if rows is not None:
        spectra = run.is_spectroscopic
        radius = exclusion_radius(run.lenses.radius_arcsec, run.config)[spectra]
        others, near = (run.lenses.ra[spectra], run.lenses.dec[spectra]), 0
        for table in rows.negatives(["ra", "dec"]):
            near += int(near_any(table["ra"].to_numpy(), table["dec"].to_numpy(), *others, radius).sum())
    return results.SpectroscopicResult(**dict(lenses), negatives_near=near)


def _suspects(
    run: Run, fan_out: FanOutSummary | None, counts: RowCounts | None
) -> results.SuspectsResult | None:
    entries, section = len(run.listed_in("suspects")), run.config.suspects
    rate = section.lens_rate if section else None
    if fan_out is None or not (entries or rate is not None):
        return None
    expected, left, cut = None, None, fan_out.cut.get("suspect", 0)
    if rate is not None and counts is not None:
        expected, left = expected_lenses(rate, counts.negatives, fan_out.rows_kept, cut)
    return results.SuspectsResult(
        entries=entries, cut=cut, lens_rate=rate, expected_lenses=expected, expected_left=left
    )


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
    drawn = Counter[tuple[str, str, str]]()
    for key, draw in draws_of(quotas.strata):
        drawn[key.nobs_z_bin, key.type_bin, draw.pool] += rows.get(key, 0)
    found = []
    for stratum in quotas.strata:
        pools = tuple(
            results.PoolResult(
                pool=p.pool,
                available=p.available,
                backfill=p.backfill,
                in_place_of_other=p.in_place_of_other,
                drawn=drawn[stratum.nobs_z_bin, stratum.type_bin, p.pool],
            )
            for p in stratum.pools
        )
        found.append(
            results.StratumResult(
                nobs_z_bin=stratum.nobs_z_bin,
                type_bin=stratum.type_bin,
                positives=stratum.positives,
                target=stratum.target,
                drawn=sum(pool.drawn for pool in pools),
                shortfall=stratum.shortfall,
                from_other_cells=stratum.from_other_cells,
                pools=pools,
            )
        )
    return tuple(found)


def _splits(run: Run, rows: SampleRows) -> Iterator[results.SplitResult]:
    counts, pixels = Counter[tuple[Any, ...]](), defaultdict[str, set[int]](set)
    for table in rows.both(["split", "pool", "healpix_128"]):
        counts += count_rows([table], ["split", "pool"])
        for name in SPLIT_ORDER:
            here = table.filter(pc.equal(table["split"], name))
            pixels[name].update(here["healpix_128"].unique().to_pylist())
    for name in SPLIT_ORDER:
        whole = sum(n for (split, _), n in counts.items() if split == name)
        yield results.SplitResult(
            split=name,
            expected=getattr(run.config.spatial_splits.allocations, name),
            fraction=round(whole / counts.total(), 6),
            negatives=whole - counts[name, POSITIVE],
            positives=counts[name, POSITIVE],
            pools={pool: counts[name, pool] for pool in POOLS},
            pixels=len(pixels[name]),
        )


def _confusers(
    run: Run, fan_out: FanOutSummary, rows: SampleRows | None
) -> tuple[results.ConfuserResult, ...]:
    column = ["confuser_category"]
    drawn = count_rows(rows.both(column) if rows is not None else (), column)
    criteria = run.config.negative_pools.pool_n2.tractor_criteria
    return tuple(
        results.ConfuserResult(category=name, pool=fan_out.confusers.get(name, 0), drawn=drawn[name,])
        for name in dict.fromkeys((*criteria.categories, *fan_out.confusers))
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
    mode: Mode = "test" if run.record.mode == "test" else "test-then-full"
    command = run.record.request(run.files.out).command(mode, "build/again")  # OUT may be moved
    known = commit != "unknown" and not commit.endswith("-dirty")
    return (f"git checkout {commit}", command) if known else (command,)
