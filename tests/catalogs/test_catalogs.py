"""Lens catalogues: every format, every way to name columns, and every fault."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from lensneg import storage
from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.errors import CatalogError, InputError
from lensneg.schema.catalog_spec import CatalogSpec

RA, DEC = [0.0, 150.25, 359.5], [-89.5, 2.5, 33.125]
NAMES = ["first", "second", "third"]

Save = Callable[..., Catalog]


@pytest.fixture
def read(tmp_path: Path) -> Save:
    """Write a file and read it as a catalogue: ``read(content, "c.csv", "?ra=ALPHA")``."""

    def save(content: str | bytes, name: str = "c.csv", options: str = "") -> Catalog:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return read_catalog(CatalogSpec.parse(f"{tmp_path / name}{options}"))

    return save


def positions(catalog: Catalog) -> list[tuple[float, float]]:
    return list(zip(catalog.ra.tolist(), catalog.dec.tolist(), strict=True))


def csv_text(ra: str = "ra", dec: str = "dec", delimiter: str = ",", end: str = "\n") -> str:
    rows = [["name", ra, dec], *zip(NAMES, map(str, RA), map(str, DEC), strict=True)]
    return "".join(delimiter.join(row) + end for row in rows)


def fits_bytes(tmp_path: Path, columns: list[fits.Column]) -> bytes:
    path = tmp_path / "made.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)
    return path.read_bytes()


def parquet_bytes(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def assert_three(catalog: Catalog) -> None:
    assert positions(catalog) == list(zip(RA, DEC, strict=True))
    assert catalog.names == NAMES
    assert (catalog.rows, catalog.selected, catalog.without_position) == (3, 3, 0)


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_with_any_delimiter_and_line_end(read: Save, delimiter: str, end: str) -> None:
    assert_three(read(csv_text(delimiter=delimiter, end=end), "c.txt"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(read: Save) -> None:
    catalog = read(b"\xef\xbb\xbfname,ra,dec\n007,1.5,2.5\n")
    assert positions(catalog) == [(1.5, 2.5)]
    assert catalog.names == ["007"]


def test_quoted_text(read: Save) -> None:
    catalog = read('"name","ra","dec"\n"A, B and C","1.5","-2.5"\n')
    assert positions(catalog) == [(1.5, -2.5)]
    assert catalog.names == ["A, B and C"]


def test_fits(read: Save, tmp_path: Path) -> None:
    columns = [
        fits.Column("TARGET_RA", "D", array=RA),
        fits.Column("TARGET_DEC", "D", array=DEC),
        fits.Column("NAME", "8A", array=NAMES),
        fits.Column("COEFF", "3E", array=np.zeros((3, 3))),
    ]
    data = fits_bytes(tmp_path, columns)
    assert_three(read(data, "vac.fits"))
    assert_three(read(data, "vac"))  # it is told by its content
    assert_three(read(gzip.compress(data), "vac.fits.gz"))


def test_parquet(read: Save) -> None:
    assert_three(read(parquet_bytes({"name": NAMES, "ra": RA, "dec": DEC}), "c.parquet"))


def test_gzipped_text(read: Save) -> None:
    assert_three(read(gzip.compress(csv_text().encode()), "c.csv.gz"))


def test_in_s3(s3: str) -> None:
    storage.s3_client().put_object(Bucket="sky", Key="lenses/c.csv", Body=csv_text().encode())
    assert_three(read_catalog(CatalogSpec.parse(f"{s3}/lenses/c.csv")))
    with pytest.raises(CatalogError, match=r"s3://sky/lenses/d\.csv: no such file"):
        read_catalog(CatalogSpec.parse(f"{s3}/lenses/d.csv"))


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("ra", "dec"),
        ("RA", "Dec"),
        ("RA [deg]", "DEC [deg]"),
        ("TARGET_RA", "TARGET_DEC"),
        ("RAJ2000", "DEJ2000"),
        ("_RAJ2000", "_DEJ2000"),
        (" ra ", "dec "),
    ],
)
def test_usual_names_of_columns(read: Save, ra: str, dec: str) -> None:
    assert_three(read(csv_text(ra, dec)))


def test_a_mapping_names_the_columns(read: Save) -> None:
    content = "ra,dec,alpha,delta,label\n1,2,150.5,-3.5,x\n"
    catalog = read(content, "c.csv", "?ra=ALPHA&dec=delta&name=label")
    assert positions(catalog) == [(150.5, -3.5)]
    assert catalog.names == ["x"]


def test_a_mapping_with_spaces_in_names(read: Save) -> None:
    catalog = read("my ra,my dec\n1,2\n", "c.csv", "?ra=my+ra&dec=my%20dec")
    assert positions(catalog) == [(1.0, 2.0)]


def test_rows_without_names_are_named_by_file_and_row(read: Save) -> None:
    catalog = read("ra,dec\n1,2\n-,-\n3,4\n", "lenses.csv")
    assert catalog.names == ["lenses.csv:0", "lenses.csv:2"]


@pytest.mark.parametrize(("options", "role"), [("", "ra"), ("?ra=alpha", "dec"), ("?dec=delta", "ra")])
def test_a_missing_column_is_told_with_those_that_are_there(read: Save, options: str, role: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read("alpha,delta\n1,2\n", "c.csv", options)
    message = str(caught.value)
    assert "c.csv: no column" in message
    assert "among alpha, delta" in message
    assert f"?{role}=COLUMN" in message


@pytest.mark.parametrize("role", ["ra", "dec", "name"])
def test_a_mapped_column_that_is_not_there(read: Save, role: str) -> None:
    with pytest.raises(CatalogError, match="no column 'nowhere' among name, ra, dec"):
        read(csv_text(), "c.csv", f"?{role}=nowhere")


def test_a_long_list_of_long_names_makes_no_long_message(read: Save) -> None:
    with pytest.raises(CatalogError) as caught:
        read(",".join(f"c{i}{'x' * 500}" for i in range(500)) + "\n" + "," * 499 + "\n")
    assert "and 460 more" in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_two_columns_of_one_name(read: Save) -> None:
    with pytest.raises(CatalogError, match=r"c\.csv: there are two columns 'ra'"):
        read("ra,ra,dec\n1,2,3\n")


@pytest.mark.parametrize("options", ["?foo=1", "?ra=", "?raa=x", "?Where.a=b"])
def test_an_unknown_option_is_refused(options: str) -> None:
    with pytest.raises(InputError, match=r"is not an option of a catalogue; expected ra=, dec=, name="):
        CatalogSpec.parse(f"/data/c.csv{options}")


# ---------------------------------------------------------------- selection

GRADED = "ra,dec,grading,n\n1,1,confident,1\n2,2,probable,1\n3,3,possible,2\n-,-,confident,2\n"


@pytest.mark.parametrize(
    ("options", "expected", "without"),
    [
        ("?where.grading=confident", [1.0], 1),
        ("?where.grading=probable,possible", [2.0, 3.0], 0),
        ("?where.grading=confident,probable&where.n=1", [1.0, 2.0], 0),
        ("?where.n=2", [3.0], 1),
    ],
)
def test_where_selects_rows(read: Save, options: str, expected: list[float], without: int) -> None:
    catalog = read(GRADED, "c.csv", options)
    assert catalog.ra.tolist() == expected
    assert catalog.rows == 4
    assert catalog.selected == len(expected) + without
    assert catalog.without_position == without


def test_where_selects_rows_of_numbers_and_padded_text(read: Save, tmp_path: Path) -> None:
    grades = pa.array([1, 2, None])
    data = parquet_bytes({"ra": RA, "dec": DEC, "grade": grades})
    assert read(data, "c.parquet", "?where.grade=2").ra.tolist() == [150.25]
    columns = [
        fits.Column("ra", "D", array=RA),
        fits.Column("dec", "D", array=DEC),
        fits.Column("grade", "4A", array=["A   ", "B", "A"]),
    ]
    assert read(fits_bytes(tmp_path, columns), "c.fits", "?where.grade=A").ra.tolist() == [0.0, 359.5]


def test_rows_that_are_not_selected_may_hold_anything(read: Save) -> None:
    content = "ra,dec,kind\n1,1,lens\nsomewhere,95,cluster\n"
    assert positions(read(content, "c.csv", "?where.kind=lens")) == [(1.0, 1.0)]
    with pytest.raises(CatalogError, match="row 2"):
        read(content, "c.csv")


def test_a_selection_of_nothing_is_refused(read: Save) -> None:
    with pytest.raises(
        CatalogError, match="no row has grading 'certain'; there are confident, probable, possible"
    ):
        read(GRADED, "c.csv", "?where.grading=certain")


def test_a_selection_by_a_column_that_is_not_there(read: Save) -> None:
    with pytest.raises(CatalogError, match="no column 'grade' among ra, dec, grading, n"):
        read(GRADED, "c.csv", "?where.grade=confident")


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("missing", ["-", "", "--", "nan", "NaN", "NULL", "None", " - ", "n/a", "inf"])
def test_a_missing_coordinate_is_counted_and_left_out(read: Save, missing: str) -> None:
    catalog = read(f"name,ra,dec\na,{missing},2\nb,1,{missing}\nc,3,4\n")
    assert positions(catalog) == [(3.0, 4.0)]
    assert catalog.names == ["c"]
    assert (catalog.rows, catalog.without_position) == (3, 2)


def test_a_null_in_parquet_and_a_nan_in_fits_are_missing(read: Save, tmp_path: Path) -> None:
    data = parquet_bytes({"ra": pa.array([1.0, None]), "dec": pa.array([2, 3])})
    assert positions(read(data, "c.parquet")) == [(1.0, 2.0)]
    columns = [fits.Column("ra", "D", array=[1.0, np.nan]), fits.Column("dec", "E", array=[2.0, 3.0])]
    assert positions(read(fits_bytes(tmp_path, columns), "c.fits")) == [(1.0, 2.0)]


@pytest.mark.parametrize(
    ("ra", "dec", "told"),
    [
        ("10:04:05.2", "1", "ra is '10:04:05.2'; expected degrees as a decimal number"),
        ("10h04m05s", "1", "ra is '10h04m05s'; expected degrees"),
        ("1", "+41:12:04", r"dec is '\+41:12:04'; expected degrees"),
        ("360.1", "1", "ra is 360.1; expected degrees from 0 to 360"),
        ("-180.5", "1", "ra is -180.5; expected degrees from 0 to 360"),
        ("-99", "1", "ra is -99.0; expected degrees from 0 to 360"),
        ("1", "90.01", "dec is 90.01; expected degrees from -90 to 90"),
        ("1", "-91", "dec is -91.0; expected degrees from -90 to 90"),
        ("150,5", "1", "ra is '150,5'; expected degrees"),
        ("unknown", "1", "ra is 'unknown'; expected degrees"),
    ],
)
def test_an_impossible_coordinate_names_file_row_and_value(read: Save, ra: str, dec: str, told: str) -> None:
    with pytest.raises(CatalogError, match=rf"c\.tsv: row 2: {told}"):
        read(f"ra\tdec\n1\t1\n{ra}\t{dec}\n", "c.tsv")


@pytest.mark.parametrize(("ra", "dec"), [("0", "-90"), ("359.99999999", "90"), ("1e2", "+4.5")])
def test_coordinates_at_the_limits(read: Save, ra: str, dec: str) -> None:
    assert positions(read(f"ra,dec\n{ra},{dec}\n")) == [(float(ra), float(dec))]


def test_right_ascension_360_is_0(read: Save) -> None:
    assert positions(read("ra,dec\n360.0,1\n")) == [(0.0, 1.0)]


# ---------------------------------------------------------------- files


def test_a_catalogue_without_rows_is_refused(read: Save) -> None:
    with pytest.raises(CatalogError, match=r"c\.csv: it has no rows"):
        read("ra,dec\n")
    with pytest.raises(CatalogError, match=r"c\.parquet: it has no rows"):
        read(
            parquet_bytes({"ra": pa.array([], pa.float64()), "dec": pa.array([], pa.float64())}), "c.parquet"
        )


ZIPPED = gzip.compress(b"ra,dec\n1,2\n", mtime=0)
UNREADABLE = {
    "empty.csv": b"",
    "empty.fits": b"",
    "ragged.csv": b"ra,dec\n1,2,3\n",
    "latin.csv": b"name,ra,dec\nCaf\xe9,1,2\n",
    "utf16.csv": "ra,dec\n1,2\n".encode("utf-16"),
    "broken.fits": b"SIMPLE  = broken",
    "broken.parquet": b"PAR1 broken",
    "cut_short.csv.gz": ZIPPED[:-9],
    "damaged.csv.gz": ZIPPED[:10] + b"\xff" * 20,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(read: Save, name: str) -> None:
    with pytest.raises(CatalogError, match=rf"{name}: cannot be read as CSV, TSV, FITS, Parquet, VOTable"):
        read(UNREADABLE[name], name)


def test_a_fits_file_without_table(read: Save, tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(CatalogError, match="it holds no table"):
        read((tmp_path / "image.fits").read_bytes(), "c.fits")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere\.csv: no such file"):
        read_catalog(CatalogSpec.parse(str(tmp_path / "nowhere.csv")))


def test_a_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="this is a folder"):
        read_catalog(CatalogSpec.parse(str(tmp_path)))


# ---------------------------------------------------------------- real catalogues


def by_csv_module(path: Path, ra: str, dec: str) -> list[tuple[float, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row[ra], row[dec]) for row in csv.DictReader(file)]
    return [(float(a), float(d)) for a, d in rows if "-" not in (a, d)]


def test_real_candidates(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("desi_candidates.csv")
    catalog = read_catalog(CatalogSpec.parse(str(path)))
    assert (catalog.rows, len(catalog.ra), catalog.without_position) == (5104, 5104, 0)
    assert positions(catalog) == by_csv_module(path, "ra", "dec")
    assert int(((catalog.dec > -18) & (catalog.dec < 32)).sum()) == 2497
    assert catalog.names[0] == "DESI-000.0254+21.6415"


@pytest.mark.parametrize(("grading", "count"), [("confident", 435), ("probable", 4669)])
def test_real_candidates_by_grading(shared_data: Callable[[str], Path], grading: str, count: int) -> None:
    path = shared_data("desi_candidates.csv")
    assert len(read_catalog(CatalogSpec.parse(f"{path}?where.grading={grading}")).ra) == count


def test_real_literature(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("lenscat_catalog.csv")
    catalog = read_catalog(CatalogSpec.parse(str(path)))
    assert catalog.rows == 32_838
    assert len(catalog.ra) == 32_838 - catalog.without_position
    assert positions(catalog) == by_csv_module(path, "RA [deg]", "DEC [deg]")


def test_real_lenses_in_tab_separated_text(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("ssl_training_lenses_dr9.tsv")
    assert len(read_catalog(CatalogSpec.parse(str(path))).ra) == 1615
    exp = CatalogSpec.parse(f"{path}?where.source_type=EXP")
    assert len(read_catalog(exp).ra) == 42


# ---------------------------------------------------------------- rows that are not selected


def test_the_other_rows_are_read_if_they_are_lenses_too(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("name,ra,dec,g\na,1,1,A\nb,2,2,B\nc,-,-,B\nd,4,4,A\n")
    catalog = read_catalog(CatalogSpec.parse(f"{path}?where.g=A"), with_others=True)
    assert (catalog.ra.tolist(), catalog.names, catalog.selected) == ([1.0, 4.0], ["a", "d"], 2)
    assert (catalog.others.ra.tolist(), catalog.others.names) == ([2.0], ["b"])
    assert "not selected, but excluded as known lenses: 1" in catalog.remarks
    for spec, with_others in ((f"{path}?where.g=A", False), (f"{path}?where.g=A&others=ignore", True)):
        catalog = read_catalog(CatalogSpec.parse(spec), with_others=with_others)
        assert (len(catalog.ra), len(catalog.others.ra)) == (2, 0)
    path.write_text("name,ra,dec,g\na,1,1,A\nb,somewhere,2,B\n")
    with pytest.raises(CatalogError, match="row 2: ra is 'somewhere'"):
        read_catalog(CatalogSpec.parse(f"{path}?where.g=A"), with_others=True)


# ---------------------------------------------------------------- grades


def test_grades_are_read_with_the_positions(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("name,ra,dec,Grading,q\na,1,1, A ,1\nb,2,2,,2\nc,-,-,B,3\nd,4,4,A+,4\n")
    assert read_catalog(CatalogSpec.parse(str(path))).grades == ["A", "", "A+"]
    assert read_catalog(CatalogSpec.parse(f"{path}?grade=q")).grades == ["1", "2", "4"]
    catalog = read_catalog(CatalogSpec.parse(f"{path}?where.Grading=A"), with_others=True)
    assert (catalog.grades, catalog.others.grades) == (["A"], ["", "A+"])
    with pytest.raises(CatalogError, match="no column 'quality' among"):
        read_catalog(CatalogSpec.parse(f"{path}?grade=quality"))


def test_a_catalogue_without_grades(read: Save) -> None:
    assert read(csv_text()).grades == ["", "", ""]
