"""``lensneg export``: a published manifest in formats that other tools read."""

from typing import TYPE_CHECKING

import click

from lensneg.commands.common import Command, Result, prints_result
from lensneg.commands.manifest_argument import manifest_argument

if TYPE_CHECKING:
    from lensneg.page.export import Format


@click.command(cls=Command)
@manifest_argument
@click.option(
    "--to",
    "form",
    type=click.Choice(["fits", "votable", "csv", "ecsv"]),
    required=True,
    help="Format to write.",
)
@click.option(
    "--part", type=click.Choice(["negatives", "positives", "both"]), default="both", help="Which rows."
)
@click.option("--out", default=".", metavar="URI", help="Folder or s3:// prefix to write to.")
@prints_result
def export(manifest: str, form: "Format", part: str, out: str) -> Result:
    """Write a published manifest as FITS, VOTable, CSV or ECSV, with units and descriptions.

    FITS has units in TUNITn and descriptions in TCOMMn, as TOPCAT reads them. CSV has no metadata, so a
    second file describes its columns.

    Example: lensneg export build/out --to fits --out tables
    """
    from lensneg import storage
    from lensneg.commands.progress import counted
    from lensneg.errors import InputError
    from lensneg.page.export import export_part
    from lensneg.schema.columns import PARTS
    from lensneg.schema.manifest import Manifest, Part

    opened, folder = Manifest.open(manifest), storage.normalize(out)
    if storage.is_file(folder):
        raise InputError("a file", where=f"--out {folder}", remedy="name a folder, which need not exist yet")
    parts: list[Part] = [one for one in PARTS if part in (one, "both")]
    written = []
    for one in counted(parts, len(parts), f"writing {form}"):
        for name, data in export_part(opened, one, form).items():
            uri = storage.join(folder, name)
            storage.write_bytes(uri, data)
            written.append({"uri": uri, "bytes": len(data)})
    text = "\n".join(f"{file['uri']}  {file['bytes']:,} bytes" for file in written)
    return Result({"run_id": opened.run_id, "files": written}, text)
