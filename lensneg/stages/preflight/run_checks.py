"""Gate 1's checks of the run against earlier runs, publications and mini-tests."""

from collections.abc import Iterator
from contextlib import suppress

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.check import Check
from lensneg.schema.code_version import code_version
from lensneg.schema.config import config_sha256
from lensneg.schema.gate import read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import ManifestRecord
from lensneg.schema.publication import ConfigVersion, MiniTestRecord, utc_now
from lensneg.schema.request import mini_test_id
from lensneg.schema.run import CodeInput, ConfigInput, RunRecord
from lensneg.schema.states import StateError
from lensneg.stages.preflight.inspection import Inspection
from lensneg.survey.items import mini_test_is_whole


def make_record(found: Inspection) -> RunRecord:
    """Return the record of all inputs of a run, after every check of an input passed."""
    request, text = found.request, found.config_text
    return RunRecord(
        run_id=request.run_id,
        mode="test" if request.mode == "test" else "full",
        started_at=request.started_at or utc_now(),
        config=ConfigInput(uri=request.config, sha256=config_sha256(text), text=text),
        code=CodeInput.model_validate(code_version(), from_attributes=True),
        sweeps=tuple(sorted(found.sweeps, key=lambda sweep: sweep.name)),
        ignored_files=found.ignored_files,
        catalogs=tuple(catalog for catalog, _ in found.catalogs),
    )


def config_version_immutable(found: Inspection) -> Iterator[Check]:
    """Check that nothing was published with this name and version and another config."""
    assert found.config is not None
    name, version = found.config.name, found.config.version
    expected = f"{name} {version} with the content that it was first published with"
    try:
        known = ConfigVersion.read_if_there(found.files.config_version(name, version))
    except RunStateError as error:
        yield Check.of_error("config_version_immutable", expected, error)
        return
    yield Check.of_faults(
        "config_version_immutable",
        [known.run_id] if known and known.config_sha256 != found.record.config.sha256 else [],
        expected=expected,
        found="no conflict",
        saying="published with other content by ",
        remedy="give the changed config a new version",
    )


def run_inputs_unchanged(found: Inspection) -> Iterator[Check]:
    """Check that an earlier run of this id had the same inputs. This run continues it."""
    try:
        before = RunRecord.read_if_there(found.files.inventory)
        differences = differences_of(before, found.record) if before else None
    except RunStateError as error:
        differences = [str(error)]
    if differences is None:
        return
    yield Check.of_faults(
        "run_inputs_unchanged",
        differences,
        expected=f"the inputs that run {found.record.run_id} was started with",
        found="the same: the run continues",
        saying="changed: ",
        remedy="restore the inputs, or choose another run id",
    )


def keep_places(found: Inspection) -> None:
    """Write into the inventory where the same sweep files are now."""
    before = RunRecord.read(found.files.inventory)
    now = before.model_copy(update={"sweeps": found.record.sweeps})
    if now != before:
        now.write(found.files.inventory)


def run_not_published(found: Inspection) -> Iterator[Check]:
    """Check that the run is not published, except from the same inputs: then it changes nothing."""
    files, faults, state = found.files, [], "not published"
    try:
        published = ManifestRecord.read_if_there(files.manifest)
        before = RunRecord.read_if_there(files.inventory)
    except RunStateError as error:
        faults = [f"{files.manifest} or its inventory cannot be read: {error}"]
    else:
        if published and before:
            faults = differences_of(published.run, found.record)
            if not faults and published.run.started_at != before.started_at:
                faults = ["another start"]
            found.published, state = not faults, "published from these inputs"
        elif published:
            faults = [f"{files.manifest} is there, and {files.inventory}, with which it was made, is not"]
    yield Check.of_faults(
        "run_not_published",
        faults,
        expected="a run id that has not been published, but from these very inputs",
        found=state,
        saying="published from others: ",
        remedy="a published run never changes: choose another run id",
    )


def mini_test_passed(found: Inspection) -> Iterator[Check]:
    """Check that a mini-test of a full run's config, code and inputs passed, and that its own did.

    A run whose mini-test would read every file needs none.
    """
    if found.request.mode == "test":
        return
    assert found.config is not None
    files = len(found.record.sweeps)
    wanted = (found.record.config.sha256, found.record.code.code_version, found.record.inputs_sha256)
    uri = found.files.mini_test(*wanted[:2])
    noted = None
    with suppress(RunStateError):
        noted = MiniTestRecord.read_if_there(uri)
    what = f"{uri} is of another config, code or input" if noted else f"{uri} is missing or damaged"
    same = noted is not None and (noted.config_sha256, noted.code_version, noted.inputs_sha256) == wanted
    own_failed = found.mini_test is not None and found.mini_test.Error != ""
    if same and own_failed:
        what = f"{uri} is of an earlier one"
    whole = mini_test_is_whole(files, found.config.execution)
    passed = (same or whole) and not own_failed
    needless = f"none is needed: it would read every file ({files}), so this run is its own test"
    why, remedy = _why_the_mini_test_failed(found)
    first = "run with mode test first, or with test-then-full"
    yield Check(
        name="mini_test_passed",
        passed=passed,
        expected="a passed mini-test of this config, this code and these inputs",
        actual=f"none ({what}){why}" if not passed else storage.basename(uri) if same else needless,
        remedy=remedy if passed or remedy else f"{first}: {found.request.command('test')}",
    )


def _why_the_mini_test_failed(found: Inspection) -> tuple[str, str]:
    """Return what the mini-test of a ``test-then-full`` run failed, and what to do. Empty if it made none."""
    files = RunFiles(found.request.out, mini_test_id(found.request.run_id))
    for gate in read_gates(files):
        for check in gate.failed:
            why = f"; mini-test {files.run_id} failed {gate.gate}: {check.sentence.rpartition(' (')[0]}"
            return why, f"{check.remedy}; then start again with the same run id"
    ended = found.mini_test
    if ended is None or not ended.Error:
        return "", ""
    with suppress(ValueError):  # the cause is a description of the nested execution, with its own cause
        ended = StateError.model_validate_json(ended.Cause)
    return f"; mini-test {files.run_id} ended with {ended}", ""


def differences_of(before: RunRecord, now: RunRecord) -> list[str]:
    """Return what differs between a run's first record and its record now."""
    found, old, new = [], _inputs(before), _inputs(now)
    if before.mode != now.mode:
        found.append(f"mode was {before.mode}")
    if before.config.sha256 != now.config.sha256:
        found.append(f"config {storage.basename(now.config.uri)}")
    if before.code.code_version != now.code.code_version:
        found.append(f"code was {before.code.code_version}")
    for name in old | new:
        if name not in new:
            found.append(f"{name} is missing")
        elif name not in old:
            found.append(f"{name} is new")
        elif old[name] != new[name]:
            found.append(f"{name} has other bytes")
    return found


def _inputs(record: RunRecord) -> dict[str, object]:
    """Return what identifies the bytes of each sweep file and catalogue, by its name."""
    found: dict[str, object] = {f"sweep {s.name}": (s.size, s.etag) for s in record.sweeps}
    found |= {f"-pz file of {s.name}": (s.pz.size, s.pz.etag) for s in record.sweeps if s.pz}
    return found | {f"catalogue {c.role} {c.spec.model_dump_json()}": c.sha256 for c in record.catalogs}
