"""What each format of a catalogue says of its values: units, missing values, types, several tables.

The files are made by astropy and pyarrow, or written by hand. The expected values are written beside them.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.errors import CatalogError
from lensneg.schema.catalog_spec import CatalogSpec

RA, DEC = [10.125, 11.25, 12.5], [1.5, 2.25, -3.75]
ALL = list(zip(RA, DEC, strict=True))

Read = Callable[..., Catalog]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def save(data: bytes | str | Callable[[Path], None], name: str, options: str = "") -> Catalog:
        path = tmp_path / name
        if callable(data):
            data(path)
        else:
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read_catalog(CatalogSpec.parse(f"{path}{options}"))

    return save


def positions(catalog: Catalog) -> list[tuple[float, float]]:
    return [
        (pytest.approx(a, abs=1e-11), d)
        for a, d in zip(catalog.ra.tolist(), catalog.dec.tolist(), strict=True)
    ]


def table(**columns: Any) -> Table:
    return Table({"ra": RA, "dec": DEC} | columns)


def writer(made: Table, fmt: str) -> Callable[[Path], None]:
    return lambda path: made.write(path, format=fmt, overwrite=True)


def bin_table(columns: list[fits.Column], **cards: Any) -> bytes:
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update(cards)
    out = io.BytesIO()
    hdu.writeto(out)
    return out.getvalue()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


# ---------------------------------------------------------------- units

FORMATS = {"c.fits": "fits", "c.vot": "votable", "c.ecsv": "ascii.ecsv", "c.parquet": "parquet"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("unit", "ra_per_degree", "dec_unit", "dec_per_degree"),
    [
        ("deg", 1.0, "deg", 1.0),
        ("h", 1 / 15, "deg", 1.0),
        ("hourangle", 1 / 15, "deg", 1.0),
        ("rad", np.pi / 180, "rad", np.pi / 180),
        ("arcsec", 3600.0, "arcmin", 60.0),
        ("s", 240.0, "deg", 1.0),
    ],
)
def test_the_unit_of_a_file_is_obeyed(
    read: Read, name: str, unit: str, ra_per_degree: float, dec_unit: str, dec_per_degree: float
) -> None:
    if unit == "hourangle" and name == "c.fits":
        pytest.skip("FITS has no such unit")
    made = Table({"ra": np.array(RA) * ra_per_degree, "dec": np.array(DEC) * dec_per_degree})
    made["ra"].unit, made["dec"].unit = unit, dec_unit
    catalog = read(writer(made, FORMATS[name]), name)
    assert catalog.ra.tolist() == pytest.approx(RA, abs=1e-11)
    assert catalog.dec.tolist() == pytest.approx(DEC, abs=1e-11)
    assert catalog.unit_stated
    assert (unit == "deg") == (not catalog.remarks)


def test_the_unit_in_a_field_of_parquet_and_in_a_column_name(read: Read) -> None:
    field = pa.field("ra", pa.float64(), metadata={"unit": "h"})
    sink = io.BytesIO()
    hours = pa.array(np.array(RA) / 15)
    pq.write_table(
        pa.table([hours, pa.array(DEC)], schema=pa.schema([field, pa.field("dec", pa.float64())])), sink
    )
    assert read(sink.getvalue(), "c.parquet").ra.tolist() == pytest.approx(RA)
    text = "name,RA [h],Dec (deg)\na,0.675,1.5\n"
    assert read(text, "c.csv").ra.tolist() == pytest.approx([10.125])


@pytest.mark.parametrize("unit", ["m", "pix", "deg/s", "none of them", "mag", "K", "ddeg", "Mrad"])
def test_a_unit_that_is_no_angle_is_refused_and_can_be_overruled(read: Read, unit: str) -> None:
    data = bin_table([fits.Column("RA", "D", unit=unit, array=RA), fits.Column("DEC", "D", array=DEC)])
    with pytest.raises(CatalogError, match=rf"c\.fits: the unit of RA is '{unit}'.*\?unit=deg"):
        read(data, "c.fits")
    assert positions(read(data, "c.fits", "?unit=deg")) == ALL


def test_a_declination_has_no_hours(read: Read) -> None:
    data = bin_table([fits.Column("RA", "D", array=RA), fits.Column("DEC", "D", unit="h", array=DEC)])
    with pytest.raises(CatalogError, match="the unit of DEC is 'h'"):
        read(data, "c.fits")


@pytest.mark.parametrize(
    ("unit", "ra", "dec"),
    [("deg", 1.5, 1.0), ("hour", 22.5, 1.0), ("rad", 85.94366926962348, 57.29577951308232)],
)
def test_the_unit_that_a_user_states(read: Read, unit: str, ra: float, dec: float) -> None:
    catalog = read("ra,dec\n1.5,1\n", "c.csv", f"?unit={unit}")
    assert (catalog.ra[0], catalog.dec[0]) == pytest.approx((ra, dec))


# ---------------------------------------------------------------- sexagesimal, signed


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("00:40:30.0", "-02:15:00"),
        ("00 40 30", "-02 15 00"),
        ("0h40m30s", "-2d15m00s"),
        ("00:40.5", "-02:15"),
        ("10d07m30s", "−02°15′00″"),
    ],
)
def test_sexagesimal_coordinates(read: Read, ra: str, dec: str) -> None:
    catalog = read(f"name,ra,dec\na,{ra},{dec}\nb,,\n", "c.csv")
    assert (catalog.ra[0], catalog.dec[0]) == pytest.approx((10.125, -2.25), abs=1e-11)
    assert catalog.without_position == 1
    assert "sexagesimal" in str(catalog.remarks)


def test_the_sign_of_a_small_declination(read: Read) -> None:
    assert read("ra,dec\n0:0:0,-00:00:36\n", "c.csv").dec.tolist() == pytest.approx([-0.01])


def test_vizier_says_which_columns_are_sexagesimal(read: Read) -> None:
    text = (
        '#\n#Name: J/X\n\n\nRAJ2000\tDEJ2000\tName\n"h:m:s"\t"d:m:s"\t \n-----------\t-----------\t----\n'
        "00 40 30.00\t-02 15 00.0\tL1\n           \t           \tL2\n\n#END#\n"
    )
    catalog = read(text, "v.tsv")
    assert positions(catalog) == [(10.125, -2.25)]
    assert (catalog.names, catalog.without_position) == (["L1"], 1)


def test_right_ascension_from_minus_180(read: Read) -> None:
    catalog = read("ra,dec\n-10.5,1\n-180,1\n180,1\n-1e-20,1\n", "c.csv")
    assert catalog.ra.tolist() == [349.5, 180.0, 180.0, 0.0]
    assert "-180 to 180" in str(catalog.remarks)
    with pytest.raises(CatalogError, match=r"row 1: ra is -0\.5; expected degrees from 0 to 360"):
        read("ra,dec\n-0.5,1\n200,1\n", "c.csv")
    with pytest.raises(CatalogError, match="row 2: ra is -99"):
        read("ra,dec\n1,1\n-99,1\n", "c.csv")


# ---------------------------------------------------------------- missing values


def test_blank_and_null_fields_of_an_ascii_table(read: Read) -> None:
    columns = [
        fits.Column("RA", "F12.6", array=[10.125, 20.0, 30.0, 12.5]),
        fits.Column("DEC", "E14.6", array=[1.5, 5.0, 6.0, -3.75]),
        fits.Column("NAME", "A4", array=["a", "b", "c", "d"]),
    ]
    hdu = fits.TableHDU.from_columns(columns)
    hdu.header["TNULL1"] = "-999"
    out = io.BytesIO()
    hdu.writeto(out)
    data = out.getvalue().replace(b"20.000000", b"         ").replace(b"   30.000000", b"-999        ")
    data = data.replace(b"1.500000E+00", b"1.500000D+00")
    catalog = read(data, "c.fits")
    assert positions(catalog) == [(10.125, 1.5), (12.5, -3.75)]
    assert catalog.names == ["a", "d"]
    assert catalog.without_position == 2


def test_null_integers_scaled_integers_and_nan_in_a_binary_table(read: Read) -> None:
    columns = [
        fits.Column("RA", "I", null=-999, array=np.array([10, -999, 12], "i2")),
        fits.Column("DEC", "J", null=-1, array=np.array([1, 2, -1], "i4")),
    ]
    assert positions(read(bin_table(columns), "c.fits")) == [(10.0, 1.0)]
    # TSCAL and TZERO apply to what is stored, TNULL to what is stored too.
    data = bin_table(columns, TSCAL1=0.5, TZERO1=100.0)
    assert positions(read(data, "c.fits")) == [(105.0, 1.0)]
    made = table(ra=MaskedColumn(RA, mask=[False, True, False]))
    assert positions(read(writer(made, "fits"), "m.fits")) == [ALL[0], ALL[2]]


@pytest.mark.parametrize("name", ["c.vot", "c.ecsv", "c.parquet"])
def test_masked_values_are_missing(read: Read, name: str) -> None:
    made = table(ra=MaskedColumn(RA, mask=[False, True, False]), name=["a", "b", "c"])
    catalog = read(writer(made, FORMATS[name]), name)
    assert positions(catalog) == [ALL[0], ALL[2]]
    assert (catalog.names, catalog.without_position) == (["a", "c"], 1)


def test_a_votable_names_the_value_that_is_missing(read: Read) -> None:
    data = """<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
    <FIELD name="RAJ2000" datatype="int" unit="deg"><VALUES null="-999"/></FIELD>
    <FIELD name="DEJ2000" datatype="int" unit="deg"><VALUES null="-999"/></FIELD><DATA><TABLEDATA>
    <TR><TD>10</TD><TD>1</TD></TR><TR><TD>-999</TD><TD>-999</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    assert positions(read(data, "c.xml")) == [(10.0, 1.0)]


