"""``lensneg export``: a published manifest in formats that other tools read."""

from typing import TYPE_CHECKING

import click

from lensneg.commands.common import Command, Result, output_folder, prints_result
from lensneg.commands.manifest_argument import manifest_argument

if TYPE_CHECKING:
    from lensneg.page.export import Format


@click.command(cls=Command)
@manifest_argument
@click.option(
    "--to",
    "form",
    type=click.Choice(["fits", "votable", "csv", "ecsv", "hats", "cutouts"]),
    required=True,
    help="Format to write; cutouts is a list for the survey's cutout tools.",
)
@click.option(
    "--part", type=click.Choice(["negatives", "positives", "both"]), default="both", help="Which rows."
)
@click.option(
    "--size",
    type=click.IntRange(1, 3000),
    default=101,
    metavar="PIXELS",
    help="Side of a cutout of 0.262 arcsec pixels.",
)
@click.option("--bands", default="grz", help="Bands of a cutout, of g, r, i and z.")
@click.option("--out", default=".", metavar="URI", help="Folder or s3:// prefix to write to.")
@prints_result
def export(manifest: str, form: "Format", part: str, size: int, bands: str, out: str) -> Result:
    """Write a published manifest as FITS, VOTable, CSV, ECSV or HATS, or a list of its cutouts.

    FITS has units in TUNITn and descriptions in TCOMMn, as TOPCAT reads them. CSV has no metadata, so a
    second file describes its columns. HATS is a catalogue for lsdb, in the folders negatives and positives.

    Example: lensneg export build/out --to fits --out tables
    """
    from lensneg import storage
    from lensneg.commands.progress import counted
    from lensneg.errors import InputError
    from lensneg.page.export import export_part
    from lensneg.schema.columns import PARTS
    from lensneg.schema.manifest import Manifest, Part

    if not bands or set(bands) - set("griz") or len(set(bands)) < len(bands):
        raise InputError(f"got {bands!r}", where="--bands", remedy="give some of g, r, i and z, each once")
    opened, folder = Manifest.open(manifest), output_folder(out, "--out")
    parts: list[Part] = [one for one in PARTS if part in (one, "both")]
    written = []
    for one in counted(parts, len(parts), f"writing {form}"):
        for name, chunks in export_part(opened, one, form, size, bands):
            uri = storage.join(folder, name)
            written.append({"uri": uri, "bytes": storage.write_chunks(uri, chunks)})
    text = "\n".join(f"{file['uri']}  {file['bytes']:,} bytes" for file in written)
    return Result({"run_id": opened.run_id, "files": written}, text)
