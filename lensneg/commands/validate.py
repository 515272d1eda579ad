"""``lensneg validate``: gate 4 for any published manifest."""

from typing import TYPE_CHECKING

import click
from rich.console import Group

from lensneg.commands.common import EXIT_GATE_FAILED, Command, Result, checks_table, prints_result
from lensneg.commands.failure import faults_of_checks
from lensneg.commands.manifest_argument import manifest_argument

if TYPE_CHECKING:
    from lensneg.schema.manifest import Manifest
    from lensneg.schema.progress import Tell


@click.command(cls=Command)
@manifest_argument
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
@click.option("--details", is_flag=True, help="Print the checks that passed, too.")
@prints_result
def validate(manifest: str, sweeps: str | None, exclude: tuple[str, ...], details: bool) -> Result:
    """Audit a published manifest.

    All checks are computed from its files, by rules that share no code with the draw. Sweep files and
    catalogues that are missing are warnings.

    Example: lensneg validate build/out/manifests/run-20261125T021119Z
    """
    from lensneg.commands.progress import steps
    from lensneg.schema.manifest import Manifest

    opened = Manifest.open(manifest)  # before what is slow to import
    with steps(f"auditing {manifest}") as tell:
        return _audit(opened, sweeps, exclude, details, tell)


def _audit(
    opened: "Manifest", sweeps: str | None, exclude: tuple[str, ...], details: bool, tell: "Tell"
) -> Result:
    from lensneg.audit.published import audit_published
    from lensneg.schema.catalog_spec import CatalogSpec
    from lensneg.schema.gate import Gate

    found = audit_published(opened, sweeps, tuple(CatalogSpec.parse(text) for text in exclude), tell)
    gate = Gate.of(4, found.checks)
    verdict = "[bold green]passed" if gate.passed else "[bold red]failed"
    shown = [check for check in gate.checks if details or not check.passed]
    title = f"{opened.run_id}: {gate.gate}"
    passed = sum(check.passed for check in gate.checks)
    verdict += f"[/], {passed} of {len(gate.checks)} checks; --details prints all"
    table = checks_table(shown, title) if shown else title
    exit_code = 0 if gate.passed else EXIT_GATE_FAILED
    return Result(
        gate.as_json(),
        Group(table, verdict),
        faults=faults_of_checks(gate.checks),
        exit_code=exit_code,
        what=f"{gate.gate} of {opened.run_id}",
    )
