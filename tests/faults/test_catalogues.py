"""Lens catalogues at random, in every format: read as they were written, or refused in our own words.

``LENSNEG_FAULTS=long`` tries more of them.
"""

import csv
import gzip
import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from faults import LONG

from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.errors import CatalogError
from lensneg.schema.catalog_spec import CatalogSpec

pytestmark = pytest.mark.filterwarnings("ignore")

TABLES, MUTATIONS = (400, 3000) if LONG else (20, 100)

#: A row: name, RA, Dec, grade. None is a missing value.
Row = tuple[str, float | None, float | None, str]

RA_EXTREMES = [
    0.0,
    -0.0,
    5e-324,
    1e-300,
    1e-9,
    23.999999,
    24.0,
    6.283185,
    179.9999999999,
    180.0,
    359.99999999999994,
]
DEC_EXTREMES = [-90.0, 90.0, -0.0, 0.0, 5e-324, -1e-300, 89.99999999999999, -1e-5, 32.375]
NAMES = ["A", "J0011-0845", "a b", "Étoile", "x,y", 'say "x"', "#1", "007", "-", "1e5", "λ|μ;ν", "a" * 60]
GRADES = ["A", "A+", "B, C", "1", "&", "50%"]
UNITS = {"deg": 1.0, "rad": np.pi / 180, "arcsec": 3600.0}


def random_rows(rng: random.Random) -> list[Row]:
    def one(extremes: list[float], low: float, high: float) -> float | None:
        return rng.choice([*rng.sample(extremes, 2), rng.uniform(low, high), rng.uniform(low, high), None])

    count = rng.choice([1, 2, 7, 40])
    return [
        (rng.choice(NAMES), one(RA_EXTREMES, 0, 360), one(DEC_EXTREMES, -90, 90), rng.choice(GRADES))
        for _ in range(count)
    ]


def text_bytes(rows: list[Row], rng: random.Random, _unit: str) -> bytes:
    out = io.StringIO()
    out.write("".join(rng.sample(["# a, comment\n", "\n", "#\n", "# x\n"], rng.randint(0, 4))))
    writer = csv.writer(
        out, delimiter=rng.choice(",\t;|"), lineterminator=rng.choice(["\n", "\r\n"]), quoting=csv.QUOTE_ALL
    )
    missing = rng.choice(["", "-", "NA", r"\N", "nan"])
    writer.writerow(["name", "RA", "Dec", "grade"])
    for name, ra, dec, grade in rows:
        writer.writerow([name, *(missing if v is None else repr(v) for v in (ra, dec)), grade])
    return out.getvalue().encode()


def as_table(rows: list[Row], unit: str) -> Table:
    made = Table({"name": [row[0] for row in rows], "grade": [row[3] for row in rows]})
    for i, name in ((1, "RA"), (2, "Dec")):
        values = [row[i] for row in rows]
        data = np.array([0.0 if value is None else value for value in values]) * UNITS[unit]
        made[name] = MaskedColumn(data, mask=[value is None for value in values], unit=unit)
    return made


def by_astropy(fmt: str) -> Callable[..., bytes]:
    def write(rows: list[Row], _rng: random.Random, unit: str) -> bytes:
        out = io.StringIO() if fmt.startswith("ascii") else io.BytesIO()
        as_table(rows, unit).write(out, format=fmt)
        data = out.getvalue()
        data = data.encode() if isinstance(data, str) else data
        # astropy does not quote a name that begins with a hash, and reads it as a comment.
        return data.replace(b"\n#1 ", b'\n"#1" ')

    return write


def fits_bytes(rows: list[Row], rng: random.Random, unit: str) -> bytes:
    made = as_table(rows, unit)
    columns = [
        fits.Column("name", "70A", array=np.array([str(name).encode() for name in made["name"]])),
        fits.Column("grade", "8A", array=np.array([str(grade).encode() for grade in made["grade"]])),
        *(fits.Column(n, "D", unit=unit, array=made[n].filled(np.nan)) for n in ("RA", "Dec")),
        fits.Column("junk", "3C", array=np.zeros((len(rows), 3), "c8")),
    ]
    rng.shuffle(columns)
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]
    if rng.random() < 0.5:
        hdus.insert(1, fits.BinTableHDU.from_columns([fits.Column("key", "J", array=[1])]))
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out)
    return out.getvalue()


def ascii_fits_bytes(rows: list[Row], _rng: random.Random, unit: str) -> bytes:
    made = as_table(rows, unit)
    columns = [fits.Column(n, "D26.17", unit=unit, array=made[n].filled(12345.0)) for n in ("RA", "Dec")]
    columns += [fits.Column("grade", "A8", array=[str(grade) for grade in made["grade"]])]
    out = io.BytesIO()
    fits.TableHDU.from_columns(columns).writeto(out)
    # The fields of missing values are blank.
    return re.sub(rb"1\.23450*[ED]\+04", lambda match: b" " * len(match[0]), out.getvalue())


def parquet_bytes(rows: list[Row], rng: random.Random, unit: str) -> bytes:
    factor, fields = UNITS[unit], []
    columns: dict[str, Any] = {
        "name": pa.array([row[0] for row in rows]),
        "grade": pa.array([row[3] for row in rows]),
    }
    for i, name in ((1, "RA"), (2, "Dec")):
        columns[name] = pa.array([None if row[i] is None else row[i] * factor for row in rows], pa.float64())
    columns["junk"] = pa.array([[1.0, 2.0]] * len(rows))
    for kind in ("name", "grade"):
        wanted = rng.choice([pa.string(), pa.large_string(), pa.string_view(), pa.binary(), None])
        columns[kind] = columns[kind].cast(wanted) if wanted else columns[kind].dictionary_encode()
    for name, values in columns.items():
        metadata = {"unit": unit} if name in ("RA", "Dec") else None
        fields.append(pa.field(name, values.type, metadata=metadata))
    out = io.BytesIO()
    made = pa.table(list(columns.values()), schema=pa.schema(fields))
    pq.write_table(made, out, row_group_size=rng.choice([1, 3, 100]))
    return out.getvalue()


