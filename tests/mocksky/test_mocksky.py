"""The mock sky: is it a DR10 sky where the pipeline looks, and is the awkward always in it?"""

import csv
import gzip
import itertools
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import fitsio
import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from lensneg.errors import InputError
from lensneg.mocksky import MockSky, scene, write_mock_sky
from lensneg.mocksky.bricks import bricks_of
from lensneg.mocksky.population import POPULATIONS
from lensneg.rules.pools import POOLS, classify
from lensneg.rules.quotas import compute_quotas
from lensneg.rules.rows import Rows
from lensneg.rules.selection import select
from lensneg.rules.strata import Stratum, nobs_z_bin
from lensneg.schema.config import Config
from lensneg.schema.sweep_columns import MASKBITS, SOURCE_TYPES, sweep_dtype
from lensneg.storage import FileInfo
from lensneg.survey.names import Cell, sweep_cell, sweep_name
from lensneg.survey.table_rows import iter_table, probe_table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import mock_sky_rates  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"
CANDIDATES = SHARED / "desi_candidates.csv"
EXCLUDED = ("BRIGHT", "ALLMASK_G", "ALLMASK_R", "ALLMASK_Z", "MEDIUM", "GALAXY", "CLUSTER")
ROWS = 2000


def shared(name: str) -> Path:
    """Real data, or skip."""
    if not (SHARED / name).exists():
        pytest.skip(f"needs the real data file {name}")
    return SHARED / name


def table(path: Path) -> np.ndarray:
    """A sweep's rows as they are stored, read without the package or a FITS library."""
    data = path.read_bytes()
    start = 2880 * next(i for i in range(99) if b"END" + b" " * 77 in data[2880 * i : 2880 * i + 2880] and i)
    n = int(fits.getheader(path, 1)["NAXIS2"])
    return np.frombuffer(data, sweep_dtype(), n, start + 2880)


def tables(sky: MockSky) -> dict[str, np.ndarray]:
    return {path.name: table(path) for path in sorted(Path(sky.sweeps).iterdir())}


def cell(name: str) -> Cell:
    found = sweep_cell(name)
    assert found is not None
    return found


def positions(path: str | Path) -> np.ndarray:
    with open(path, encoding="utf-8") as file:
        return np.array([(float(row["ra"]), float(row["dec"])) for row in csv.DictReader(file)])


def separations(ra: float, dec: float, rows: np.ndarray) -> np.ndarray:
    """Arcseconds from a position to each row, by the haversine formula."""
    lon, lat = np.radians(rows["RA"] - ra), np.radians(rows["DEC"])
    h = np.sin((lat - np.radians(dec)) / 2) ** 2
    h += np.cos(lat) * np.cos(np.radians(dec)) * np.sin(lon / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(h))) * 3600


def counterparts(sky: MockSky) -> list[tuple[str, int, float] | None]:
    """For each position the nearest source that is not DUP within 1.5 arcsec: file, row, separation."""
    found: list[tuple[str, int, float] | None] = []
    every = tables(sky)
    for ra, dec in positions(sky.positives):
        best = None
        for name, rows in every.items():
            near = np.flatnonzero((np.abs(rows["DEC"] - dec) < 0.001) & (rows["TYPE"] != b"DUP"))
            for i, distance in zip(near.tolist(), separations(ra, dec, rows[near]).tolist(), strict=True):
                if distance <= 1.5 and (best is None or distance < best[2]):
                    best = name, i, distance
        found.append(best)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> MockSky:
    """The smallest sky that has everything but bricks across files and a pole."""
    return write_mock_sky(tmp_path_factory.mktemp("two"), files=2, rows=ROWS)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> MockSky:
    return write_mock_sky(tmp_path_factory.mktemp("four"), rows=ROWS)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> MockSky:
    return write_mock_sky(tmp_path_factory.mktemp("default"))


@pytest.fixture(scope="module")
def default_rows(default: MockSky) -> np.ndarray:
    """What the script reads of that sky."""
    return mock_sky_rates.read(Path(default.sweeps))


@pytest.fixture(scope="module")
def default_matches(default: MockSky) -> list[tuple[str, int, float] | None]:
    return counterparts(default)


# --- Files


def test_columns_are_those_of_the_data_model(two: MockSky) -> None:
    with open(shared("dr10_sweep_columns.csv"), encoding="utf-8") as file:
        model = [(row["name"], row["tform"], row["unit"]) for row in csv.DictReader(file)]
    assert len(model) == 130
    for path in Path(two.sweeps).iterdir():
        header = fits.getheader(path, 1)
        of_file = [
            (header[f"TTYPE{i}"], header[f"TFORM{i}"], header.get(f"TUNIT{i}", "")) for i in range(1, 131)
        ]
        assert of_file == model
        assert header["NAXIS1"] == 505
        assert header["TFIELDS"] == 130
        with fitsio.FITS(path) as hdus:
            assert hdus[1].get_colnames() == [name for name, _, _ in model]


