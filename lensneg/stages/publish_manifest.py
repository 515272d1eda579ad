"""PublishManifest: what passed gate 4 moves into view.

A reader looks for ``manifest.json``, which is written last, and finds it with all its files or not at all.
Only the bytes that were audited are published, and a published run never changes.
"""

import hashlib
import logging

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.page.dataset_card import CARD_NAME, dataset_card
from lensneg.schema.columns import PARTS
from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest, ManifestPart, ManifestRecord, Part, Parts
from lensneg.schema.publication import ConfigVersion, Latest, MiniTestRecord, utc_now
from lensneg.schema.quotas import Quotas
from lensneg.schema.run import Run, load_run
from lensneg.schema.states import Published

_log = logging.getLogger(__name__)


def publish_manifest(root: str) -> Published:
    """Publish a run that passed gate 4; of a mini-test, write the record that it passed.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Raises
    ------
    RunStateError
        If gate 4 has not passed, the files changed after it, or the run is published with other content.
    """
    run = load_run(root)
    if not Gate.read(run.files.gate(4)).passed:
        raise RunStateError("gate 4 did not pass", where=run.files.gate(4), remedy="nothing is published")
    if run.record.mode == "test":
        return Published(kind="mini_test", uri=_record_mini_test(run))
    return Published(kind="manifest", uri=_publish(run))


def _record_mini_test(run: Run) -> str:
    sha256, code = run.record.config.sha256, run.record.code.code_version
    uri = run.files.mini_test(sha256, code)
    MiniTestRecord(
        run_id=run.record.run_id, config_sha256=sha256, code_version=code, passed_at=utc_now()
    ).write(uri)
    return uri


def _publish(run: Run) -> str:
    files = run.files
    audited = Parts.read(files.audited)
    published = Parts(**{part: _renamed(part, audited.part(part)) for part in PARTS})
    manifest = ManifestRecord.of(run.record, published, Quotas.read(files.quotas).strata)
    _claim_config_version(run)
    # Looked for first: what is published must not be touched, not even by the same bytes.
    if not storage.exists(files.manifest):
        _copy_parts(files, audited, published)
        card = dataset_card(Manifest(files.manifest, manifest))
        storage.write_bytes(storage.join(files.manifest_folder, CARD_NAME), card.encode())
        if manifest.write(files.manifest, if_absent=True):
            _point_to(run)
            _log.info("published %s", files.manifest)
            return files.manifest
    _log.info("%s is there already", files.manifest)
    if ManifestRecord.read(files.manifest) != manifest:
        raise RunStateError(
            "published already, with other content",
            where=files.manifest,
            remedy="a published run never changes: choose another run id",
        )
    # Published before, but perhaps ended before the last step.
    if not _is_newer(files.latest, run):
        _point_to(run)
    return files.manifest


def _renamed(part: Part, audited: ManifestPart) -> ManifestPart:
    """Return the audited files under names that do not change from run to run, as Spark's do."""
    named = [
        file.model_copy(update={"name": f"{part}/part-{number:05d}.parquet"})
        for number, file in enumerate(audited.files)
    ]
    return audited.model_copy(update={"files": tuple(named)})


def _claim_config_version(run: Run) -> None:
    """Record what the config's name and version stand for; the first publication decides that."""
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


def _copy_parts(files: RunFiles, audited: Parts, published: Parts) -> None:
    """Copy the draw's files, if they are the ones that were audited."""
    names = {storage.join(files.manifest_folder, CARD_NAME)}
    for part in PARTS:
        for before, now in zip(audited.part(part).files, published.part(part).files, strict=True):
            source = storage.join(files.sample_folder, part, before.name)
            data = storage.read_bytes(source)
            if hashlib.sha256(data).hexdigest() != before.sha256:
                raise RunStateError(
                    "changed after gate 4 audited it", where=source, remedy="nothing is published"
                )
            target = storage.join(files.manifest_folder, now.name)
            names.add(target)
            storage.write_bytes(target, data)
    # What a publication that was interrupted may have left: nobody has seen it.
    try:
        for left in storage.list_files(files.manifest_folder):
            if left.uri not in names:
                storage.delete(left.uri)
    except FileNotFoundError:
        pass


def _is_newer(latest: str, run: Run) -> bool:
    """Return whether latest.json names this run, or one that started later."""
    known = Latest.read_if_there(latest)
    return known is not None and known.started_at >= run.record.started_at


def _point_to(run: Run) -> None:
    Latest(
        run_id=run.record.run_id,
        manifest=run.files.manifest,
        config_sha256=run.record.config.sha256,
        started_at=run.record.started_at,
        published_at=utc_now(),
    ).write(run.files.latest)