@pytest.mark.parametrize("missing", ["NA", r"\N", "...", "---", "<NA>"])
def test_more_words_for_missing(read: Read, missing: str) -> None:
    assert positions(read(f"name,ra,dec\na,{missing},2\nc,3,4\n", "c.csv")) == [(3.0, 4.0)]


# ---------------------------------------------------------------- what a column may hold


def test_text_of_fits_in_any_encoding_and_columns_that_nobody_needs(read: Read) -> None:
    columns = [
        fits.Column("NAME", "8A", array=np.array(["Étoile".encode(), "Café".encode("latin-1"), b"x"])),
        fits.Column("RA", "D", array=RA),
        fits.Column("DEC", "D", array=DEC),
        fits.Column("PHASE", "C", array=np.array([1j, 2j, 3j], "c8")),
        fits.Column("VEC", "3E", array=np.zeros((3, 3))),
        fits.Column("LIST", "PE()", array=np.array([[1.0], [2.0, 3.0], []], dtype=object)),
        fits.Column("BITS", "9X", array=np.ones((3, 9), bool)),
        fits.Column("FLAG", "L", array=[True, False, True]),
    ]
    data = bin_table(columns)
    catalog = read(data, "c.fits")
    assert positions(catalog) == ALL
    assert catalog.names == ["Étoile", "Café", "x"]
    assert read(data, "c.fits", "?where.FLAG=false").names == ["Café"]
    for name, holds in {
        "PHASE": "complex numbers",
        "VEC": "arrays",
        "LIST": "arrays",
        "BITS": "bits",
    }.items():
        with pytest.raises(CatalogError, match=rf"column '{name}' holds {holds}; expected text or numbers"):
            read(data, "c.fits", f"?ra={name}")


