"""A tiny published manifest: rows written by hand, published by the pipeline's own code."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import config_text

from lensneg import storage
from lensneg.schema.code_version import code_version
from lensneg.schema.columns import WRITTEN_SCHEMA, part_schema
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.stages.publish_manifest import publish_manifest

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RULES: dict[str, Any] = {
    "columns": {}, "pool": [], "run": {}, "splits": [], "split_edges": [], "split_seed": 0
}  # fmt: skip
SPLITS = ("train", "val", "test")


def no_lenses() -> Lenses:
    """The lens positions of a run without catalogues."""
    empty = np.empty(0)
    return Lenses(empty, empty, np.empty(0, dtype=bool), [], np.empty(0, dtype=np.int32))


def row(i: int, pool: str) -> dict[str, Any]:
    """Row i: numbers that a test can work out again."""
    numbers = {name: float(i) + 0.5 for name in WRITTEN_SCHEMA.names}
    return {
        **numbers,
        "galaxy_id": f"0001p002_{i}", "object_id": f"0001p002-{i}",
        "brickname": "0001p002", "objid": i, "ra": i / 8, "dec": -i / 4,
        "type": "SER", "nobs_z": 4, "nobs_z_bin": "3-5", "type_bin": "SER" if i % 2 else "DEV",
        "mag_g": None if i == 1 else 20.25, "maskbits": 1 << i % 16, "fitbits": 128,
        "healpix_64": i, "healpix_128": 4 * i, "split": SPLITS[i % 3], "pool": pool,
        "confuser_category": "ring_proxy" if pool == "N2" else None,
        "sweep_file": "sweep-000p005-005p010.fits", "row_index": i, "pipeline_version": "0.1.0",
        "git_commit": "unknown", "extraction_timestamp": STARTED, "targetid": (1 << 53) + i, "release": 10002,
        "sampling_priority": -i, "sampling_weight": 2.5, "confuser_flags": int(pool == "N2"),
        "draw": pool.lower(), "fold": None if i % 3 == 2 else i % 5,
    }  # fmt: skip


def publish(folder: Path, run_id: str = "tiny", change: Any = lambda rows: rows) -> RunFiles:
    """Publish a run of 12 negatives (9 of N1) and 3 positives; its inputs lie in ``folder/inputs``."""
    inputs = folder / "inputs"
    (inputs / "sweeps").mkdir(parents=True, exist_ok=True)
    catalog, sweep = inputs / "lenses.csv", inputs / "sweeps" / "sweep-000p005-005p010.fits"
    if not catalog.exists():
        catalog.write_text("name,ra,dec\na,1,6\n")
        sweep.write_bytes(b"rows")
    files = RunFiles(str(folder / "out"), run_id)
    text, code, found = config_text("negative_sampling_v1"), code_version(), storage.stat(str(sweep))
    storage.write_json(
        files.run,
        {
            "run_id": run_id, "mode": "full", "started_at": "2026-01-02T03:04:05Z", "out": files.out,
            "config": {"uri": str(inputs / "plan.yaml"), "text": text,
                       "sha256": hashlib.sha256(text.encode()).hexdigest()},
            "code": {"pipeline_version": code.pipeline_version, "git_commit": code.git_commit,
                     "code_version": code.code_version},
            "sweeps": [{"uri": found.uri, "size": found.size, "etag": found.etag, "rows": 1234,
                        "release": 10002, "row_bytes": 505}],
            "ignored_files": 0,
            "catalogs": [{"spec": {"uri": str(catalog)}, "role": "positives", "size": 1, "etag": "x",
                          "sha256": hashlib.sha256(catalog.read_bytes()).hexdigest(), "rows": 1,
                          "positions": 1}],
        },
    )  # fmt: skip
    no_lenses().write(files.lenses)
    storage.write_json(files.gate(4), {"gate": "Gate4OutputValid", "passed": True, "checks": []})
    rows = {
        "negatives": [row(i, "N2" if i >= 9 else "N1") for i in range(12)],
        "positives": [row(i, "positive") for i in range(100, 103)],
    }
    audited = {}
    for part, some in change(rows).items():
        path = Path(files.sample_part(part, 0))
        path.parent.mkdir(parents=True)
        table = pa.Table.from_pylist(some, part_schema(part))
        pq.write_table(table, path)
        data = path.read_bytes()
        entry = {"name": path.name, "rows": len(some), "bytes": len(data),
                 "sha256": hashlib.sha256(data).hexdigest()}  # fmt: skip
        audited[part] = {"files": [entry], "content_sha256": content_sha256(table, table.schema)}
    storage.write_json(files.audited, audited)
    storage.write_json(
        files.quotas,
        {
            "run_id": run_id,
            "manifest": RULES,
            "pool_files": [],
            "row_groups": {},
            "footers": {},
            "repeated_rows": 0,
            "pieces": [],
            "strata": [],
        },
    )
    publish_manifest(files.root)
    return files
