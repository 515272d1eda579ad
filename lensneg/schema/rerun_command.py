"""The command that makes a run, as text: for a report's reader, and for whoever a gate sends back."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from urllib.parse import urlencode

from lensneg.schema.catalog_spec import CatalogSpec


def catalog_argument(spec: CatalogSpec) -> str:
    """Return a catalogue as it is given on the command line, the inverse of ``CatalogSpec.parse``.

    Examples
    --------
    >>> catalog_argument(CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grade=A,B"))
    '/data/c.csv?ra=ALPHA&where.grade=A%2CB'
    """
    options = [(key, value) for key in ("ra", "dec", "name") if (value := getattr(spec, key))]
    options += [(f"where.{column}", ",".join(values)) for column, values in spec.where.items()]
    return spec.uri + (f"?{urlencode(options)}" if options else "")


def run_command(
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
    >>> run_command(config="c.yaml", sweeps="/s", positives=[], exclude=[], out="/o", mode="test")
    'lensneg run --mode test --config c.yaml --sweeps /s --out /o'
    """
    words = ["lensneg", "run", "--mode", mode, "--config", config, "--sweeps", sweeps]
    for option, specs in (("--positives", positives), ("--exclude", exclude)):
        for spec in specs:
            words += [option, catalog_argument(spec)]
    return shlex.join([*words, "--out", out])
