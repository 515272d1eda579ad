"""The dataset card of a published manifest: a README.md in the form of dataset hubs."""

from collections import Counter
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from lensneg.page.sample_rows import SampleRows
from lensneg.schema.columns import PARTS, POSITIVE
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.manifest import Manifest
from lensneg.schema.tables import count_rows

#: What each pool contains.
_POOLS: Final = {
    "N1": "what a finder meets when deployed",
    "N2": "hard confusers",
    POSITIVE: "known lenses and candidates, as the catalogue has them",
}

#: The hubs' names for numbers of rows: an upper limit, and the name below it.
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

    The card depends on the manifest alone: the same manifest has the same card.

    Parameters
    ----------
    manifest : Manifest
        Its files must exist. Its manifest.json may be written later.

    Returns
    -------
    str
        Markdown with a YAML header.

    Raises
    ------
    FileNotFoundError
        If a file that the manifest names is missing.

    Notes
    -----
    The header's keys are those of the Hugging Face hub's dataset cards.
    """
    in_pool, in_stratum = Counter[tuple[str, str]](), Counter[tuple[str, str, bool]]()
    labels = ["pool", "split", "nobs_z_bin", "type_bin"]
    tables = SampleRows({part: manifest.files(part) for part in PARTS}).both(labels)
    for (pool, split, *stratum), rows in count_rows(tables, labels).items():
        in_pool[pool, split] += rows
        in_stratum[(*stratum, pool == POSITIVE)] += rows
    total, sweeps = manifest.counts.total, manifest.record.run.sweeps
    environment = Environment(  # noqa: S701 (Markdown)
        loader=PackageLoader("lensneg.page", ""), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("dataset_card.md.j2").render(
        record=manifest.record,
        run=manifest.record.run,
        config=manifest.config,
        size_category=next((name for limit, name in _SIZES if total < limit), "100M<n<1B"),
        splits=SPLIT_ORDER,
        pools=[
            {"name": pool, "text": text, "counts": [in_pool[pool, split] for split in SPLIT_ORDER]}
            for pool, text in _POOLS.items()
        ],
        in_stratum=in_stratum,
        sweep_rows=sum(sweep.rows for sweep in sweeps),
        releases=sorted({sweep.release for sweep in sweeps if sweep.rows}),
    )
