"""The command that makes a run, as text: for a report's reader, and for whoever a gate sends back."""

import shlex
from collections.abc import Iterable

from lensneg.schema.catalog_spec import CatalogSpec


def rerun_command(
    *,
    config: str,
    sweeps: str,
    positives: Iterable[CatalogSpec],
    exclude: Iterable[CatalogSpec],
    out: str,
    mode: str,
) -> str:
    """Return the ``lensneg run`` that makes a run.

    Examples
    --------
    >>> rerun_command(config="c.yaml", sweeps="/s", positives=[], exclude=[], out="/o", mode="test")
    'lensneg run --mode test --config c.yaml --sweeps /s --out /o'
    """
    words = ["lensneg", "run", "--mode", mode, "--config", config, "--sweeps", sweeps]
    for option, specs in (("--positives", positives), ("--exclude", exclude)):
        for spec in specs:
            words += [option, spec.text]
    return shlex.join([*words, "--out", out])
