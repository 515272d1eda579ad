"""The rows of a manifest as arrays: numbers and their nulls, and which of some texts a row holds."""

import numpy as np
import pytest
from auditrows import row, table

from lensneg.audit.columns import Rows

KINDS = ["N1", "N2", "N2", "positive"]
ROWS = Rows(table(row(i, pool=pool, confuser_category=None) for i, pool in enumerate(KINDS)))


@pytest.mark.parametrize(
    ("values", "index"),
    [(["N1", "N2"], [0, 1, 1, -1]), (["positive", "N1"], [1, -1, -1, 0]), ([], [-1] * 4), (["n1"], [-1] * 4)],
)
def test_texts(values: list[str], index: list[int]) -> None:
    found = ROWS.index_in("pool", values)
    assert (found.dtype, found.tolist()) == (np.int64, index)
    assert ROWS.is_in("pool", values).tolist() == [i >= 0 for i in index]


def test_a_null_is_none_of_some_texts() -> None:
    assert ROWS.index_in("confuser_category", ["N1"]).tolist() == [-1] * 4
    assert ROWS.is_in("confuser_category", ["N1"]).tolist() == [False] * 4


def test_numbers() -> None:
    rows = Rows(table([row(1, mag_g=None, ebv=0.1), row(2, ra=1.5)]))
    assert len(rows) == 2
    assert rows["ra"].tolist() == [165.4754, 1.5]
    assert rows["ebv"].dtype == np.float64
    assert rows["ebv"][0] == np.float32(0.1)
    assert np.isnan(rows["mag_g"]).tolist() == [True, False]
    assert (rows["nobs_z"].dtype, rows["targetid"].dtype) == (np.int16, np.int64)
    assert rows.pixels.tolist()[:1] == [107657]