def in_parts(rows: list[Row], _rng: random.Random, _unit: str) -> bytes:
    """A table of CDS with its coordinates in parts, for the damaged files."""
    made = Table(
        {"Name": [f"L{i}" for i in range(len(rows))], "RAh": [1] * len(rows), "RAm": [2] * len(rows)}
    )
    made["RAs"], made["DE-"], made["DEd"] = 3.25, ["+", "-"] * (len(rows) // 2) + ["-"] * (len(rows) % 2), 4
    made["DEm"], made["DEs"] = 5, 6.5
    out = io.StringIO()
    made.write(out, format="ascii.mrt")
    return out.getvalue().encode()


#: Formats of which only damaged files are tried here.
TO_DAMAGE: dict[str, Callable[..., bytes]] = {
    "mrt in parts": in_parts,
    "latex": by_astropy("ascii.latex"),
    "fixed width": by_astropy("ascii.fixed_width_two_line"),
    "ipac": by_astropy("ascii.ipac"),
}

WRITERS: dict[str, Callable[..., bytes]] = {
    "text": text_bytes,
    "fits": fits_bytes,
    "ascii fits": ascii_fits_bytes,
    "parquet": parquet_bytes,
    "votable": by_astropy("votable"),
    "ecsv": by_astropy("ascii.ecsv"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_come_back_as_they_were_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "c"
    for seed in range(TABLES):
        rng = random.Random(f"{kind} {seed}")
        rows = random_rows(rng)
        unit = "deg" if kind == "text" else rng.choice(list(UNITS))
        data = WRITERS[kind](rows, rng, unit)
        path.write_bytes(gzip.compress(data) if rng.random() < 0.2 else data)
        grade = rng.choice([row[3] for row in rows])
        spec = CatalogSpec(uri=str(path), where={"grade": (grade,)} if rng.random() < 0.5 else {})
        there = [row for row in rows if row[1] is not None and row[2] is not None]
        chosen = [row for row in there if not spec.where or row[3] == grade]
        others = [row for row in there if row not in chosen]
        try:
            catalog = read_catalog(spec, with_others=True)
        except CatalogError as error:
            pytest.fail(f"{kind} {seed}: {error}")
        for part, expected in ((catalog, chosen), (catalog.others, others)):
            assert len(part.ra) == len(expected), (kind, seed)
            assert part.ra.tolist() == pytest.approx([row[1] for row in expected], rel=1e-15, abs=1e-300), (
                seed
            )
            assert part.dec.tolist() == pytest.approx([row[2] for row in expected], rel=1e-15, abs=1e-300), (
                seed
            )
            if kind != "ascii fits":
                assert part.names == [row[0] for row in expected], (kind, seed)
        assert catalog.without_position == sum(not spec.where or r[3] == grade for r in rows) - len(chosen)


def assert_possible(catalog: Catalog) -> None:
    for part in (catalog, catalog.others):
        assert len(part.ra) == len(part.dec) == len(part.names)
        assert np.all((part.ra >= 0) & (part.ra < 360))
        assert np.all(np.abs(part.dec) <= 90)


def mutated(data: bytes, rng: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 10])):
        at = rng.randrange(len(spoiled) + 1)
        how = rng.randrange(6)
        if how == 0:
            spoiled[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            del spoiled[at : at + rng.choice([1, 8, 80, 2880])]
        elif how == 2:
            spoiled[at:at] = spoiled[at : at + rng.choice([1, 8, 80, 2880])]
        elif how == 3:
            spoiled[at:at] = rng.choice(
                [b"\0", b"\n", b'"', b"'", b"\xff", b"#", b"\x1b[2J", b"9" * 30, b"<", b"-"]
            )
        elif how == 4:
            del spoiled[at:]
        else:
            spoiled[at : at + 80] = b" " * len(spoiled[at : at + 80])
        if not spoiled:
            break
    return bytes(spoiled)


@pytest.mark.parametrize("kind", WRITERS | TO_DAMAGE)
def test_damaged_files_are_refused_or_hold_possible_positions(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "damaged"
    refused = 0
    for seed in range(MUTATIONS):
        rng = random.Random(f"{kind} damaged {seed}")
        data = mutated((WRITERS | TO_DAMAGE)[kind](random_rows(rng), rng, "deg"), rng)
        path.write_bytes(data)
        options = rng.choice(["", "?unit=deg", "?name=grade", "?redshift=Dec&einstein_radius=RA&radius=RA"])
        fault = None
        try:
            assert_possible(read_catalog(CatalogSpec.parse(f"{path}{options}"), with_others=True))
        except CatalogError as error:
            fault = error
        except Exception as error:
            raise AssertionError(f"{kind} damaged {seed}: {error!r}") from error
        if fault is not None:
            refused += 1
            assert str(path) in str(fault), (kind, seed)
            assert fault.remedy, (kind, seed, str(fault))
            assert len(str(fault)) < 3000, (kind, seed)
    print(f"{kind}: {refused} of {MUTATIONS} damaged files refused")
    assert refused
