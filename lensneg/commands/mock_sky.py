"""``lensneg mock-sky``: a mock sky."""

from pathlib import Path
from typing import Any

import click

from lensneg.commands.common import Command, Result, notes, prints_result


@click.command("mock-sky", cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--files", default=4, help="Sweep files, each a cell of 5 x 5 degrees.")
@click.option("--rows", default=250_000, help="Rows of each file.")
@click.option("--seed", default=1, help="The same seed gives the same bytes.")
@click.option(
    "--positives",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A real catalogue: cover cells whose lenses the rows suffice for, with a galaxy at each of them.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["fits", "hats", "parquet"]),
    default="fits",
    help="Sweep files, a HATS catalogue of the same rows, or a Parquet file for each sweep file.",
)
@click.option(
    "--release",
    "releases",
    type=int,
    multiple=True,
    default=[10002],
    help="The RELEASE of the rows: 9010, 9011 or 9012 of DR9, with its columns, 10000 or 10002 of DR10, "
    "11010 of DR11. May be repeated: it then changes from brick to brick.",
)
@click.option("--gzip", is_flag=True, help="Write .fits.gz files.")
@click.option("--pz", is_flag=True, help="Write DIR/pz too: photometric redshifts beside each sweep file.")
@prints_result
def mock_sky(folder: Path, files: int, **options: Any) -> Result:
    """Write a mock sky in the DR10 data model to DIR.

    Example: lensneg mock-sky build/sky --files 4 --rows 250000
    """
    from rich.progress import Progress

    from lensneg.mocksky import write_mock_sky

    with Progress(console=notes, disable=not notes.is_terminal or notes.quiet) as progress:
        bar = progress.add_task("writing sweep files", total=files)
        sky = write_mock_sky(
            folder, files=files, **options, on_file=lambda _path, _size: progress.advance(bar)
        )
    megabytes = sky.bytes / 1e6
    speed = f"{megabytes:,.0f} MB in {sky.seconds:.1f} s ({megabytes / sky.seconds:,.0f} MB/s)"
    kind = "partitions" if options["file_format"] == "hats" else "sweep files"
    text = f"{sky.files} {kind}, {sky.rows:,} rows, {speed}"
    places = {"sweeps": str(sky.sweeps), "positives": str(sky.positives), "pz": sky.pz}
    counts = {"files": sky.files, "rows": sky.rows, "bytes": sky.bytes, "seconds": sky.seconds}
    written = [f"{name:<9}  {place}" for name, place in places.items() if place is not None]
    return Result(counts | places, "\n".join([text, *written]))
