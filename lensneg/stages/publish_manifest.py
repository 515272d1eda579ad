"""PublishManifest: publish a run that passed gate 4.

A reader looks for ``manifest.json``. It is written last, so it is there with all its files or not at all.
Only audited bytes are published, and a published run never changes: a file of it that was lost is restored.
"""

import hashlib
import logging
import re
from typing import Final

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.page.dataset_card import dataset_card
from lensneg.schema.check import brief
from lensneg.schema.columns import PARTS
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.gate import Gate
from lensneg.schema.item import NotRead, read_items
from lensneg.schema.layout import CARD_NAME, RunFiles
from lensneg.schema.manifest import Manifest, ManifestPart, ManifestRecord, Part, Parts
from lensneg.schema.publication import ConfigVersion, Latest, MiniTestRecord, utc_now
from lensneg.schema.quotas import Quotas
from lensneg.schema.run import Run, RunRecord, load_run
from lensneg.schema.states import Published
from lensneg.stages.one_code import one_code

_log = logging.getLogger(__name__)

#: The files that a publication writes before manifest.json names them. It deletes no others.
_PART_FILE: Final = re.compile(rf"({'|'.join(PARTS)})/part-\d{{5,}}\.parquet")


def publish_manifest(root: str) -> Published:
    """Publish a run that passed gate 4. For a mini-test, write the record that it passed.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Raises
    ------
    RunStateError
        If gate 4 did not pass, the files changed after it, the run is published with other content, or it
        is not published and this is other code than it was planned with.
    """
    run = load_run(root)
    files, record = run.files, run.record
    sha256, code = record.config.sha256, record.code.code_version
    made = files.manifest if record.mode == "full" else files.mini_test(sha256, code)
    check = one_code(run)
    if not check.passed and (record.mode == "test" or not storage.exists(made)):
        raise RunStateError(check.actual, where=files.root, remedy=check.remedy)
    if not Gate.read(files.gate(4)).passed:
        raise RunStateError("gate 4 did not pass", where=files.gate(4), remedy="nothing is published")
    if record.mode == "full":
        _publish(run)
        return Published(kind="manifest", uri=made)
    passed = MiniTestRecord(
        run_id=record.run_id,
        config_sha256=sha256,
        code_version=code,
        inputs_sha256=RunRecord.read(files.inventory).inputs_sha256,
        passed_at=utc_now(),
    )
    passed.write(made)
    return Published(kind="mini_test", uri=made)


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
    return ManifestRecord.of(record, parts, Quotas.read(files.quotas).strata, _not_read(files))


def _not_read(files: RunFiles) -> tuple[NotRead, ...]:
    """Return the rows of the items that failed and were tolerated."""
    summary = FanOutSummary.read_if_there(files.summary)
    reasons = summary.missing if summary else {}
    return tuple(
        NotRead(
            sweep=storage.basename(item.sweep),
            first_row=item.first_row,
            rows=item.n_rows,
            reason=reasons[item.id],
        )
        for item in sorted(read_items(files.items) if reasons else [], key=lambda item: item.id)
        if item.id in reasons
    )


def _in_folder(part: Part, audited: ManifestPart) -> ManifestPart:
    """Return the files of a part with the part's folder in their names."""
    named = [file.model_copy(update={"name": f"{part}/{file.name}"}) for file in audited.files]
    return audited.model_copy(update={"files": tuple(named)})


def _publish(run: Run) -> None:
    files = run.files
    manifest = sample_record(files, run.record)
    claim_config_version(files, run.record)
    published = _published(files, manifest)
    _complete_files(files, manifest, published)
    card = storage.join(files.manifest_folder, CARD_NAME)
    if not published or not storage.exists(card):
        storage.write_bytes(card, dataset_card(Manifest(files.manifest, manifest)).encode())
    if not published and manifest.write(files.manifest, if_absent=True):
        point_to(files, run.record)
        _log.info("published %s", files.manifest)
        return
    _published(files, manifest)  # another execution of this run may have written it in the meantime
    _log.info("%s is there already, with all its files", files.manifest)
    # The earlier publication may have ended before its last step.
    latest = Latest.read_if_there(files.latest)
    if latest is None or latest.yields_to(run.record.started_at):
        point_to(files, run.record)


