"""The required content of a sky: lenses with flaws and neighbours, unusual sources, and the catalogue."""

import itertools
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg import storage
from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import InputError
from lensneg.mocksky.bricks import Bricks, bricks_of
from lensneg.mocksky.population import BANDS, JITTER, POPULATIONS, UNMASKED, Generator, IntArray, Position
from lensneg.mocksky.rows import MAX_ROWS, FilePlan, Source
from lensneg.rules.elementary import LN_10, exp, sin_cos
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.sweep_columns import MASKBITS
from lensneg.survey.names import Cell, sweep_name

Stratum = tuple[int, str]  # index of the bin of nobs_z, type

#: The first cells of a default sky: two that meet at RA 0, one below, and one at the pole. The published
#: split divides the HEALPix pixels of each of them nearly 70:15:15, which is true of few cells.
_ANCHORS: Final = ((0, 5), (355, 5), (0, 0), (355, -90))

#: The bins of nobs_z in the published parameter sets: their lower limits, and a value in each.
_BIN_STARTS: Final = (1, 3, 6, 11)
_BIN_VALUES: Final = (2, 4, 8, 13)

#: The quantiles of the magnitudes of real lenses that are given.
_QUANTILES: Final = (0.02, 0.16, 0.5, 0.84, 0.98)


class _LensType(NamedTuple):
    """Real lenses of a type: their number of 1,615 with DR9 photometry, and quantiles of their z.

    Faint lenses are redder: the mean of r - z is ``r_z`` at z = 19, and grows by ``r_z_slope`` a magnitude.
    ``room`` is the number of galaxies of the pool that a file must hold in the stratum of a lens: 100, and so
    many more that chance does not matter and that 85 are in N1. Half of the DEV galaxies are in N2.
    """

    number: int
    population: str
    mag_z: tuple[float, float, float, float, float]
    r_z: float
    r_z_slope: float
    room: int


_LENS_TYPES: Final = {
    "SER": _LensType(965, "spheroid", (15.97, 16.93, 17.96, 18.82, 19.64), 1.25, 0.12, 150),
    "DEV": _LensType(425, "early", (16.63, 17.95, 18.81, 19.43, 19.81), 1.46, 0.23, 190),
    "REX": _LensType(183, "round", (17.66, 18.66, 19.22, 19.71, 19.92), 1.05, 0.18, 150),
    "EXP": _LensType(42, "disk", (17.45, 18.57, 19.43, 19.81, 19.93), 1.19, 0.11, 150),
}

#: The limits of paper_iv_parity: the least number of exposures in g, r and z, and cells within its Dec.
_NOBS_MIN: Final = 3
_DEC_RANGE: Final = (-15, 30)

#: Rows for each invented lens of a default sky.
_ROWS_PER_LENS: Final = 25_000

#: The rows that the lenses of a cell need are found in steps of this number.
_ROWS_STEP: Final = 10_000

#: The flaws of lenses. A default sky has each of them.
_FLAWS: Final = ("masked", "faint", "twice", "unobserved", "disk", "star", "only_dup", "nothing")

#: The population of a lens whose flaw excludes it from all strata.
_FLAWED: Final = {"unobserved": "spheroid", "star": "point", "only_dup": "gaia_dup"}


class _Lens(NamedTuple):
    """A lens: the position of its galaxy, and its flaw."""

    ra: float
    dec: float
    flaw: str = ""


def _shift(ra: float, dec: float, east: float, north: float) -> Position:
    """Return a position moved by some arcseconds."""
    moved = (ra + east / 3600 / max(float(sin_cos(dec)[1]), 1e-9)) % 360
    return (0.0 if moved >= 360 else moved), max(dec + north / 3600, -90.0)


