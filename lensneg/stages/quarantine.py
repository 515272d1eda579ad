"""Quarantine: a run that failed gate 4 is set aside."""

from __future__ import annotations

from typing import Any

from lensneg import storage
from lensneg.schema.layout import RunFiles
from lensneg.stages.publish_manifest import utc_now


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
            "quarantined_at": utc_now(),
        },
    )
    return {"uri": files.quarantine}
