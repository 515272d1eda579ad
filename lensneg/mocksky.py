"""A mock sky: sweep files in the DR10 data model, and a catalogue of lenses that lie in them.

Nobody can try a pipeline on 1.4 TB. A mock sky is small, but has what the real one has where the
pipeline looks: the mix of types, magnitude counts, colours and shapes, exposures that change from brick
to brick, masks, and awkward sources in every file. It is no simulation of galaxies: columns are drawn
one by one from simple laws (:data:`POPULATIONS`), which are tuned so that nearly 5 % of all sources are
galaxies with z < 20, the upper end of what is plausible, and that two in five of these look like
confusers. Sources do not cluster, masks are drawn source by source, and columns that nothing reads are
only filled in.

Lenses ask for no more negatives than their file holds (:data:`_ROOM`), so that any of the files alone can
supply 100 for each of its lenses, as the survey can, if its rows allow.
"""

from __future__ import annotations

import csv
import gzip as gzip_module
import io
import math
import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from lensneg import storage
from lensneg.catalogs import CatalogSpec, read_catalog
from lensneg.datamodel import MASKBITS, SWEEP_COLUMNS, SWEEP_EXTNAME, Cell, sweep_dtype, sweep_name
from lensneg.errors import InputError
from lensneg.sky import unit_vectors

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Generator = np.random.Generator
Position = tuple[float, float]
Stratum = tuple[int, str]  # index of the bin of nobs_z, type

RELEASE: Final = 10002  # DR10.1
MIN_ROWS: Final = 500
MAX_ROWS: Final = 1 << 22  # an OBJID has 22 bits in a TARGETID
#: The first cells of a default sky: two that meet at RA 0, one below, and one at the pole. Each lies in
#: HEALPix pixels that the published split happens to share out nearly 70:15:15, as it does for few cells.
_ANCHORS: Final = ((0, 5), (355, 5), (0, 0), (355, -90))

#: Rows made at once: 2 MB, which stays in a processor's cache while its columns are filled in.
_CHUNK: Final = 4096
_TEMPLATE_ROWS: Final = 1 << 15
#: Rows in all from which on several processes are worth their start.
_PARALLEL_ROWS: Final = 3_000_000
_FLUX: Final = -0.4 * math.log(10)  # flux = exp(_FLUX * (mag - 22.5))


class Population(NamedTuple):
    """A kind of source, and the laws that its columns follow.

    Counts rise as 10^(slope m) up to ``limit`` in z; colours are normal (mean, sigma); radius in arcsec
    and Sersic index are log-normal (median, sigma); ``shape`` is the sigma of e1 and of e2; ``light`` is
    0 for what has no optical flux; ``gaia`` is 1 for what Gaia sees.
    """

    type: str
    share: float
    slope: float
    limit: float
    g_r: float
    g_r_sigma: float
    r_z: float
    r_z_sigma: float
    z_w1: float
    radius: float
    radius_sigma: float
    shape: float
    sersic: float
    sersic_sigma: float
    light: float
    gaia: float


# fmt: off
#: Shares add up to those of the types in DR10.1: PSF 47.6 %, REX 39.7 %, EXP 8.0 %, DEV 3.0 %, SER 1.7 %,
#: DUP 0.01 %. The other numbers are tuned by hand.
POPULATIONS: Final = {
    #                       type share slope limit  g-r   +-   r-z   +-  z-W1 radius       e sersic light gaia
    "star":     Population("PSF", .150, .18, 20.6,  .80, .45,  .60, .50, -1.2,   0,   0,   0,   0,   0, 1, 1),
    "point":    Population("PSF", .326, .35, 23.6,  .70, .60,  .70, .60,  -.5,   0,   0,   0,   0,   0, 1, 0),
    "round":    Population("REX", .277, .50, 23.0, 1.00, .35,  .75, .30,   .7, .55, .45,   0,   1,   0, 1, 0),
    "dwarf":    Population("REX", .120, .50, 23.0,  .45, .20,  .35, .20,   .2, .60, .45,   0,   1,   0, 1, 0),
    "disk":     Population("EXP", .080, .40, 22.4,  .65, .30,  .55, .25,   .6, .85, .40, .30,   1,   0, 1, 0),
    "early":    Population("DEV", .030, .35, 21.0, 1.45, .25, 1.25, .30,   .8, .85, .40, .15,   4,   0, 1, 0),
    "spheroid": Population("SER", .008, .30, 20.4, 1.35, .30,  .85, .20,   .7, .95, .40, .17, 3.3, .30, 1, 0),
    "spiral":   Population("SER", .009, .30, 20.4,  .75, .25,  .50, .20,   .6, 1.0, .40, .26, 1.3, .35, 1, 0),
    "gaia_dup": Population("DUP", 1e-4, .18, 20.6,  .80, .40,  .60, .40, -1.2,   0,   0,   0,   0,   0, 0, 1),
}
# fmt: on
_LAWS: Final = Population._fields[1:]

#: Rates of mask bits, 1 % where nothing is said: one source in eight is in a mask that negatives avoid.
MASK_RATES: Final = dict.fromkeys(MASKBITS, 0.01)
MASK_RATES.update(NPRIMARY=0.0005, BRIGHT=0.03, MEDIUM=0.06, CLUSTER=0.001)
MASK_RATES.update(WISEM1=0.04, WISEM2=0.02, BAILOUT=0.0015)
_UNMASKED: Final = 0.875


class _Band(NamedTuple):
    """A band: 5-sigma depth (AB) of an exposure, A/E(B-V) (DR10 catalogs page), seeing, exposures."""

    name: str
    depth: float
    extinction: float
    psfsize: float
    median_nobs: float


