"""ValidateManifest: audit the sample that was drawn, and judge gate 4."""

from lensneg.audit.audit import audit
from lensneg.audit.subject import Subject
from lensneg.errors import RunStateError
from lensneg.schema.gate import Gate, Judged, without_chance
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Parts
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
        Subject.listed(
            run.files.sample_folder,
            _written(run.files),
            ("written.json",),
            config=run.config,
            run_columns=run.record.columns,
            strata=Quotas.read(run.files.quotas).strata,
            ra=run.lenses.ra,
            dec=run.lenses.dec,
            is_positive=run.lenses.is_positive,
            stated_radius=run.lenses.radius_arcsec,
            facts=run.lenses.facts.add_column(0, "name", [run.lenses.names]),
            is_spectroscopic=run.is_spectroscopic,
            suspects=run.listed.take(run.listed_in("suspects")),
            hard_negatives=run.hard_negatives,
            sweeps={sweep.name: sweep.info for sweep in run.record.sweeps},
            pz={sweep.name: sweep.pz.info for sweep in run.record.sweeps if sweep.pz},
        )
    )
    found.parts.write(run.files.audited)
    checks = [one_code(run), *found.checks]
    if run.record.mode == "test":
        checks = without_chance(checks)
    return Gate.of(4, checks).judged(run.files.gate(4))


def _written(files: RunFiles) -> Parts:
    """Return the list of the files that CheckSample wrote."""
    written = Parts.read_if_there(files.sample_written)
    if written is None:
        remedy = "CheckSample writes it: start again with the same run id"
        raise RunStateError("missing", where=files.sample_written, remedy=remedy)
    return written