def test_positions_in_another_table_than_the_first(read: Read) -> None:
    meta = fits.BinTableHDU.from_columns([fits.Column("KEY", "4A", array=["a"])], name="META")
    lenses = fits.BinTableHDU(table(), name="LENSES")
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), meta, lenses]).writeto(out)
    catalog = read(out.getvalue(), "c.fits")
    assert positions(catalog) == ALL
    assert "read from table 2 (LENSES)" in str(catalog.remarks)


def test_a_fits_file_that_ends_within_its_table(read: Read) -> None:
    data = bin_table([fits.Column("RA", "D", array=RA), fits.Column("DEC", "D", array=DEC)])
    with pytest.raises(CatalogError, match="the file ends within its table"):
        read(data[:-2860], "c.fits")


def test_a_fits_file_that_lost_or_got_a_byte_is_refused(read: Read) -> None:
    """The padding behind the table hides it: all rows behind it are shifted."""
    data = bin_table([fits.Column("RA", "D", array=RA), fits.Column("DEC", "D", array=DEC)])
    at = len(data) - 2880 + 20
    for other in (data[:at] + data[at + 1 :], data[:at] + b"\0" + data[at:]):
        with pytest.raises(CatalogError, match="bytes were lost or added"):
            read(other, "c.fits")
    assert positions(read(data[: at + 28], "c.fits")) == ALL  # three rows, without the padding


