"""PublishManifest: publish a run that passed gate 4.

A reader looks for ``manifest.json``. It is written last, so it is there with all its files or not at all.
Only audited bytes are published, and a published run never changes.
"""

import hashlib
import logging

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.page.dataset_card import dataset_card
from lensneg.schema.columns import PARTS
from lensneg.schema.gate import Gate
from lensneg.schema.layout import CARD_NAME, RunFiles
from lensneg.schema.manifest import Manifest, ManifestPart, ManifestRecord, Part, Parts
from lensneg.schema.publication import ConfigVersion, Latest, MiniTestRecord, utc_now
from lensneg.schema.quotas import Quotas
from lensneg.schema.run import Run, RunRecord, load_run
from lensneg.schema.states import Published

_log = logging.getLogger(__name__)


def publish_manifest(root: str) -> Published:
    """Publish a run that passed gate 4. For a mini-test, write the record that it passed.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Raises
    ------
    RunStateError
        If gate 4 did not pass, the files changed after it, or the run is published with other content.
    """
    run = load_run(root)
    files, record = run.files, run.record
    if not Gate.read(files.gate(4)).passed:
        raise RunStateError("gate 4 did not pass", where=files.gate(4), remedy="nothing is published")
    if record.mode == "full":
        _publish(run)
        return Published(kind="manifest", uri=files.manifest)
    sha256, code = record.config.sha256, record.code.code_version
    uri = files.mini_test(sha256, code)
    passed = MiniTestRecord(
        run_id=record.run_id, config_sha256=sha256, code_version=code, passed_at=utc_now()
    )
    passed.write(uri)
    return Published(kind="mini_test", uri=uri)


def sample_record(files: RunFiles, record: RunRecord) -> ManifestRecord:
    """Return the manifest of a run's audited sample.

    Parameters
    ----------
    files : RunFiles
    record : RunRecord

    Returns
    -------
    ManifestRecord
        The names of its files are below the run's sample folder, and will be below the manifest's folder.
    """
    audited = Parts.read(files.audited)
    parts = Parts(**{part: _in_folder(part, audited.part(part)) for part in PARTS})
    return ManifestRecord.of(record, parts, Quotas.read(files.quotas).strata)


def _in_folder(part: Part, audited: ManifestPart) -> ManifestPart:
    """Return the files of a part with the part's folder in their names."""
    named = [file.model_copy(update={"name": f"{part}/{file.name}"}) for file in audited.files]
    return audited.model_copy(update={"files": tuple(named)})


def _publish(run: Run) -> None:
    files = run.files
    manifest = sample_record(files, run.record)
    _claim_config_version(run)
    # Checked first: a published file must not be written again, not even with the same bytes.
    if not storage.exists(files.manifest):
        _copy_files(files, manifest)
        card = dataset_card(Manifest(files.manifest, manifest))
        storage.write_bytes(storage.join(files.manifest_folder, CARD_NAME), card.encode())
        if manifest.write(files.manifest, if_absent=True):
            _point_to(run)
            _log.info("published %s", files.manifest)
            return
    _log.info("%s is there already", files.manifest)
    if ManifestRecord.read(files.manifest) != manifest:
        raise RunStateError(
            "published already, with other content",
            where=files.manifest,
            remedy="a published run never changes: choose another run id",
        )
    # The earlier publication may have ended before its last step.
    latest = Latest.read_if_there(files.latest)
    if latest is None or latest.started_at < run.record.started_at:
        _point_to(run)


def _claim_config_version(run: Run) -> None:
    """Record the content of the config's name and version. The first publication decides it."""
    uri = run.files.config_version(run.config.name, run.config.version)
    claim = ConfigVersion(config_sha256=run.record.config.sha256, run_id=run.record.run_id)
    if claim.write(uri, if_absent=True):
        return
    known = ConfigVersion.read(uri)
    if known.config_sha256 != claim.config_sha256:
        raise RunStateError(
            f"{run.config.name} {run.config.version} was published with other content by {known.run_id}",
            where=uri,
            remedy="give the changed config a new version",
        )


def _copy_files(files: RunFiles, manifest: ManifestRecord) -> None:
    """Copy the sample's files, if they are the audited ones, and remove all others."""
    kept = {storage.join(files.manifest_folder, CARD_NAME)}
    for file in (*manifest.negatives.files, *manifest.positives.files):
        source = storage.join(files.sample_folder, file.name)
        target = storage.join(files.manifest_folder, file.name)
        data = storage.read_bytes(source)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise RunStateError(
                "changed after gate 4 audited it", where=source, remedy="nothing is published"
            )
        storage.write_bytes(target, data)
        kept.add(target)
    # Other files are what an interrupted publication left. No manifest.json has named them.
    for left in storage.list_files(files.manifest_folder):
        if left.uri not in kept:
            storage.delete(left.uri)


def _point_to(run: Run) -> None:
    """Write latest.json."""
    Latest(
        run_id=run.record.run_id,
        manifest=run.files.manifest,
        config_sha256=run.record.config.sha256,
        started_at=run.record.started_at,
        published_at=utc_now(),
    ).write(run.files.latest)
