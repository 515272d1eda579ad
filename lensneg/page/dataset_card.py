"""The card of a published manifest: a README.md as dataset hubs read it, made from the manifest alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files as package_files
from typing import Any, Final

import pyarrow as pa
from jinja2 import Environment, StrictUndefined

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.config_file import parse_config
from lensneg.schema.run import RunRecord
from lensneg.schema.tables import read_table

#: Name of the card, beside manifest.json.
CARD_NAME: Final = "README.md"

#: What each pool is.
_POOLS: Final = {
    "N1": "what a finder meets when deployed",
    "N2": "hard confusers",
    "positive": "known lenses and candidates, as the catalogue has them",
}

#: The hubs' names for numbers of rows: below which number, and the name.
_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def dataset_card(manifest: Mapping[str, Any], folder: str) -> str:
    """Return the card of a manifest.

    It depends on the manifest alone: the same manifest has the same card.

    Parameters
    ----------
    manifest : dict
        What ``manifest.json`` holds, or is going to hold.
    folder : str
        Where the manifest's Parquet files are.

    Returns
    -------
    str
        Markdown with a YAML header.

    Raises
    ------
    RunStateError
        If a file that the manifest names is not there.

    Notes
    -----
    The header's keys are those of the Hugging Face hub's dataset cards.
    """
    record = RunRecord.model_validate(manifest["run"])
    config = parse_config(record.config.text, record.config.uri)
    negatives, positives = (_labels(manifest, folder, part) for part in ("negatives", "positives"))
    counts = Counter(zip(*_columns(negatives, "pool", "split"), strict=True))
    counts += Counter(("positive", split) for (split,) in zip(*_columns(positives, "split"), strict=True))
    by_stratum = [
        Counter(zip(*_columns(table, "nobs_z_bin", "type_bin"), strict=True))
        for table in (negatives, positives)
    ]
    rows = manifest["rows"]
    card: str = _template().render(
        run=record.model_dump(mode="json")
        | {
            "catalogs": [
                {
                    "name": storage.basename(catalog.spec.uri),
                    "role": catalog.role,
                    "positions": catalog.positions,
                    "sha256": catalog.sha256,
                }
                for catalog in record.catalogs
            ]
        },
        config=config,
        rows=rows,
        size_category=_size_category(sum(rows.values())),
        splits=SPLIT_ORDER,
        pools=[
            {"name": pool, "text": text, "counts": [counts[pool, split] for split in SPLIT_ORDER]}
            for pool, text in _POOLS.items()
        ],
        strata=[
            {
                "nobs_z_bin": nobs,
                "type_bin": kind,
                "negatives": by_stratum[0][nobs, kind],
                "positives": by_stratum[1][nobs, kind],
            }
            for nobs in config.strata.nobs_z_bins
            for kind in config.strata.types
        ],
        sweeps={
            "rows": sum(sweep.rows for sweep in record.sweeps),
            "releases": sorted({sweep.release for sweep in record.sweeps if sweep.rows}),
        },
        content={part: manifest[part]["content_sha256"] for part in ("negatives", "positives")},
        columns=manifest["columns"],
    )
    return card


def _labels(manifest: Mapping[str, Any], folder: str, part: str) -> pa.Table:
    wanted = ["pool", "split", "nobs_z_bin", "type_bin"]
    tables = [pa.table({name: pa.array([], pa.string()) for name in wanted})]
    for file in manifest[part]["files"]:
        uri = storage.join(folder, file["name"])
        try:
            tables.append(read_table(uri).select(wanted).replace_schema_metadata(None))
        except FileNotFoundError as error:
            raise RunStateError(
                "missing", where=uri, remedy="the card is made once the manifest's files are there"
            ) from error
    return pa.concat_tables(tables, promote_options="permissive")


def _columns(table: pa.Table, *names: str) -> list[list[str]]:
    return [table[name].to_pylist() for name in names]


def _size_category(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), "100M<n<1B")


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 (Markdown)
    text = (package_files("lensneg.page") / "dataset_card.md.j2").read_text(encoding="utf-8")
    return environment.from_string(text)