_BANDS: Final = (
    _Band("G", 23.6, 3.214, 1.45, 5.0),
    _Band("R", 23.1, 2.165, 1.30, 5.2),
    _Band("I", 22.6, 1.592, 1.25, 4.5),
    _Band("Z", 22.2, 1.211, 1.23, 5.8),
)
#: Exposures of a source beyond those of its brick, each as likely.
_JITTER: Final = np.array([-1, 0, 0, 1])
#: The bins of nobs_z of the published parameter sets: their lower limits, and a value in each.
_BIN_STARTS: Final = (1, 3, 6, 11)
_BIN_VALUES: Final = (2, 4, 8, 13)

#: Real lenses by type, of the 1,615 that have DR9 photometry; one in 38 is EXP. And what each is here.
LENS_TYPES: Final = {"SER": 965, "DEV": 425, "REX": 183}
_EXP_EVERY: Final = 38
_LENS_POPULATION: Final = {"SER": "spheroid", "DEV": "early", "REX": "round"}
#: Galaxies with z < 20 that a file must hold in a lens's stratum: 100, and enough to spare for 85 of them
#: to be found in N1, given that N2 takes two in three of DEV, and of SER one in three.
_ROOM: Final = {"SER": 220, "DEV": 330, "REX": 220}
_ROWS_PER_LENS: Final = 15_000
#: What may be wrong with a lens; each is somewhere on a default sky.
_FLAWS: Final = ("masked", "faint", "twice", "unobserved", "disk", "star", "only_dup", "nothing")
#: The source of a lens whose flaw keeps it out of all strata.
_FLAWED: Final = {"unobserved": "spheroid", "disk": "disk", "star": "point", "only_dup": "gaia_dup"}


class MockSky(NamedTuple):
    """What was written: the folder of sweeps, the catalogue, and how much."""

    sweeps: str
    positives: str
    files: int
    rows: int
    bytes: int
    seconds: float


class _Lens(NamedTuple):
    """A lens to be: where its galaxy goes, and its flaw."""

    ra: float
    dec: float
    flaw: str = ""


class _Source(NamedTuple):
    """A source that must be there: where, what, and what is special about it."""

    ra: float
    dec: float
    population: str
    mag_z: float
    nobs_z: int = -1  # as drawn
    edits: tuple[tuple[str, float], ...] = ()


class _FilePlan(NamedTuple):
    """All that a file follows from."""

    cell: Cell
    rows: int
    seed: int
    sources: tuple[_Source, ...]
    path: str


# --- The sky: bricks, and what changes from one to the next


class _Bricks(NamedTuple):
    """The parts of bricks that lie in a cell: arrays of one entry a part, or of one row a band.

    Where cells share a brick, each has one ``slot`` of ``slots``, which keeps their OBJIDs apart.
    """

    brickid: IntArray
    name: npt.NDArray[np.bytes_]
    ra: FloatArray
    ra_width: FloatArray
    dec: FloatArray
    dec_width: FloatArray
    slot: IntArray
    slots: IntArray
    nobs: IntArray
    psfsize: FloatArray
    ebv: FloatArray

    def area(self) -> FloatArray:
        """Return each part's share of the cell's area."""
        low, high = np.radians(self.dec), np.radians(self.dec + self.dec_width)
        area = self.ra_width * (np.sin(high) - np.sin(low))
        return np.asarray(area / area.sum())

    def find(self, ra: float, dec: float) -> int:
        """Return the part that holds a position of the cell."""
        # How far from a part's middle, in its half widths: below 1 for one part only.
        across = np.abs(2 * (ra - self.ra) / self.ra_width - 1)
        along = np.abs(2 * (dec - self.dec) / self.dec_width - 1)
        return int(np.maximum(across, along).argmin())


