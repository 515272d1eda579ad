"""The rows of a file: what a plan asks for, and a population around it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.mocksky.bricks import Bricks, bricks_of
from lensneg.mocksky.population import (
    BANDS,
    FLUX,
    JITTER,
    MASK_RATES,
    POPULATIONS,
    RELEASE,
    FloatArray,
    Generator,
    IntArray,
    Population,
)
from lensneg.schema.sweep_columns import MASKBITS, sweep_dtype
from lensneg.survey.names import Cell

MAX_ROWS: Final = 1 << 22  # an OBJID has 22 bits in a TARGETID

#: Rows made at once: 2 MB, which stays in a processor's cache while its columns are filled in.
_CHUNK: Final = 4096
_TEMPLATE_ROWS: Final = 1 << 15

_LAWS: Final = Population._fields[1:]


class Source(NamedTuple):
    """A source that must be there: where, what, and what is special about it."""

    ra: float
    dec: float
    population: str
    mag_z: float
    nobs_z: int = -1  # as drawn
    edits: tuple[tuple[str, float], ...] = ()


class FilePlan(NamedTuple):
    """All that a file follows from."""

    cell: Cell
    rows: int
    seed: int
    sources: tuple[Source, ...]
    path: str


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
        for band in (*(b.name for b in BANDS), "W1", "W2", "W3", "W4"):
            rows[f"RCHISQ_{band}"], rows[f"FRACFLUX_{band}"] = spread(1, 0.08), spread(0.03, 1.5)
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


def fill_chunk(
    block: npt.NDArray[np.void],
    template: _Template,
    index: slice | IntArray,
    bricks: Bricks,
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
    block["FLUX_W1"] = law["light"] * np.exp(FLUX * (mag_z - z_w1 - 22.5)) + 0.6 * next(normal)
    ebv = (bricks.ebv[brick] * (1 + 0.02 * next(normal))).astype(np.float32)
    block["EBV"] = ebv

    fiber = 0.78 / (1 + 0.4 * radius)  # of the light, what a fibre of 1.5 arcsec takes in
    mags = {"G": mag_z + r_z + g_r, "R": mag_z + r_z, "I": mag_z + 0.4 * r_z, "Z": mag_z}
    for i, band in enumerate(BANDS):
        nobs = bricks.nobs[i][brick]
        nobs = np.where(nobs > 0, nobs + JITTER[rng.integers(0, 4, n, dtype=np.uint8)], 0)
        if band.name == "Z" and given is not None:
            nobs = np.where(given[1] >= 0, given[1], nobs)
        seen = nobs > 0
        psfsize = bricks.psfsize[i][brick].astype(np.float32)
        # Depth is (5 / the 5-sigma flux)^2, and falls with the area of the seeing disk.
        exposure = (5 * math.exp(-FLUX * (band.depth - 22.5)) * band.psfsize) ** 2
        depth = (nobs * (np.float32(exposure) / psfsize**2)).astype(np.float32)
        flux = law["light"] * np.exp(FLUX * (mags[band.name] - 22.5))
        ivar = law["light"] * depth / (1 + radius + 1e-4 * flux * depth)
        flux = seen * (flux + law["light"] * next(normal) / np.sqrt(np.maximum(ivar, 1e-6)))
        for column, values in (
            ("FLUX", flux),
            ("FLUX_IVAR", ivar),
            ("MW_TRANSMISSION", np.exp(np.float32(FLUX * band.extinction) * ebv)),
            ("NOBS", nobs),
            ("PSFSIZE", seen * psfsize),
            ("PSFDEPTH", depth),
            ("GALDEPTH", 0.65 * depth),
            ("FIBERFLUX", fiber * flux),
            ("FIBERTOTFLUX", 1.02 * fiber * flux),
        ):
            block[f"{column}_{band.name}"] = values


def _special_rows(
    plan: FilePlan, template: _Template, bricks: Bricks, brick: IntArray, rng: Generator
) -> npt.NDArray[np.void]:
    """Return the rows of the sources that must be there."""
    block = np.zeros(len(plan.sources), dtype=sweep_dtype())
    ra, dec, population, mag_z, nobs_z, _ = zip(*plan.sources, strict=True)
    kind = np.array([list(POPULATIONS).index(name) for name in population])
    index = np.array([rng.choice(np.flatnonzero(template.population == k)) for k in kind])
    given = (np.array(mag_z, dtype=np.float32), np.array(nobs_z))
    fill_chunk(block, template, index, bricks, brick, rng, given)
    block["RA"], block["DEC"], block["MASKBITS"] = ra, dec, 0
    for i, source in enumerate(plan.sources):
        for column, value in source.edits:
            block[column][i] = value
    return block


def row_chunks(plan: FilePlan) -> Iterator[memoryview]:
    """Yield the file's rows as bytes, a chunk at a time, brick by brick; the buffer is used again."""
    cell = plan.cell
    rng = np.random.default_rng([plan.seed, int(cell.ra_min), int(cell.dec_min) + 90, plan.rows])
    template, bricks = _Template(rng), bricks_of(cell, plan.seed)
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
        fill_chunk(block, template, slice(offset, offset + n), bricks, brick, rng)
        # Uniform in RA and Dec within a brick, by area between bricks.
        across, along = rng.random((2, n))
        block["RA"] = np.minimum(bricks.ra[brick] + across * bricks.ra_width[brick], ra_end)
        block["DEC"] = np.minimum(bricks.dec[brick] + along * bricks.dec_width[brick], dec_end)
        here = slice(*np.searchsorted(special_row, [start, start + n]))
        block[special_row[here] - start] = special[here]
        block["OBJID"] = (row - start_of[brick]) * bricks.slots[brick] + bricks.slot[brick]
        yield memoryview(block.view(np.uint8).data)