def test_a_fits_file_whose_columns_are_not_as_wide_as_its_rows_is_refused(read: Read) -> None:
    """astropy would read rows that are shifted."""
    names = fits.Column("NAME", "39A", array=["a", "b", "c"])
    data = bin_table([names, fits.Column("RA", "D", array=RA), fits.Column("DEC", "D", array=DEC)])
    assert positions(read(data, "c.fits")) == ALL
    with pytest.raises(CatalogError, match=r"columns take 35 bytes of a row \(TFORM\), and a row has 55"):
        read(data.replace(b"'39A     '", b"'19A     '"), "c.fits")


@pytest.mark.parametrize(
    "kind",
    [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary(), pa.float32(),
     pa.decimal128(9, 3), pa.large_binary()],
    ids=str,
)  # fmt: skip
def test_parquet_coordinates_of_any_type(read: Read, kind: pa.DataType) -> None:
    text = pa.array([f"{value:.3f}" for value in RA])
    ra = text.dictionary_encode() if pa.types.is_dictionary(kind) else text.cast(kind)
    assert positions(read(parquet({"ra": ra, "dec": DEC}), "c.parquet")) == ALL


def test_parquet_columns_that_nobody_needs(read: Read) -> None:
    columns = {
        "name": pa.array([["a"], ["b", "c"], []]),
        "ra": RA,
        "dec": DEC,
        "info": pa.array([{"z": 1.0}, None, {"z": 2.0}]),
        "broken": pa.array([b"\xff\xfe", b"x", None]).view(pa.string()),
        "when": pa.array([1, 2, 3], pa.timestamp("us")),
        "a.b": ["x", "y", "x"],
    }
    data = parquet(columns)
    catalog = read(data, "c.parquet")
    assert positions(catalog) == ALL
    assert catalog.names == ["c.parquet:0", "c.parquet:1", "c.parquet:2"]
    assert read(data, "c.parquet", "?name=a.b&where.a.b=x").names == ["x", "x"]
    assert read(data, "c.parquet", "?name=broken").names == ["ÿþ", "x", ""]
    for name in ("name", "info"):
        with pytest.raises(CatalogError, match=rf"column '{name}' holds (list|struct)"):
            read(data, "c.parquet", f"?name={name}")


def test_a_small_parquet_file_that_is_large_in_memory(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensneg.catalogs.table.LARGEST_BYTES", 1 << 20)
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), ["x" * 1000])
    few = parquet({"ra": [1.0] * 3000, "dec": [2.0] * 3000, "name": long}, compression="zstd")
    assert len(few) < 100_000
    with pytest.raises(
        CatalogError, match=r"c\.parquet: column 'name' unpacks to too many bytes; .*keep its"
    ):
        read(few, "c.parquet")
    plain = parquet(
        {"ra": [1.0] * 3000, "dec": [2.0] * 3000, "name": ["x" * 1000] * 3000}, use_dictionary=False
    )
    with pytest.raises(CatalogError, match="column 'name' unpacks to too many bytes"):
        read(plain, "c.parquet")
    rows = parquet({"ra": [1.0] * 200_000, "dec": [2.0] * 200_000})
    with pytest.raises(CatalogError, match="200,000 rows"):
        read(rows, "c.parquet")


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    "text",
    [
        "# lenses of a paper\n# second line\nname,ra,dec\n{rows}",
        "#name,ra,dec\n{rows}",
        "# of 2024\n# name, ra, dec\n{rows}",
        "\n\nname,ra,dec\n{rows}",
        "\ufeff# a\n\nname,ra,dec\n\n{rows}\n# the end\n",
        '"name\nof it",ra,dec\n{rows}',
    ],
)
def test_comments_and_blank_lines(read: Read, text: str) -> None:
    rows = "".join(f"L{i},{ra},{dec}\n" for i, (ra, dec) in enumerate(ALL))
    assert positions(read(text.format(rows=rows), "c.csv")) == ALL


