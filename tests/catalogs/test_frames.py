"""Positions of B1950 and of other frames: converted, or refused.

The position of 3C 273 in both systems is the published one (B1950 12 26 33.248 +02 19 43.29, J2000
12 29 06.6997 +02 03 08.598).
"""

import io
from pathlib import Path

import pytest
from astropy.io import fits

from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.errors import CatalogError
from lensneg.schema.catalog_spec import CatalogSpec

B1950 = (186.638533, 2.328692)
ICRS = (187.277915, 2.052388)
SECOND = 1 / 3600


def read(folder: Path, data: bytes | str, options: str = "") -> Catalog:
    path = folder / "c.dat"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_catalog(CatalogSpec.parse(f"{path}{options}"))


def table(**cards: object) -> bytes:
    columns = [fits.Column(name, "D", array=[v]) for name, v in zip(("RA", "DEC"), B1950, strict=True)]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update(cards)
    out = io.BytesIO()
    hdu.writeto(out)
    return out.getvalue()


def votable(system: str, others: str = "") -> str:
    return (
        '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        f'<COOSYS ID="S" {system}/>{others}<TABLE><FIELD name="ra" datatype="double" unit="deg" ref="S"/>'
        '<FIELD name="dec" datatype="double" unit="deg" ref="S"/><DATA><TABLEDATA>'
        f"<TR><TD>{B1950[0]}</TD><TD>{B1950[1]}</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )


MRT = """Title: Lenses
Table: Lenses
================================================================================
Byte-by-byte Description of file: t.txt
--------------------------------------------------------------------------------
   Bytes Format Units  Label Explanations
--------------------------------------------------------------------------------
   1-  5 A5     ---    Name  Name of the lens
   7-  8 I2     h      RAh   Hour of Right Ascension ({equinox})
  10- 11 I2     min    RAm   Minute of Right Ascension ({equinox})
  13- 18 F6.3   s      RAs   Second of Right Ascension ({equinox})
      20 A1     ---    DE-   Sign of the Declination ({equinox})
  21- 22 I2     deg    DEd   Degree of Declination ({equinox})
  24- 25 I2     arcmin DEm   Arcminute of Declination ({equinox})
  27- 31 F5.2   arcsec DEs   Arcsecond of Declination ({equinox})
--------------------------------------------------------------------------------
3C273 12 26 33.248 +02 19 43.29
South 00 00 00.000 -00 30 36.00
"""

CONVERTED = {
    "FITS RADESYS": table(RADESYS="FK4"),
    "FITS EQUINOX": table(EQUINOX=1950.0),
    "FITS EPOCH": table(EPOCH=1950.0),
    "VOTable": votable('system="eq_FK4" equinox="B1950"'),
    "VOTable without reference": votable('system="eq_FK4"').replace(' ref="S"', ""),
    "names": f"name,RAB1950,DEB1950\na,{B1950[0]},{B1950[1]}\n",
    "VizieR": f"#VizieR\n_RAB1950\t_DEB1950\ndeg\tdeg\n---\t---\n{B1950[0]}\t{B1950[1]}\n",
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_positions_of_b1950_are_converted_and_it_is_said(tmp_path: Path, kind: str) -> None:
    catalog = read(tmp_path, CONVERTED[kind])
    assert (catalog.ra[0], catalog.dec[0]) == pytest.approx(ICRS, abs=SECOND)
    assert "converted from FK4 (B1950) to ICRS" in catalog.summary


@pytest.mark.parametrize(
    "data",
    [
        table(RADESYS="FK5", EQUINOX=2000.0),
        table(RADESYS="ICRS", EQUINOX=2015.5),
        table(EPOCH=2015.5),
        votable('system="ICRS"'),
        votable('system="eq_FK5" equinox="J2000"'),
        votable('system="ICRS"', '<COOSYS ID="B" system="eq_FK4" equinox="B1950"/>'),
        f"name,RAJ2000,DEJ2000,RAB1950,DEB1950\na,{B1950[0]},{B1950[1]},1,1\n",
        f"# B1950+123 is a quasar\nname,ra,dec\na,{B1950[0]},{B1950[1]}\n",
    ],
)
def test_positions_of_j2000_stay_as_they_are(tmp_path: Path, data: bytes | str) -> None:
    catalog = read(tmp_path, data)
    assert (catalog.ra[0], catalog.dec[0]) == B1950
    assert "converted" not in catalog.summary


def test_a_user_says_the_frame(tmp_path: Path) -> None:
    text = f"# positions: FK4, B1950\nra,dec\n{B1950[0]},{B1950[1]}\n"
    with pytest.raises(CatalogError, match=r"its comments speak of FK4 or B1950.*\?frame=fk4"):
        read(tmp_path, text)
    catalog = read(tmp_path, text, "?frame=fk4")
    assert (catalog.ra[0], catalog.dec[0]) == pytest.approx(ICRS, abs=SECOND)
    assert read(tmp_path, text, "?frame=icrs").ra[0] == B1950[0]
    assert read(tmp_path, table(RADESYS="FK4"), "?frame=icrs").ra[0] == B1950[0]


@pytest.mark.parametrize("data", [table(RADESYS="GAPPT"), votable('system="galactic"')])
def test_other_frames_are_refused(tmp_path: Path, data: bytes | str) -> None:
    with pytest.raises(CatalogError, match=r"the positions are in the frame .*; expected ICRS, FK5 or FK4"):
        read(tmp_path, data)


def test_a_missing_position_stays_missing(tmp_path: Path) -> None:
    catalog = read(tmp_path, f"ra1950,dec1950\n-,-\n{B1950[0]},{B1950[1]}\n")
    assert (len(catalog.ra), catalog.without_position) == (1, 1)


def test_coordinates_in_parts_as_cds_has_them(tmp_path: Path) -> None:
    catalog = read(tmp_path, MRT.replace("{equinox}", "J2000"))
    assert catalog.ra.tolist() == pytest.approx([B1950[0], 0.0], abs=1e-6)
    assert catalog.dec.tolist() == pytest.approx([B1950[1], -0.51], abs=1e-6)
    assert catalog.names == ["3C273", "South"]
    assert catalog.summary.startswith("machine-readable table (CDS); RA 'RAh RAm RAs', Dec 'DE- DEd DEm DEs'")
    assert "sexagesimal hours" in catalog.summary
    catalog = read(tmp_path, MRT.replace("{equinox}", "B1950"))
    assert (catalog.ra[0], catalog.dec[0]) == pytest.approx(ICRS, abs=SECOND)


def test_coordinates_in_parts_in_other_formats(tmp_path: Path) -> None:
    text = "RAh,RAm,RAs,DE-,DEd,DEm,DEs\n0,40,30,-,0,15,0\n0,45,0,,2,15,0\n,,,,,,\n"
    catalog = read(tmp_path, text)
    assert catalog.ra.tolist() == pytest.approx([10.125, 11.25])
    assert catalog.dec.tolist() == pytest.approx([-0.25, 2.25])
    assert catalog.without_position == 1
    assert read(tmp_path, "RAh,RAm,DE-,DEd,DEm\n0,40.5,+,0,15\n").ra[0] == pytest.approx(10.125)
