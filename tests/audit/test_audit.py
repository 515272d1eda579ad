"""The audit as a whole, of a manifest written by hand: which checks there are, and what depends on what."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from auditrows import Row, part_table, positive, row, subject

from lensneg.audit.audit import audit
from lensneg.audit.subject import Audit
from lensneg.rules.quotas import plain_draws
from lensneg.schema.config import Config
from lensneg.schema.quotas import PoolQuota, StratumQuota

CHECKS = [
    "files_readable", "files_listed", "schema", "row_count", "no_nulls", "coordinates", "unique_targetids",
    "keys",
    "provenance", "magnitudes", "selection_rule", "cut_rule", "stratum_rule", "pool_rule",
    "priority_rule", "split_rule",
    "split_fractions", "split_fractions_close", "n1_n2_ratio", "strata_counts", "strata_represented",
    "targets", "weights", "clear_of_lenses", "sweeps_at_hand",
]  # fmt: skip
NEGATIVES = sorted(
    (row(i, sampling_weight=2.5) for i in range(4)), key=lambda negative: negative["sampling_priority"]
)
DRAW_CHECKS = ["quota_rule", "lowest_priorities", "row_order"]
POSITIVES = [positive(1000, passes_cuts=True)]


def audited(
    config: Config, folder: Path, negatives: list[Row] = NEGATIVES, positives: list[Row] = POSITIVES
) -> Audit:
    """The audit of a manifest of one stratum, of which four of ten are drawn for one positive."""
    files = {}
    for part, rows in (("negatives", negatives), ("positives", positives)):
        path = folder / part / "part-0.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(part_table(part, rows), path)
        files[part] = (str(path),)
    pools = [
        PoolQuota(pool="N1", available=10, target=3, backfill=1, quota=4),
        PoolQuota(pool="N2", available=0, target=1, backfill=0, quota=0),
    ]
    stratum = StratumQuota(
        nobs_z_bin="3-5", type_bin="SER", positives=1, target=4, shortfall=0, reachable=True,
        pools=tuple(pools), draws=plain_draws(pools),
    )  # fmt: skip
    return audit(
        subject(config, files=files, strata=(stratum,), all_at_hand=False, ra=np.zeros(1), dec=np.zeros(1))
    )


@pytest.fixture(scope="module")
def config(plan_with: Any) -> Config:
    """Four negatives a positive; chance may do what it likes to four rows in one pixel."""
    return plan_with({"negative_pools.neg_pos_ratio": 4, "gates.chance_sigmas": 10.0})


def failing(found: Audit) -> dict[str, str]:
    return {check.name: check.actual for check in found.checks if not check.passed}


#: What fails in any case: no sweep file is at hand.
ALWAYS = {"sweeps_at_hand": "not there: sweep-165m010-170m005.fits"}


def test_all_checks_are_made_in_order(config: Config, tmp_path: Path) -> None:
    found = audited(config, tmp_path)
    assert [check.name for check in found.checks] == CHECKS + DRAW_CHECKS
    assert failing(found) == ALWAYS


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ra": 360.1}, "coordinates"),
        ({**{name: NEGATIVES[0][name] for name in ("targetid", "objid", "galaxy_id", "object_id")},
          "sampling_priority": NEGATIVES[0]["sampling_priority"]}, "unique_targetids"),
        ({"galaxy_id": "x"}, "keys"),
        ({"git_commit": "x"}, "provenance"),
        ({"mag_g": 1.0}, "magnitudes"),
        ({"maskbits": 2}, "selection_rule"),
        ({"nobs_z": 9}, "stratum_rule"),
        ({"confuser_category": "spiral"}, "pool_rule"),
        ({"sampling_priority": 0}, "priority_rule"),
        ({"split": "val"}, "split_rule"),
        ({"sampling_weight": 2.0}, "weights"),
    ],
)  # fmt: skip
def test_a_spoiled_row_fails_its_check_alone(config: Config, tmp_path: Path, changes: Row, name: str) -> None:
    found = audited(config, tmp_path, [*NEGATIVES[:2], {**NEGATIVES[2], **changes}, NEGATIVES[3]])
    assert set(failing(found)) - set(ALWAYS) == {name}


def test_of_rows_that_lack_a_key_nothing_more_is_said(config: Config, tmp_path: Path) -> None:
    found = audited(config, tmp_path, [*NEGATIVES[:3], row(3, targetid=None)])
    assert failing(found) == {"no_nulls": "nulls in targetid"}
    assert [check.name for check in found.checks] == CHECKS[: CHECKS.index("no_nulls") + 1]


def test_of_files_that_cannot_be_read_nothing_more_is_said(config: Config, tmp_path: Path) -> None:
    audited(config, tmp_path)
    files = {part: (str(tmp_path / part / "part-0.parquet"),) for part in ("negatives", "positives")}
    Path(files["positives"][0]).write_bytes(b"")
    found = audit(subject(config, files=files))
    assert [(check.name, check.passed) for check in found.checks] == [
        ("files_readable", False),
        ("files_listed", True),
        ("schema", True),
    ]
    assert (found.parts.negatives.rows, found.parts.positives.rows) == (4, 0)
    assert found.parts.negatives.content_sha256 == found.parts.positives.content_sha256 == ""


def test_of_what_bytes_and_rows_it_was_made(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lensneg.audit")
    parts = audited(config, tmp_path).parts
    for part, rows in ((parts.negatives, 4), (parts.positives, 1)):
        name = "negatives" if part is parts.negatives else "positives"
        data = (tmp_path / name / "part-0.parquet").read_bytes()
        [file] = part.files
        assert (file.rows, file.bytes, file.sha256) == (rows, len(data), hashlib.sha256(data).hexdigest())
        assert f"{name}: {rows} rows, {len(data)} bytes in 1 files" in caplog.messages


def test_the_content_is_that_of_the_rows_whatever_run_they_name(config: Config, tmp_path: Path) -> None:
    content = {}
    for how, negatives in {
        "as it is": NEGATIVES,
        "of another run": [{**r, "git_commit": "x"} for r in NEGATIVES],
        "with another value": [*NEGATIVES[:3], {**NEGATIVES[3], "ebv": 0.06}],
        "in another order": NEGATIVES[::-1],
    }.items():
        (tmp_path / how).mkdir()
        parts = audited(config, tmp_path / how, negatives).parts
        content[how] = parts.negatives.content_sha256
        assert parts.positives.content_sha256 != content[how]
    assert content["as it is"] == content["of another run"]
    assert len(set(content.values())) == 3