def _field(seed: int, stream: int, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Return a random field on the sphere, smooth and about normal: plane waves know no file borders."""
    rng = np.random.default_rng([seed, stream])
    scales = np.repeat([6, 4, 2, 1, 0.6], 4)  # degrees
    direction = rng.standard_normal((3, len(scales)))
    direction *= 360 / scales / np.linalg.norm(direction, axis=0)
    position = unit_vectors(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    waves = np.cos(position @ direction + rng.uniform(0, 2 * np.pi, len(scales)))
    return np.asarray(waves.sum(axis=1) * math.sqrt(2 / len(scales)))


def _tiling(cell: Cell) -> tuple[IntArray, ...]:
    """Return row, column, columns of the row, id, slot and slots of the bricks that touch a cell.

    The survey's own tiling (DR10 files page): rows of 0.25 degrees centred on Dec -90, -89.75 and so on,
    an even number of bricks in each but for one at the poles, no side above 0.25 degrees; ids count from
    the south. So bricks straddle cells. Integers only: cells must agree on what they share.
    """
    columns = 2 * np.ceil(720 * np.cos(np.radians(np.abs(np.arange(721) / 4 - 90) - 0.125))).astype(int)
    columns[[0, -1]] = 1
    first_id = 1 + np.cumsum(columns) - columns
    ra_min, ra_max, band = int(cell.ra_min), int(cell.ra_max), int(cell.dec_min + 90) // 5
    bricks = []
    for row in range(20 * band, 20 * band + 21):
        n = int(columns[row])
        # In eighths of a degree from the pole: a row goes from 2 row - 1 to 2 row + 1, a cell takes 40.
        bands = (max(2 * row - 1, 0) // 40, 2 * row // 40)
        for j in range(ra_min * n // 360, -(-ra_max * n // 360)):
            first, last = 72 * j // n, -(-72 * (j + 1) // n) - 1
            across = last - first + 1
            slot = (band - bands[0]) * across + ra_min // 5 - first
            bricks.append((row, j, n, first_id[row] + j, slot, across * (bands[1] - bands[0] + 1)))
    return tuple(np.array(bricks).T)


def _bricks_of(cell: Cell, seed: int) -> _Bricks:
    """Return the bricks of a cell, with their exposures, seeing and reddening."""
    row, column, columns, brickid, slot, slots = _tiling(cell)
    ra, dec, half = 360 * (column + 0.5) / columns, row / 4 - 90, 180 / columns
    ra_low, ra_high = np.maximum(ra - half, cell.ra_min), np.minimum(ra + half, cell.ra_max)
    dec_low, dec_high = np.maximum(dec - 0.125, cell.dec_min), np.minimum(dec + 0.125, cell.dec_max)
    names = [
        f"{round(r * 1e4) // 1000:04d}{'m' if d < 0 else 'p'}{round(abs(d) * 1e4) // 1000:03d}"
        for r, d in zip(ra.tolist(), dec.tolist(), strict=True)
    ]
    depth = 0.95 * _field(seed, 1, ra, dec)
    nobs = [
        np.rint(b.median_nobs * np.exp(0.74 * (depth + 0.3 * _field(seed, 2 + i, ra, dec))))
        for i, b in enumerate(_BANDS)
    ]
    nobs[2][_field(seed, 6, ra, dec) < 0] = 0  # half of the sky has no i band
    seeing = np.exp(0.08 * _field(seed, 7, ra, dec))
    return _Bricks(
        brickid=brickid,
        name=np.array(names, dtype="S8"),
        ra=ra_low,
        ra_width=ra_high - ra_low,
        dec=dec_low,
        dec_width=dec_high - dec_low,
        slot=slot,
        slots=slots,
        nobs=np.minimum(nobs, 60).astype(np.int16),
        psfsize=np.array([[b.psfsize] for b in _BANDS]) * seeing,
        # Below zero in places, as the real map, where transmission exceeds 1.
        ebv=0.05 * np.exp(0.7 * _field(seed, 8, ra, dec)) - 0.006,
    )


# --- The rows of a file


class _Template:
    """Rows that every chunk starts from: types, and all columns that no rule looks at.

    A chunk is a copy of some of them, with its own places, fluxes, shapes and masks written over.
    """

    def __init__(self, rng: Generator) -> None:
        populations = list(POPULATIONS.values())
        counts = [max(1, round(p.share * _TEMPLATE_ROWS)) for p in populations]
        order = rng.permutation(np.repeat(np.arange(len(populations)), counts))
        # The first rows again at the end, so that a chunk can start anywhere.
        self.starts = len(order)
        self.population = np.concatenate([order, order[:_CHUNK]])
        numbers = np.array([p[1:] for p in populations], dtype=np.float32)
        self.laws = np.ascontiguousarray(numbers[self.population].T)
        self.rows = np.zeros(len(self.population), dtype=sweep_dtype())
        self.bytes = self.rows.view((np.uint8, self.rows.itemsize))
        self.rows["TYPE"] = np.array([p.type for p in populations], dtype="S3")[self.population]
        self._fill(rng, dict(zip(_LAWS, self.laws, strict=True)))
        self.masks = np.zeros(1 << 16, dtype=np.int32)
        for name, rate in MASK_RATES.items():
            self.masks |= (rng.random(len(self.masks)) < rate).astype(np.int32) << MASKBITS[name]
        # A bright star's mask lies within its wider one.
        self.masks[(self.masks & 1 << MASKBITS["BRIGHT"]) != 0] |= 1 << MASKBITS["MEDIUM"]

    def _fill(self, rng: Generator, law: dict[str, FloatArray]) -> None:
        rows, n = self.rows, len(self.rows)

        def spread(median: float, sigma: float) -> FloatArray:
            return np.asarray(median * np.exp(sigma * rng.standard_normal(n, dtype=np.float32)))

        rows["RELEASE"] = RELEASE
        rows["DCHISQ"] = spread(400, 1)[:, None] * np.array([0.8, 0.9, 0.95, 0.97, 1])
        rows["RA_IVAR"], rows["DEC_IVAR"] = spread(1e14, 1), spread(1e14, 1)
        for band in (*(b.name for b in _BANDS), "W1", "W2", "W3", "W4"):
            rows[f"RCHISQ_{band}"], rows[f"FRACFLUX_{band}"] = spread(1, 0.08), spread(0.03, 1.5)
        for b in _BANDS:
            rows[f"FRACMASKED_{b.name}"] = np.minimum(spread(0.01, 1), 1)
            rows[f"FRACIN_{b.name}"] = 1 - np.minimum(spread(0.01, 1), 1)
            rows[f"ANYMASK_{b.name}"] = np.where(rng.random(n) < 0.03, 2, 0)
        wise = ((2.5, 0.992), (0.7, 0.995), (1.5e-3, 0.999), (1.5e-5, 0.9996))
        for i, (ivar, transmission) in enumerate(wise, 1):
            rows[f"FLUX_IVAR_W{i}"], rows[f"MW_TRANSMISSION_W{i}"] = spread(ivar, 0.2), transmission
            rows[f"FLUX_W{i}"] = spread(3, 1) + rng.standard_normal(n) / math.sqrt(ivar)
            rows[f"NOBS_W{i}"] = rng.integers(12, 40, n)
        rows["PSFDEPTH_W1"], rows["PSFDEPTH_W2"] = spread(2.6, 0.1), spread(0.75, 0.1)
        rows["FITBITS"] = np.where(rng.random(n) < 0.02, 1 << 2, 0) | (law["gaia"] > 0) << 7
        for name in ("SHAPE_E1_IVAR", "SHAPE_E2_IVAR"):
            rows[name] = np.where(law["shape"] > 0, spread(600, 1.2), 0)
        rows["SHAPE_R_IVAR"] = np.where(law["radius"] > 0, spread(600, 1.2), 0)
        rows["SERSIC_IVAR"] = np.where(law["sersic_sigma"] > 0, spread(30, 1), 0)
        rows["GAIA_DUPLICATED_SOURCE"] = b"F"
        stars = law["gaia"] > 0
        seen = np.count_nonzero(stars)
        rows["REF_CAT"][stars] = b"GE"
        rows["REF_ID"][stars] = rng.integers(1 << 40, 1 << 62, seen)
        rows["REF_EPOCH"][stars] = 2016
        rows["GAIA_ASTROMETRIC_PARAMS_SOLVED"][stars] = 31
        for name in rows.dtype.names or ():
            if name in ("PARALLAX", "PMRA", "PMDEC"):
                rows[name][stars] = rng.normal(0, 5, seen)
            elif name.endswith(("_FLUX_OVER_ERROR", "PARALLAX_IVAR", "PMRA_IVAR", "PMDEC_IVAR")):
                rows[name][stars] = rng.exponential(50, seen)
            elif name.endswith("_MEAN_MAG"):
                rows[name][stars] = rng.uniform(15, 21, seen)
            elif name.startswith("GAIA_") and rows.dtype[name].kind == "f":
                rows[name][stars] = rng.exponential(1, seen)


def _fill_chunk(
    block: npt.NDArray[np.void],
    template: _Template,
    index: slice | IntArray,
    bricks: _Bricks,
    brick: IntArray,
    rng: Generator,
    given: tuple[FloatArray, IntArray] | None = None,
) -> None:
    """Write all columns of some rows but RA, DEC and OBJID.

    The rows start as those of the template that ``index`` picks, and lie in the bricks ``brick``; ``given``
    are z magnitudes and NOBS_Z to take instead of drawn ones, where -1 exposures are drawn all the same.
    """
    n = len(block)
    # As bytes, since numpy copies structured rows field by field.
    block.view((np.uint8, block.itemsize))[...] = template.bytes[index]
    law = dict(zip(_LAWS, template.laws[:, index], strict=True))
    normal = iter(rng.standard_normal((14, n), dtype=np.float32))
    block["BRICKID"] = bricks.brickid[brick]
    block["BRICKNAME"] = block["WISE_COADD_ID"] = bricks.name[brick]
    block["MASKBITS"] = template.masks[rng.integers(0, 1 << 16, n, dtype=np.uint16)]

    if given is None:
        # The inverse of the cumulative counts; blurred, as no survey's limit is sharp.
        uniform = 1 - rng.random(n, dtype=np.float32)
        mag_z = np.maximum(law["limit"] + np.log10(uniform) / law["slope"], 13) + 0.2 * next(normal)
    else:
        mag_z = given[0]
    r_z = law["r_z"] + law["r_z_sigma"] * next(normal)
    g_r = law["g_r"] + law["g_r_sigma"] * next(normal)
    z_w1 = law["z_w1"] + 0.35 * next(normal)
    radius = law["radius"] * np.exp(law["radius_sigma"] * next(normal) - 0.2 * (mag_z - 20))
    np.minimum(radius, 30, out=radius)
    sersic = law["sersic"] * np.exp(law["sersic_sigma"] * next(normal))
    block["SHAPE_R"] = radius
    for column in ("SHAPE_E1", "SHAPE_E2"):
        # The limits keep |e| below 1; adding zero turns -0 into 0.
        block[column] = np.clip(law["shape"] * next(normal), -0.67, 0.67) + 0
    block["SERSIC"] = np.where(law["sersic_sigma"] > 0, np.clip(sersic, 0.5, 6), sersic)
    block["GAIA_PHOT_G_MEAN_MAG"] = law["gaia"] * (mag_z + 0.6 * r_z)
    block["FLUX_W1"] = law["light"] * np.exp(_FLUX * (mag_z - z_w1 - 22.5)) + 0.6 * next(normal)
    ebv = (bricks.ebv[brick] * (1 + 0.02 * next(normal))).astype(np.float32)
    block["EBV"] = ebv

    fiber = 0.78 / (1 + 0.4 * radius)  # of the light, what a fibre of 1.5 arcsec takes in
    mags = {"G": mag_z + r_z + g_r, "R": mag_z + r_z, "I": mag_z + 0.4 * r_z, "Z": mag_z}
    for i, band in enumerate(_BANDS):
        nobs = bricks.nobs[i][brick]
        nobs = np.where(nobs > 0, nobs + _JITTER[rng.integers(0, 4, n, dtype=np.uint8)], 0)
        if band.name == "Z" and given is not None:
            nobs = np.where(given[1] >= 0, given[1], nobs)
        seen = nobs > 0
        psfsize = bricks.psfsize[i][brick].astype(np.float32)
        # Depth is (5 / the 5-sigma flux)^2, and falls with the area of the seeing disk.
        exposure = (5 * math.exp(-_FLUX * (band.depth - 22.5)) * band.psfsize) ** 2
        depth = (nobs * (np.float32(exposure) / psfsize**2)).astype(np.float32)
        flux = law["light"] * np.exp(_FLUX * (mags[band.name] - 22.5))
        ivar = law["light"] * depth / (1 + radius + 1e-4 * flux * depth)
        flux = seen * (flux + law["light"] * next(normal) / np.sqrt(np.maximum(ivar, 1e-6)))
        for column, values in (
            ("FLUX", flux),
            ("FLUX_IVAR", ivar),
            ("MW_TRANSMISSION", np.exp(np.float32(_FLUX * band.extinction) * ebv)),
            ("NOBS", nobs),
            ("PSFSIZE", seen * psfsize),
            ("PSFDEPTH", depth),
            ("GALDEPTH", 0.65 * depth),
            ("FIBERFLUX", fiber * flux),
            ("FIBERTOTFLUX", 1.02 * fiber * flux),
        ):
            block[f"{column}_{band.name}"] = values


def _special_rows(
    plan: _FilePlan, template: _Template, bricks: _Bricks, brick: IntArray, rng: Generator
) -> npt.NDArray[np.void]:
    """Return the rows of the sources that must be there."""
    block = np.zeros(len(plan.sources), dtype=sweep_dtype())
    ra, dec, population, mag_z, nobs_z, _ = zip(*plan.sources, strict=True)
    kind = np.array([list(POPULATIONS).index(name) for name in population])
    index = np.array([rng.choice(np.flatnonzero(template.population == k)) for k in kind])
    given = (np.array(mag_z, dtype=np.float32), np.array(nobs_z))
    _fill_chunk(block, template, index, bricks, brick, rng, given)
    block["RA"], block["DEC"], block["MASKBITS"] = ra, dec, 0
    for i, source in enumerate(plan.sources):
        for column, value in source.edits:
            block[column][i] = value
    return block


def _row_chunks(plan: _FilePlan) -> Iterator[memoryview]:
    """Yield the file's rows as bytes, a chunk at a time, brick by brick; the buffer is used again."""
    cell = plan.cell
    rng = np.random.default_rng([plan.seed, int(cell.ra_min), int(cell.dec_min) + 90, plan.rows])
    template, bricks = _Template(rng), _bricks_of(cell, plan.seed)
    home = np.array([bricks.find(source.ra, source.dec) for source in plan.sources])
    special = _special_rows(plan, template, bricks, home, rng)
    own = np.bincount(home, minlength=len(bricks.brickid))
    counts = own + rng.multinomial(plan.rows - len(special), bricks.area())
    assert int((counts * bricks.slots).max()) <= MAX_ROWS, "an OBJID does not fit its 22 bits"
    start_of = np.cumsum(counts) - counts
    # A brick's special rows are its first ones.
    order = np.argsort(home, kind="stable")
    special = special[order]
    special_row = np.arange(len(special)) + (start_of - np.cumsum(own) + own)[home[order]]
    ra_end, dec_end = np.nextafter(cell.ra_max, 0), np.nextafter(cell.dec_max, -90)

    rows = np.zeros(_CHUNK, dtype=sweep_dtype())
    for start in range(0, plan.rows, _CHUNK):
        n = min(_CHUNK, plan.rows - start)
        block, row = rows[:n], np.arange(start, start + n)
        brick = np.searchsorted(start_of + counts, row, side="right")
        offset = int(rng.integers(template.starts))
        _fill_chunk(block, template, slice(offset, offset + n), bricks, brick, rng)
        # Uniform in RA and Dec within a brick, by area between bricks.
        across, along = rng.random((2, n))
        block["RA"] = np.minimum(bricks.ra[brick] + across * bricks.ra_width[brick], ra_end)
        block["DEC"] = np.minimum(bricks.dec[brick] + along * bricks.dec_width[brick], dec_end)
        here = slice(*np.searchsorted(special_row, [start, start + n]))
        block[special_row[here] - start] = special[here]
        block["OBJID"] = (row - start_of[brick]) * bricks.slots[brick] + bricks.slot[brick]
        yield memoryview(block.view(np.uint8).data)


def _header(plan: _FilePlan) -> bytes:
    """Return both header units: an empty primary HDU, and the table's."""
    primary, table = fits.Header(), fits.Header()
    primary.update({"SIMPLE": True, "BITPIX": 16, "NAXIS": 0, "EXTEND": True})
    table.update({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2})
    table.update({"NAXIS1": sweep_dtype().itemsize, "NAXIS2": plan.rows, "PCOUNT": 0, "GCOUNT": 1})
    table["TFIELDS"] = len(SWEEP_COLUMNS)
    for i, column in enumerate(SWEEP_COLUMNS, 1):
        table[f"TTYPE{i}"] = column.name
        table[f"TFORM{i}"] = column.tform
        if column.unit:
            table[f"TUNIT{i}"] = column.unit
    table["EXTNAME"] = SWEEP_EXTNAME
    for header in (primary, table):
        header.update({"RAMIN": plan.cell.ra_min, "DECMIN": plan.cell.dec_min})
        header.update({"RAMAX": plan.cell.ra_max, "DECMAX": plan.cell.dec_max})
        header.update({"SURVEYDR": "DR10", "EQUINOX": 2000.0, "RADESYS": "ICRS"})
        header.update({f"MBIT_{bit}": name for name, bit in MASKBITS.items()})
        header["MOCK"] = (True, "written by lensneg: no data of the survey")
        header["MOCKSEED"] = plan.seed
    return bytes((primary.tostring() + table.tostring()).encode("ascii"))


@contextmanager
def _atomic(path: Path, compress: bool) -> Iterator[BinaryIO]:
    """Open a file that gets its name only once it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as raw:
            if compress:
                # Neither name nor time in the header: the same sky has the same bytes.
                with gzip_module.GzipFile("", "wb", 1, raw, mtime=0) as file:
                    yield cast(BinaryIO, file)
            else:
                yield raw
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _write_file(plan: _FilePlan) -> tuple[str, int]:
    """Write a sweep file; return its path and size."""
    header = _header(plan)
    size = len(header) + plan.rows * sweep_dtype().itemsize
    with _atomic(Path(plan.path), plan.path.endswith(".gz")) as file:
        file.write(header)
        for chunk in _row_chunks(plan):
            file.write(chunk)
        file.write(bytes(-size % 2880))
    return plan.path, os.path.getsize(plan.path)


# --- What must be on the sky


def _shift(ra: float, dec: float, east: float, north: float) -> Position:
    """Return a position moved by some arcseconds."""
    moved = (ra + east / 3600 / max(math.cos(math.radians(dec)), 1e-9)) % 360
    return (0.0 if moved >= 360 else moved), max(dec + north / 3600, -90.0)


def _cell_at(ra: float, dec: float) -> Cell:
    ra_min, dec_min = 5.0 * (ra // 5), 5.0 * (dec // 5)
    return Cell(ra_min, ra_min + 5, dec_min, dec_min + 5)


def _grid() -> list[Cell]:
    """Return the cells from Dec -90 to +40, those near RA 0 first: of these, the first 400 are in DR10."""
    cells = [_cell_at(ra, dec) for ra, dec in _ANCHORS]
    ras = [ra for i in range(36) for ra in (5 * i, 355 - 5 * i)]
    for near_ra_0, decs in ((True, range(-90, 35, 5)), (False, range(-90, 40, 5)), (True, [35])):
        cells += [_cell_at(ra, dec) for ra in ras for dec in decs if near_ra_0 == (ra < 40 or ra >= 320)]
    return list(dict.fromkeys(cells))


def _inside(cell: Cell, rng: Generator) -> Position:
    """Return a random position in a cell, away from its border."""
    return cell.ra_min + rng.uniform(0.05, 4.95), cell.dec_min + rng.uniform(0.05, 4.95)


def _awkward_sources(cell: Cell, rng: Generator) -> list[_Source]:
    """Return what every file has, whatever its size."""
    kinds = ("spheroid", "early", "round", "spiral", "disk")
    wanted: list[tuple[str, int, dict[str, float]]] = [("gaia_dup", -1, {}), ("round", 0, {})]
    wanted += [(kinds[bit % 5], -1, {"MASKBITS": 1 << bit}) for bit in MASKBITS.values()]
    wanted += [("round", nobs, {}) for nobs in _BIN_VALUES]
    for column in ("FLUX_G", "FLUX_R", "FLUX_Z"):
        wanted += [("spiral", -1, {column: value}) for value in (0.0, -1.5, math.nan)]
    # On limits of the published parameter sets, such as z = 20; and a transmission above 1.
    wanted += [
        ("spheroid", 4, {"FLUX_Z": 10.0}),
        ("early", 4, {"FLUX_R": 5.0}),
        ("spheroid", 4, {"SERSIC": 4.0, "FLUX_R": 20.0}),
        ("disk", 4, {"SHAPE_E1": 0.5, "SHAPE_E2": 0.0, "SHAPE_R": 0.75}),
        ("round", 4, {"SHAPE_R": 2.0, "FLUX_R": 20.0, "FLUX_G": 5.0}),
        ("disk", 4, {"EBV": -0.002, **{f"MW_TRANSMISSION_{b.name}": 1.003 for b in _BANDS}}),
    ]
    return [
        _Source(*_inside(cell, rng), kind, 18.6, nobs, tuple(edits.items())) for kind, nobs, edits in wanted
    ]


def _bin_of(nobs: npt.ArrayLike) -> IntArray:
    """Return the index of the bin of nobs_z; -1 for no exposures."""
    return np.asarray(np.searchsorted(_BIN_STARTS, nobs, side="right") - 1)


def _rooms(bricks: _Bricks, rows: int) -> dict[Stratum, float]:
    """Return how many lenses each stratum of a file has galaxies for."""
    bright = dict.fromkeys(LENS_TYPES, 0.0)
    for p in POPULATIONS.values():
        if p.type in bright:
            bright[p.type] += p.share * _UNMASKED * 10 ** (-p.slope * (p.limit - 20))
    nobs = np.where(bricks.nobs[3] > 0, bricks.nobs[3] + _JITTER[:, None], 0)
    area = np.broadcast_to(bricks.area() / len(_JITTER), nobs.shape)
    return {
        (i, kind): rows * float(area[_bin_of(nobs) == i].sum()) * bright[kind] / _ROOM[kind]
        for i in range(len(_BIN_STARTS))
        for kind in LENS_TYPES
    }


def _choose_stratum(own_bin: int, rooms: dict[Stratum, float], taken: Counter[Stratum]) -> Stratum:
    """Return the stratum of a file's next lens.

    While there is room, types come as real lenses have them, at the exposures of the lens's brick; then
    at other exposures, as if the lens lay in a gap between chips; and once the file is full, wherever the
    shortage is least.
    """
    free = [s for s in rooms if taken[s] + 1 <= rooms[s]]
    at_home = [s for s in free if s[0] == own_bin]
    if free:
        return max(at_home or free, key=lambda s: LENS_TYPES[s[1]] / (taken[s] + 1))
    return min(rooms, key=lambda s: (taken[s] + 1) / max(rooms[s], 1e-6))


def _lens_sources(cell: Cell, lenses: list[_Lens], rows: int, seed: int, rng: Generator) -> list[_Source]:
    """Return the sources of a cell's lenses: each its galaxy, and two neighbours within 11 arcsec."""
    bricks = _bricks_of(cell, seed)
    rooms, taken = _rooms(bricks, rows), Counter[Stratum]()
    sources = []
    for lens in lenses:
        nobs = int(bricks.nobs[3][bricks.find(lens.ra, lens.dec)])
        kind = _FLAWED.get(lens.flaw)
        if kind is None and lens.flaw != "nothing":
            stratum = _choose_stratum(int(_bin_of(nobs)), rooms, taken)
            taken[stratum] += 1
            kind = _LENS_POPULATION[stratum[1]]
            nobs = nobs if _bin_of(nobs) == stratum[0] else _BIN_VALUES[stratum[0]]
        if kind is not None:
            mag_z = 20.8 if lens.flaw == "faint" else float(np.clip(rng.normal(18.9, 0.5), 17, 19.7))
            mask = 1 << MASKBITS["MEDIUM"] if lens.flaw == "masked" else 0
            nobs = 0 if lens.flaw == "unobserved" else max(nobs, 1)
            sources.append(_Source(lens.ra, lens.dec, kind, mag_z, nobs, (("MASKBITS", mask),)))
        for neighbour in ("spiral", "round"):
            angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(3, 9)
            place = _shift(lens.ra, lens.dec, distance * math.cos(angle), distance * math.sin(angle))
            sources.append(_Source(*place, neighbour, float(rng.uniform(18, 19.7))))
    return sources


class _Wanted(NamedTuple):
    """What a sky must have: lenses, further sources, and the positions of its catalogue."""

    lenses: list[_Lens]
    sources: list[_Source]
    positions: list[Position]


def _add_seams(cells: list[Cell], sky: _Wanted) -> None:
    """Add a lens on each border between two of the cells, and one at the pole.

    Its galaxy is 0.1 arcsec from the border and its catalogue position as far on the other side, where
    a source comes second as its counterpart.
    """
    seams = []
    for cell in cells:
        if _cell_at(cell.ra_max % 360, cell.dec_min) in cells:
            seams.append((cell.ra_max % 360, cell.dec_min + 2.71, 1, 0))
        if _cell_at(cell.ra_min, cell.dec_max) in cells:
            seams.append((cell.ra_min + 2.37, cell.dec_max, 0, 1))
        if cell.dec_min == -90:
            seams.append((cell.ra_min + 2.5, -90 + 8 / 3600, 0, 1))
    for ra, dec, east, north in seams:
        sky.lenses.append(_Lens(*_shift(ra, dec, 0.1 * east, 0.1 * north)))
        sky.positions.append(_shift(ra, dec, -0.1 * east, -0.1 * north))
        for distance, kind in ((-0.7, "round"), (-6, "spheroid"), (7, "early")):
            place = _shift(ra, dec, distance * east, distance * north)
            sky.sources.append(_Source(*place, kind, 19.0))


def _default_sky(cells: list[Cell], rows: int, rng: Generator) -> _Wanted:
    """Return invented lenses; each flaw is somewhere among them."""
    sky = _Wanted([], [], [])
    _add_seams(cells[: len(_ANCHORS)], sky)
    flaws = [_FLAWS[i % len(_FLAWS)] for i in range(max(len(_FLAWS), len(cells)))]
    for i, cell in enumerate(cells):
        here = flaws[i :: len(cells)] + [""] * max(3, rows // _ROWS_PER_LENS)
        for j, flaw in enumerate(here):
            # One in each of as many bands of Dec, so that lenses are well apart.
            dec = cell.dec_min + 5 * (j + rng.uniform(0.25, 0.75)) / len(here)
            lens = _Lens(_inside(cell, rng)[0], dec, flaw)
            sky.lenses.append(lens)
            for _ in range(2 if flaw == "twice" else 1):
                # Real candidates lie 0.06 arcsec from their source (median).
                sky.positions.append(_shift(lens.ra, lens.dec, *rng.normal(0, 0.05, 2).tolist()))
    # As in real catalogues, one where no sweep file is.
    sky.positions.append((200.0, 62.0))
    return sky


def _catalog_sky(positions: list[Position], cells: list[Cell], rng: Generator) -> _Wanted:
    """Return a lens for each position of a catalogue that lies in the cells."""
    sky = _Wanted([], [], positions)
    for ra, dec in positions:
        if _cell_at(ra, dec) in cells:
            place = _shift(ra, dec, *rng.uniform(-0.07, 0.07, 2).tolist())
            if _cell_at(*place) != _cell_at(ra, dec):
                place = ra, dec
            flaw = "disk" if len(sky.lenses) % _EXP_EVERY == _EXP_EVERY - 1 else ""
            sky.lenses.append(_Lens(*place, flaw))
    return sky


def _read_positions(path: str) -> tuple[bytes, list[Position]]:
    """Return a text catalogue's bytes, and its positions."""
    catalog, data = read_catalog(CatalogSpec(uri=path)), storage.read_bytes(path)
    if data.startswith((b"SIMPLE  =", b"PAR1")):
        raise InputError(f"{path}: the positives of a mock sky are a CSV file; convert the catalogue")
    return data, list(zip(catalog.ra.tolist(), catalog.dec.tolist(), strict=True))


def _catalog_text(positions: list[Position], rng: Generator) -> bytes:
    """Return positions as CSV in the columns of public catalogues of lens candidates."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "ra", "dec", "zlens", "type", "grading", "ref"))
    for ra, dec in positions:
        # Of the real candidates 6 % have no redshift, and 9 % are graded as confident.
        redshift = "" if rng.random() < 0.06 else f"{rng.uniform(0.2, 0.9):.6f}"
        grading = "confident" if rng.random() < 0.09 else "probable"
        place = (f"MOCK-{ra:08.4f}{dec:+08.4f}", f"{ra:.6f}", f"{dec:.6f}")
        writer.writerow((*place, redshift, "galaxy", grading, "mock sky"))
    return text.getvalue().encode("ascii")


def _plan(
    sweeps: Path, files: int, rows: int, seed: int, positives: str | None, suffix: str
) -> tuple[list[_FilePlan], bytes]:
    """Return what each file follows from, and the catalogue's bytes."""
    rng = np.random.default_rng([seed, rows])
    if positives is None:
        cells = _grid()[:files]
        sky = _default_sky(cells, rows, rng)
        text = _catalog_text(sky.positions, rng)
    else:
        text, positions = _read_positions(positives)
        counts = Counter(_cell_at(*position) for position in positions)
        cells = sorted(_grid(), key=lambda cell: (-counts[cell], sweep_name(cell)))[:files]
        if counts[cells[0]] == 0:
            raise InputError(
                f"{positives}: none of its {len(positions):,} positions lies between Dec -90 and +40, "
                "where sweep files are; check its columns, or give a catalogue of the south"
            )
        sky = _catalog_sky(positions, cells, rng)
    lenses: dict[Cell, list[_Lens]] = defaultdict(list)
    for lens in sky.lenses:
        lenses[_cell_at(lens.ra, lens.dec)].append(lens)
    sources: dict[Cell, list[_Source]] = defaultdict(list)
    for cell in cells:
        sky.sources.extend(_lens_sources(cell, lenses[cell], rows, seed, rng))
        sky.sources.extend(_awkward_sources(cell, rng))
    # A neighbour of a lens near a border may belong to another file, or to none.
    for source in sky.sources:
        sources[_cell_at(source.ra, source.dec)].append(source)
    for cell in cells:
        if len(sources[cell]) > rows:
            raise InputError(
                f"rows: {rows:,} are too few for {sweep_name(cell)}: {len(lenses[cell]):,} lenses and "
                f"what comes with them take {len(sources[cell]):,}; ask for more"
            )
    return [
        _FilePlan(cell, rows, seed, tuple(sources[cell]), f"{sweeps}/{sweep_name(cell)}{suffix}")
        for cell in cells
    ], text


# --- The whole


def _check_arguments(sweeps: Path, files: int, rows: int, seed: int) -> None:
    if not 1 <= files <= len(_grid()):
        raise InputError(f"files: got {files}; expected 1 to {len(_grid())}, the cells up to Dec +40")
    if not MIN_ROWS <= rows <= MAX_ROWS:
        raise InputError(
            f"rows: got {rows} for each file; expected {MIN_ROWS}, so that the awkward sources fit, to "
            f"{MAX_ROWS}, as an OBJID has 22 bits"
        )
    if seed < 0:
        raise InputError(f"seed: got {seed}; expected 0 or more")
    if sweeps.exists() and (not sweeps.is_dir() or any(sweeps.iterdir())):
        raise InputError(
            f"{sweeps}: there is something already, and two skies must not mix; name another folder, or "
            "remove this one first"
        )


def _write_files(plans: list[_FilePlan], workers: int) -> Iterator[tuple[str, int]]:
    """Write the files; yield each one's path and size as it is done."""
    if workers == 1:
        yield from map(_write_file, plans)
        return
    # Forked from a server that has imported all once, not from the caller, who may have threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            for done in as_completed([pool.submit(_write_file, plan) for plan in plans]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_mock_sky(
    folder: str | Path,
    *,
    files: int = 4,
    rows: int = 150_000,
    seed: int = 1,
    positives: str | Path | None = None,
    gzip: bool = False,
    workers: int | None = None,
    on_file: Callable[[str, int], None] | None = None,
) -> MockSky:
    """Write a mock sky: ``folder/sweeps/sweep-*.fits`` and ``folder/positives.csv``.

    Without ``positives`` the lenses are invented: one for 15,000 rows, at least three a file, and some
    with each of the flaws that real catalogues have. With it, the files are the cells that hold most
    positions of the catalogue (ties by name), each of these positions gets a galaxy within 0.1 arcsec,
    and the catalogue is copied as it is. In both, a lens's type and exposures are such that its file has
    100 negatives for it, as far as it can: the proportions of real lenses bend to what the file holds.

    Parameters
    ----------
    folder : str or Path
        On this machine. Its ``sweeps`` must be empty or not there.
    files : int
        Sweep files, each a cell of 5 by 5 degrees of the real grid.
    rows : int
        Rows in *each* file, of 505 bytes. The real files have 1.4 to 3.7 million.
    seed : int
        The same arguments give the same bytes on the same platform, whatever ``workers`` is.
    positives : str or Path, optional
        A CSV file of lenses.
    gzip : bool
        Write ``.fits.gz``.
    workers : int, optional
        Processes; by default one for each processor, or one where starting more would take longer.
    on_file : callable, optional
        Called with the path and bytes of each file as it is done, in no fixed order.

    Returns
    -------
    MockSky

    Raises
    ------
    InputError
        If an argument is out of range, the folder holds a sky already, or the catalogue cannot be read
        or has no position between Dec -90 and +40.
    """
    begun = time.monotonic()
    if storage.is_s3(str(folder)):
        raise InputError(f"{folder}: a mock sky is written on this machine; copy it to S3 afterwards")
    root = Path(storage.normalize(str(folder)))
    sweeps, catalog = root / "sweeps", root / "positives.csv"
    _check_arguments(sweeps, files, rows, seed)
    source = None if positives is None else storage.normalize(str(positives))
    plans, text = _plan(sweeps, files, rows, seed, source, ".gz" if gzip else "")
    if workers is None:
        workers = (os.cpu_count() or 1) if files * rows >= _PARALLEL_ROWS else 1
    sweeps.mkdir(parents=True, exist_ok=True)
    total = 0
    for path, size in _write_files(plans, max(1, min(workers, files))):
        total += size
        if on_file is not None:
            on_file(path, size)
    storage.write_bytes(str(catalog), text)
    return MockSky(str(sweeps), str(catalog), files, files * rows, total, time.monotonic() - begun)
