"""``lensneg validate``: gate 4 on any published manifest, anywhere."""

from __future__ import annotations

import sys

import click

from lensneg.commands.common import EXIT_GATE_FAILED, console, json_option, print_json


@click.command()
@click.argument("manifest")
@click.option(
    "--sweeps",
    metavar="URI",
    help="Folder or s3:// prefix of the sweep files, if not where the run found them.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="FILE",
    help="Catalogue to keep clear of besides those of the run, or a copy of one that is not where it was; "
    "repeatable, with the options of lensneg run.",
)
@json_option
def validate(manifest: str, sweeps: str | None, exclude: tuple[str, ...], as_json: bool) -> None:
    """Audit a published MANIFEST: a folder or an s3:// prefix with manifest.json, or a copy of one.

    Everything is recomputed from its files, by rules that share no code with the draw. What is not at hand,
    sweep files or catalogues, is a warning.

    Example: lensneg validate build/out/manifests/run-20261125T021119Z
    """
    from lensneg import storage
    from lensneg.audit.published import audit_published
    from lensneg.schema.catalog_spec import CatalogSpec
    from lensneg.schema.gate import Gate

    described, found = audit_published(
        storage.normalize(manifest),
        storage.normalize(sweeps) if sweeps is not None else None,
        tuple(CatalogSpec.parse(text) for text in exclude),
    )
    gate = Gate.of(4, found.checks)
    if as_json:
        print_json(gate.record())
    else:
        _show(described["run_id"], gate.record())
    if not gate.passed:
        sys.exit(EXIT_GATE_FAILED)


def _show(run_id: str, gate: dict[str, object]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{run_id}: {gate['gate']}", title_justify="left", show_edge=False)
    for heading in ("check", "", "found"):
        table.add_column(heading, overflow="fold")
    checks: list[dict[str, str]] = gate["checks"]  # type: ignore[assignment]
    for check in checks:
        if check["passed"]:
            table.add_row(check["name"], "[green]ok", escape(check["actual"]))
            continue
        verdict = "[red]failed" if check["critical"] else "[yellow]warning"
        text = f"{check['actual']}\nexpected: {check['expected']}\n{check['hint']}"
        table.add_row(check["name"], verdict, escape(text))
    console.print(table)
    console.print("[bold green]passed" if gate["passed"] else "[bold red]failed")
