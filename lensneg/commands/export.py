"""``lensneg export``: a published manifest in formats that other tools read."""

import click

from lensneg.commands.common import json_option, print_json, show

_FORMATS = ("fits", "votable", "csv", "ecsv")


@click.command()
@click.argument("manifest", metavar="MANIFEST")
@click.option("--to", "form", type=click.Choice(_FORMATS), required=True, help="Format to write.")
@click.option(
    "--part",
    type=click.Choice(["negatives", "positives", "both"]),
    default="both",
    show_default=True,
    help="Which rows.",
)
@click.option(
    "--out", default=".", show_default=True, metavar="URI", help="Folder or s3:// prefix to write to."
)
@json_option
def export(manifest: str, form: str, part: str, out: str, as_json: bool) -> None:
    """Write a published manifest as FITS, VOTable, CSV or ECSV, with units and descriptions.

    MANIFEST is an output folder, a run, a manifest's folder or its manifest.json. FITS has units in
    TUNITn and descriptions in TCOMMn, where TOPCAT looks for them; CSV holds no metadata, so a second file
    describes its columns.

    Example: lensneg export build/out --to fits --out tables
    """
    from typing import cast

    from lensneg import storage
    from lensneg.page.export import Format, export_part
    from lensneg.schema.manifest import Manifest, Part

    opened = Manifest.open(manifest)
    folder = storage.normalize(out)
    parts = ("negatives", "positives") if part == "both" else (part,)
    written = []
    for one in parts:
        for name, data in export_part(opened, cast(Part, one), cast(Format, form)).items():
            uri = storage.join(folder, name)
            storage.write_bytes(uri, data)
            written.append({"uri": uri, "bytes": len(data)})
    if as_json:
        print_json({"run_id": opened.run_id, "files": written})
        return
    for file in written:
        show(f"{file['uri']}  {file['bytes']:,} bytes")
