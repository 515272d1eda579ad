"""The values of ``where.COLUMN=``: literal, trimmed, and compared as what the column holds."""

import pyarrow as pa
import pytest

from lensneg.catalogs.selection import rows_with
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec

GRADES = pa.array(["A", " A+", "B ", None, "a"])
NUMBERS = pa.array([1.0, 2.5, None, 0.1])


@pytest.mark.parametrize(
    ("column", "wanted", "rows"),
    [
        (GRADES, ("A",), [0]),
        (GRADES, ("A", "A+"), [0, 1]),
        (GRADES, (" B ",), [2]),
        (GRADES, ("",), [3]),
        (NUMBERS, ("1",), [0]),
        (NUMBERS, ("2.50", "1e0"), [0, 1]),
        (NUMBERS, ("",), [2]),
        (NUMBERS.cast(pa.float32()), ("0.1",), [3]),
        (pa.array([1, 2, 2**60, 2**60 + 1]), (str(2**60 + 1), "2.0"), [1, 3]),
        (pa.array([True, False, None]), ("TRUE",), [0]),
        (pa.array([True, False, None]), ("0", ""), [1, 2]),
        (pa.array(["1", "2.0", "", "01"]), ("1", "2"), [0, 1, 3]),
        (pa.array(["1", "2.0", "A"]), ("2.0",), [1]),
        (pa.array(["1", "2.0", "-", "NA", ""]), ("2", "-"), [1, 2]),
        (pa.array(["True", "F", "-"]), ("t", "false"), [0, 1]),
        (pa.array([str(2**60), str(2**60 + 1)]), (str(2**60 + 1),), [1]),
        (pa.array(["True", "false"]), ("true",), [0]),
        (pa.array([float("nan"), 1.0]), ("",), [0]),
        (pa.array(["sNaN", "1e999999999", "nan", "1"]), ("sNaN", "1"), [0, 3]),
        (pa.array([1.0, float("inf")]), ("1", "inf"), [0, 1]),
    ],
)
def test_rows_with_one_of_the_values(column: pa.Array, wanted: tuple[str, ...], rows: list[int]) -> None:
    mask, unmatched, _ = rows_with(column, wanted)
    assert mask.nonzero()[0].tolist() == rows
    assert unmatched == []


@pytest.mark.parametrize(
    ("column", "wanted", "unmatched"),
    [
        (GRADES, ("A", "Q"), ["Q"]),
        (NUMBERS, ("3", "A"), ["3", "A"]),
        (pa.array(["1", "2.0", "A"]), ("2",), ["2"]),
        (pa.array([True]), ("false", "yes"), ["false", "yes"]),
        (pa.array(["A"]), ("",), [""]),
    ],
)
def test_a_value_that_no_row_has(column: pa.Array, wanted: tuple[str, ...], unmatched: list[str]) -> None:
    assert rows_with(column, wanted)[1] == unmatched


def test_the_values_that_there_are_the_most_frequent_first() -> None:
    assert rows_with(pa.array(["B", "A", None, "A"]), ("Q",))[2] == ["A", "B", "''"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("where.g=A,A+", {"g": ("A", "A+")}),
        ("where.g=A, B", {"g": ("A", "B")}),
        ("where.g= A ,B ", {"g": ("A", "B")}),
        ("where.g=", {"g": ("",)}),
        ("where.g=x%2Cy,z", {"g": ("x,y", "z")}),
        ("where.g=a%26b&where.h=50%", {"g": ("a&b",), "h": ("50%",)}),
        ("where.g=a=b", {"g": ("a=b",)}),
        ("where.my col=1", {"my col": ("1",)}),
    ],
)
def test_values_are_literal_and_trimmed(text: str, where: dict[str, tuple[str, ...]]) -> None:
    spec = CatalogSpec.parse(f"/c.csv?{text}")
    assert spec.where == where
    assert CatalogSpec.parse(spec.text) == spec


def test_every_option_comes_back_from_its_text() -> None:
    text = "/c.csv?ra=my ra+&dec=D,E&name=n&where.a b=A+,x%2Cy&unit=hour&others=ignore"
    spec = CatalogSpec.parse(text)
    assert (spec.ra, spec.dec, spec.unit, spec.others) == ("my ra+", "D,E", "hour", "ignore")
    assert CatalogSpec.parse(spec.text) == spec


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("unit=parsec", "unit=parsec is not possible"),
        ("others=keep", "others=keep is not possible"),
        ("where.g=A&where.g=B", "'where.g' is given twice"),
        ("ra=a&ra=b", "'ra' is given twice"),
        ("where.g", "'where.g' is not an option"),
    ],
)
def test_an_impossible_option_is_refused(options: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        CatalogSpec.parse(f"/c.csv?{options}")
    assert told in str(caught.value).replace("'parsec'", "parsec").replace("'keep'", "keep")
    assert "others=exclude or ignore" in str(caught.value)