def test_a_name_may_begin_with_a_hash(read: Read) -> None:
    assert read("name,ra,dec\n#1,1,2\n#2,3,4\n", "c.csv").names == ["#1", "#2"]


def test_a_row_that_astropy_would_take_for_a_comment(read: Read) -> None:
    """It writes such a row itself, without quotes."""
    made = table(name=["#1", "b", "c"])["name", "ra", "dec"]
    with pytest.raises(CatalogError, match="line 9 begins with #, as a comment does"):
        read(writer(made, "ascii.ecsv"), "c.ecsv")
    catalog = read("name ra dec\n#1 1 2\n# a comment of five\n'x y' 3 4\n".replace("'", '"'), "c.txt")
    assert (catalog.names, catalog.dec.tolist()) == (["#1", "x y"], [2.0, 4.0])
    with pytest.raises(CatalogError, match="row 2: expected 3 values, got 4"):
        read("name ra dec\na 1 2\nb c 3 4\n", "c.txt")


@pytest.mark.parametrize("size", [1_000, 1_500_000])
def test_line_breaks_in_quoted_text_at_any_size(read: Read, size: int) -> None:
    """Beyond a megabyte too, where a reader in blocks would cut a row in two."""
    note = "two\nlines, 7.5,8.5\n"
    rows = size // len(note)
    text = "note,name,ra,dec\n" + "".join(f'"{note}",L{i},{i % 360},{i % 90}\n' for i in range(rows))
    catalog = read(text, "c.csv")
    assert catalog.names == [f"L{i}" for i in range(rows)]
    assert catalog.ra.tolist() == [float(i % 360) for i in range(rows)]
    assert catalog.dec.tolist() == [float(i % 90) for i in range(rows)]


NAMES = [
    ("RAdeg", "DEdeg"),
    ("RA_ICRS", "DE_ICRS"),
    ("_RA", "_DE"),
    ("ALPHA_J2000", "DELTA_J2000"),
    ("ra (deg)", "decl"),
    ("Right Ascension", "Declination"),
    ("RA[degrees]", "DEC[degrees]"),
]


@pytest.mark.parametrize(("ra", "dec"), NAMES)
def test_more_usual_names(read: Read, ra: str, dec: str) -> None:
    assert positions(read(f"{ra},{dec}\n10.125,1.5\n", "c.csv")) == [ALL[0]]


@pytest.mark.parametrize(
    "fmt",
    [
        "ascii.ecsv",
        "votable",
        "ascii.ipac",
        "ascii.mrt",
        "ascii.basic",
        "ascii.tab",
        "ascii.commented_header",
    ],
)
def test_what_astropy_writes(read: Read, fmt: str) -> None:
    made = table(name=["a b", "c", "d"], grade=["A", "B", "A"])
    made["ra"].unit = made["dec"].unit = "deg"
    catalog = read(writer(made, fmt), "lenses.txt", "?where.grade=A")
    assert positions(catalog) == [ALL[0], ALL[2]]
    assert catalog.names == ["a b", "d"]


WITHOUT_UNITS = [
    "ascii.latex",
    "ascii.aastex",
    "ascii.fixed_width",
    "ascii.fixed_width_two_line",
    "ascii.rst",
]


@pytest.mark.parametrize("fmt", WITHOUT_UNITS)
def test_tables_of_papers_that_astropy_writes(read: Read, fmt: str) -> None:
    made = table(name=["a b", "c", "d"], grade=["A", "B", "A"])
    catalog = read(writer(made, fmt), "lenses.txt", "?where_not.grade=B")
    assert positions(catalog) == [ALL[0], ALL[2]]
    assert catalog.names == ["a b", "d"]


def test_a_sextractor_catalogue(read: Read) -> None:
    text = "#   1 NUMBER      Running number\n#   2 ALPHA_J2000 RA [deg]\n#   3 DELTA_J2000 Dec [deg]\n"
    catalog = read(text + "1 10.125 1.5\n2 11.25 2.25\n", "c.cat")
    assert positions(catalog) == ALL[:2]
    assert catalog.unit_stated


