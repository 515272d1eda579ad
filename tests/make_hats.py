"""Make a HATS catalogue of a folder of sweep files, with hats-import: make_hats.py SWEEPS CATALOGUE ROWS.

It runs in an environment of its own (`make .venv-hats`), as hats-import brings dask and much else. ROWS is
the number above which a pixel is divided.
"""

import sys
import warnings
from pathlib import Path

from dask.distributed import Client
from hats_import.catalog.arguments import ImportArguments
from hats_import.catalog.file_readers import FitsReader
from hats_import.pipeline import pipeline_with_client


def main(sweeps: str, catalogue: str, rows: str) -> None:
    """Import the files in one process."""
    warnings.simplefilter("ignore")
    root = Path(catalogue)
    arguments = ImportArguments(
        output_artifact_name=root.name,
        output_path=root.parent,
        input_file_list=sorted(Path(sweeps).glob("sweep-*.fits")),
        file_reader=FitsReader(chunksize=50_000, skip_column_names=["DCHISQ"]),
        ra_column="RA",
        dec_column="DEC",
        pixel_threshold=int(rows),
        highest_healpix_order=7,
        progress_bar=False,
    )
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        pipeline_with_client(arguments, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