def cell_at(ra: float, dec: float) -> Cell:
    """Return the cell of the real grid that holds a position."""
    ra_min, dec_min = 5.0 * (ra // 5), 5.0 * (dec // 5)
    return Cell(ra_min, ra_min + 5, dec_min, dec_min + 5)


def grid() -> list[Cell]:
    """Return the cells from Dec -90 to +40, those near RA 0 first. The first 400 of them are in DR10."""
    cells = [cell_at(ra, dec) for ra, dec in _ANCHORS]
    ras = [ra for i in range(36) for ra in (5 * i, 355 - 5 * i)]
    for near_ra_0, decs in ((True, range(-90, 35, 5)), (False, range(-90, 40, 5)), (True, [35])):
        cells += [cell_at(ra, dec) for ra in ras for dec in decs if near_ra_0 == (ra < 40 or ra >= 320)]
    return list(dict.fromkeys(cells))


def _inside(cell: Cell, rng: Generator) -> Position:
    """Return a random position in a cell, at some distance from its border."""
    return cell.ra_min + rng.uniform(0.05, 4.95), cell.dec_min + rng.uniform(0.05, 4.95)


def _awkward_sources(cell: Cell, rng: Generator) -> list[Source]:
    """Return the unusual sources that every file has."""
    kinds = ("spheroid", "early", "round", "spiral", "disk")
    wanted: list[tuple[str, int, dict[str, float]]] = [("gaia_dup", -1, {}), ("round", 0, {})]
    wanted += [(kinds[bit % 5], -1, {"MASKBITS": 1 << bit}) for bit in MASKBITS.values()]
    wanted += [("round", nobs, {}) for nobs in _BIN_VALUES]
    for column in ("FLUX_G", "FLUX_R", "FLUX_Z"):
        wanted += [("spiral", -1, {column: value}) for value in (0.0, -1.5, math.nan)]
    # Sources at limits of the published parameter sets, such as z = 20, and with a transmission above 1.
    wanted += [
        ("spheroid", 4, {"FLUX_Z": 10.0}),
        ("early", 4, {"FLUX_R": 5.0}),
        ("spheroid", 4, {"SERSIC": 4.0, "FLUX_R": 20.0}),
        ("disk", 4, {"SHAPE_E1": 0.5, "SHAPE_E2": 0.0, "SHAPE_R": 0.75}),
        ("round", 4, {"SHAPE_R": 2.0, "FLUX_R": 20.0, "FLUX_G": 5.0}),
        ("disk", 4, {"EBV": -0.002, **{f"MW_TRANSMISSION_{b.name}": 1.003 for b in BANDS}}),
    ]
    return [
        Source(*_inside(cell, rng), kind, 18.6, nobs, tuple(edits.items())) for kind, nobs, edits in wanted
    ]


def _bin_of(nobs: npt.ArrayLike) -> IntArray:
    """Return the index of the bin of nobs_z, or -1 for no exposures."""
    return np.asarray(np.searchsorted(_BIN_STARTS, nobs, side="right") - 1)


def _rooms(bricks: Bricks, rows: int) -> dict[Stratum, float]:
    """Return the number of lenses that each stratum of a file has galaxies for, in all shipped configs."""
    bright: dict[str, float] = defaultdict(float)
    for p in POPULATIONS.values():
        bright[p.type] += p.share * UNMASKED * float(exp(np.array(-LN_10 * p.slope * (p.limit - 20))))
    # Shares of the exposures in z of each brick, of sources with enough in the other bands.
    g, r, _, z = (np.where(nobs > 0, nobs + JITTER[:, None], 0) for nobs in bricks.nobs)
    area = bricks.area() * (g >= _NOBS_MIN).mean(axis=0) * (r >= _NOBS_MIN).mean(axis=0) / len(JITTER)
    in_bin = [float((area * ((_bin_of(z) == i) & (z >= _NOBS_MIN))).sum()) for i in range(len(_BIN_STARTS))]
    return {
        (i, kind): rows * share * bright[kind] / of_type.room
        for i, share in enumerate(in_bin)
        for kind, of_type in _LENS_TYPES.items()
    }


def _choose_stratum(own_bin: int, rooms: dict[Stratum, float], taken: Counter[Stratum]) -> Stratum:
    """Return the stratum of a file's next lens.

    While there is room, types are in proportion to those of real lenses, at the exposures of the lens's
    brick. After that they are at other exposures, as if the lens were in a gap between chips. When the file
    is full, it is the stratum with the least shortage.
    """
    free = [s for s in rooms if taken[s] + 1 <= rooms[s]]
    at_home = [s for s in free if s[0] == own_bin]
    if free:
        return max(at_home or free, key=lambda s: _LENS_TYPES[s[1]].number / (taken[s] + 1))
    return min(rooms, key=lambda s: (taken[s] + 1) / max(rooms[s], 1e-6))


def _lens_sources(cell: Cell, lenses: list[_Lens], rows: int, seed: int, rng: Generator) -> list[Source]:
    """Return the sources of a cell's lenses: the galaxy of each, and two neighbours within 11 arcsec."""
    bricks = bricks_of(cell, seed)
    rooms, taken = _rooms(bricks, rows), Counter[Stratum]()
    sources = []
    for lens in lenses:
        nobs = int(bricks.nobs[3][bricks.find(lens.ra, lens.dec)])
        kind, mag_z, r_z = _FLAWED.get(lens.flaw), 18.9, math.nan
        if kind is None and lens.flaw != "nothing":
            allowed = {s: room for s, room in rooms.items() if lens.flaw != "disk" or s[1] == "EXP"}
            stratum = _choose_stratum(int(_bin_of(nobs)), allowed, taken)
            taken[stratum] += 1
            of_type = _LENS_TYPES[stratum[1]]
            kind = of_type.population
            mag_z = float(np.interp(rng.random(), _QUANTILES, of_type.mag_z))
            r_z = of_type.r_z + of_type.r_z_slope * (mag_z - 19)
            own = _bin_of(nobs) == stratum[0] and nobs >= _NOBS_MIN
            nobs = nobs if own else _BIN_VALUES[stratum[0]]
        if kind is not None:
            mag_z = 20.8 if lens.flaw == "faint" else mag_z
            edits = (("MASKBITS", 1 << MASKBITS["MEDIUM"]),) if lens.flaw == "masked" else ()
            nobs = 0 if lens.flaw == "unobserved" else max(nobs, 1)
            sources.append(Source(lens.ra, lens.dec, kind, mag_z, nobs, edits, r_z))
        for neighbour in ("spiral", "round"):
            (sine, cosine), distance = sin_cos(rng.uniform(0, 360)), rng.uniform(3, 9)
            place = _shift(lens.ra, lens.dec, distance * float(cosine), distance * float(sine))
            sources.append(Source(*place, neighbour, float(rng.uniform(18, 19.7))))
    return sources


class _Wanted(NamedTuple):
    """The required content of a sky: lenses, further sources, and the positions of its catalogue."""

    lenses: list[_Lens]
    sources: list[Source]
    positions: list[Position]


def _add_seams(cells: list[Cell], sky: _Wanted) -> None:
    """Add a lens on each border between two of the cells, and one at the pole.

    The galaxy is 0.1 arcsec from the border. Its catalogue position is as far on the other side of it, and so
    is the second nearest source.
    """
    seams = []
    for cell in cells:
        if cell_at(cell.ra_max % 360, cell.dec_min) in cells:
            seams.append((cell.ra_max % 360, cell.dec_min + 2.71, 1, 0))
        if cell_at(cell.ra_min, cell.dec_max) in cells:
            seams.append((cell.ra_min + 2.37, cell.dec_max, 0, 1))
        if cell.dec_min == -90:
            seams.append((cell.ra_min + 2.5, -90 + 8 / 3600, 0, 1))
    for ra, dec, east, north in seams:
        sky.lenses.append(_Lens(*_shift(ra, dec, 0.1 * east, 0.1 * north)))
        sky.positions.append(_shift(ra, dec, -0.1 * east, -0.1 * north))
        for distance, kind in ((-0.7, "round"), (-6, "spheroid"), (7, "early")):
            place = _shift(ra, dec, distance * east, distance * north)
            sky.sources.append(Source(*place, kind, 19.0))


def _default_sky(cells: list[Cell], rows: int, rng: Generator) -> _Wanted:
    """Return invented lenses, with each flaw in some of them."""
    sky = _Wanted([], [], [])
    _add_seams(cells[: len(_ANCHORS)], sky)
    flaws = [_FLAWS[i % len(_FLAWS)] for i in range(max(len(_FLAWS), len(cells)))]
    for i, cell in enumerate(cells):
        # No negatives of paper_iv_parity lie outside its footprint, so few lenses do.
        ordinary = max(3, rows // _ROWS_PER_LENS) if _in_footprint(cell) else 3
        here = flaws[i :: len(cells)] + [""] * ordinary
        for j, flaw in enumerate(here):
            # Each lens has a band of Dec of its own, so that lenses are far apart.
            dec = cell.dec_min + 5 * (j + rng.uniform(0.25, 0.75)) / len(here)
            lens = _Lens(_inside(cell, rng)[0], dec, flaw)
            sky.lenses.append(lens)
            for _ in range(2 if flaw == "twice" else 1):
                # Real candidates are 0.06 arcsec from their source (median).
                sky.positions.append(_shift(lens.ra, lens.dec, *rng.normal(0, 0.05, 2).tolist()))
    # As in real catalogues, one position is outside all sweep files.
    sky.positions.append((200.0, 62.0))
    return sky


def _in_footprint(cell: Cell) -> bool:
    """Return whether a cell lies within the Dec of all shipped configs."""
    return _DEC_RANGE[0] <= cell.dec_min and cell.dec_max <= _DEC_RANGE[1]


def _catalog_cells(positions: list[Position], files: int, rows: int, seed: int, uri: str) -> list[Cell]:
    """Return the cells with most positions of a catalogue, of those that can hold 100 negatives for each.

    They lie in the footprint of all shipped configs, if a position does.
    """
    counts = Counter(cell_at(*position) for position in positions)
    cells = sorted(grid(), key=lambda cell: (-counts[cell], sweep_name(cell)))
    if counts[cells[0]] == 0:
        what = f"none of its {len(positions):,} positions lies between Dec -90 and +40, where sweeps are"
        remedy = "check its columns, or give a catalogue of the south"
        raise InputError(what, where=uri, remedy=remedy)
    inside = [cell for cell in cells if _in_footprint(cell)]
    cells = inside if counts[inside[0]] else cells

    def rows_needed(cell: Cell) -> int:
        rooms = _rooms(bricks_of(cell, seed), _ROWS_STEP).values()
        steps = range(1, MAX_ROWS // _ROWS_STEP + 1)
        enough = (n for n in steps if sum(int(n * room) for room in rooms) >= counts[cell])
        return _ROWS_STEP * next(enough, steps.stop)

    # 150 galaxies for each lens, of a pool of 1.5 %: a cell with more lenses need not be tried.
    tried = (cell for cell in cells if 10_000 * counts[cell] <= rows)
    fitting = (cell for cell in tried if counts[cell] == 0 or rows_needed(cell) <= rows)
    chosen = list(itertools.islice(fitting, files))
    if not chosen or counts[chosen[0]] == 0:
        last = min((cell for cell in cells if counts[cell]), key=lambda cell: counts[cell])
        enough = rows_needed(last)
        what = f"{rows:,} are too few to hold 100 negatives for each lens of a cell: "
        what += f"{sweep_name(last)}, with the fewest lenses ({counts[last]:,}), "
        what += f"needs {enough:,}" if enough <= MAX_ROWS else "has too many for any sweep file"
        raise InputError(what, where="--rows", remedy="ask for more, or give a catalogue of fewer lenses")
    return chosen


def _catalog_sky(positions: list[Position], cells: list[Cell], rng: Generator) -> _Wanted:
    """Return a lens for each position of a catalogue that lies in the cells."""
    sky = _Wanted([], [], positions)
    for ra, dec in positions:
        if cell_at(ra, dec) in cells:
            place = _shift(ra, dec, *rng.uniform(-0.07, 0.07, 2).tolist())
            if cell_at(*place) != cell_at(ra, dec):
                place = ra, dec
            sky.lenses.append(_Lens(*place))
    return sky


def _read_positions(path: str) -> tuple[bytes, list[Position]]:
    """Return the bytes and the positions of a catalogue in text."""
    catalog, data = read_catalog(CatalogSpec(uri=path)), storage.read_bytes(path)
    if data.startswith((b"SIMPLE  =", b"PAR1")):
        what = "the positives of a mock sky are a CSV file"
        raise InputError(what, where=path, remedy="convert the catalogue")
    return data, list(zip(catalog.ra.tolist(), catalog.dec.tolist(), strict=True))


def _catalog_text(positions: list[Position], rng: Generator) -> bytes:
    """Return positions as CSV in the columns of public catalogues of lens candidates."""
    lines = ["name,ra,dec,zlens,type,grading,ref"]
    for ra, dec in positions:
        # 6 % of the real candidates have no redshift, and 9 % are graded as confident.
        redshift = "" if rng.random() < 0.06 else f"{rng.uniform(0.2, 0.9):.6f}"
        grading = "confident" if rng.random() < 0.09 else "probable"
        place = f"MOCK-{ra:08.4f}{dec:+08.4f},{ra:.6f},{dec:.6f}"
        lines.append(f"{place},{redshift},galaxy,{grading},mock sky")
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def plan_files(
    sweeps: Path, files: int, rows: int, seed: int, positives: str | None
) -> tuple[list[FilePlan], bytes]:
    """Return the plan of each file, and the catalogue's bytes."""
    rng = np.random.default_rng([seed, rows])
    if positives is None:
        cells = grid()[:files]
        sky = _default_sky(cells, rows, rng)
        text = _catalog_text(sky.positions, rng)
    else:
        text, positions = _read_positions(positives)
        cells = _catalog_cells(positions, files, rows, seed, positives)
        sky = _catalog_sky(positions, cells, rng)
    lenses: dict[Cell, list[_Lens]] = defaultdict(list)
    for lens in sky.lenses:
        lenses[cell_at(lens.ra, lens.dec)].append(lens)
    sources: dict[Cell, list[Source]] = defaultdict(list)
    for cell in cells:
        sky.sources.extend(_lens_sources(cell, lenses[cell], rows, seed, rng))
        sky.sources.extend(_awkward_sources(cell, rng))
    # A neighbour of a lens near a border may belong to another file, or to none.
    for source in sky.sources:
        sources[cell_at(source.ra, source.dec)].append(source)
    for cell in cells:
        if len(sources[cell]) > rows:
            taken = f"{len(lenses[cell]):,} lenses and what comes with them take {len(sources[cell]):,}"
            what = f"{rows:,} are too few for {sweep_name(cell)}: {taken}"
            raise InputError(what, where="--rows", remedy="ask for more")
    return [
        FilePlan(cell, rows, seed, tuple(sources[cell]), f"{sweeps}/{sweep_name(cell)}") for cell in cells
    ], text
