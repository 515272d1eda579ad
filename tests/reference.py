"""The science of lensneg once more: plain, slow, and written from the facts of the field alone.

The tests compare what the real pipeline writes with what `reference` returns, row for row. That is
worth something only while the two share no code: this file must not import the package, the Spark
job or the functions, and nobody should copy a rule from one side to the other. It holds every row
of every sweep in memory as a dict and loops over them; a sky of some 2 x 20,000 rows takes seconds.
"""

import csv
import hashlib
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import fitsio
import healpy
import numpy as np

Row = dict[str, Any]
Stratum = tuple[str, str]  # (nobs_z_bin, type_bin)

CUTS = (
    "bad_row",
    "faint",
    "type",
    "unusable",
    "not_primary",
    "nobs",
    "footprint",
    "maskbits",
    "no_pool",
    "near_lens",
    "border",
    "suspect",
)
NEVER_A_GALAXY = ("PSF", "DUP")
SPLIT_ORDER = ("train", "val", "test")

MASKBITS = {
    "NPRIMARY": 0,
    "BRIGHT": 1,
    "SATUR_G": 2,
    "SATUR_R": 3,
    "SATUR_Z": 4,
    "ALLMASK_G": 5,
    "ALLMASK_R": 6,
    "ALLMASK_Z": 7,
    "WISEM1": 8,
    "WISEM2": 9,
    "BAILOUT": 10,
    "MEDIUM": 11,
    "GALAXY": 12,
    "CLUSTER": 13,
    "SATUR_I": 14,
    "ALLMASK_I": 15,
    "SUB_BLOB": 16,
    "RESOLVED": 17,
    "MCLOUDS": 18,
    "WISE_GAIA": 19,
}


