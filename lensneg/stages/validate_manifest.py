"""ValidateManifest: audit the sample that was drawn, and judge gate 4."""

from lensneg.audit.audit import audit
from lensneg.audit.subject import Subject
from lensneg.schema.columns import PARTS
from lensneg.schema.gate import Gate, Judged, without_chance
from lensneg.schema.quotas import Quotas
from lensneg.schema.run import load_run
from lensneg.stages.one_code import one_code


def validate_manifest(root: str) -> Judged:
    """Audit the sample that was drawn, and judge gate 4.

    ``audited.json`` gets the hashes of the audited files. PublishManifest publishes no other bytes.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    """
    run = load_run(root)
    found = audit(
        Subject(
            config=run.config,
            run_columns=run.record.columns,
            files={part: tuple(run.files.sample_parts(part)) for part in PARTS},
            promised={},
            strata=Quotas.read(run.files.quotas).strata,
            ra=run.lenses.ra,
            dec=run.lenses.dec,
            sweeps={sweep.name: sweep.info for sweep in run.record.sweeps},
        )
    )
    found.parts.write(run.files.audited)
    checks = [one_code(run), *found.checks]
    if run.record.mode == "test":
        checks = without_chance(checks)
    return Gate.of(4, checks).judged(run.files.gate(4))
