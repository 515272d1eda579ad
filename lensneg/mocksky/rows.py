"""The rows of a sweep file: the sources that its plan requires, and a random population."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.mocksky.bricks import bricks_of
from lensneg.mocksky.population import (
    BANDS,
    FLUX,
    HARMLESS,
    JITTER,
    MASK_RATES,
    POPULATIONS,
    FloatArray,
    Generator,
    IntArray,
    Population,
)
from lensneg.rules.elementary import exp, log10
from lensneg.schema.sweep_columns import MASKBITS, sweep_dtype
from lensneg.survey.names import Cell

MAX_ROWS: Final = 1 << 22  # an OBJID has 22 bits in a TARGETID

#: Rows made at once: 2 MB, which stay in a processor's cache while their columns are filled in.
_CHUNK: Final = 4096

#: About the number of rows from which all others are copied.
_TEMPLATE_ROWS: Final = 1 << 15

_LAWS: Final = Population._fields[1:]

Rows = npt.NDArray[np.void]


class Source(NamedTuple):
    """A source that a file must contain. ``edits`` are columns whose values are given and not drawn.

    ``r_z`` is the mean of its r - z; NaN for that of its population.
    """

    ra: float
    dec: float
    population: str
    mag_z: float
    nobs_z: int = -1  # drawn
    edits: tuple[tuple[str, float], ...] = ()
    r_z: float = math.nan


class FilePlan(NamedTuple):
    """The path of a file, and everything that determines its bytes."""

    cell: Cell
    rows: int
    seed: int
    sources: tuple[Source, ...]
    path: str
    releases: tuple[int, ...] = (10002,)  # DR10.1


def _fill_template(rows: Rows, law: dict[str, FloatArray], rng: Generator) -> None:
    """Write the columns that no rule reads, and those that only further criteria of N2 read."""
    n = len(rows)

    def spread(median: float, sigma: float) -> FloatArray:
        return np.asarray(median * exp(sigma * rng.standard_normal(n, dtype=np.float32)))

    rows["DCHISQ"] = spread(400, 1)[:, None] * np.array([0.8, 0.9, 0.95, 0.97, 1])
    rows["RA_IVAR"], rows["DEC_IVAR"] = spread(1e14, 1), spread(1e14, 1)
    for band in (*(b.name for b in BANDS), "W1", "W2", "W3", "W4"):
        rows[f"RCHISQ_{band}"], rows[f"FRACFLUX_{band}"] = spread(1, 0.12), spread(0.03, 1.5)
    for b in BANDS:
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
    for column, fitted in (("SHAPE_E1", "shape"), ("SHAPE_E2", "shape"), ("SHAPE_R", "radius")):
        rows[f"{column}_IVAR"] = np.where(law[fitted] > 0, spread(600, 1.2), 0)
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


class _RowMaker:
    """The maker of a file's rows.

    Template rows hold the types, and all columns that no rule reads. A block of rows starts as a copy of some
    of them, and gets its own positions, fluxes, shapes and masks. All random numbers of a file come from one
    generator, so their order determines its bytes.
    """

    def __init__(self, plan: FilePlan) -> None:
        cell = plan.cell
        self.bricks = bricks_of(cell, plan.seed)
        self.releases = np.array(plan.releases)
        self.rng = rng = np.random.default_rng(
            [plan.seed, int(cell.ra_min), int(cell.dec_min) + 90, plan.rows]
        )
        populations = list(POPULATIONS.values())
        counts = [max(1, round(p.share * _TEMPLATE_ROWS)) for p in populations]
        order = rng.permutation(np.repeat(np.arange(len(populations)), counts))
        # The first rows again at the end, so that a chunk can start anywhere.
        self.starts = len(order)
        self.population = np.concatenate([order, order[:_CHUNK]])
        numbers = np.array([p[1:] for p in populations], dtype=np.float32)
        self.laws = np.ascontiguousarray(numbers[self.population].T)
        rows = np.zeros(len(self.population), dtype=sweep_dtype())
        rows["TYPE"] = np.array([p.type for p in populations], dtype="S3")[self.population]
        _fill_template(rows, dict(zip(_LAWS, self.laws, strict=True)), rng)
        # As bytes, since numpy copies structured rows field by field.
        self.template = rows.view((np.uint8, rows.itemsize))
        self.masks = np.zeros(1 << 16, dtype=np.int32)
        for name, rate in MASK_RATES.items():
            self.masks |= (rng.random(len(self.masks)) < rate).astype(np.int32) << MASKBITS[name]
        # A bright star's mask lies within its wider one.
        self.masks[(self.masks & 1 << MASKBITS["BRIGHT"]) != 0] |= 1 << MASKBITS["MEDIUM"]

    def fill(
        self, block: Rows, index: slice | IntArray, brick: IntArray, sources: Sequence[Source] = ()
    ) -> None:
        """Write all columns of a block of rows but RA, DEC and OBJID.

        Parameters
        ----------
        block : structured ndarray, shape (n,)
            The rows.
        index : slice or ndarray of int, shape (n,)
            The template rows to start from.
        brick : ndarray of int, shape (n,)
            The brick of each row.
        sources : sequence of Source, optional
            The source of each row, whose z magnitude, NOBS_Z and mean r - z are taken instead of drawn ones.
        """
        n, bricks, rng = len(block), self.bricks, self.rng
        block.view((np.uint8, block.itemsize))[...] = self.template[index]
        law = dict(zip(_LAWS, self.laws[:, index], strict=True))
        normal = iter(rng.standard_normal((14, n), dtype=np.float32))
        block["BRICKID"] = bricks.brickid[brick]
        block["RELEASE"] = self.releases[block["BRICKID"] % len(self.releases)]
        block["BRICKNAME"] = block["WISE_COADD_ID"] = bricks.name[brick]
        block["MASKBITS"] = self.masks[rng.integers(0, 1 << 16, n, dtype=np.uint16)]

        if sources:
            mag_z = np.array([source.mag_z for source in sources], dtype=np.float32)
        else:
            # The inverse of the cumulative counts, blurred, as the limit of a survey is not sharp.
            uniform = 1 - rng.random(n, dtype=np.float32)
            mag_z = np.maximum(
                law["limit"] + log10(uniform).astype(np.float32) / law["slope"], 13
            ) + 0.2 * next(normal)
        if sources:
            given = np.array([source.r_z for source in sources], dtype=np.float32)
            law["r_z"] = np.where(np.isnan(given), law["r_z"], given)
        r_z = law["r_z"] + law["r_z_sigma"] * next(normal)
        g_r = law["g_r"] + law["g_r_sigma"] * next(normal)
        z_w1 = law["z_w1"] + 0.35 * next(normal)
        radius = law["radius"] * exp(law["radius_sigma"] * next(normal) - 0.2 * (mag_z - 20))
        sersic = law["sersic"] * exp(law["sersic_sigma"] * next(normal))
        block["SHAPE_R"] = radius = np.minimum(radius, 30)
        for column in ("SHAPE_E1", "SHAPE_E2"):
            # The limits keep |e| below 1. Adding zero turns -0 into 0.
            block[column] = np.clip(law["shape"] * next(normal), -0.67, 0.67) + 0
        block["SERSIC"] = np.where(law["sersic_sigma"] > 0, np.clip(sersic, 0.5, 6), sersic)
        block["GAIA_PHOT_G_MEAN_MAG"] = law["gaia"] * (mag_z + 0.6 * r_z)
        block["FLUX_W1"] = law["light"] * exp(FLUX * (mag_z - z_w1 - 22.5)) + 0.6 * next(normal)
        ebv = (bricks.ebv[brick] * (1 + 0.02 * next(normal))).astype(np.float32)
        block["EBV"] = ebv

        fiber = 0.78 / (1 + 0.4 * radius)  # share of the light in a fibre of 1.5 arcsec
        mags = {"G": mag_z + r_z + g_r, "R": mag_z + r_z, "I": mag_z + 0.4 * r_z, "Z": mag_z}
        for i, band in enumerate(BANDS):
            nobs = bricks.nobs[i][brick]
            nobs = np.where(nobs > 0, nobs + JITTER[rng.integers(0, len(JITTER), n, dtype=np.uint8)], 0)
            if band.name == "Z" and sources:
                given = np.array([source.nobs_z for source in sources])
                nobs = np.where(given >= 0, given, nobs)
            seen = nobs > 0
            psfsize = bricks.psfsize[i][brick].astype(np.float32)
            # Depth is (5 / the 5-sigma flux)^2, and falls with the area of the seeing disk.
            exposure = (5 * float(exp(np.array(-FLUX * (band.depth - 22.5)))) * band.psfsize) ** 2
            depth = (nobs * (np.float32(exposure) / psfsize**2)).astype(np.float32)
            flux = law["light"] * exp(FLUX * (mags[band.name] - 22.5))
            ivar = law["light"] * depth / (1 + radius + 1e-4 * flux * depth)
            flux = seen * (flux + law["light"] * next(normal) / np.sqrt(np.maximum(ivar, 1e-6)))
            for column, values in (
                ("FLUX", flux),
                ("FLUX_IVAR", ivar),
                ("MW_TRANSMISSION", exp(np.float32(FLUX * band.extinction) * ebv)),
                ("NOBS", nobs),
                ("PSFSIZE", seen * psfsize),
                ("PSFDEPTH", depth),
                ("GALDEPTH", 0.65 * depth),
                ("FIBERFLUX", fiber * flux),
                ("FIBERTOTFLUX", 1.02 * fiber * flux),
            ):
                block[f"{column}_{band.name}"] = values

    def required_rows(self, sources: Sequence[Source], brick: IntArray) -> Rows:
        """Return the rows of required sources."""
        block = np.zeros(len(sources), dtype=sweep_dtype())
        kinds = [list(POPULATIONS).index(source.population) for source in sources]
        index = np.array([self.rng.choice(np.flatnonzero(self.population == kind)) for kind in kinds])
        self.fill(block, index, brick, sources)
        block["MASKBITS"] &= HARMLESS
        for row, source in zip(block, sources, strict=True):
            row["RA"], row["DEC"] = source.ra, source.dec
            for column, value in source.edits:
                row[column] = value
        return block


def row_chunks(plan: FilePlan) -> Iterator[Rows]:
    """Yield a file's rows, in the columns of DR10, in chunks and ordered by brick. The buffer is reused."""
    cell = plan.cell
    maker = _RowMaker(plan)
    bricks, rng = maker.bricks, maker.rng
    home = np.array([bricks.find(source.ra, source.dec) for source in plan.sources])
    required = maker.required_rows(plan.sources, home)
    own = np.bincount(home, minlength=len(bricks.brickid))
    counts = own + rng.multinomial(plan.rows - len(required), bricks.area())
    assert int((counts * bricks.slots).max()) <= MAX_ROWS, "an OBJID does not fit its 22 bits"
    start_of = np.cumsum(counts) - counts
    # A brick's required rows are its first ones.
    order = np.argsort(home, kind="stable")
    required = required[order]
    required_row = np.arange(len(required)) + (start_of - np.cumsum(own) + own)[home[order]]
    ra_end, dec_end = np.nextafter(cell.ra_max, 0), np.nextafter(cell.dec_max, -90)

    rows = np.zeros(_CHUNK, dtype=sweep_dtype())
    for start in range(0, plan.rows, _CHUNK):
        n = min(_CHUNK, plan.rows - start)
        block, row = rows[:n], np.arange(start, start + n)
        brick = np.searchsorted(start_of + counts, row, side="right")
        offset = int(rng.integers(maker.starts))
        maker.fill(block, slice(offset, offset + n), brick)
        # Uniform in RA and Dec within a brick, by area between bricks.
        across, along = rng.random((2, n))
        block["RA"] = np.minimum(bricks.ra[brick] + across * bricks.ra_width[brick], ra_end)
        block["DEC"] = np.minimum(bricks.dec[brick] + along * bricks.dec_width[brick], dec_end)
        here = slice(*np.searchsorted(required_row, [start, start + n]))
        block[required_row[here] - start] = required[here]
        block["OBJID"] = (row - start_of[brick]) * bricks.slots[brick] + bricks.slot[brick]
        yield block