def names(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


FITBITS = {
    "FORCED_POINTSOURCE": 0,
    "FIT_BACKGROUND": 1,
    "HIT_RADIUS_LIMIT": 2,
    "HIT_SERSIC_LIMIT": 3,
    "FROZEN": 4,
    "BRIGHT": 5,
    "MEDIUM": 6,
    "GAIA": 7,
    "TYCHO2": 8,
    "LARGEGALAXY": 9,
    "WALKER": 10,
    "RUNNER": 11,
    "GAIA_POINTSOURCE": 12,
    "ITERATIVE": 13,
}

# The categories of N2. The place of each is its bit among the flags.
CATEGORIES = (
    "ring_proxy",
    "edge_on_proxy",
    "blue_clumpy",
    "large_galaxy",
    "disk_proxy",
    "merger_proxy",
    "blend_proxy",
    "residual_proxy",
    "artefact_proxy",
)

# The columns that some criteria look at, which are read and written only for these.
COLUMNS_OF = {
    "merger_proxy": ["fracflux_r"],
    "blend_proxy": ["fracflux_r"],
    "residual_proxy": ["rchisq_r", "flux_ivar_r"],
}

# Columns read from a sweep; those that a config asks for are added to them.
SWEEP_COLUMNS = names(
    """
    release brickid brickname objid type ra dec ebv flux_g flux_r flux_z flux_w1 nobs_z
    psfsize_g psfsize_r psfsize_z psfdepth_g psfdepth_r psfdepth_z
    galdepth_g galdepth_r galdepth_z mw_transmission_g mw_transmission_r mw_transmission_z
    shape_r shape_e1 shape_e2 sersic maskbits fitbits
"""
)

ROW_COLUMNS = names(
    """
    galaxy_id brickname objid ra dec type nobs_z nobs_z_bin type_bin
    flux_g flux_r flux_z flux_w1 mag_g mag_r mag_z g_minus_r r_minus_z z_minus_w1
    psfsize_g psfsize_r psfsize_z psfdepth_g psfdepth_r psfdepth_z
    galdepth_g galdepth_r galdepth_z ebv
    maskbits fitbits mw_transmission_g mw_transmission_r mw_transmission_z
    shape_r shape_e1 shape_e2 sersic healpix_64 healpix_128 split pool confuser_category
    confuser_flags fracflux_r rchisq_r flux_ivar_r
    sweep_file row_index targetid release object_id sampling_priority sampling_weight draw fold
    z_phot_median z_phot_std z_phot_l68 z_phot_u68
"""
)


@dataclass
class Reference:
    """What a run over some sweeps and lens catalogues must come to."""

    pool: list[Row]  # every survivor; its sampling_weight is None
    cuts: dict[str, int]  # rows by the first rule they fail
    positives: list[Row]  # one row a source
    unmatched: int  # catalogue entries inside the cells without a source
    outside_strata: int  # catalogue entries inside the cells whose source does not count
    quotas: dict[Stratum, dict[str, int]]
    negatives: list[Row]


def reference(
    sweeps: list[Path],
    positives: list[Path],
    exclude: list[Path],
    config: dict[str, Any],
    suspects: list[Path] | None = None,
    hard_negatives: dict[str, Path] | None = None,
) -> Reference:
    """Select, match, count and draw.

    Parameters
    ----------
    sweeps : sweep files of DR10, .fits or .fits.gz, named by their cells.
    positives : catalogues (CSV or TSV) of the lenses that are the positives.
    exclude : further catalogues; nothing near any position of either kind is a negative.
    config : the parsed YAML of a config.
    suspects : CSV files of positions or TARGETIDs that are never negatives.
    hard_negatives : CSV files of the same kind, by the name of their category. Their sources are in N2.
    """
    seed = config["negative_pools"]["seed"]
    sources = []
    for path in sweeps:
        sources += read_sweep(Path(path), asked_for(config))
    for source in sources:
        source["sampling_priority"] = sampling_priority(source["targetid"], seed)
    neighbours = Neighbours(sources)

    wanted = [entry for path in positives for entry in read_catalogue(Path(path))]
    others = [entry for path in exclude for entry in read_catalogue(Path(path))]
    radius = config["exclusion"]["known_lens_radius_arcsec"]
    near_lens = {
        id(source) for ra, dec in wanted + others for _, source in neighbours.within(ra, dec, radius)
    }

    suspected = set()
    for path in suspects or []:
        suspected |= listed(path, neighbours, config["suspects"]["radius_arcsec"])
    external: dict[int, str] = {}
    for category, path in (hard_negatives or {}).items():
        for source_id in listed(path, neighbours, config["hard_negatives"]["match_radius_arcsec"]):
            external.setdefault(source_id, f"external:{category}")

    cuts = dict.fromkeys(CUTS, 0)
    pool = []
    for source in sources:
        name, category = pool_of(source, config["negative_pools"], is_dereddened(config))
        if id(source) in external:
            name, category = "N2", external[id(source)]
        reason = selection_failure(source, config)
        if reason is None and name is None:
            reason = "no_pool"
        if reason is None and id(source) in near_lens:
            reason = "near_lens"
        if reason is None and at_border(source["ra"], source["dec"], config["spatial_splits"]):
            reason = "border"
        if reason is None and id(source) in suspected:
            reason = "suspect"
        if reason is None:
            pool.append(make_row(source, config, name, category))
        else:
            cuts[reason] += 1

    cells = [cell_of(Path(path).name) for path in sweeps]
    matched, unmatched, outside_strata = match_positives(wanted, neighbours, cells, config)
    positive_rows = [make_row(source, config, "positive", None) for source in matched]
    for row, source in zip(positive_rows, matched, strict=True):
        row["sampling_weight"] = 1.0
        row["cut"] = selection_failure(source, config)
        row["passes_cuts"] = row["cut"] is None
    quotas, negatives = draw(pool, positive_rows, config)
    return Reference(
        pool=sorted(pool, key=lambda row: row["targetid"]),
        cuts=cuts,
        positives=sorted(positive_rows, key=lambda row: manifest_order(row, config)),
        unmatched=unmatched,
        outside_strata=outside_strata,
        quotas=quotas,
        negatives=sorted(negatives, key=lambda row: manifest_order(row, config)),
    )


# ---------------------------------------------------------------- reading


def asked_for(config: dict[str, Any]) -> set[str]:
    """Columns that a config's exposures and criteria add to those of every config."""
    criteria = config["negative_pools"]["pool_n2"]["tractor_criteria"]
    exposures = {f"nobs_{band.lower()}" for band in config["selection"]["nobs_min"] or {}}
    return exposures | {column for key in criteria for column in COLUMNS_OF.get(key, [])}


def read_sweep(path: Path, further: set[str]) -> list[Row]:
    """Every row of a sweep, numbers as Python's own (float32 widened to float64)."""
    columns = sorted({*SWEEP_COLUMNS, *further})
    with fitsio.FITS(str(path)) as fits:
        table = fits[1]
        if table.get_nrows() == 0:
            return []
        spelling = {name.lower(): name for name in table.get_colnames()}
        data = table.read(columns=[spelling[column] for column in columns])
    values = [plain(data[spelling[column]]) for column in columns]
    sources = []
    for index, row in enumerate(zip(*values, strict=True)):
        source = dict(zip(columns, row, strict=True))
        source["type"] = source["type"].upper()
        source["targetid"] = target_id(source["release"], source["brickid"], source["objid"])
        source["sweep_file"] = path.name
        source["row_index"] = index
        sources.append(source)
    return sources


def plain(column: np.ndarray) -> list[Any]:
    """A column as a list of stripped str, int, or float.

    >>> plain(np.array([0.1], dtype=">f4"))
    [0.10000000149011612]
    >>> plain(np.array([b"EXP "]))
    ['EXP']
    """
    if column.dtype.kind == "S":
        return [text.decode("ascii").strip() for text in column.tolist()]
    if column.dtype.kind == "U":
        return [text.strip() for text in column.tolist()]
    if column.dtype.kind == "f":
        return column.astype(np.float64).tolist()
    return column.tolist()


def target_id(release: int, brickid: int, objid: int) -> int:
    """DESI's packing of the three numbers that name a source.

    >>> target_id(10002, 1, 2) == 10002 * 2**42 + 2**22 + 2
    True
    """
    return release << 42 | brickid << 22 | objid


def read_catalogue(path: Path) -> list[tuple[float, float]]:
    """(RA, Dec) in degrees of each entry that has a position."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    entries = []
    for row in rows:
        fields = {(name or "").strip().lower(): value for name, value in row.items()}
        ra = number(fields["ra"] if "ra" in fields else fields["ra [deg]"])
        dec = number(fields["dec"] if "dec" in fields else fields["dec [deg]"])
        if math.isfinite(ra) and abs(dec) <= 90:
            entries.append((ra, dec))
    return entries


def listed(path: Path, neighbours: "Neighbours", radius: float) -> set[int]:
    """The sources within a radius of an entry of a CSV file, or with its TARGETID."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ids = {int(row["TARGETID"]) for row in rows if row["TARGETID"]}
    places = [(float(row["ra"]), float(row["dec"])) for row in rows if row["ra"]]
    near = {id(source) for ra, dec in places for _, source in neighbours.within(ra, dec, radius)}
    return near | {id(source) for source in neighbours.sources if source["targetid"] in ids}


def number(text: str | None) -> float:
    """A number; NaN for whatever stands for a missing one.

    >>> number(" 1.5"), number("-"), number("")
    (1.5, nan, nan)
    """
    try:
        return float(text or "")
    except ValueError:
        return math.nan


# ---------------------------------------------------------------- the sky


def separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two positions in degrees, in arcsec, by the haversine formula.

    >>> round(separation(359.999, 0.0, 0.001, 0.0), 9)
    7.2
    >>> round(separation(0.0, 89.999, 180.0, 89.999), 9)
    7.2
    """
    phi1, phi2 = math.radians(dec1), math.radians(dec2)
    half_dec = math.radians(dec2 - dec1) / 2
    half_ra = math.radians(ra2 - ra1) / 2
    h = math.sin(half_dec) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin(half_ra) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(1.0, h)))) * 3600


class Neighbours:
    """Sources by Dec: no two positions are closer on the sphere than their Decs are."""

    def __init__(self, sources: list[Row]) -> None:
        placed = [s for s in sources if math.isfinite(s["ra"]) and math.isfinite(s["dec"])]
        self.sources = sorted(placed, key=lambda source: source["dec"])
        self.decs = [source["dec"] for source in self.sources]

    def within(self, ra: float, dec: float, radius: float) -> Iterator[tuple[float, Row]]:
        """Distance and source, of all sources at `radius` arcsec or less."""
        reach = radius / 3600 * 1.000001 + 1e-9
        first, last = bisect_left(self.decs, dec - reach), bisect_right(self.decs, dec + reach)
        for source in self.sources[first:last]:
            distance = separation(ra, dec, source["ra"], source["dec"])
            if distance <= radius:
                yield distance, source


def cell_of(name: str) -> tuple[int, int, int, int]:
    """RA and Dec, lower and upper, from the name of a sweep.

    >>> cell_of("sweep-355m010-360m005.fits.gz")
    (355, 360, -10, -5)
    """
    found = re.fullmatch(r"sweep-(\d{3})([pm])(\d{3})-(\d{3})([pm])(\d{3})\.fits(\.gz)?", name)
    if found is None:
        raise ValueError(f"{name} is not the name of a sweep")
    ra1, sign1, dec1, ra2, sign2, dec2 = found.groups()[:6]
    sign = {"p": 1, "m": -1}
    return int(ra1), int(ra2), sign[sign1] * int(dec1), sign[sign2] * int(dec2)


def inside(ra: float, dec: float, cells: list[tuple[int, int, int, int]]) -> bool:
    """Whether some cell, closed below and open above, holds the position.

    >>> inside(-1.0, -10.0, [(355, 360, -10, -5)]), inside(-1.0, -5.0, [(355, 360, -10, -5)])
    (True, False)
    """
    ra = ra % 360 % 360  # twice: -1e-20 % 360 is 360.0
    return any(ra1 <= ra < ra2 and dec1 <= dec < dec2 for ra1, ra2, dec1, dec2 in cells)


def pixel(nside: int, ra: float, dec: float) -> int:
    """HEALPix pixel in the nested scheme."""
    return int(healpy.ang2pix(nside, ra, dec, nest=True, lonlat=True))


def split_number(pixel_number: int, seed: int) -> float:
    """The number from 0 to 1 that places a pixel in a split."""
    digest = hashlib.sha256(f"{pixel_number}_{seed}".encode("ascii")).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def split_of(ra: float, dec: float, split: dict[str, Any]) -> str:
    """The split of a position.

    >>> rule = {"nside": 128, "hash_seed": 42, "allocations": {"train": 0.70, "val": 0.15, "test": 0.15}}
    >>> for ra, dec in [(165.4754, -6.04226), (0, 0), (359.999, -45), (180, 31.999), (10, -89.9)]:
    ...     p = pixel(128, ra, dec)
    ...     print(p, pixel(64, ra, dec), f"{split_number(p, 42):.6f}", split_of(ra, dec, rule))
    107657 26914 0.032008 train
    77824 19456 0.228095 train
    185621 46405 0.089973 train
    114444 28611 0.950653 test
    131072 32768 0.046819 train
    """
    return split_of_pixel(pixel(split["nside"], ra, dec), split)


def split_of_pixel(pixel_number: int, split: dict[str, Any]) -> str:
    """The split of a pixel."""
    u = Fraction(split_number(pixel_number, split["hash_seed"]))
    train, val, test = SPLIT_ORDER
    upper_train = Fraction(str(split["allocations"][train]))
    upper_val = upper_train + Fraction(str(split["allocations"][val]))
    if u < upper_train:
        return train
    return val if u < upper_val else test


def at_border(ra: float, dec: float, split: dict[str, Any]) -> bool:
    """Whether the circle around a position enters another split: at 720 points it is seen to, or not.

    >>> rule = {"nside": 128, "hash_seed": 42, "allocations": {"train": 0.70, "val": 0.15, "test": 0.15}}
    >>> [at_border(165.4754, dec, rule | {"border_arcsec": 19.0}) for dec in (-6.04226, -5.776)]
    [False, True]
    """
    radius = math.radians(split.get("border_arcsec", 0.0) / 3600)
    if radius == 0:
        return False
    lon, lat = math.radians(ra), math.radians(dec)
    here = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.cross(here, east)
    turn = np.radians(np.arange(0, 360, 0.5))[:, np.newaxis]
    circle = math.cos(radius) * here + math.sin(radius) * (np.cos(turn) * east + np.sin(turn) * north)
    pixels = set(healpy.vec2pix(split["nside"], *circle.T, nest=True).tolist())
    splits = {split_of_pixel(p, split) for p in pixels}
    return splits != {split_of(ra, dec, split)}


# ---------------------------------------------------------------- the rules for one source


def magnitude(flux: float) -> float | None:
    """AB magnitude of a flux in nanomaggies; None where there is none.

    >>> magnitude(10.0), magnitude(0.0), magnitude(-1.0), magnitude(math.nan)
    (20.0, None, None, None)
    """
    return 22.5 - 2.5 * math.log10(flux) if flux > 0 else None


def colour(first: float | None, second: float | None) -> float | None:
    """The difference of two magnitudes, where both exist."""
    return None if first is None or second is None else first - second


def is_dereddened(config: dict[str, Any]) -> bool:
    """Whether limits of brightness and colour are those of light without Galactic extinction."""
    return bool(config["selection"].get("dereddened", False))


def limited_flux(source: Row, band: str, dereddened: bool) -> float:
    """The flux that limits look at. Behind dust that lets nothing through there is none.

    >>> lone = {"flux_z": 9.0, "mw_transmission_z": 0.5}
    >>> limited_flux(lone, "z", False), limited_flux(lone, "z", True)
    (9.0, 18.0)
    >>> limited_flux(lone | {"mw_transmission_z": 0.0}, "z", True)
    nan
    """
    if not dereddened:
        return float(source[f"flux_{band}"])
    through = source[f"mw_transmission_{band}"]
    return float(source[f"flux_{band}"] / through) if through > 0 else math.nan


def upper(types: list[str] | None) -> set[str]:
    """Names of types as they are compared."""
    return {name.strip().upper() for name in types or []}


def selection_failure(source: Row, config: dict[str, Any]) -> str | None:
    """The first rule of the selection that a source fails."""
    selection, exclusion = config["selection"], config["exclusion"]
    if not identified(source):
        return "bad_row"
    mag_z = magnitude(limited_flux(source, "z", is_dereddened(config)))
    if mag_z is None or not mag_z < selection["z_mag_limit"]:
        return "faint"
    if source["type"] in NEVER_A_GALAXY or source["type"] not in upper(selection["types"]):
        return "type"
    minima = (selection["nobs_min"] or {}).items()
    if not usable(source, selection):
        return "unusable"
    if source["maskbits"] & 1:
        return "not_primary"
    if source["nobs_z"] < 1 or any(source[f"nobs_{b.lower()}"] < least for b, least in minima):
        return "nobs"
    if selection["dec_range"] is not None:
        south, north = selection["dec_range"]
        if not south < source["dec"] < north:
            return "footprint"
    for name in exclusion["exclude_maskbits"] or []:
        if source["maskbits"] >> MASKBITS[name] & 1:
            return "maskbits"
    return None


def identified(source: Row) -> bool:
    """Whether a row says which source it is, and where; None is a masked value.

    >>> lone = {"ra": 0.0, "dec": 0.0, "release": 10002, "brickid": 1, "objid": 0}
    >>> identified(lone), identified(lone | {"brickid": 0}), identified(lone | {"ra": math.nan})
    (True, False, False)
    """
    if None in (source["release"], source["brickid"], source["objid"]):
        return False
    on_the_sky = 0 <= source["ra"] <= 360 and -90 <= source["dec"] <= 90
    return on_the_sky and 1 <= source["brickid"] < 2**20 and 0 <= source["objid"] < 2**22


def usable(source: Row, selection: dict[str, Any]) -> bool:
    """Whether every needed value of a source is there and possible; None is a masked one.

    >>> lone = {"type": "PSF", "brickname": "b", "nobs_z": 0}
    >>> usable(lone, {"nobs_min": {"z": 1}}), usable(lone | {"nobs_z": -1}, {"nobs_min": {"z": 1}})
    (True, False)
    >>> [usable(lone | {"flux_g": flux}, {"nobs_min": {}}) for flux in (math.inf, math.nan, -1.0)]
    [False, True, True]
    """
    counted = {f"nobs_{band.lower()}" for band in selection["nobs_min"] or {}}
    for name, value in source.items():
        if name.startswith("nobs_") and name not in counted:
            continue
        if value is None or (isinstance(value, float) and math.isinf(value)):
            return False
        if name.startswith("nobs_") and value < 0:
            return False
    shapes = ["shape_r", "shape_e1", "shape_e2", "sersic"]
    if source["type"] in ("REX", "EXP", "DEV", "SER") and any(math.isnan(source[name]) for name in shapes):
        return False
    name = source.get("brickname", "not asked for").strip()
    return name != "" and name.isascii() and name.isprintable()


def pool_of(source: Row, pools: dict[str, Any], dereddened: bool = False) -> tuple[str | None, str | None]:
    """Pool and confuser category. What looks like a confuser is N2, whatever else it is."""
    flags = flags_of(source, pools, dereddened)
    for bit, category in enumerate(CATEGORIES):
        if flags >> bit & 1:
            return "N2", category
    if source["type"] in upper(pools["pool_n1"]["galaxy_types"]):
        return "N1", None
    return None, None


def flags_of(source: Row, pools: dict[str, Any], dereddened: bool = False) -> int:
    """The criteria of N2 that a source meets, as bits."""
    return sum(
        1 << CATEGORIES.index(category_of(key))
        for key, limits in pools["pool_n2"]["tractor_criteria"].items()
        if is_confuser(category_of(key), source, limits, dereddened)
    )


def category_of(key: str) -> str:
    """The category of a criterion of N2, by its key in a config."""
    return {"blue_clumpy_proxy": "blue_clumpy", "large_galaxy_proxy": "large_galaxy"}.get(key, key)


def is_confuser(category: str, source: Row, limits: dict[str, Any], dereddened: bool = False) -> bool:
    """Whether a source meets one criterion of N2. A comparison with NaN is false."""
    flux_r = limited_flux(source, "r", dereddened)
    if category == "ring_proxy":
        is_bulge = source["type"] in upper(limits["types"]) or (
            source["type"] in upper(limits["sersic_types"]) and source["sersic"] >= limits["sersic_min"]
        )
        return is_bulge and flux_r >= limits["flux_r_min"]
    if category == "edge_on_proxy":
        ellipticity = math.sqrt(source["shape_e1"] ** 2 + source["shape_e2"] ** 2)
        return (
            source["type"] in upper(limits["types"])
            and ellipticity >= limits["ellipticity_min"]
            and source["shape_r"] >= limits["shape_r_min"]
        )
    if category == "blue_clumpy":
        mag_r = magnitude(flux_r)
        g_minus_r = colour(magnitude(limited_flux(source, "g", dereddened)), mag_r)
        if mag_r is None or g_minus_r is None:
            return False
        return g_minus_r <= limits["g_minus_r_max"] and mag_r <= limits["r_mag_max"]
    if category == "large_galaxy":
        return source["shape_r"] >= limits["shape_r_min"] and flux_r >= limits["flux_r_min"]
    if category == "disk_proxy":
        is_late = source["type"] in upper(limits["types"]) or (
            source["type"] in upper(limits["sersic_types"]) and source["sersic"] <= limits["sersic_max"]
        )
        return is_late and source["shape_r"] >= limits["shape_r_min"]
    if category == "merger_proxy":
        return source["fracflux_r"] >= limits["fracflux_r_min"] and source["shape_r"] >= limits["shape_r_min"]
    if category == "blend_proxy":
        return source["fracflux_r"] >= limits["fracflux_r_min"] or any(
            source["fitbits"] >> FITBITS[name] & 1 for name in limits["fitbits"]
        )
    if category == "residual_proxy":
        snr = source["flux_r"] * math.sqrt(source["flux_ivar_r"]) if source["flux_ivar_r"] > 0 else 0.0
        return snr >= limits["snr_r_min"] and source["rchisq_r"] >= limits["rchisq_r_min"]
    if category == "artefact_proxy":
        return any(source["maskbits"] >> MASKBITS[name] & 1 for name in limits["maskbits"])
    raise ValueError(f"no such confuser category: {category}")


def nobs_bin(nobs: int, bins: list[str]) -> str | None:
    """The bin that holds a number of exposures: "a-b" with both ends, "a+" without an end.

    >>> [nobs_bin(n, ["1-2", "3-5", "6-10", "11+"]) for n in (0, 1, 2, 3, 10, 11, 500)]
    [None, '1-2', '1-2', '3-5', '6-10', '11+', '11+']
    """
    for name in bins:
        if name.endswith("+"):
            least, most = int(name[:-1]), math.inf
        else:
            least, most = map(int, name.split("-"))
        if least <= nobs <= most:
            return name
    return None


def make_row(source: Row, config: dict[str, Any], pool: str, category: str | None) -> Row:
    """A row of the manifest, without weight as yet."""
    mags = {band: magnitude(source[f"flux_{band}"]) for band in ("g", "r", "z", "w1")}
    row = (
        source
        | {
            "galaxy_id": f"{source['brickname']}_{source['objid']}",
            "object_id": f"{source['brickname']}-{source['objid']}",
            "nobs_z_bin": nobs_bin(source["nobs_z"], config["strata"]["nobs_z_bins"]),
            "type_bin": source["type"],
            "mag_g": mags["g"],
            "mag_r": mags["r"],
            "mag_z": mags["z"],
            "g_minus_r": colour(mags["g"], mags["r"]),
            "r_minus_z": colour(mags["r"], mags["z"]),
            "z_minus_w1": colour(mags["z"], mags["w1"]),
            "healpix_64": pixel(64, source["ra"], source["dec"]),
            "healpix_128": pixel(128, source["ra"], source["dec"]),
            "split": split_of(source["ra"], source["dec"], config["spatial_splits"]),
            "pool": pool,
            "draw": pool.lower(),
            "fold": None,  # no config of these tests has folds
            "confuser_category": category,
            "confuser_flags": flags_of(source, config["negative_pools"], is_dereddened(config))
            | ((category or "").startswith("external:") << 30),
            "sampling_weight": None,
            **dict.fromkeys(ROW_COLUMNS[-4:]),  # there are no -pz files here
        }
    )
    return {column: None if row.get(column) != row.get(column) else row.get(column) for column in ROW_COLUMNS}


# ---------------------------------------------------------------- positives


def match_positives(
    entries: list[tuple[float, float]],
    neighbours: Neighbours,
    cells: list[tuple[int, int, int, int]],
    config: dict[str, Any],
) -> tuple[list[Row], int, int]:
    """Sources that are positives, entries without a source, entries whose source does not count.

    An entry outside all cells can still have its source inside one, within the match radius of
    the border, and then makes it a positive; it is never in the two counts.
    """
    radius = config["positives"]["match_radius_arcsec"]
    matched: dict[int, Row] = {}
    unmatched = outside_strata = 0
    for ra, dec in entries:
        candidates = [
            (distance, source["targetid"], source)
            for distance, source in neighbours.within(ra, dec, radius)
            if source["type"] in ("PSF", "REX", "EXP", "DEV", "SER")
            and identified(source)
            and not source["maskbits"] & 1
            and usable(source, config["selection"])
        ]
        if not candidates:
            unmatched += inside(ra, dec, cells)
            continue
        source = min(candidates, key=lambda candidate: candidate[:2])[2]
        if counts_as_positive(source, config):
            matched[source["targetid"]] = source
        else:
            outside_strata += inside(ra, dec, cells)
    return list(matched.values()), unmatched, outside_strata


def counts_as_positive(source: Row, config: dict[str, Any]) -> bool:
    """Whether a matched source has a stratum, and passes the selection if the config asks it to."""
    if source["nobs_z"] < 1 or source["type"] not in upper(config["strata"]["types"]):
        return False
    if nobs_bin(source["nobs_z"], config["strata"]["nobs_z_bins"]) is None:
        return False
    if config["positives"]["apply_cuts"] is True:
        return selection_failure(source, config) is None
    return True


# ---------------------------------------------------------------- the draw

TWO_64 = 2**64


def splitmix64(state: int) -> int:
    """The first output of SplitMix64 (Steele, Lea, Flood 2014) started at `state`.

    >>> splitmix64(1234567), hex(splitmix64(0))
    (6457827717110365317, '0xe220a8397b1dcdaf')
    """
    z = (state + 0x9E3779B97F4A7C15) % TWO_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % TWO_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % TWO_64
    return z ^ (z >> 31)


def sampling_priority(targetid: int, seed: int) -> int:
    """The place of a source in the draw, lowest first: a signed 64-bit number."""
    unsigned = splitmix64((targetid + splitmix64(seed % TWO_64)) % TWO_64)
    return unsigned - TWO_64 if unsigned >= TWO_64 // 2 else unsigned


def quota(positives: int, n1_available: int, n2_available: int, sampling: dict[str, Any]) -> dict[str, int]:
    """How many rows of each pool a stratum gets.

    >>> rule = {"neg_pos_ratio": 10, "n1_n2_ratio": [85, 15], "backfill": True}
    >>> quota(1, 100, 100, rule)["n1_quota"], quota(1, 100, 100, rule)["n2_quota"]  # 8.5 and 1.5
    (9, 1)
    >>> quota(2, 100, 1, rule)["n1_quota"], quota(2, 4, 5, rule)["n2_quota"]
    (19, 5)
    >>> quota(2, 4, 5, rule)["shortfall"]
    11
    """
    target = sampling["neg_pos_ratio"] * positives
    share1, share2 = (Fraction(str(share)) for share in sampling["n1_n2_ratio"])
    exact1 = target * share1 / (share1 + share2)
    exact2 = target - exact1
    target1, target2 = math.floor(exact1), math.floor(exact2)
    if target1 + target2 < target:
        if exact1 - target1 >= exact2 - target2:
            target1 += 1
        else:
            target2 += 1

    n1, n2 = min(target1, n1_available), min(target2, n2_available)
    if sampling["backfill"]:
        n1, n2 = (
            n1 + min(target2 - n2, n1_available - n1),
            n2 + min(target1 - n1, n2_available - n2),
        )
    return {
        "positives": positives,
        "target": target,
        "n1_available": n1_available,
        "n2_available": n2_available,
        "n1_quota": n1,
        "n2_quota": n2,
        "shortfall": target - n1 - n2,
    }


def draw(
    pool: list[Row], positives: list[Row], config: dict[str, Any]
) -> tuple[dict[Stratum, dict[str, int]], list[Row]]:
    """Quotas of all strata of the config, and the rows drawn, with their weights."""
    quotas: dict[Stratum, dict[str, int]] = {}
    negatives = []
    any_hard = any(is_hard(row) for row in pool)
    for bin_name in config["strata"]["nobs_z_bins"]:
        for type_name in strata_types(config):
            stratum = (bin_name, type_name)
            members = [row for row in pool if stratum_of(row) == stratum]
            n1 = [row for row in members if row["pool"] == "N1"]
            n2 = [row for row in members if row["pool"] == "N2"]
            count = sum(stratum_of(row) == stratum for row in positives)
            for rows in (n1, n2):
                rows.sort(key=lambda row: (row["sampling_priority"], row["targetid"]))
            if any_hard:
                quotas[stratum], drawn = draw_hard_first(count, n1, n2, config)
                negatives += drawn
                continue
            quotas[stratum] = quota(count, len(n1), len(n2), config["negative_pools"])
            negatives += weighted("n1", n1, n1[: quotas[stratum]["n1_quota"]])
            negatives += weighted("n2", n2, n2[: quotas[stratum]["n2_quota"]])
    return quotas, negatives


def draw_hard_first(
    positives: int, n1: list[Row], n2: list[Row], config: dict[str, Any]
) -> tuple[dict[str, int], list[Row]]:
    """The quotas and the draws of a stratum, where hard negatives of catalogues get up to a share of N2.

    Those past the share are not drawn. What replaces lacking rows is a draw by itself.
    """
    sampling = config["negative_pools"]
    hard, confusers = [row for row in n2 if is_hard(row)], [row for row in n2 if not is_hard(row)]
    wanted = quota(positives, 10**9, 10**9, sampling)["n2_quota"]
    hard_drawn = hard[
        : math.floor(wanted * Fraction(str(config["hard_negatives"]["share"])) + Fraction(1, 2))
    ]
    free = len(n1), len(hard_drawn) + len(confusers)
    first, whole = quota(positives, *free, sampling | {"backfill": False}), quota(positives, *free, sampling)
    of_n1, all_n1 = first["n1_quota"], whole["n1_quota"]
    of_n2, all_n2 = (sizes["n2_quota"] - len(hard_drawn) for sizes in (first, whole))
    drawn = (
        weighted("n1", n1, n1[:of_n1])
        + weighted("n1_backfill", n1, n1[of_n1:all_n1])
        + weighted("external", hard, hard_drawn)
        + weighted("n2", confusers, confusers[:of_n2])
        + weighted("n2_backfill", confusers, confusers[of_n2:all_n2])
    )
    return whole | {"n2_available": len(n2)}, drawn


def weighted(name: str, population: list[Row], drawn: list[Row]) -> list[Row]:
    """The rows of a draw, each with the draw's name and its share of the population."""
    return [row | {"draw": name, "sampling_weight": len(population) / len(drawn)} for row in drawn]


def is_hard(row: Row) -> bool:
    """Whether a row is a hard negative of a catalogue."""
    return (row["confuser_category"] or "").startswith("external:")


def stratum_of(row: Row) -> Stratum:
    """The stratum of a row."""
    return row["nobs_z_bin"], row["type_bin"]


def strata_types(config: dict[str, Any]) -> list[str]:
    """Types of the strata, in the order of the config."""
    return [name.strip().upper() for name in config["strata"]["types"]]


def manifest_order(row: Row, config: dict[str, Any]) -> tuple[int, int, str, int, int]:
    """The order of rows in a manifest."""
    return (
        config["strata"]["nobs_z_bins"].index(row["nobs_z_bin"]),
        strata_types(config).index(row["type_bin"]),
        row["pool"],
        row["sampling_priority"],
        row["targetid"],
    )