def _published(files: RunFiles, manifest: ManifestRecord) -> bool:
    """Return whether the run is published. If it is with other content, an error says so."""
    found = ManifestRecord.read_if_there(files.manifest)
    if found is not None and found != manifest:
        raise RunStateError(
            "published already, with other content",
            where=files.manifest,
            remedy="a published run never changes: choose another run id",
        )
    return found is not None


def claim_config_version(files: RunFiles, record: RunRecord) -> None:
    """Record the content of the config's name and version. The first publication decides it.

    Parameters
    ----------
    files : RunFiles
    record : RunRecord

    Raises
    ------
    RunStateError
        If another content was published under this name and version.
    """
    config = record.parsed_config()
    uri = files.config_version(config.name, config.version)
    claim = ConfigVersion(config_sha256=record.config.sha256, run_id=record.run_id)
    if claim.write(uri, if_absent=True):
        return
    known = ConfigVersion.read(uri)
    if known.config_sha256 != claim.config_sha256:
        raise RunStateError(
            f"{config.name} {config.version} was published with other content by {known.run_id}",
            where=uri,
            remedy="give the changed config a new version",
        )


def _complete_files(files: RunFiles, manifest: ManifestRecord, published: bool) -> None:
    """Bring the listed files into the manifest's folder, if they are the audited ones, and no others.

    A file that is there and right is not written again. Of a published manifest, one that was deleted or
    damaged is restored. Parts that an interrupted publication left are deleted; no manifest.json has named
    them. Any other file is refused.
    """
    names = {storage.basename(files.manifest), CARD_NAME}
    names |= {file.name for file in (*manifest.negatives.files, *manifest.positives.files)}
    folder = f"{files.manifest_folder}/"
    listed = [info.uri for info in storage.list_files(files.manifest_folder, missing_ok=True)]
    others = [uri for uri in listed if uri.removeprefix(folder) not in names]
    left = [uri for uri in others if not published and _PART_FILE.fullmatch(uri.removeprefix(folder))]
    if strange := [uri for uri in others if uri not in left]:
        raise RunStateError(
            f"files that the manifest does not list: {brief(map(storage.basename, strange))}",
            where=files.manifest_folder,
            remedy="move them elsewhere, and start again",
        )
    for file in (*manifest.negatives.files, *manifest.positives.files):
        target = storage.join(files.manifest_folder, file.name)
        if _bytes_of(target, file.sha256) is not None:
            continue
        source = storage.join(files.sample_folder, file.name)
        data = _bytes_of(source, file.sha256)
        if data is None:
            what = "missing, or changed after gate 4 audited it"
            remedy = "nothing is published: start again with the same run id"
            if published:
                what += f", so that the published {file.name} cannot be restored"
                remedy = f"put a copy of that file into {files.manifest_folder}"
            raise RunStateError(what, where=source, remedy=remedy)
        storage.write_bytes(target, data)
        if published:
            _log.warning("%s was missing or damaged, and is restored", target)
    for uri in left:
        storage.delete(uri)


def _bytes_of(uri: str, sha256: str) -> bytes | None:
    """Return a file's bytes, if it is there and has this SHA-256."""
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def point_to(files: RunFiles, record: RunRecord, *, rolled_back: bool = False) -> None:
    """Write latest.json.

    Parameters
    ----------
    files : RunFiles
    record : RunRecord
        The published run that it names.
    rolled_back : bool
        Whether this is a rollback.
    """
    Latest(
        run_id=record.run_id,
        manifest=files.manifest.removeprefix(f"{files.out}/"),
        config_sha256=record.config.sha256,
        started_at=record.started_at,
        published_at=utc_now(),
        rolled_back=rolled_back,
    ).write(files.latest)
