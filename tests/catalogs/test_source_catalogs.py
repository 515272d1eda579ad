"""Catalogues of suspects and of hard negatives: positions, TARGETIDs, scores."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from lensneg.catalogs.catalog import read_catalog
from lensneg.catalogs.sources import SourceCatalog, read_sources
from lensneg.errors import CatalogError, InputError
from lensneg.schema.catalog_spec import CatalogSpec, Role

#: More digits than a float64 has.
TARGETID = 43990670490206209


def read(path: Path, options: str = "", role: Role = "suspects") -> SourceCatalog:
    return read_sources(CatalogSpec.parse(f"{path}{options}"), role)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_targetids_keep_their_digits_as_text_and_as_int64(tmp_path: Path) -> None:
    text = read(written(tmp_path / "a.csv", f"TARGETID,p\n{TARGETID},0.9\n,0.8\n"))
    table = Table({"TargetID": np.array([TARGETID])})
    table.write(tmp_path / "b.fits")
    pq.write_table(pa.table({"target_id": pa.array([TARGETID, None], pa.int64())}), tmp_path / "c.parquet")
    pq.write_table(pa.table({"id": [str(TARGETID), "-"]}), tmp_path / "d.parquet")
    others = [read(tmp_path / "b.fits"), read(tmp_path / "c.parquet")]
    for found in (text, *others, read(tmp_path / "d.parquet", "?targetid=id")):
        assert found.targetid.tolist() == [TARGETID]
        assert np.isnan(found.ra).tolist() == [True]


def test_positions_and_targetids_of_one_catalogue(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", f"name,ra,dec,targetid\na,10,2,\nb,,,{TARGETID}\nc,360,-3,7\nd,,,\n")
    found = read(path)
    assert found.names == ["a", "b", "c"]
    assert found.targetid.tolist() == [0, TARGETID, 7]
    np.testing.assert_array_equal(found.ra, [10, np.nan, 0])
    np.testing.assert_array_equal(found.dec, [2, np.nan, -3])
    assert found.rows == 4


def test_scores_of_at_least_the_least_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "ra,dec,p_lens\n1,1,0.5\n2,2,0.49\n3,3,\n4,4,1\n5,5,nan\n")
    assert read(path, "?score=p_lens&score_min=0.5").ra.tolist() == [1, 4]
    assert len(read(path).ra) == 5
    spec = CatalogSpec.parse(f"{path}?score=p_lens&score_min=0.5")
    assert CatalogSpec.parse(spec.text) == spec
    assert spec.text.endswith("?score=p_lens&score_min=0.5")


def test_the_name_of_hard_negatives_is_no_column(tmp_path: Path) -> None:
    path = written(tmp_path / "rings.csv", "ra,dec\n1,1\n")
    assert read(path, "?name=galaxy-zoo", "hard_negatives").names == ["rings.csv:0"]
    with pytest.raises(CatalogError, match="no column 'galaxy-zoo'"):
        read(path, "?name=galaxy-zoo")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("TARGETID\n4.3990670490206209e16\n", "", "row 1: TARGETID is '4.3990670490206209e16'; expected"),
        ("TARGETID\n-5\n", "", "row 1: TARGETID is '-5'"),
        ("TARGETID\n9223372036854775808\n", "", "expected a TARGETID"),
        ("brick\n5\n", "", r"no column 'ra'.*targetid=COLUMN"),
        ("TARGETID\n5\n", "?ra=alpha&dec=delta", "no column 'alpha'"),
        ("ra,dec\n,\n", "", "none of its 1 rows"),
        ("ra,dec,p\n1,1,high\n", "?score=p&score_min=0", "row 1: p is 'high'; expected a number"),
        ("ra,dec,p\n1,1,1\n", "?score=p", "no score_min="),
        ("ra,dec\n1,1\n", "?score_min=1", "no column of scores"),
        ("ra,dec,p\n1,1,0\n", "?score=p&score_min=1", "none of its 1 rows is selected"),
        ("ra,dec\n1,1\n", "?radius_arcsec=3", "radius_arcsec= is an option of lens catalogues"),
        ("ra,dec\n1,1\n", "?others=ignore", "others= is an option of lens catalogues"),
    ],
)  # fmt: skip
def test_what_is_no_catalogue_of_sources_is_refused(
    text: str, options: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogError, match=message) as error:
        read(written(tmp_path / "a.csv", text), options)
    assert error.value.remedy


def test_floating_point_numbers_are_no_targetids(tmp_path: Path) -> None:
    Table({"TARGETID": np.array([float(TARGETID)])}).write(tmp_path / "a.fits")
    with pytest.raises(CatalogError, match="too few digits"):
        read(tmp_path / "a.fits")


def test_a_lens_catalogue_takes_no_options_of_sources(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "ra,dec,p\n1,1,1\n")
    with pytest.raises(CatalogError, match="options of suspects and hard negatives"):
        read_catalog(CatalogSpec.parse(f"{path}?score=p&score_min=1"))
    with pytest.raises(InputError, match="score_min"):
        CatalogSpec.parse(f"{path}?score_min=high")
