"""Publication: what passed gate 4 moves into view; what failed is set aside.

A reader looks for ``manifest.json``, which is written last, and finds it with all its files or not at all.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.manifest import COLUMNS, RUN_COLUMNS, WRITTEN_SCHEMA, content_sha256
from lensneg.run import Run, RunFiles, load_run, read_table


def publish_manifest(root: str) -> dict[str, Any]:
    """Publish a run that passed gate 4; of a mini-test, write the record that it passed.

    Parameters
    ----------
    root : str
        The run's folder.

    Returns
    -------
    dict
        ``kind`` (manifest or mini_test) and its ``uri``.

    Raises
    ------
    RunStateError
        If gate 4 has not passed, or the run is published already with other content.
    """
    run = load_run(root)
    gate = storage.read_json(run.files.gate(4))
    if not gate["passed"]:
        raise RunStateError(f"{run.files.gate(4)}: gate 4 did not pass; nothing is published")
    if run.record.mode == "test":
        return {"kind": "mini_test", "uri": _record_mini_test(run)}
    return {"kind": "manifest", "uri": _publish(run)}


def _record_mini_test(run: Run) -> str:
    record = run.record
    uri = run.files.mini_test(record.config.sha256, record.code.code_version)
    storage.write_json(
        uri,
        {
            "run_id": record.run_id,
            "config_sha256": record.config.sha256,
            "code_version": record.code.code_version,
            "passed_at": _now(),
        },
    )
    return uri


def _publish(run: Run) -> str:
    files = run.files
    parts = {part: _copy_part(files, part) for part in ("negatives", "positives")}
    manifest = {
        "run_id": run.record.run_id,
        "rows": {part: sum(f["rows"] for f in described["files"]) for part, described in parts.items()},
        **parts,
        "columns": [
            {
                "name": c.name,
                "type": str(c.type),
                "unit": c.unit,
                "nullable": c.nullable,
                "description": c.description,
            }
            for c in COLUMNS
        ],
        "content_excludes": list(RUN_COLUMNS),
        "run": run.record.model_dump(mode="json"),
    }
    if not storage.write_json(files.manifest, manifest, if_absent=True):
        if storage.read_json(files.manifest) != manifest:
            raise RunStateError(f"{files.manifest}: published already, with other content")
        return files.manifest
    storage.write_json(
        files.latest,
        {
            "run_id": run.record.run_id,
            "manifest": files.manifest,
            "config_sha256": run.record.config.sha256,
            "published_at": _now(),
        },
    )
    return files.manifest


def _copy_part(files: RunFiles, part: str) -> dict[str, Any]:
    """Copy the draw's files of one kind under names that do not change from run to run."""
    described, tables = [], [WRITTEN_SCHEMA.empty_table()]
    for number, source in enumerate(files.sample_parts(part)):
        name = f"{part}/part-{number:05d}.parquet"
        data = storage.read_bytes(source)
        storage.write_bytes(storage.join(files.manifest_folder, name), data)
        table = read_table(source).cast(WRITTEN_SCHEMA)
        tables.append(table)
        described.append(
            {
                "name": name,
                "rows": len(table),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    return {"files": described, "content_sha256": content_sha256(pa.concat_tables(tables))}


def quarantine(root: str) -> dict[str, Any]:
    """Set aside a run that failed gate 4: its files stay where they are, marked as unfit.

    Returns
    -------
    dict
        ``uri`` of the mark.
    """
    files = RunFiles.of_root(root)
    gate = storage.read_json(files.gate(4))
    failed = [c for c in gate["checks"] if c["critical"] and not c["passed"]]
    storage.write_json(
        files.quarantine,
        {
            "run_id": files.run_id,
            "gate": gate["gate"],
            "failed": failed,
            "sample": files.sample_folder,
            "quarantined_at": _now(),
        },
    )
    return {"uri": files.quarantine}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
