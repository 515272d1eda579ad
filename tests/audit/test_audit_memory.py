"""The memory of the audit, the dataset card and the report does not grow with the manifest."""

import json
import pickle
import subprocess
import sys
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditrows import positive, row, subject, table

from lensneg.audit.audit import audit
from lensneg.audit.columns import Rows
from lensneg.audit.files import Files
from lensneg.audit.subject import Subject
from lensneg.rules.priority import sampling_priority
from lensneg.rules.quotas import plain_draws
from lensneg.schema.columns import WRITTEN_SCHEMA, part_schema
from lensneg.schema.config import Config
from lensneg.schema.gate import all_passed
from lensneg.schema.quotas import PoolQuota, StratumQuota

RATIO = 100

#: The most that a process may take, and by how much it may differ for six times the rows. If parts were read
#: whole, the one of 300,000 rows would take 550 MB, and 290 MB more than that of 50,000.
MOST_MB, MOST_GROWTH_MB = 350, 100


def write_rows(path: Path, like: dict[str, Any], first: int, rows: int) -> str:
    """Write copies of a row as other sources, in the manifest's order."""
    objid = np.arange(first, first + rows)
    ids = like["targetid"] - like["objid"] + objid
    order = np.argsort(sampling_priority(ids, 42))
    objid, ids = objid[order], ids[order]
    changed = {
        "objid": objid.astype(np.int32),
        "galaxy_id": [f"{like['brickname']}_{i}" for i in objid.tolist()],
        "object_id": [f"{like['brickname']}-{i}" for i in objid.tolist()],
        "targetid": ids,
        "sampling_priority": sampling_priority(ids, 42),
    }
    whole = table([like]).take(pa.array(np.zeros(rows, dtype=np.int64)))
    for name, values in changed.items():
        whole = whole.set_column(whole.schema.get_field_index(name), name, pa.array(values))
    path.parent.mkdir(exist_ok=True, parents=True)
    whole = whole.cast(WRITTEN_SCHEMA)
    for field in list(part_schema(path.parent.name))[len(WRITTEN_SCHEMA) :]:
        passes = field.name == "passes_cuts"
        whole = whole.append_column(field, pa.array([True] * rows) if passes else pa.nulls(rows, field.type))
    pq.write_table(whole, path, row_group_size=1 << 17, compression="zstd")
    return str(path)


def manifest(config: Config, folder: Path, rows: int) -> Subject:
    """A manifest of one stratum, of which all is drawn."""
    positives = rows // RATIO
    files = {
        "negatives": (write_rows(folder / "negatives" / "part-0.parquet", row(1), 1, rows),),
        "positives": (write_rows(folder / "positives" / "part-0.parquet", positive(), rows + 1, positives),),
    }
    share = 15 * positives
    pools = (
        PoolQuota(pool="N1", available=rows, target=rows - share, backfill=share, quota=rows),
        PoolQuota(pool="N2", available=0, target=share, backfill=0, quota=0),
    )
    stratum = StratumQuota(
        nobs_z_bin="3-5", type_bin="SER", positives=positives, target=rows, shortfall=0, reachable=True,
        pools=pools, draws=plain_draws(pools),
    )  # fmt: skip
    nothing = np.zeros(1)
    return subject(config, files=files, strata=(stratum,), all_at_hand=False, ra=nothing, dec=nothing)


#: What needs memory, in a process of its own. It prints the peak after each step, in MB.
SCRIPT = """
import json, pickle, sys
from lensneg.audit.audit import audit
from lensneg.page import acceptance, comparison
from lensneg.page.sample_rows import SampleRows
from lensneg.page.sample_sky import SampleSky
from lensneg.schema.gate import all_passed

def peak():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

with open(sys.argv[1], "rb") as file:
    subject = pickle.load(file)
found = {}
assert all_passed(audit(subject).checks)
found["audit"] = peak()
rows = SampleRows({part: list(uris) for part, uris in subject.files.items()})
assert acceptance.overview(rows.negatives, "2026-01-02T03:04:05Z").unique_galaxies == int(sys.argv[2])
comparison.compare(comparison.samples_of(rows.both))
SampleSky.of(rows)
found["report"] = peak()
print(json.dumps(found))
"""


def peaks(claim: Subject, folder: Path) -> dict[str, float]:
    (folder / "subject").write_bytes(pickle.dumps(claim))
    rows = str(claim.strata[0].quota)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / "subject"), rows], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_six_times_the_rows_take_hardly_more_memory(plan: Config, tmp_path: Path) -> None:
    few, many = (peaks(manifest(plan, tmp_path / str(n), n), tmp_path) for n in (50_000, 300_000))
    for step, peak in many.items():
        assert peak < MOST_MB, f"{step}: {peak:.0f} MB"
        assert peak < few[step] + MOST_GROWTH_MB, f"{step}: {peak:.0f} MB, and {few[step]:.0f} MB of few rows"


def test_no_more_rows_are_held_at_once_than_is_said(
    plan: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In row groups of 150 rows, of which 100 are held; a part is never read as a table."""
    claim = manifest(plan, tmp_path, 1_000)
    expected = audit(claim)
    assert all_passed(expected.checks)
    [path] = claim.files["negatives"]
    pq.write_table(pq.ParquetFile(path).read(), path, row_group_size=150)
    monkeypatch.setattr("lensneg.audit.files.ROWS_AT_ONCE", 100)
    for name in ("read", "read_row_groups"):
        monkeypatch.delattr(pq.ParquetFile, name)
    held = []
    monkeypatch.setattr(Rows, "__init__", partialmethod(noting, held, Rows.__init__))
    found = audit(claim)
    assert sum(held) == 1_010
    assert max(held) == 100
    assert max(len(array) for array in Files(claim).column("negatives", "targetid")) == 100
    assert found.checks == expected.checks
    assert found.parts.negatives.content_sha256 == expected.parts.negatives.content_sha256


def noting(rows: Rows, held: list[int], init: Any, *arguments: Any) -> None:
    init(rows, *arguments)
    held.append(len(rows))
