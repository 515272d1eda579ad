"""``lensneg calibrate``: the rates of N2's criteria in a run's pool, and limits that give wanted ones."""

from typing import TYPE_CHECKING, Any

import click

from lensneg.commands.common import Command, Result, output_folder, plain_table, prints_result
from lensneg.commands.manifest_argument import manifest_argument

if TYPE_CHECKING:
    from lensneg.page.calibration import Rate, RateRow, Threshold
    from lensneg.schema.config import Config


@click.command(cls=Command)
@manifest_argument
@click.option("--criterion", metavar="KEY", help="Number of a criterion, as ring_proxy.sersic_min, to find.")
@click.option("--rate", type=click.FloatRange(0, 1), help="Rate that --criterion is to have.")
@click.option(
    "--out", default=".", metavar="URI", help="Folder or s3:// prefix for the table and the picture."
)
@prints_result
def calibrate(manifest: str, criterion: str | None, rate: float | None, out: str) -> Result:
    """Measure how many sources of a run's pool meet each criterion of N2, by type and r magnitude.

    The run may be unpublished, if it has passed gate 2. calibration.csv has all rates with their errors, and
    calibration.png shows them. With --criterion and --rate, it prints the config change that gives this rate.
    It changes no config.

    Example: lensneg calibrate build/out/runs/first --criterion ring_proxy.flux_r_min --rate 0.05
    """
    from lensneg import storage
    from lensneg.errors import InputError
    from lensneg.schema.manifest_places import named_run
    from lensneg.schema.quotas import Quotas
    from lensneg.schema.run import load_run

    if (criterion is None) != (rate is None):
        raise InputError("one without the other", where="--criterion, --rate", remedy="give both or none")
    files = named_run(manifest)
    quotas = Quotas.read_if_there(files.quotas)
    if quotas is None or not quotas.pool_files:
        raise InputError("no pool yet", where=files.root, remedy="name a run that has passed gate 2")

    import pyarrow as pa  # what follows is slow to import

    from lensneg.page.calibration import PoolRates, limit_of
    from lensneg.page.calibration_figure import rates_png
    from lensneg.page.text_export import csv_chunks

    loaded = load_run(files.root)
    if criterion is not None:
        limit_of(loaded.config, criterion)  # before the pool is read
    folder = output_folder(out, "--out")
    rates = PoolRates(loaded.config, [storage.join(loaded.files.pool_folder, n) for n in quotas.pool_files])
    table, found = rates.table(), None
    if criterion is not None and rate is not None:
        found = rates.threshold(criterion, rate)
    title = f"{loaded.record.run_id}, {loaded.config.name} {loaded.config.version}"
    rows = [_row(row) for row in table]
    written = [storage.join(folder, name) for name in ("calibration.csv", "calibration.png")]
    storage.write_chunks(written[0], csv_chunks([pa.Table.from_pylist(rows)]))
    storage.write_bytes(written[1], rates_png(table, title))
    return Result(
        {"run_id": loaded.record.run_id, "rates": rows, "threshold": _threshold(found), "files": written},
        _text(table, rates.types, title, found),
        remark="\n".join([*written, *_remarks(loaded.config, found)]),
    )


def _remarks(config: "Config", found: "Threshold | None") -> list[str]:
    """Return what to know of the numbers."""
    remarks = []
    if found is not None:
        remarks.append(
            "change it in a copy of the config with another version: a published one never changes"
        )
    if lacking := sorted(set(config.selection.types) - set(config.negative_pools.pool_n1.galaxy_types)):
        remarks.append(
            f"the pool lacks sources of {', '.join(lacking)} that meet no criterion: their rates are too "
            "high, and a looser limit meets more of them than are counted"
        )
    return remarks


def _row(row: "RateRow") -> dict[str, Any]:
    place = {name: value for name, value in row._asdict().items() if name != "rate"}
    return {**place, **row.rate._asdict()}


def _threshold(found: "Threshold | None") -> dict[str, Any] | None:
    if found is None:
        return None
    return {**found._asdict(), "rate_now": found.rate_now._asdict(), "rate": found.rate._asdict()}


def _percent(rate: "Rate") -> str:
    return f"{100 * rate.rate:.2f} ± {100 * rate.error:.2f}" if rate.sources else "no sources"


def _text(table: "list[RateRow]", types: tuple[str, ...], title: str, found: "Threshold | None") -> Any:
    """Return the rates of all magnitudes as a table, and the config change."""
    from rich.console import Group

    shown = plain_table(f"{title}: percent of the pool that meets each criterion", "", "all", *types)
    for category in dict.fromkeys(row.category for row in table):
        whole = [row.rate for row in table if row.category == category and not row.is_bin]
        shown.add_row(category.replace("_", " "), *map(_percent, whole))
    if found is None:
        return shown
    criterion, _, number = found.key.partition(".")
    lines = [
        "",
        f"# {number} {found.now:g} gives {_percent(found.rate_now)} %",
        f"# {number} {found.value:g} gives {_percent(found.rate)} %",
        "negative_pools:",
        "  pool_n2:",
        "    tractor_criteria:",
        f"      {criterion}:",
        f"        {number}: {found.value:g}",
    ]
    return Group(shown, *lines)