def test_the_format_that_a_user_names(read: Read) -> None:
    text = "10.125 1.5 A\n11.25 2.25 B\n"
    catalog = read(text, "c.dat", "?format=ascii.no_header&ra=col1&dec=col2&grade=col3")
    assert positions(catalog) == ALL[:2]
    assert catalog.grades == ["A", "B"]
    with pytest.raises(CatalogError, match=r"c\.dat: cannot be read as ascii\.nothing: .*"):
        read(text, "c.dat", "?format=ascii.nothing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name,ra,dec\na,1,2\nb,,\n",
            "CSV; RA 'ra', Dec 'dec', in degrees as no unit is stated, name 'name'",
        ),
        ("ra [deg]\tdec [deg]\n1\t2\n-\t-\n", "TSV; RA 'ra [deg]', Dec 'dec [deg]', no names"),
        ("#VizieR\n_RAJ2000\t_DEJ2000\ndeg\tdeg\n---\t---\n1\t2\n-\t-\n", "VizieR's TSV; RA '_RAJ2000', Dec"),
    ],
)
def test_what_was_recognised_is_one_line(read: Read, text: str, said: str) -> None:
    catalog = read(text, "c.txt")
    assert catalog.summary.startswith(said)
    assert catalog.summary.endswith("; 1 positions in 2 rows; rows without a position: 1")


def test_a_quotation_mark_that_is_not_closed_takes_no_rows_for_names(read: Read) -> None:
    text = 'name";"RA";"Dec"\n' + '"a";"1.5";"2.5"\n' * 30
    with pytest.raises(CatalogError, match="a quotation mark in its line of column names is not closed"):
        read(text, "c.csv")


@pytest.mark.parametrize("dashes", ["------- --- ---- ------", "------- ------ ----"])
def test_text_between_the_columns_of_fixed_widths_is_refused(read: Read, dashes: str) -> None:
    """The line of dashes is damaged: astropy would read 10.5 as 5, or -1.25 as -1.2."""
    text = "   name     RA    Dec\n{}\nLENS000   10.5  -1.25\n"
    whole = read(text.format("------- ------ ------"), "c.txt")
    assert positions(whole) == [(10.5, -1.25)]
    with pytest.raises(CatalogError, match=r"line . has text between the columns"):
        read(text.format(dashes), "c.txt")


def test_text_between_the_columns_of_an_ipac_table_is_refused(read: Read) -> None:
    """A blank more in the first line moves its bars: astropy would read 1.4375 as 0.4375."""
    text = "|{}     RA|    Dec|\n| double| double|\n    10.5 -1.4375\n"
    assert positions(read(text.format(""), "c.txt")) == [(10.5, -1.4375)]
    with pytest.raises(CatalogError, match="line 3 has text between the columns"):
        read(text.format("  "), "c.txt")


@pytest.mark.parametrize(
    ("was", "is_", "why"),
    [
        (b"datatype", b"dauatype", "'datatype' attribute required"),
        (b"datatype", b"ddatatype", "'datatype' attribute required"),
        (b'arraysize="5"', b"", "too long for specified length"),
    ],
)
def test_a_votable_column_that_cuts_its_values_off_is_refused(
    read: Read, was: bytes, is_: bytes, why: str
) -> None:
    """astropy would take it for one letter, and read 1.5 as 1."""
    made = Table({"ra": RA, "dec": [f"{value:5.2f}" for value in DEC]})
    out = io.BytesIO()
    made.write(out, format="votable")
    assert was in out.getvalue()
    assert positions(read(out.getvalue(), "c.vot")) == ALL
    with pytest.raises(CatalogError, match=why):
        read(out.getvalue().replace(was, is_), "c.vot")


def test_a_latex_table_that_ends_twice_is_refused(read: Read) -> None:
    rows = r"""\begin{tabular}{cc}
ra & dec \\
10.5 & 1.5 \\
%s11.5 & 2.5
\end{tabular}
"""
    assert positions(read(rows % "", "c.tex")) == [(10.5, 1.5), (11.5, 2.5)]
    with pytest.raises(CatalogError, match="a table begins or ends twice"):
        read(rows % "\\end{tabular}\n", "c.tex")
