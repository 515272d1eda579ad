"""The tables of negative_sampling_v2 in docs/science.md, and the script that makes them."""

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lensneg.schema.config import Config

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import training as script

MARKED = re.compile(r"<!-- training: (\w+) -->\n(.*?)<!-- /training -->\n", re.DOTALL)


def test_the_page_has_each_table() -> None:
    found = dict(MARKED.findall(script.PAGE.read_text(encoding="utf-8")))
    assert found.keys() == script.TABLES.keys()
    for text in found.values():
        head, line, *rows = text.splitlines()
        assert rows
        assert {row.count("|") for row in (head, line, *rows)} == {head.count("|")}


def test_a_table_is_written_between_its_marks_alone() -> None:
    page = "a\n<!-- training: one -->\nold\n<!-- /training -->\nb\n"
    text = script.table(["x", "y"], [[1, "2"]])
    assert text == "| x | y |\n|---|---|\n| 1 | 2 |\n"
    assert script.fill(page, {"one": text}) == page.replace("old\n", text)
    with pytest.raises(AssertionError, match="two"):
        script.fill(page, {"two": text})


def test_the_rows_of_a_draw_are_those_of_its_quota(v2: Config) -> None:
    """Made-up galaxies of two strata: each row once, and the weights of n1 add up to the stratum."""
    rng = np.random.default_rng(1)

    def rows(count: int) -> pa.Table:
        return pa.table(
            {
                "nobs_z_bin": rng.choice(["3-5", "11+"], count),
                "type_bin": ["SER"] * count,
                "pool": ["N1"] * count,
                "confuser_category": pa.array(
                    rng.choice([None, "ring_proxy", "blend_proxy"], count), pa.string()
                ),
                "sampling_priority": rng.integers(-(2**63), 2**63 - 1, count),
                **{name: rng.normal(20, 1, count) for name in ("mag_r", "psfsize_z", "galdepth_z")},
            }
        )

    pool, positives = rows(4_000), rows(40)
    found, quotas = script.draw(pool, positives, script.config_with(10))
    assert len(found) == sum(q.quota for q in quotas) == 400
    assert len(set(found["sampling_priority"].to_pylist())) == 400
    for quota in quotas:
        for one in quota.draws:
            here = [
                r
                for r in found.to_pylist()
                if (r["nobs_z_bin"], r["type_bin"], r["draw"]) == (quota.nobs_z_bin, quota.type_bin, one.draw)
            ]
            assert len(here) == one.quota
            assert {r["pool"] for r in here} == {one.pool}
            if one.draw == "n1":
                whole = pool["nobs_z_bin"].to_pylist().count(quota.nobs_z_bin)
                assert sum(r["sampling_weight"] for r in here) == pytest.approx(whole)
