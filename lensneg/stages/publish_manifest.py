"""Publication: what passed gate 4 moves into view; what failed is set aside.

A reader looks for ``manifest.json``, which is written last, and finds it with all its files or not at all.
Only the bytes that were audited are published, and a published run never changes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.page.dataset_card import CARD_NAME, dataset_card
from lensneg.schema.columns import COLUMNS, PARTS, RUN_COLUMNS
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run, load_run


def publish_manifest(root: str) -> dict[str, Any]:
    """Publish a run that passed gate 4; of a mini-test, write the record that it passed.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Returns
    -------
    dict
        ``kind`` (manifest or mini_test) and its ``uri``.

    Raises
    ------
    RunStateError
        If gate 4 has not passed, the files changed after it, or the run is published with other content.
    """
    run = load_run(root)
    gate = storage.read_json(run.files.gate(4))
    if not gate["passed"]:
        raise RunStateError("gate 4 did not pass", where=run.files.gate(4), remedy="nothing is published")
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
            "passed_at": utc_now(),
        },
    )
    return uri


def _publish(run: Run) -> str:
    files = run.files
    audited = storage.read_json(files.audited)
    manifest = _manifest(run, audited)
    # Looked for first: what is published must not be touched, not even by the same bytes.
    if not storage.exists(files.manifest):
        _copy_parts(files, audited)
        card = dataset_card(manifest, files.manifest_folder)
        storage.write_bytes(storage.join(files.manifest_folder, CARD_NAME), card.encode())
        if storage.write_json(files.manifest, manifest, if_absent=True):
            _point_to(run)
            return files.manifest
    if storage.read_json(files.manifest) != manifest:
        raise RunStateError(
            "published already, with other content",
            where=files.manifest,
            remedy="a published run never changes: choose another run id",
        )
    # Published before, but perhaps ended before the last step.
    if not _is_newer(files.latest, run):
        _point_to(run)
    return files.manifest


def _manifest(run: Run, audited: dict[str, Any]) -> dict[str, Any]:
    """Return manifest.json: all that is needed to read the manifest, to audit it, and to make it again."""
    parts = {
        part: {
            "files": [
                {**entry, "name": _published_name(part, number)}
                for number, entry in enumerate(audited[part]["files"])
            ],
            "content_sha256": audited[part]["content_sha256"],
        }
        for part in PARTS
    }
    return {
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
        "strata": storage.read_json(run.files.quotas)["strata"],
        "run": run.record.model_dump(mode="json"),
    }


def _published_name(part: str, number: int) -> str:
    """Return a name that does not change from run to run, as Spark's do."""
    return f"{part}/part-{number:05d}.parquet"


def _copy_parts(files: RunFiles, audited: dict[str, Any]) -> None:
    """Copy the draw's files, if they are the ones that were audited."""
    names = set()
    for part in PARTS:
        for number, entry in enumerate(audited[part]["files"]):
            source = storage.join(files.sample_folder, part, entry["name"])
            data = storage.read_bytes(source)
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise RunStateError(
                    "changed after gate 4 audited it", where=source, remedy="nothing is published"
                )
            names.add(storage.join(files.manifest_folder, _published_name(part, number)))
            storage.write_bytes(storage.join(files.manifest_folder, _published_name(part, number)), data)
    # What a publication that was interrupted may have left: nobody has seen it.
    try:
        for left in storage.list_files(files.manifest_folder):
            if left.uri not in names:
                storage.delete(left.uri)
    except FileNotFoundError:
        pass


def _is_newer(latest: str, run: Run) -> bool:
    """Return whether latest.json names this run, or one that started later."""
    try:
        return bool(storage.read_json(latest)["started_at"] >= run.record.started_at)
    except FileNotFoundError:
        return False


def _point_to(run: Run) -> None:
    storage.write_json(
        run.files.latest,
        {
            "run_id": run.record.run_id,
            "manifest": run.files.manifest,
            "config_sha256": run.record.config.sha256,
            "started_at": run.record.started_at,
            "published_at": utc_now(),
        },
    )


def utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
