"""The plan: run.json, the lens positions, and the map's items."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lensneg import storage
from lensneg.catalogs import Catalog, read_catalog
from lensneg.config import ExecutionConfig, parse_config
from lensneg.datamodel import sweep_cell
from lensneg.errors import CatalogError
from lensneg.footprint import inside_cells
from lensneg.run import CatalogInput, Item, RunFiles, RunRecord, SweepInput, write_table

#: Catalogue positions of a run: all lenses to keep clear of, and which of them are positives.
LENSES_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("ra", pa.float64(), nullable=False),
        pa.field("dec", pa.float64(), nullable=False),
        pa.field("is_positive", pa.bool_(), nullable=False),
        pa.field("catalog", pa.int32(), nullable=False),
    ]
)


def plan_fan_out(root: str) -> dict[str, Any]:
    """Write what the map works from.

    Parameters
    ----------
    root : str
        The run's folder, in which gate 1 left ``inventory.json``.

    Returns
    -------
    dict
        Where Step Functions finds the items (``bucket``, ``key``), their ``count``, and how many of
        them the Map may lose: all, as gate 2 is the judge of that.
    """
    files = RunFiles.of_root(root)
    record = RunRecord.model_validate(storage.read_json(files.inventory))
    execution = parse_config(record.config.text, record.config.uri).execution
    catalogs = [(source.role, _planned_catalog(source)) for source in record.catalogs]
    if record.mode == "test":
        positives = [catalog for role, catalog in catalogs if role == "positives"]
        chosen = mini_test_sweeps(record.sweeps, positives, execution.mini_test_files)
        record = record.model_copy(update={"sweeps": chosen})
    items = [item for sweep in record.sweeps for item in slices(sweep, execution)]
    items.sort(key=lambda item: (-item.n_bytes, item.id))
    write_table(files.lenses, _lens_table(catalogs))
    storage.write_json(files.items, [item.model_dump(mode="json") for item in items])
    storage.write_json(files.run, record.model_dump(mode="json"))
    bucket, key = storage.bucket_and_key(files.items)
    return {
        "bucket": bucket,
        "key": key,
        "count": len(items),
        "tolerated_failure_percentage": 100,
    }


def _planned_catalog(source: CatalogInput) -> Catalog:
    """Read a catalogue, if it is still the one that gate 1 saw."""
    catalog = read_catalog(source.spec)
    if catalog.sha256 != source.sha256:
        raise CatalogError(
            f"{source.spec.uri}: the file changed after gate 1 had read it; restore it, or start a new run"
        )
    return catalog


def mini_test_sweeps(
    sweeps: tuple[SweepInput, ...], positives: list[Catalog], count: int
) -> tuple[SweepInput, ...]:
    """Return the files of a mini-test: the smallest that hold positives, then the smallest others."""

    def rank(sweep: SweepInput) -> tuple[bool, int, str]:
        cell = sweep_cell(storage.basename(sweep.uri))
        assert cell is not None  # gate 1 listed it by its name
        empty = not any(inside_cells(c.ra, c.dec, [cell]).any() for c in positives)
        return empty or sweep.rows == 0, sweep.size, storage.basename(sweep.uri)

    chosen = sorted(sweeps, key=rank)[:count]
    return tuple(sweep for sweep in sweeps if sweep in chosen)


def slices(sweep: SweepInput, execution: ExecutionConfig) -> list[Item]:
    """Cut a sweep file into items of about the configured size.

    A gzipped file can only be read from its start, so it is one item.
    """
    name = storage.basename(sweep.uri).removesuffix(".gz").removesuffix(".fits")
    compressed = sweep.uri.endswith(".gz")
    table_bytes = sweep.rows * sweep.row_bytes
    count = 1 if compressed else max(1, round(table_bytes / execution.target_item_bytes))
    edges = [sweep.rows * i // count for i in range(count + 1)]
    return [
        Item(
            id=name if count == 1 else f"{name}.{i:02d}",
            sweep=sweep.uri,
            size=sweep.size,
            etag=sweep.etag,
            first_row=first,
            n_rows=last - first,
            n_bytes=sweep.size if compressed else (last - first) * sweep.row_bytes,
        )
        for i, (first, last) in enumerate(pairwise(edges))
    ]


def _lens_table(catalogs: Sequence[tuple[str, Catalog]]) -> pa.Table:
    positions = [catalog for _, catalog in catalogs]
    lengths = [len(catalog.ra) for catalog in positions]
    return pa.table(
        {
            "name": [name for catalog in positions for name in catalog.names],
            "ra": np.concatenate([catalog.ra for catalog in positions]),
            "dec": np.concatenate([catalog.dec for catalog in positions]),
            "is_positive": np.repeat([role == "positives" for role, _ in catalogs], lengths),
            "catalog": np.repeat(np.arange(len(catalogs), dtype=np.int32), lengths),
        },
        schema=LENSES_SCHEMA,
    )
