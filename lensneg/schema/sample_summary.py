"""What the draw's job says of its work."""

from __future__ import annotations

from typing import Any

from lensneg import storage
from lensneg.schema.layout import RunFiles


def read_sample_summary(files: RunFiles) -> dict[str, Any] | None:
    """Return what the draw's job says of its work.

    Returns
    -------
    dict or None
        None if the job did not come so far: one that was killed may leave a summary half written, as on a
        local disk Spark does not write a file in one piece.
    """
    try:
        summary: dict[str, Any] = storage.read_json(files.sample_summary)
    except (FileNotFoundError, ValueError):
        return None
    return summary
