"""Quarantine: mark a run that failed gate 4."""

from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles
from lensneg.schema.publication import QuarantineRecord, utc_now
from lensneg.schema.states import Written


def quarantine(root: str) -> Written:
    """Mark a run that failed gate 4 as unfit. Its files stay where they are.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    """
    files = RunFiles.of_root(root)
    gate = Gate.read(files.gate(4))
    QuarantineRecord(
        run_id=files.run_id,
        gate=gate.gate,
        failed=tuple(gate.failed),
        sample="sample",
        quarantined_at=utc_now(),
    ).write(files.quarantine)
    return Written(uri=files.quarantine)