def test_headers_and_blocks(two: MockSky) -> None:
    for path in Path(two.sweeps).iterdir():
        corner = cell(path.name)
        assert path.stat().st_size % 2880 == 0
        padding = path.stat().st_size - len(path.read_bytes().rstrip(b"\0"))
        assert padding >= -ROWS * 505 % 2880
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert hdus[0].header["NAXIS"] == 0
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "SWEEP"]
            assert len(hdus) == 2
            header = hdus[1].header
            assert header["NAXIS2"] == ROWS
            assert [header[key] for key in ("RAMIN", "RAMAX", "DECMIN", "DECMAX")] == list(corner)
            assert header["MBIT_12"] == "GALAXY"
            assert header["MOCK"] is True


def test_two_fits_readers_agree_with_the_bytes(two: MockSky) -> None:
    for path in Path(two.sweeps).iterdir():
        stored, by_fitsio = table(path), fitsio.read(path, 1)
        with fits.open(path) as hdus:
            by_astropy = hdus[1].data
            for name in ("BRICKID", "OBJID", "RA", "DEC", "FLUX_Z", "DCHISQ", "MASKBITS", "SERSIC"):
                assert np.array_equal(by_fitsio[name], stored[name], equal_nan=True), name
                assert np.array_equal(by_astropy[name], stored[name], equal_nan=True), name
            assert by_astropy["TYPE"].tolist() == [t.decode() for t in stored["TYPE"].tolist()]


def test_what_is_returned_is_what_was_written(two: MockSky) -> None:
    sizes = [path.stat().st_size for path in Path(two.sweeps).iterdir()]
    assert (two.files, two.rows, two.bytes) == (2, 2 * ROWS, sum(sizes))
    assert len(sizes) == 2
    assert two.positives == str(Path(two.sweeps).parent / "positives.csv")


