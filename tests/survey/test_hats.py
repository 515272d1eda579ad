"""HATS catalogues: what is found, what is refused by name, and how much of it is read."""

import json
from pathlib import Path

import healpy
import numpy as np
import pytest
from hatscase import write_hats
from sweepfile import table

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.config import ExecutionConfig
from lensneg.schema.input_name import hats_pixel, input_name
from lensneg.schema.run import SweepInput
from lensneg.survey import parquet_rows
from lensneg.survey.inputs import check_left_out, iter_input, probe_input
from lensneg.survey.items import slices
from lensneg.survey.listing import look_into
from lensneg.survey.names import Cell
from lensneg.survey.pixels import Pixel, area_of, overlapping_inputs, radius_of
from lensneg.survey.table_rows import table_row_groups

#: Across RA 0, at a pole, and elsewhere.
ROWS = [{"OBJID": i, "RA": float(10 * i % 360), "DEC": 85.0 - 3 * i} for i in range(50)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hats(tmp_path / "sky", table(ROWS), order=2)


def places(folder: str | Path, *leave_out: str) -> list[str]:
    return [input_name(info.uri) for info in look_into(str(folder), leave_out).sweeps]


def test_the_partitions_are_the_inputs(root: Path) -> None:
    found = look_into(str(root))
    listed = sorted(path.relative_to(root / "dataset").as_posix() for path in root.rglob("Npix*.parquet"))
    assert [input_name(info.uri) for info in found.sweeps] == listed
    assert len(listed) > 20
    assert (found.not_read, found.not_files) == ([], [])
    assert places(root / "dataset") == listed
    one = root / "dataset" / listed[0]
    assert places(one) == listed[:1]
    (root / "dataset").rename(root.parent / "moved")  # the tree of hipscat, without its files at the root
    assert places(root.parent / "moved") == listed


def test_the_partitions_of_a_prefix_are_the_inputs(root: Path, s3: str) -> None:
    for path in filter(Path.is_file, root.rglob("*")):
        storage.put_file(str(path), f"{s3}/dr10/{path.relative_to(root)}")
    assert places(f"{s3}/dr10") == places(root)


def test_a_partition_may_be_a_folder(tmp_path: Path) -> None:
    rows = table(ROWS)
    root = write_hats(tmp_path / "sky", rows, order=2, folders=True)
    found = look_into(str(root))
    assert {Path(input_name(info.uri)).name for info in found.sweeps} == {"part0.parquet"}
    twin = Path(found.sweeps[0].uri).with_name("part1.parquet")
    twin.write_bytes(Path(found.sweeps[0].uri).read_bytes())
    found = look_into(str(root))
    areas = {info.uri: area_of(info.uri) for info in found.sweeps}
    assert overlapping_inputs(areas) == []
    execution = ExecutionConfig.model_construct(target_item_bytes=1)
    inputs = [SweepInput(**info._asdict(), rows=1, release=1, row_bytes=1) for info in found.sweeps]
    ids = [item.id for sweep in inputs for item in slices(sweep, execution)]
    assert len(ids) == len(inputs)
    assert len(set(ids)) == len(ids)
    assert all(set(name).isdisjoint("=/") for name in ids)


def test_a_lost_partition_is_named(root: Path) -> None:
    lost = sorted(root.rglob("Npix*.parquet"))[3]
    lost.unlink()
    place = lost.relative_to(root).as_posix()
    assert look_into(str(root)).not_read == [f"{place} (in partition_info.csv, and not there)"]
    assert look_into(str(root), [place]).not_read == []


def test_a_partition_that_is_not_listed_is_named(root: Path) -> None:
    other = next(root.rglob("Npix*.parquet"))
    stranger = next(path for n in range(48) if not (path := other.with_name(f"Npix={n}.parquet")).exists())
    stranger.write_bytes(other.read_bytes())
    (fault,) = look_into(str(root)).not_read
    assert fault.endswith(f"{stranger.name} (not in partition_info.csv)")


def test_partitions_of_another_ending_are_named(root: Path) -> None:
    for path in root.rglob("Npix*.parquet"):
        path.rename(path.with_suffix(".parq"))
    found = look_into(str(root))
    assert found.sweeps == []
    assert found.not_read == [
        "partition_info.csv (a HATS catalogue, and no partition is named Npix=….parquet)"
    ]


@pytest.mark.parametrize("text", ["", "pixel\n1\n", "Norder,Npix\n1\n", "Norder,Npix\nx,y\n"])
def test_a_list_that_is_none_is_named(root: Path, text: str) -> None:
    (root / "partition_info.csv").write_text(text)
    faults = look_into(str(root)).not_read
    assert faults, text
    assert "partition_info.csv" in faults[0]


@pytest.mark.parametrize("kind", ["margin", "association", "index"])
def test_a_catalogue_of_another_type_is_refused_by_name(root: Path, kind: str) -> None:
    write_hats(root.parent / "sky_margin", table(ROWS), order=2, kind=kind)
    found = look_into(str(root.parent))
    assert found.not_read == [f"sky_margin (a HATS catalogue of type {kind}, not of objects)"]
    assert len(found.sweeps) == len(places(root))
    assert look_into(str(root.parent), ["sky_margin"]).not_read == []
    assert places(root.parent / "sky_margin") == []


def test_a_collection_is_its_catalogue_of_objects(root: Path) -> None:
    """As hats-import 0.6 and later write it: margins and indexes beside it, and a file that says so."""
    write_hats(root.parent / "sky_margin", table(ROWS), order=2, kind="margin")
    said = "#HATS Collection\nobs_collection=all\nhats_primary_table_url=sky\nall_margins=sky_margin\n"
    (root.parent / "collection.properties").write_text(said)
    assert look_into(str(root.parent)).not_read == []
    assert places(root.parent) == places(root)
    assert look_into(str(root.parent / "sky_margin")).not_read, "a margin that is named itself"
    (root.parent / "collection.properties").write_text(said.replace("=sky\n", "=lost\n"))
    assert look_into(str(root.parent)).not_read == [
        "sky_margin (a HATS catalogue of type margin, not of objects)"
    ]


@pytest.mark.parametrize("kind", ["object", "margin", None])
def test_the_names_of_hipscat(root: Path, kind: str | None) -> None:
    for name in ("hats.properties", "properties"):
        (root / name).unlink()
    (root / "catalog_info.json").write_text(json.dumps({"catalog_type": kind} if kind else []))
    assert bool(look_into(str(root)).not_read) == (kind != "object")


@pytest.mark.parametrize(
    ("uri", "pixel"),
    [
        ("/a/dataset/Norder=3/Dir=0/Npix=12.parquet", (3, 12)),
        ("s3://b/Norder=6/Dir=20000/Npix=20001.snappy.parquet", (6, 20001)),
        ("/a/Norder=3/Dir=0/Npix=12/x.parquet", (3, 12)),
        ("/a/Norder=3/Dir=0/Npix=12/x/y.parquet", None),
        ("/a/Norder=3/Dir=0/Npix=768.parquet", None),
        ("/a/Norder=30/Dir=0/Npix=1.parquet", None),
        ("/a/dataset/_metadata", None),
    ],
)
def test_the_pixel_of_a_place(uri: str, pixel: tuple[int, int] | None) -> None:
    assert hats_pixel(uri) == pixel


def test_rows_are_those_of_the_sweep_whatever_the_case(tmp_path: Path) -> None:
    rows = table(ROWS)
    for lower in (False, True):
        root = write_hats(tmp_path / str(lower), rows, order=2, lower=lower, row_group_size=2)
        seen = []
        for info in look_into(str(root)).sweeps:
            file = probe_input(info)
            for _, chunk in iter_input(file, 0, file.n_rows):
                for i, objid in enumerate(chunk["OBJID"].tolist()):
                    seen.append(objid)
                    for name, values in chunk.items():
                        assert values[i] == rows[name][objid], name
            assert file.release == 10002
        assert sorted(seen) == list(range(50))


@pytest.mark.parametrize("order", [0, 1, 3, 6])
def test_the_radius_holds_every_position_of_a_pixel(order: int) -> None:
    """Pixels at the poles, across RA 0 and at the equator, against all fine pixels within."""
    for number in {0, 1, (4 << 2 * order), (12 << 2 * order) - 1, (1 << 2 * order) - 1}:
        pixel = Pixel(order, number)
        fine = range(number << 8, (number + 1) << 8)
        ra, dec = healpy.pix2ang(1 << order + 4, np.array(fine), nest=True, lonlat=True)
        assert pixel.holds(ra, dec).all()
        vectors, centre = (healpy.ang2vec(*place, lonlat=True) for place in ((ra, dec), pixel.centre))
        assert np.arccos((vectors @ centre).max()) < radius_of(pixel)
        assert np.arccos(np.clip(vectors @ centre, -1, 1)).max() < radius_of(pixel) * 1.0001
        assert radius_of(pixel) <= healpy.max_pixrad(1 << order) * 1.0001


def test_pixels_overlap_where_one_holds_the_other() -> None:
    pixels = [(3, 5), (4, 23), (5, 96), (4, 25), (6, 6400), (3, 7)]
    areas = {f"x/Norder={k}/Dir=0/Npix={n}.parquet": Pixel(k, n) for k, n in pixels}
    # 23 is 4 * 5 + 3; 6400 is 16 * 400, far away; 96 is 4 * 24, beside 23.
    assert overlapping_inputs(areas) == [tuple(list(areas)[:2])]
    areas |= {"sweep-000m005-005p000.parquet": Cell(0, 5, -5, 0)}
    assert len(overlapping_inputs(areas)) == 1


def test_only_the_needed_columns_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that leave storage, counted: at most 0.35 of a FITS file's 505 a row."""
    rows = np.repeat(table(ROWS), 400)
    rng = np.random.default_rng(1)
    for name in rows.dtype.names:  # nothing that compresses well
        if rows[name].dtype.kind == "f" and rows[name].ndim == 1 and name not in ("RA", "DEC"):
            rows[name] = rng.normal(size=len(rows))
    root = write_hats(tmp_path / "sky", rows, order=1, row_group_size=3_000)
    read, actual = [0], storage.read_bytes

    def count(uri: str, start: int = 0, size: int | None = None) -> bytes:
        data = actual(uri, start, size)
        read[0] += len(data)
        return data

    monkeypatch.setattr(storage, "read_bytes", count)
    monkeypatch.setattr(parquet_rows, "_GAP_BYTES", 1 << 10)
    planned = 0
    for info in look_into(str(root)).sweeps:
        file = probe_input(info)
        before = read[0]
        assert sum(len(chunk["RA"]) for _, chunk in iter_input(file, 0, file.n_rows)) == file.n_rows
        planned += sum(group.n_bytes for group in table_row_groups(file))
        assert read[0] - before > 0
    assert 0.1 * 505 * len(rows) < planned < 0.35 * 505 * len(rows)
    assert read[0] - planned < 505 * 2_000  # the small files of the catalogue


def test_row_groups_that_are_left_out_are_not_read(tmp_path: Path) -> None:
    rows = table([{"OBJID": i, "RA": 5.0, "DEC": 0.01 * i} for i in range(100)])
    root = write_hats(tmp_path / "sky", rows, order=1, row_group_size=10)
    (info,) = look_into(str(root)).sweeps[:1]
    file = probe_input(info)
    groups = table_row_groups(file)
    starts = [start for start, _ in iter_input(file, 0, file.n_rows, {0, 2})]
    assert starts == [group.first_row for group in groups if group.number not in (0, 2)]


@pytest.mark.parametrize("column", ["RA", "DEC"])
def test_row_groups_that_are_not_where_the_footer_says_are_not_left_out(tmp_path: Path, column: str) -> None:
    """A footer in which the lowest value of a column is damaged, without breaking the format."""
    rows = table([{"OBJID": i, "RA": 5.0 + i / 64, "DEC": 3.0 + i / 64} for i in range(20)])
    root = write_hats(tmp_path / "sky", rows, order=1, row_group_size=10)
    (info,) = look_into(str(root)).sweeps[:1]
    whole, count = Path(info.uri).read_bytes(), probe_input(info).n_rows
    groups = table_row_groups(file := probe_input(info))
    assert 10 * 2 * 8 < check_left_out(file, groups[:1]) < groups[0].n_bytes
    assert check_left_out(file, []) == 0
    low = getattr(groups[0], column.lower()).low
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    old, new = (np.float64(value).tobytes() for value in (low, low + 1 / 256))
    assert old in whole[start:]
    Path(info.uri).write_bytes(whole[:start] + whole[start:].replace(old, new))
    file = probe_input(storage.stat(info.uri))
    assert (file.n_rows, getattr(table_row_groups(file)[0], column.lower()).low) == (count, low + 1 / 256)
    with pytest.raises(
        SweepError, match=f"row 0 has {column} {low}, and the footer says that row group 0 has"
    ):
        check_left_out(file, table_row_groups(file)[:1])
    check_left_out(file, table_row_groups(file)[1:])


def test_a_row_group_above_the_limit_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "LARGEST_GROUP", 100)
    with pytest.raises(SweepError, match=r"row group 0 has .* bytes of the needed columns"):
        probe_input(look_into(str(root)).sweeps[0])
