"""Gate 4: a manifest is audited, where the draw left it or wherever it was published.

What is checked is in :mod:`lensneg.audit.audit`; here is where a manifest to audit is found.
"""

from __future__ import annotations

from typing import Any

from lensneg import storage
from lensneg.audit.audit import audit
from lensneg.audit.subject import Subject
from lensneg.schema.columns import PARTS
from lensneg.schema.gate import Gate
from lensneg.schema.run import load_run


def validate_manifest(root: str) -> dict[str, Any]:
    """Audit what the draw wrote: gate 4.

    Besides the gate's record, ``audited.json`` says of which bytes it was made, so that no others can be
    published.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Returns
    -------
    dict
        The ``gate``'s verdict.
    """
    run = load_run(root)
    record = run.record
    subject = Subject(
        config=run.config,
        run_columns=record.columns,
        files={part: tuple(run.files.sample_parts(part)) for part in PARTS},
        promised={},
        strata=storage.read_json(run.files.quotas)["strata"],
        ra=run.lenses.ra,
        dec=run.lenses.dec,
        sweeps={storage.basename(s.uri): storage.FileInfo(s.uri, s.size, s.etag) for s in record.sweeps},
    )
    found = audit(subject)
    storage.write_json(run.files.audited, found.record())
    return {"gate": Gate.of(4, found.checks).write(run.files.gate(4))}
