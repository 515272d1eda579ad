"""The self-test: a fixed sky of 1,000 rows goes through the reader and the rules.

Each must give what is recorded here. So a wrong build of the code or of a library (numpy, healpy, astropy)
shows before a file of the user is read.
"""

import hashlib
import io
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from lensneg.rules.photometry import magnitude
from lensneg.rules.pools import classify
from lensneg.rules.priority import sampling_priority, targetid
from lensneg.rules.rows import Rows
from lensneg.rules.selection import first_failed_rule
from lensneg.rules.sky import healpix_pixel
from lensneg.rules.split import split_of_pixel
from lensneg.rules.strata import nobs_z_bin
from lensneg.rules.systems import near_any
from lensneg.schema.arrays import FloatArray
from lensneg.schema.check import Check
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.resources import CONFIGS
from lensneg.schema.sweep_columns import MASKBITS, SOURCE_TYPES, SWEEP_EXTNAME, sweep_dtype
from lensneg.storage import FileInfo
from lensneg.survey.fits_layout import read_layout

#: Rows of the fixed sky.
_ROWS: Final = 1_000

#: What each rule gives for the fixed sky under the shipped config negative_sampling_v1: the first 16 digits
#: of its SHA-256. The rules stand in the order in which rows go through them.
RECORDED: Final[dict[str, str]] = {
    "reader": "f7a1471f9e4c68c6",
    "cuts": "e1d5b72afae5905f",
    "magnitudes": "4d39f0dc83ed316e",
    "pools": "25efd68cc5ac1fa5",
    "nobs_z bins": "731e7d356004d344",
    "lens exclusion": "381a5b6b28e6d08a",
    "HEALPix pixels": "7cc515c4d9701bcf",
    "splits": "afa4ffca578fd838",
    "sampling priorities": "063a31d393e8df64",
}


def self_test() -> Check:
    """Send the fixed sky through the reader and the rules, and compare what they give with what is recorded.

    Returns
    -------
    Check
        It names the first rule that gives something else.
    """
    differing = [rule for rule, found in _results().items() if found != RECORDED[rule]]
    return Check(
        name="self_test",
        passed=not differing,
        expected=f"what is recorded of {len(RECORDED)} rules for a fixed sky of {_ROWS:,} rows",
        actual=f"{differing[0]}: another result" if differing else f"{len(RECORDED)} rules agree",
        remedy="install lensneg and its dependencies again, in the versions of requirements.lock",
    )


def _results() -> dict[str, str]:
    """Return the digest of what each rule gives, in the order of the rules."""
    # Read from the package, not through storage: on AWS that takes files of S3 alone.
    config = Config.parse((CONFIGS / "negative_sampling_v1.yaml").read_text(encoding="utf-8"))
    sky = fixed_sky()
    rows = Rows(sky)
    ra, dec, radius = rows["RA"], rows["DEC"], config.exclusion.known_lens_radius_arcsec
    pixels = healpix_pixel(config.spatial_splits.nside, ra, dec)
    rules: dict[str, Callable[[], npt.ArrayLike]] = {
        "reader": lambda: _read(sky).tobytes(),
        "cuts": lambda: [reason or "" for reason in first_failed_rule(rows, config)],
        "magnitudes": lambda: np.round(magnitude(rows["FLUX_R"]), 3),
        "pools": lambda: np.stack(classify(rows, config)).astype("<i8"),
        "nobs_z bins": lambda: nobs_z_bin(rows["NOBS_Z"], config.strata).astype("<i8"),
        "lens exclusion": lambda: np.flatnonzero(near_any(ra, dec, *_lenses(ra, dec), radius)),
        "HEALPix pixels": lambda: pixels,
        "splits": lambda: split_of_pixel(pixels, config.spatial_splits),
        "sampling priorities": lambda: sampling_priority(
            targetid(rows["RELEASE"], rows["BRICKID"], rows["OBJID"]), config.negative_pools.seed
        ),
    }
    return {name: _digest(rule) for name, rule in rules.items()}


def _digest(rule: Callable[[], npt.ArrayLike]) -> str:
    values = np.asarray(rule())
    text = (
        values.tobytes()
        if values.dtype.kind == "S"
        else "\n".join(map(str, values.ravel().tolist())).encode()
    )
    return hashlib.sha256(text).hexdigest()[:16]


def _spread(column: int, low: float, high: float) -> FloatArray:
    """Return numbers that are spread evenly over an interval, by integer arithmetic alone."""
    places = (np.arange(_ROWS, dtype=np.uint64) * 2_654_435_761 + column * 1_013_904_223) % 2**32
    return low + (high - low) * (places.astype(np.float64) / 2**32)


def fixed_sky() -> npt.NDArray[np.void]:
    """Return the rows of the fixed sky: values at, below and above each limit, and missing ones.

    Returns
    -------
    structured ndarray, shape (1000,)
        The columns of a sweep table that are needed, big-endian.
    """
    sky = np.zeros(_ROWS, [(name, sweep_dtype()[name]) for name in NEEDED_COLUMNS])
    number = np.arange(_ROWS)
    for column, name in enumerate(NEEDED_COLUMNS):
        if sky.dtype[name].kind == "f":
            sky[name] = _spread(column, 0.0, 8.0)
    sky["RELEASE"], sky["BRICKID"], sky["OBJID"] = 10002, 300_000 + number // 40, number % 40
    sky["BRICKNAME"] = [f"{n // 40:04d}p000" for n in number]
    sky["TYPE"] = np.array(SOURCE_TYPES)[number % len(SOURCE_TYPES)]
    sky["RA"] = np.where(number % 10, _spread(50, 0.0, 360.0), _spread(50, -0.01, 0.01) % 360)
    sky["DEC"] = _spread(51, -89.9, 89.9)
    for column, band in enumerate("GRZ"):
        sky[f"NOBS_{band}"] = (number // (7 + column)) % 14
        sky[f"FLUX_{band}"] = _spread(52 + column, 0.0, 40.0)
    for place, flux in enumerate(
        [np.nan, -1.0, 0.0, 10.0, np.nextafter(np.float32(10), np.float32(0)), 3.0, 5.0]
    ):
        sky["FLUX_Z"][place * 7 :: 97] = flux
        sky["FLUX_R"][place * 7 :: 101] = flux
    sky["MASKBITS"] = np.where(number % 3, 0, 1 << (number % len(MASKBITS)))
    sky["EBV"][::83] = np.inf
    sky["BRICKID"][::211] = 0
    sky["SHAPE_E1"], sky["SHAPE_E2"] = _spread(56, -0.6, 0.6), _spread(57, -0.6, 0.6)
    return sky


def _read(sky: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Write the sky as a FITS file in memory, and return the rows as the reader finds them."""
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(sky, name=SWEEP_EXTNAME)]).writeto(stream)
    content = stream.getvalue()
    file = read_layout(io.BytesIO(content), FileInfo("self-test", len(content), ""))
    return np.frombuffer(content, file.dtype, file.n_rows, file.data_start)


def _lenses(ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return lenses north of every tenth source, by 0 to 22 arcseconds."""
    return ra[::10], np.minimum(dec[::10] + np.arange(len(ra[::10])) * (22 / 3600 / len(ra[::10])), 90.0)
