"""The card of a published manifest: a README.md as dataset hubs read it, made from the manifest alone."""

from collections import Counter
from functools import lru_cache
from importlib.resources import files as package_files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from lensneg.schema.columns import PARTS
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.manifest import Manifest, Part

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


def dataset_card(manifest: Manifest) -> str:
    """Return the card of a manifest.

    It depends on the manifest alone: the same manifest has the same card.

    Parameters
    ----------
    manifest : Manifest
        Its files must be there; its manifest.json may still be to be written.

    Returns
    -------
    str
        Markdown with a YAML header.

    Raises
    ------
    InputError
        If a file that the manifest names is not there.

    Notes
    -----
    The header's keys are those of the Hugging Face hub's dataset cards.
    """
    record, run, config = manifest.record, manifest.record.run, manifest.config
    rows = [row for part in PARTS for row in _labels(manifest, part)]
    in_pool = Counter((row["pool"], row["split"]) for row in rows)
    in_stratum = Counter((row["nobs_z_bin"], row["type_bin"], row["pool"] == "positive") for row in rows)
    card: str = _template().render(
        run=run,
        config=config,
        rows=manifest.counts,
        size_category=_size_category(manifest.counts.total),
        splits=SPLIT_ORDER,
        pools=[
            {"name": pool, "text": text, "counts": [in_pool[pool, split] for split in SPLIT_ORDER]}
            for pool, text in _POOLS.items()
        ],
        strata=[
            {
                "nobs_z_bin": nobs,
                "type_bin": kind,
                "negatives": in_stratum[nobs, kind, False],
                "positives": in_stratum[nobs, kind, True],
            }
            for nobs in config.strata.nobs_z_bins
            for kind in config.strata.types
        ],
        sweeps={
            "rows": sum(sweep.rows for sweep in run.sweeps),
            "releases": sorted({sweep.release for sweep in run.sweeps if sweep.rows}),
        },
        content={part: record.part(part).content_sha256 for part in PARTS},
        columns=record.columns,
    )
    return card


def _labels(manifest: Manifest, part: Part) -> list[dict[str, str]]:
    table = manifest.dataset(part).to_table(columns=["pool", "split", "nobs_z_bin", "type_bin"])
    labels: list[dict[str, str]] = table.to_pylist()
    return labels


def _size_category(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), "100M<n<1B")


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 (Markdown)
    text = (package_files("lensneg.page") / "dataset_card.md.j2").read_text(encoding="utf-8")
    return environment.from_string(text)
