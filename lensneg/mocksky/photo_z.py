"""Made-up photometric redshifts: a ``-pz`` file beside each sweep file, row by row."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from lensneg.mocksky.rows import FilePlan, Rows
from lensneg.mocksky.sweep_files import complete_file, file_chunks
from lensneg.rules.priority import sampling_priority, targetid
from lensneg.survey.photo_z import IDENTITY, pz_name

#: The bands that a redshift needs; without one of them it is the survey's -99.
_BANDS: Final = ("G", "R", "Z", "W1", "W2")
_NONE: Final = -99.0


def _columns(rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of some rows: redshifts grow with the magnitude in z, and their errors too.

    The scatter is made of the TARGETID, and is uniform within the error. Only square roots are used, so the
    bytes are the same everywhere.
    """
    flux = {band: rows[f"FLUX_{band}"].astype(np.float64) for band in _BANDS}
    measured = np.all([flux[band] > 0 for band in _BANDS], axis=0)
    ratio = 10 / np.where(measured, flux["Z"], 10.0)
    redshift = 0.5 * np.sqrt(np.sqrt(ratio))
    error = 0.02 * (1 + redshift) * np.sqrt(np.maximum(ratio, 0.1))
    scatter = sampling_priority(targetid(*(rows[name] for name in IDENTITY)), seed=0) / 2**63
    median = np.maximum(0.01, redshift + error * scatter)
    values = {"MEAN": median, "MEDIAN": median, "STD": error, "L68": median - error, "U68": median + error}
    ids = {name: np.ascontiguousarray(rows[name]) for name in IDENTITY}
    return ids | {
        f"Z_PHOT_{name}": np.where(measured, value, _NONE).astype(np.float32)
        for name, value in values.items()
    }


def write_pz(plan: FilePlan, folder: Path) -> None:
    """Write the ``-pz`` file of a sweep file, with those of the survey's columns that say a redshift."""
    name = pz_name(Path(plan.path).name)
    assert name is not None
    chunks = [_columns(chunk) for chunk in file_chunks(plan)]
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(
                column, "E" if column.startswith("Z") else "I" if column == "RELEASE" else "J",
                array=np.concatenate([chunk[column] for chunk in chunks]),
            )
            for column in chunks[0]
        ]
    )  # fmt: skip
    table.header["MOCK"] = (True, "written by lensneg: no data of the survey")
    with complete_file(folder / name) as part:
        table.writeto(part, overwrite=True)
