"""Measure how far the made-up sky resembles the real one: the tables in docs/science.md.

    python docs/mock_sky_rates.py

It writes the default sky into a temporary folder, and makes the lenses of a larger one. It states the rules a
second time.
"""

import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parents[1]))

from lensneg.mocksky import write_mock_sky
from lensneg.mocksky.rows import row_chunks
from lensneg.mocksky.scene import plan_files
from lensneg.schema.sweep_columns import sweep_dtype

#: Of 2,956 real sources, each weighted by how many it stands for.
REAL = {
    "rows that reach the pool": 0.015,
    "N2 in the pool": 0.246,
    "ring_proxy in N2": 0.45,
    "edge_on_proxy in N2": 0.50,
    "blue_clumpy in N2": 0.03,
    "large_galaxy in N2": 0.02,
    "nobs_z 3-5 in the pool": 0.69,
    "nobs_z 6-10 in the pool": 0.25,
    "nobs_z 11+ in the pool": 0.06,
}
#: Of 1,615 real lenses with z < 20 in DR9: the share with FLUX_R >= 5, the AUC of r alone, and the types.
REAL_LENSES = {"DEV": 0.73, "SER": 0.95}
REAL_AUC = (0.78, 0.85)
LENS_TYPES = {"SER": 965, "DEV": 425, "REX": 183, "EXP": 42}

EXCLUDED_BITS = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 11 | 1 << 12 | 1 << 13
COLUMNS = ["TYPE", "RA", "DEC", "NOBS_Z", "FLUX_G", "FLUX_R", "FLUX_Z", "MASKBITS"]
COLUMNS += ["SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC"]

Table = np.ndarray[Any, np.dtype[Any]]


def read(sky: Path) -> Table:
    """Return the rows of a sky's sweep files."""
    tables = [np.asarray(fits.getdata(path, 1)) for path in sorted(sky.rglob("sweep-*.fits"))]
    return np.concatenate([table[COLUMNS] for table in tables])


def pool_of(rows: Table) -> tuple[Table, dict[str, Any]]:
    """Return the galaxies of the pool of negative_sampling_v1, and which criterion of N2 each meets first."""
    galaxy = np.isin(rows["TYPE"], [b"SER", b"DEV", b"REX", b"EXP"]) & (rows["NOBS_Z"] >= 1)
    pool = rows[galaxy & (rows["FLUX_Z"] > 10) & (rows["MASKBITS"] & EXCLUDED_BITS == 0)]
    g, r, kind = pool["FLUX_G"].astype(float), pool["FLUX_R"].astype(float), pool["TYPE"]
    with np.errstate(divide="ignore", invalid="ignore"):
        blue = (g > 0) & (r >= 10**0.8) & (-2.5 * np.log10(g / r) <= 0.4)
    ellipticity = np.hypot(pool["SHAPE_E1"], pool["SHAPE_E2"])
    criteria = {
        "ring_proxy": ((kind == b"DEV") | (kind == b"SER") & (pool["SERSIC"] >= 4)) & (r >= 5),
        "edge_on_proxy": (kind != b"REX") & (ellipticity >= 0.5) & (pool["SHAPE_R"] >= 0.6),
        "blue_clumpy": blue,
        "large_galaxy": (pool["SHAPE_R"] >= 2) & (r >= 3),
    }
    met = np.zeros(len(pool), dtype=bool)
    first = {}
    for name, meets in criteria.items():
        first[name] = meets & ~met
        met |= meets
    return pool, first


def rates(rows: Table) -> dict[str, float]:
    """Return the numbers of ``REAL``, measured."""
    pool, first = pool_of(rows)
    n2, nobs = np.any(list(first.values()), axis=0), pool["NOBS_Z"]
    return {
        "rows that reach the pool": len(pool) / len(rows),
        "N2 in the pool": n2.mean(),
        **{f"{name} in N2": meets.sum() / n2.sum() for name, meets in first.items()},
        "nobs_z 3-5 in the pool": ((nobs >= 3) & (nobs <= 5)).mean(),
        "nobs_z 6-10 in the pool": ((nobs >= 6) & (nobs <= 10)).mean(),
        "nobs_z 11+ in the pool": (nobs >= 11).mean(),
    }


def unit_vectors(ra: Table, dec: Table) -> Table:
    """Return positions on the unit sphere."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def lenses(files: int) -> Table:
    """Return the sources with z < 20 of the lenses of a default sky, matched within 1.5 arcsec.

    Of the other rows of its files only a few are made: a file has ten lenses.
    """
    plans, catalog = plan_files(Path(), files, 250_000, 1, None)
    entries = list(csv.DictReader(catalog.decode().splitlines()))
    chunks = [chunk.tobytes() for plan in plans for chunk in row_chunks(plan._replace(rows=1_000))]
    rows = np.frombuffer(b"".join(chunks), sweep_dtype())[COLUMNS]
    rows = rows[rows["TYPE"] != b"DUP"]
    # A chord of 1.5 arcsec. Position by position, as there is no tree of positions without SciPy.
    reach, places = np.radians(1.5 / 3600), unit_vectors(rows["RA"], rows["DEC"])
    nearest = []
    ra, dec = (np.array([float(entry[axis]) for entry in entries]) for axis in ("ra", "dec"))
    for position in unit_vectors(ra, dec):
        distance = np.linalg.norm(places - position, axis=1)
        nearest += [int(distance.argmin())] if distance.min() <= reach else []
    found = rows[np.unique(nearest)]
    return found[np.isin(found["TYPE"], [kind.encode() for kind in LENS_TYPES]) & (found["FLUX_Z"] > 10)]


def bright_share(lenses: Table, kind: str) -> float:
    """Return the share of the lenses of a type that have FLUX_R >= 5."""
    return float((lenses["FLUX_R"][lenses["TYPE"] == kind.encode()] >= 5).mean())


def auc(lenses: Table, rows: Table) -> float:
    """Return how often a lens is brighter in r than a negative of N1 of its type; types as in real lenses."""
    pool, first = pool_of(rows)
    n1 = pool[~np.any(list(first.values()), axis=0)]
    total = 0.0
    for kind, number in LENS_TYPES.items():
        n1_flux = np.sort(n1["FLUX_R"][n1["TYPE"] == kind.encode()])
        flux = lenses["FLUX_R"][lenses["TYPE"] == kind.encode()]
        total += number * np.searchsorted(n1_flux, flux).mean() / len(n1_flux)
    return float(total / sum(LENS_TYPES.values()))


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        write_mock_sky(folder)
        rows = read(Path(folder))
    found = lenses(files=100)
    print("| | real | made up |\n|---|---|---|")
    for name, value in rates(rows).items():
        print(f"| {name} | {REAL[name]:.1%} | {value:.1%} |")
    for kind, share in REAL_LENSES.items():
        print(f"| lenses of type {kind} with FLUX_R >= 5 | {share:.0%} | {bright_share(found, kind):.0%} |")
    real = " to ".join(f"{value:.2f}" for value in REAL_AUC)
    print(f"| AUC of r alone, lenses against N1 of their type | {real} | {auc(found, rows):.2f} |")


if __name__ == "__main__":
    main()