def test_the_same_arguments_give_the_same_bytes(two: MockSky, tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []

    def on_file(path: str, size: int) -> None:
        done.append((path, size))

    write_mock_sky(tmp_path / "again", files=2, rows=ROWS, workers=1, on_file=on_file)
    write_mock_sky(tmp_path / "parallel", files=2, rows=ROWS, workers=2)
    write_mock_sky(tmp_path / "other", files=2, rows=ROWS, seed=2)
    for path in (*Path(two.sweeps).iterdir(), Path(two.positives)):
        name = path.relative_to(Path(two.sweeps).parent)
        assert (tmp_path / "again" / name).read_bytes() == path.read_bytes()
        assert (tmp_path / "parallel" / name).read_bytes() == path.read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != path.read_bytes()
    assert sorted(Path(path).name for path, _ in done) == [p.name for p in sorted(Path(two.sweeps).iterdir())]
    assert all(Path(path).stat().st_size == size for path, size in done)


def test_gzip_holds_the_same_bytes(two: MockSky, tmp_path: Path) -> None:
    packed = write_mock_sky(tmp_path, files=2, rows=ROWS, gzip=True)
    for path in Path(two.sweeps).iterdir():
        data = (Path(packed.sweeps) / f"{path.name}.gz").read_bytes()
        assert gzip.decompress(data) == path.read_bytes()
        assert data[3] == 0, "flags: a name or a comment in the header"
        assert data[4:8] == bytes(4), "a time in the header"
    assert packed.bytes < two.bytes


def test_a_file_that_fails_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("lensneg.mocksky.rows._RowMaker.fill", fail)
    with pytest.raises(OSError, match="no space"):
        write_mock_sky(tmp_path, files=1, rows=ROWS)
    assert list((tmp_path / "sweeps").iterdir()) == []
    assert not (tmp_path / "positives.csv").exists()


# --- Other formats and releases


def same_as_fits(found: pa.Table, expected: np.ndarray) -> None:
    """Both have the same columns, in the same types, and the same rows in the same order."""
    for name in expected.dtype.names or ():
        column, values = found[name].combine_chunks(), expected[name]
        if values.ndim == 2:
            values, column = values.ravel(), column.flatten()
        if values.dtype.kind == "S":
            texts = [value.decode() for value in values.tolist()]
            logical = name.upper() == "GAIA_DUPLICATED_SOURCE"
            assert column.to_pylist() == ([text == "T" for text in texts] if logical else texts), name
        else:
            assert column.type == pa.from_numpy_dtype(values.dtype.newbyteorder("=")), name
            assert np.array_equal(column.to_numpy(zero_copy_only=False), values, equal_nan=True), name


def test_parquet_holds_the_same_rows(two: MockSky, tmp_path: Path) -> None:
    sky = write_mock_sky(tmp_path, files=2, rows=ROWS, file_format="parquet")
    assert (sky.files, sky.rows) == (2, 2 * ROWS)
    for path in Path(two.sweeps).iterdir():
        packed = Path(sky.sweeps) / path.with_suffix(".parquet").name
        found = pq.read_table(packed)
        assert found.column_names == list(sweep_dtype().names or ())
        same_as_fits(found, table(path))
        # As a run reads it.
        stored = probe_table(FileInfo(str(packed), packed.stat().st_size, ""))
        chunks = [chunk for _, chunk in iter_table(stored)]
        for name in stored.dtype.names or ():
            read = np.concatenate([chunk[name] for chunk in chunks])
            assert np.array_equal(read, table(path)[name], equal_nan=stored.dtype[name].kind == "f")
    assert Path(sky.positives).read_bytes() == Path(two.positives).read_bytes()


def test_hats_is_laid_out_as_hats_import_does(
    two: MockSky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the layout that hats-import 0.11 writes, with small partitions so that their orders differ."""
    monkeypatch.setattr("lensneg.mocksky.hats._MAX_ROWS", 700)
    sky = write_mock_sky(tmp_path, files=2, rows=ROWS, file_format="hats")
    root = Path(sky.sweeps)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    properties = dict(line.split("=") for line in (root / "hats.properties").read_text().splitlines()[1:])
    assert (root / "properties").read_bytes() == (root / "hats.properties").read_bytes()
    with open(root / "partition_info.csv", encoding="ascii") as file:
        pixels = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(file)]
    named = [f"dataset/Norder={k}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet" for k, pixel in pixels]
    own = ["dataset/_common_metadata", "dataset/_metadata"]
    assert files == sorted([*named, *own, "hats.properties", "properties", "partition_info.csv"])
    assert len(pixels) == sky.files > 6
    assert len({order for order, _ in pixels}) > 1
    expected = {"obs_collection": "mock_sky", "dataproduct_type": "object", "hats_nrows": str(2 * ROWS)}
    expected |= {"hats_col_ra": "ra", "hats_col_dec": "dec", "hats_order": str(max(pixels)[0])}
    assert properties.items() >= expected.items()
    parts = []
    for (order, pixel), name in zip(pixels, named, strict=True):
        part = pq.ParquetFile(root / name).read()
        assert part.num_rows <= 700
        finest = part["_healpix_29"].to_numpy()
        assert (np.diff(finest) >= 0).all()
        assert (finest >> 2 * (29 - order) == pixel).all()
        ra, dec = part["ra"].to_numpy(), part["dec"].to_numpy()
        assert np.array_equal(finest, healpy.ang2pix(1 << 29, ra, dec, nest=True, lonlat=True))
        parts.append(part)
    # Parents of the partitions hold more rows than a partition may, and the order is that of the sky.
    whole = pa.concat_tables(parts)
    assert (np.diff(whole["_healpix_29"].to_numpy()) >= 0).all()
    for order, pixel in pixels:
        if order:
            inside = whole["_healpix_29"].to_numpy() >> 2 * (30 - order) == pixel >> 2
            assert inside.sum() > 700
    footer = pq.read_metadata(root / "dataset" / "_metadata")
    assert footer.num_rows == 2 * ROWS
    assert [footer.row_group(i).column(0).file_path for i in range(footer.num_row_groups)] == [
        name.removeprefix("dataset/") for name in named
    ]
    # The rows are those of the sweep files.
    stored = np.concatenate([*tables(two).values()])
    stored = stored[np.lexsort((stored["OBJID"], stored["BRICKID"]))]
    by_id = whole.sort_by([("brickid", "ascending"), ("objid", "ascending")]).drop_columns("_healpix_29")
    assert by_id.column_names == [name.lower() for name in sweep_dtype().names or ()]
    same_as_fits(by_id.rename_columns(list(sweep_dtype().names or ())), stored)


def test_files_of_dr9_have_its_columns(two: MockSky, tmp_path: Path) -> None:
    sky = write_mock_sky(tmp_path, files=2, rows=ROWS, releases=(9010, 9012))
    for path in Path(sky.sweeps).iterdir():
        header, found = fits.getheader(path, 1), fitsio.read(path, 1)
        assert (header["TFIELDS"], header["NAXIS1"], header["SURVEYDR"]) == (115, 449, "DR9")
        assert (path.stat().st_size % 2880, len(found)) == (0, ROWS)
        assert "MBIT_13" in header
        assert "MBIT_14" not in header
        assert found["MASKBITS"].dtype == np.dtype(">i2")
        expected = table(Path(two.sweeps) / path.name)
        lacking = {name for name in sweep_dtype().names or () if name.endswith("_I")}
        assert len(lacking) == 15
        assert [*found.dtype.names] == [n for n in sweep_dtype().names or () if n not in lacking]
        assert np.array_equal(found["MASKBITS"], expected["MASKBITS"] & 0b11_1111_1111_1111)
        assert set(found["RELEASE"].tolist()) == {9010, 9012}
        for brick in np.unique(found["BRICKID"])[::20]:
            assert len(set(found["RELEASE"][found["BRICKID"] == brick].tolist())) == 1
        for name in ("OBJID", "RA", "FLUX_Z", "NOBS_Z", "SHAPE_R"):
            assert np.array_equal(found[name], expected[name], equal_nan=True)


def test_files_of_two_surveys_have_the_columns_of_dr10(tmp_path: Path) -> None:
    sky = write_mock_sky(tmp_path, files=1, rows=ROWS, releases=(9011, 10002))
    [rows] = tables(sky).values()
    assert set(rows["RELEASE"].tolist()) == {9011, 10002}


# --- Rows


def test_pz_files_are_row_parallel_and_say_what_the_fluxes_allow(tmp_path: Path) -> None:
    sky = write_mock_sky(tmp_path / "one", files=2, rows=3_000, pz=True)
    assert sky.pz == str(tmp_path / "one" / "pz")
    for name, rows in tables(sky).items():
        found = fitsio.read(str(tmp_path / "one" / "pz" / name.replace(".fits", "-pz.fits")))
        assert all((found[key] == rows[key]).all() for key in ("RELEASE", "BRICKID", "OBJID"))
        with np.errstate(invalid="ignore"):
            seen = np.all([rows[f"FLUX_{band}"] > 0 for band in ("G", "R", "Z", "W1", "W2")], axis=0)
        assert (found["Z_PHOT_STD"][~seen] == -99).all()
        assert (~seen).any()
        z, low, high = (found[f"Z_PHOT_{end}"][seen] for end in ("MEDIAN", "L68", "U68"))
        assert ((z > 0) & (low < z) & (z < high)).all()
        bright, faint = rows["FLUX_Z"][seen] > 30, rows["FLUX_Z"][seen] < 5
        assert np.median(z[bright]) < np.median(z[faint]) < 1.5
    again = write_mock_sky(tmp_path / "two", files=2, rows=3_000, gzip=True, pz=True, workers=2)
    for path in sorted(Path(sky.pz).iterdir()):
        assert path.read_bytes() == Path(again.pz or "", path.name).read_bytes()
    with pytest.raises(InputError, match="a table has no -pz file"):
        write_mock_sky(tmp_path / "three", files=1, rows=3_000, file_format="parquet", pz=True)
    shutil.rmtree(tmp_path / "one" / "sweeps")
    with pytest.raises(InputError, match="two skies must not mix"):
        write_mock_sky(tmp_path / "one", files=1, rows=3_000, pz=True)


def test_keys_are_unique_and_positions_in_their_cells(four: MockSky) -> None:
    seen: set[tuple[int, int]] = set()
    for name, rows in tables(four).items():
        corner = cell(name)
        assert (rows["RA"] >= corner.ra_min).all()
        assert (rows["RA"] < corner.ra_max).all()
        assert (rows["DEC"] >= corner.dec_min).all()
        assert (rows["DEC"] < corner.dec_max).all()
        assert set(rows["RELEASE"].tolist()) == {10002}
        assert rows["BRICKID"].min() > 0
        assert rows["BRICKID"].max() < 1 << 20
        assert rows["OBJID"].min() >= 0
        assert rows["OBJID"].max() < 1 << 22
        seen.update(zip(rows["BRICKID"].tolist(), rows["OBJID"].tolist(), strict=True))
    assert len(seen) == four.rows


def test_bricks_are_shared_between_files(four: MockSky) -> None:
    of_file = {name: dict(zip(r["BRICKID"], r["BRICKNAME"], strict=True)) for name, r in tables(four).items()}
    shared_bricks = set(of_file["sweep-000p005-005p010.fits"]) & set(of_file["sweep-000p000-005p005.fits"])
    assert len(shared_bricks) > 5
    names: dict[int, set[bytes]] = {}
    for bricks in of_file.values():
        for brick, name in bricks.items():
            names.setdefault(int(brick), set()).add(bytes(name))
    assert all(len(found) == 1 for found in names.values())
    assert len(set.union(*names.values())) == len(names)


def test_bricks_are_the_surveys(two: MockSky) -> None:
    real = fitsio.read(shared("dr8-sweep-310m005-320p000.fits"), 1)
    assert len(real)
    for row in real:
        corner = scene.cell_at(float(row["RA"]), float(row["DEC"]))
        bricks = bricks_of(corner, seed=1)
        i = bricks.find(float(row["RA"]), float(row["DEC"]))
        assert int(bricks.brickid[i]) == int(row["BRICKID"])
        assert bricks.name[i].decode() == str(row["BRICKNAME"]).strip()


def test_bricks_tile_the_polar_cells() -> None:
    for ra in range(0, 360, 5):
        bricks = bricks_of(Cell(ra, ra + 5, -90, -85), seed=1)
        assert (bricks.ra_width * bricks.dec_width).sum() == pytest.approx(25)
        assert (bricks.slot >= 0).all()
        assert (bricks.slot < bricks.slots).all()
    # All 72 cells share the pole's brick, the first of all, and each has a slot of its own.
    pole = [bricks_of(Cell(ra, ra + 5, -90, -85), seed=1) for ra in range(0, 360, 5)]
    assert {int(bricks.brickid[0]) for bricks in pole} == {1}
    assert sorted(int(bricks.slot[0]) for bricks in pole) == list(range(72))


@pytest.mark.parametrize("fixture", ["two", "four"])
def test_the_awkward_is_in_every_file(fixture: str, request: pytest.FixtureRequest) -> None:
    for name, rows in tables(request.getfixturevalue(fixture)).items():
        galaxy = ~np.isin(rows["TYPE"], [b"PSF", b"DUP"])
        for band in "GRZ":
            flux = rows[f"FLUX_{band}"]
            assert (flux[galaxy] == 0).any(), (name, band)
            assert (flux[galaxy] < 0).any(), (name, band)
            assert np.isnan(flux[galaxy]).any(), (name, band)
        bits = np.bitwise_or.reduce(rows["MASKBITS"][galaxy & (rows["FLUX_Z"] > 10)])
        assert bits == (1 << len(MASKBITS)) - 1, name
        assert {t.decode() for t in rows["TYPE"]} == set(SOURCE_TYPES)
        for low, high in ((1, 2), (3, 5), (6, 10), (11, 99)):
            assert ((rows["NOBS_Z"] >= low) & (rows["NOBS_Z"] <= high)).any(), (name, low)
        assert (rows["MW_TRANSMISSION_R"] > 1).any()
        assert (rows["FLUX_Z"] == 10).any()  # z = 20, which is not below 20


def test_columns_agree_with_each_other(four: MockSky) -> None:
    for rows in tables(four).values():
        kind = rows["TYPE"]
        for band in "GRIZ":
            unseen = rows[f"NOBS_{band}"] == 0
            ordinary = unseen & (rows[f"FLUX_{band}"] != -1.5) & ~np.isnan(rows[f"FLUX_{band}"])
            assert unseen.any() or band != "Z"
            assert (rows[f"FLUX_{band}"][ordinary] == 0).all()
            assert (rows[f"FLUX_IVAR_{band}"][unseen] == 0).all()
            assert (rows[f"PSFDEPTH_{band}"][unseen] == 0).all()
            assert (rows[f"FLUX_{band}"][kind == b"DUP"] == 0).all()
        assert (rows["SHAPE_R"][np.isin(kind, [b"PSF", b"DUP"])] == 0).all()
        assert (rows["SHAPE_R"][(kind == b"EXP") | (kind == b"SER")] > 0).all()
        for column in ("SHAPE_E1", "SHAPE_E2"):
            assert (rows[column][np.isin(kind, [b"PSF", b"DUP", b"REX"])] == 0).all()
        assert (np.hypot(rows["SHAPE_E1"], rows["SHAPE_E2"]) < 1).all()
        for type_, sersic in ((b"PSF", 0), (b"DUP", 0), (b"REX", 1), (b"EXP", 1), (b"DEV", 4)):
            assert set(rows["SERSIC"][kind == type_].tolist()) == {sersic}
        fitted = rows["SERSIC"][kind == b"SER"]
        assert fitted.min() >= 0.5
        assert fitted.max() <= 6
        assert len(set(fitted.tolist())) > len(fitted) / 2
        gaia = rows["REF_CAT"] == b"GE"
        assert set(kind[gaia].tolist()) == {b"PSF", b"DUP"}
        assert (rows["REF_ID"][gaia] > 0).all()


def test_the_mix_is_that_of_the_survey(default: MockSky) -> None:
    rows = np.concatenate([*tables(default).values()])
    share = {t: float((rows["TYPE"] == t.encode()).mean()) for t in SOURCE_TYPES}
    for type_, expected in (("PSF", 0.476), ("REX", 0.397), ("EXP", 0.080), ("DEV", 0.030), ("SER", 0.017)):
        assert share[type_] == pytest.approx(expected, rel=0.05), type_
    assert 0.00002 < share["DUP"] < 0.0005
    galaxy = ~np.isin(rows["TYPE"], [b"PSF", b"DUP"])
    counts = [(galaxy & (rows["FLUX_Z"] > 10 ** (0.4 * (22.5 - m)))).sum() for m in (17, 18, 19, 20, 21)]
    assert all(2 * a < 1.2 * b for a, b in itertools.pairwise(counts)), "counts rise with magnitude"
    mask = sum(1 << MASKBITS[name] for name in EXCLUDED)
    assert 0.10 < ((rows["MASKBITS"] & mask) != 0).mean() < 0.15
    assert 0.0005 < (rows["NOBS_Z"] == 0).mean() < 0.02
    # Exposures go by brick: within one they differ by two at most, over the sky by many.
    for brick in np.unique(rows["BRICKID"])[::50]:
        assert np.ptp(np.sort(rows["NOBS_Z"][rows["BRICKID"] == brick])[2:-2]) <= 8
    e = np.hypot(rows["SHAPE_E1"], rows["SHAPE_E2"])[galaxy & (rows["TYPE"] != b"REX")]
    assert 0.05 < (e > 0.5).mean() < 0.3


def test_the_rates_are_those_of_the_real_sky(default_rows: np.ndarray) -> None:
    found = mock_sky_rates.rates(default_rows)
    assert found == pytest.approx(mock_sky_rates.REAL, rel=0.2)
    assert len(found) == 9
    # And they are those that the document gives.
    lines = (DOCS / "science.md").read_text(encoding="utf-8").splitlines()
    table = dict(line.strip("| ").split(" | ", 1) for line in lines if line.count(" | ") == 2)
    for name, value in found.items():
        assert table[name] == f"{mock_sky_rates.REAL[name]:.1%} | {value:.1%}"


def test_lenses_are_as_bright_as_real_ones(default_rows: np.ndarray) -> None:
    lenses = mock_sky_rates.lenses(files=40)
    assert len(lenses) > 200
    for kind, share in mock_sky_rates.REAL_LENSES.items():
        assert mock_sky_rates.bright_share(lenses, kind) == pytest.approx(share, abs=0.05), kind
    low, high = mock_sky_rates.REAL_AUC
    assert low <= mock_sky_rates.auc(lenses, default_rows) <= high


def test_lenses_have_the_mask_bits_that_negatives_may_have(default_rows: np.ndarray) -> None:
    """If they had none, the bits alone would tell them from negatives."""
    lenses, harmless = mock_sky_rates.lenses(files=40), 1 << MASKBITS["WISEM1"] | 1 << MASKBITS["WISEM2"]
    shares = [(rows["MASKBITS"] & harmless != 0).mean() for rows in (lenses, default_rows)]
    assert shares[1] == pytest.approx(0.06, abs=0.005)
    assert shares[0] == pytest.approx(shares[1], abs=0.04)
    excluded = sum(1 << MASKBITS[name] for name in EXCLUDED)
    assert (lenses["MASKBITS"] & excluded != 0).mean() < 0.05  # the flaw "masked" alone


@pytest.mark.parametrize("kind", ["SER", "DEV", "REX"])
def test_the_r_magnitudes_of_lenses_are_those_of_real_lenses(kind: str) -> None:
    """Their quantiles, in a catalogue of 1,615; it has 42 of type EXP, which say little."""
    with shared("ssl_training_lenses_dr9.tsv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    real = [float(line["mag_r"]) for line in lines if line["source_type"] == kind]
    law, rng = scene._LENS_TYPES[kind], np.random.default_rng(1)
    z = np.interp(rng.random(20_000), scene._QUANTILES, law.mag_z)
    sigma = POPULATIONS[law.population].r_z_sigma
    r = z + law.r_z + law.r_z_slope * (z - 19) + sigma * rng.standard_normal(len(z))
    levels = [0.02, 0.16, 0.5, 0.84, 0.98]
    assert np.quantile(r, levels) == pytest.approx(np.quantile(real, levels), abs=0.25)
    bright = 22.5 - 2.5 * np.log10(5)
    assert (r <= bright).mean() == pytest.approx((np.array(real) <= bright).mean(), abs=0.02)


# --- Lenses


def test_positives_have_every_flaw(two: MockSky) -> None:
    rows, found = tables(two), counterparts(two)
    sources = [rows[match[0]][match[1]] for match in found if match]
    assert found.count(None) >= 3  # nothing there, a DUP alone, and outside the sweeps
    outside = [p for p in positions(two.positives) if p[1] > 40]
    assert len(outside) == 1
    # One whose only counterpart is DUP.
    every = np.concatenate([*rows.values()])
    alone = [p for p, match in zip(positions(two.positives), found, strict=True) if match is None]
    near = [every["TYPE"][separations(*p, every) < 1.5].tolist() for p in alone]
    assert [b"DUP"] in near
    assert [] in near
    types = Counter(source["TYPE"] for source in sources)
    assert types[b"PSF"] >= 1
    assert types[b"EXP"] >= 1
    assert types[b"SER"] > 1
    assert any(source["NOBS_Z"] == 0 and source["FLUX_Z"] == 0 for source in sources)
    assert any(0 < source["FLUX_Z"] < 9 for source in sources)
    assert any(source["MASKBITS"] & 1 << MASKBITS["MEDIUM"] for source in sources)
    twice = Counter(match[:2] for match in found if match)
    assert 2 in twice.values()
    assert {match[0] for match in found if match} == set(rows), "each file has positives"


def test_lenses_have_neighbours_to_exclude(two: MockSky) -> None:
    every = np.concatenate([*tables(two).values()])
    bright = every[(every["FLUX_Z"] > 10) & np.isin(every["TYPE"], [b"SER", b"REX", b"DEV"])]
    near = [
        ((d := separations(ra, dec, bright)) > 1.5) & (d < 11)
        for ra, dec in positions(two.positives)
        if dec < 40
    ]
    assert sum(bool(mask.any()) for mask in near) > 0.8 * len(near)


def across(sky: MockSky, inside: str, other: str) -> None:
    """There is a lens whose galaxy is in one file, position and next source in another."""
    rows, corner = tables(sky), cell(other)
    for (ra, dec), match in zip(positions(sky.positives), counterparts(sky), strict=True):
        at_home = corner.ra_min <= ra < corner.ra_max and corner.dec_min <= dec < corner.dec_max
        if at_home and match is not None and match[0] == inside:
            beyond = separations(ra, dec, rows[other])
            assert match[2] < beyond.min() < 1.5, "the next is within reach of a match"
            assert (beyond < 11).sum() >= 2
            return
    pytest.fail(f"no lens between {inside} and {other}")


def test_a_lens_lies_across_ra_0(two: MockSky) -> None:
    east, west = "sweep-000p005-005p010.fits", "sweep-355p005-360p010.fits"
    assert list(tables(two)) == [east, west]
    across(two, east, west)


def test_a_lens_lies_across_a_border_in_dec(four: MockSky) -> None:
    across(four, "sweep-000p005-005p010.fits", "sweep-000p000-005p005.fits")


def test_a_lens_lies_at_the_pole(four: MockSky) -> None:
    rows = tables(four)["sweep-355m090-360m085.fits"]
    assert (rows["DEC"] < -89.995).sum() >= 4
    pairs = zip(positions(four.positives), counterparts(four), strict=True)
    polar = [match for position, match in pairs if position[1] < -89.99]
    assert len(polar) == 1
    assert polar[0] is not None


def tally(
    rows: np.ndarray, found: list[int], plan: Config
) -> tuple[Counter[Stratum], Counter[tuple[Stratum, str]]]:
    """Positives and pool of a file, by the package's own rules."""
    sweep = Rows(rows)

    def strata(some: Rows) -> list[Stratum | None]:
        bins = nobs_z_bin(some["NOBS_Z"], plan.strata)
        return [
            Stratum(plan.strata.nobs_z_bins[b], SOURCE_TYPES[t]) if b >= 0 else None
            for b, t in zip(bins, some.source_type(), strict=True)
        ]

    kept = sweep.take(select(sweep, plan)[0])
    pool = classify(kept, plan)[0]
    available = Counter(
        (stratum, POOLS[p]) for stratum, p in zip(strata(kept), pool, strict=True) if stratum and p >= 0
    )
    positives = Counter(s for s in strata(sweep.take(np.array(sorted(set(found)), dtype=np.int64))) if s)
    return positives, available


def test_any_two_files_hold_the_negatives_of_their_lenses(
    default: MockSky, default_matches: list[tuple[str, int, float] | None], plan: Config
) -> None:
    found = [match for match in default_matches if match]
    assert 30 <= len(found) <= 80
    of_file = {
        name: tally(rows, [row for file, row, _ in found if file == name], plan)
        for name, rows in tables(default).items()
    }
    for chosen in (*itertools.combinations(of_file, 2), tuple(of_file)):
        positives: Counter[Stratum] = sum((of_file[name][0] for name in chosen), Counter())
        available: Counter[tuple[Stratum, str]] = sum((of_file[name][1] for name in chosen), Counter())
        quotas = compute_quotas(positives, available, plan)
        for quota in quotas:
            # Lenses take their surroundings with them: leave some to spare.
            assert sum(pool.available for pool in quota.pools) >= 1.3 * quota.target, (chosen, quota)
        drawn = {pool: sum(q.pools[i].quota for q in quotas) for i, pool in enumerate(POOLS)}
        assert drawn["N1"] / sum(drawn.values()) == pytest.approx(0.85, abs=0.02)
    covered = [q for q in quotas if q.positives]
    assert len(covered) >= 8


def shortfalls(sky: MockSky, found: list[tuple[str, int, float] | None], config: Config) -> list[int]:
    """What the strata with positives lack, by the package's own rules."""
    positives: Counter[Stratum] = Counter()
    available: Counter[tuple[Stratum, str]] = Counter()
    for name, rows in tables(sky).items():
        of_file = tally(rows, [match[1] for match in found if match and match[0] == name], config)
        positives.update(of_file[0])
        available.update(of_file[1])
    return [quota.shortfall for quota in compute_quotas(positives, available, config) if quota.positives]


def test_the_default_sky_fills_the_strata_of_the_other_shipped_config(
    default: MockSky, default_matches: list[tuple[str, int, float] | None], parity: Config
) -> None:
    lacking = shortfalls(default, default_matches, parity)
    assert lacking == [0] * len(lacking)
    assert len(lacking) >= 6


# --- A real catalogue


def write_catalog(path: Path, *cells: tuple[int, int, int]) -> Path:
    """Lenses at random positions: for each cell RA and Dec of its corner, and their number."""
    rng = np.random.default_rng(5)
    lines = ["name,ra,dec"]
    for ra, dec, n in cells:
        places = rng.uniform(0.01, 4.99, (n, 2)) + np.array([ra, dec])
        lines += [f"L{ra}-{i},{x:.5f},{y:.5f}" for i, (x, y) in enumerate(places)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_no_shipped_config_refuses_the_sky_of_a_catalogue(
    tmp_path: Path, plan: Config, parity: Config
) -> None:
    """The strata can be filled, whatever the catalogue: some cells have too many lenses, or none at all."""
    cells = [(200, 10, 40), (150, -5, 9), (30, -40, 10), (80, 31, 10), (120, 0, 6), (310, -15, 1)]
    catalog = write_catalog(tmp_path / "lenses.csv", *cells)
    sky = write_mock_sky(tmp_path / "sky", files=2, rows=180_000, positives=catalog)
    assert set(tables(sky)) == {"sweep-150m005-155p000.fits", "sweep-120p000-125p005.fits"}
    found = counterparts(sky)
    assert len([match for match in found if match]) == 15
    for config in (plan, parity):
        lacking = shortfalls(sky, found, config)
        assert lacking == [0] * len(lacking)
        assert len(lacking) >= 4


def test_a_catalogue_of_the_far_south_has_a_sky(tmp_path: Path, plan: Config) -> None:
    catalog = write_catalog(tmp_path / "lenses.csv", (30, -40, 2))
    sky = write_mock_sky(tmp_path / "sky", files=1, rows=100_000, positives=catalog)
    assert list(tables(sky)) == ["sweep-030m040-035m035.fits"]
    assert set(shortfalls(sky, counterparts(sky), plan)) == {0}


def test_every_position_of_a_real_catalogue_has_a_galaxy(tmp_path: Path) -> None:
    catalog = shared("desi_candidates.csv")
    sky = write_mock_sky(tmp_path, files=4, rows=100_000, positives=catalog)
    assert Path(sky.positives).read_bytes() == catalog.read_bytes()
    every, checked = tables(sky), 0
    counts = Counter((int(ra // 5) * 5, int(dec // 5) * 5) for ra, dec in positions(catalog))
    for name, rows in every.items():
        corner = cell(name)
        for ra, dec in positions(catalog):
            if corner.ra_min <= ra < corner.ra_max and corner.dec_min <= dec < corner.dec_max:
                distance = separations(ra, dec, rows)
                i = int(distance.argmin())
                assert distance[i] < 0.2
                assert rows["TYPE"][i] in (b"SER", b"DEV", b"REX", b"EXP")
                assert rows["NOBS_Z"][i] >= 1
                assert rows["FLUX_Z"][i] > 10
                checked += 1
    # Of the cells of paper_iv_parity with no more lenses than 100,000 rows hold, those with the most.
    fitting = sorted(n for (_, dec), n in counts.items() if -15 <= dec <= 25 and n <= 3)
    assert checked >= sum(fitting[-4:]) - 4
    assert checked >= 8


def test_a_small_catalogue_is_topped_up_with_empty_cells(tmp_path: Path) -> None:
    catalog = tmp_path / "lenses.csv"
    catalog.write_text("name,ra,dec\nA,200.1,12.0\nB,200.2,12.1\nC,77.0,80.0\n", encoding="utf-8")
    sky = write_mock_sky(tmp_path / "sky", files=2, rows=100_000, positives=catalog)
    names = sorted(tables(sky))
    assert "sweep-200p010-205p015.fits" in names
    assert len(names) == 2


# --- What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"files": 0}, r"files: got 0; expected 1 to 1872"),
        ({"files": 1873}, r"files: got 1873"),
        ({"rows": 499}, r"rows: got 499 .* expected 500"),
        ({"rows": (1 << 22) + 1}, r"rows: .* 22 bits"),
        ({"seed": -1}, r"seed: got -1"),
        ({"file_format": "csv"}, r"format: got csv; expected one of fits, hats, parquet"),
        ({"file_format": "hats", "gzip": True}, r"gzip: got the format hats; expected fits"),
        ({"releases": (10002, 8000)}, r"release: got \(10002, 8000\); expected some of .*9010"),
        ({"positives": "no-such-file.csv"}, r"no such file"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_mock_sky(tmp_path / "sky", **arguments)
    assert not (tmp_path / "sky").exists()


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        ("name,alpha,delta\nA,10,0\n", 500, r"no column 'ra'"),
        ("name,ra,dec\nA,10,60\nB,20,40\n", 500, r"none of its 2 positions lies between Dec -90 and \+40"),
        (
            "name,ra,dec\n" + "A,10,0\n" * 400 + "B,20,0\n" * 9,
            500,
            r"rows: 500 are too few .*: sweep-020p000-025p005.fits, .* \(9\), needs 1\d0,000; ask for more",
        ),
        ("name,ra,dec\n" + "A,10,0\n" * 900, 500, r"\(900\), has too many for any sweep file"),
    ],
)
def test_catalogues_that_do_not_fit_are_refused(tmp_path: Path, text: str, rows: int, message: str) -> None:
    catalog = tmp_path / "lenses.csv"
    catalog.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        write_mock_sky(tmp_path / "sky", files=1, rows=rows, positives=catalog)
    assert not (tmp_path / "sky").exists()


def test_a_fits_catalogue_is_refused(tmp_path: Path) -> None:
    catalog = tmp_path / "lenses.fits"
    fits.BinTableHDU.from_columns(
        [fits.Column("RA", "D", array=[10.0]), fits.Column("DEC", "D", array=[0.0])]
    ).writeto(catalog)
    with pytest.raises(InputError, match="are a CSV file"):
        write_mock_sky(tmp_path / "sky", positives=catalog)


def test_a_folder_with_another_sky_is_refused(two: MockSky) -> None:
    before = [path.read_bytes() for path in Path(two.sweeps).iterdir()]
    with pytest.raises(InputError, match="name another folder"):
        write_mock_sky(Path(two.sweeps).parent, files=1, rows=ROWS)
    assert [path.read_bytes() for path in Path(two.sweeps).iterdir()] == before


def test_s3_is_refused() -> None:
    with pytest.raises(InputError, match="copy it to S3"):
        write_mock_sky("s3://bucket/sky")


def test_the_grid_has_no_cell_twice_and_none_outside_dr10() -> None:
    grid = scene.grid()
    assert len(grid) == len(set(grid)) == 72 * 26
    assert all(corner.dec_min >= -90 and corner.dec_max <= 40 for corner in grid)
    real = set(shared("dr10.1_sweep_names.txt").read_text(encoding="utf-8").split())
    assert {sweep_name(corner) for corner in grid[:400]} <= real
