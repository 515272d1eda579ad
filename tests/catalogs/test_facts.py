"""What a catalogue says of its lenses: redshift, Einstein radius, exclusion radius, further columns."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.errors import CatalogError, InputError
from lensneg.schema.catalog_spec import CatalogSpec

TEXT = (
    "name,ra,dec,grade,zlens,theta_e,ref,reach\n"
    "a,1,1,A,0.5,1.25,Huang+21,8\n"
    "b,2,2,,-99,-,-,\n"
    "c,-,-,A,0.1,1,x,1\n"
    'd,4,4,B,measured,0,"say, ""x""",20.5\n'
)


def read(folder: Path, options: str = "", text: str = TEXT, extra: tuple[str, ...] = ()) -> Catalog:
    path = folder / "c.csv"
    path.write_text(text)
    return read_catalog(CatalogSpec.parse(f"{path}{options}"), with_others=True, extra=extra)


def test_facts_come_with_the_positions(tmp_path: Path) -> None:
    catalog = read(tmp_path, extra=("REF", "nowhere"))
    assert catalog.facts.to_pydict() == {
        "grade": ["A", None, "B"],
        "redshift": [0.5, None, None],
        "einstein_radius": [1.25, None, None],
        "REF": ["Huang+21", None, 'say, "x"'],
        "nowhere": [None, None, None],
    }
    assert np.isnan(catalog.radius_arcsec).all()
    assert "redshift taken as missing: 2 values of zlens, such as 'measured'" in catalog.summary
    assert "Einstein radius taken as missing: 1 values of theta_e, such as '0'" in catalog.summary
    assert "redshift 'zlens', Einstein radius 'theta_e'" in catalog.summary


def test_facts_follow_the_selection(tmp_path: Path) -> None:
    catalog = read(tmp_path, "?where.grade=B&redshift=theta_e&radius=reach")
    assert catalog.facts["redshift"].to_pylist() == [0.0]
    assert catalog.radius_arcsec.tolist() == [20.5]
    assert catalog.others.facts["redshift"].to_pylist() == [1.25, None]
    assert catalog.others.radius_arcsec.tolist() == pytest.approx([8.0, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("options", "radii"),
    [
        ("", [np.nan] * 3),
        ("?radius_arcsec=7.5", [7.5] * 3),
        ("?radius=reach", [8.0, np.nan, 20.5]),
        ("?radius=REACH&radius_arcsec=5", [8.0, 5.0, 20.5]),
    ],
)
def test_the_exclusion_radius_of_a_catalogue_and_of_each_lens(
    tmp_path: Path, options: str, radii: list[float]
) -> None:
    assert read(tmp_path, options).radius_arcsec.tolist() == pytest.approx(radii, nan_ok=True)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("-1", "reach is -1 arcsec"),
        ("0", "reach is 0 arcsec"),
        ("3601", "reach is 3601 arcsec"),
        ("wide", "reach is 'wide'"),
    ],
)
def test_an_impossible_exclusion_radius_names_its_row(tmp_path: Path, value: str, told: str) -> None:
    text = f"ra,dec,reach\n1,1,3600\n2,2,{value}\n"
    with pytest.raises(CatalogError, match=f"row 2: {told}; expected an exclusion radius above 0"):
        read(tmp_path, "?radius=reach", text)


def test_angles_are_converted_to_arcseconds(tmp_path: Path) -> None:
    made = Table({"ra": [1.0], "dec": [1.0], "theta_E": [0.5], "reach": [0.01], "R": [3.0]})
    made["theta_E"].unit, made["reach"].unit, made["R"].unit = "arcmin", "deg", "kpc"
    path = tmp_path / "c.fits"
    made.write(path)
    catalog = read_catalog(CatalogSpec.parse(f"{path}?radius=reach"))
    assert catalog.facts["einstein_radius"].to_pylist() == pytest.approx([30.0])
    assert catalog.radius_arcsec.tolist() == pytest.approx([36.0])
    with pytest.raises(CatalogError, match="the unit of R is 'kpc'; expected an angle"):
        read_catalog(CatalogSpec.parse(f"{path}?radius=R"))
    catalog = read_catalog(CatalogSpec.parse(f"{path}?einstein_radius=R"))
    assert catalog.facts["einstein_radius"].to_pylist() == [None]
    assert "Einstein radius not read: the unit of R is no angle" in catalog.summary


def test_rows_with_a_value_are_left_out(tmp_path: Path) -> None:
    catalog = read(tmp_path, "?where_not.grade=B,")
    assert (catalog.names, catalog.others.names) == (["a"], ["b", "d"])
    assert read(tmp_path, "?where_not.theta_e=1.250&where.ra=1,4").names == ["d"]
    with pytest.raises(
        CatalogError, match=r"no row has grade 'Q'; there are A, .*; correct where_not\.grade="
    ):
        read(tmp_path, "?where_not.grade=Q")
    with pytest.raises(CatalogError, match="none of its 4 rows is selected"):
        read(tmp_path, "?where_not.grade=A,B,")


def test_numbers_and_booleans_are_left_out_as_such(tmp_path: Path) -> None:
    path = tmp_path / "c.fits"
    Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0], "flag": [True, False], "n": [1, 2]}).write(path)
    assert read_catalog(CatalogSpec.parse(f"{path}?where_not.flag=true")).ra.tolist() == [2.0]
    assert read_catalog(CatalogSpec.parse(f"{path}?where_not.n=2.0")).ra.tolist() == [1.0]


def test_every_option_comes_back_from_its_text() -> None:
    text = "/c.csv?redshift=z&einstein_radius=t&radius=r&where.a=1&where_not.a=2,x%2Cy&radius_arcsec=7.5"
    spec = CatalogSpec.parse(f"{text}&frame=fk4&format=ascii.latex")
    assert (spec.radius, spec.radius_arcsec, spec.where_not) == ("r", 7.5, {"a": ("2", "x,y")})
    assert (spec.frame, spec.format) == ("fk4", "ascii.latex")
    assert CatalogSpec.parse(spec.text) == spec


@pytest.mark.parametrize("value", ["0", "-1", "3601", "wide", "nan"])
def test_an_impossible_radius_of_a_catalogue_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="radius_arcsec: got"):
        CatalogSpec.parse(f"/c.csv?radius_arcsec={value}")
