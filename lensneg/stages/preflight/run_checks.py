"""Gate 1's checks of the run against what is there already: earlier runs, publications, mini-tests."""

from collections.abc import Iterator, Mapping
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
from lensneg.schema.run import CodeInput, ConfigInput, RunRecord, SweepInput
from lensneg.schema.states import StateError
from lensneg.stages.preflight.inspection import Inspection


def make_record(found: Inspection) -> RunRecord:
    """Return what a run is made of, all of which was found."""
    code = code_version()
    request, text = found.request, found.config_text
    return RunRecord(
        run_id=request.run_id,
        mode="test" if request.mode == "test" else "full",
        started_at=request.started_at or utc_now(),
        out=request.out,
        config=ConfigInput(uri=request.config, sha256=config_sha256(text), text=text),
        code=CodeInput(
            pipeline_version=code.pipeline_version,
            git_commit=code.git_commit,
            code_version=code.code_version,
        ),
        sweeps=tuple(sorted(found.sweeps, key=lambda sweep: sweep.name)),
        ignored_files=found.ignored_files,
        catalogs=tuple(catalog for catalog, _ in found.catalogs),
    )


def config_version_immutable(found: Inspection) -> Iterator[Check]:
    """Compare with what was published under the config's name and version: these stand for its bytes."""
    assert found.config is not None
    assert found.record is not None
    name, version = found.config.name, found.config.version
    expected = f"{name} {version} with the content that it was first published with"
    try:
        known = ConfigVersion.read_if_there(found.files.config_version(name, version))
    except RunStateError as error:
        yield Check.of_error("config_version_immutable", expected, error)
        return
    other = known is not None and known.config_sha256 != found.record.config.sha256
    yield Check(
        name="config_version_immutable",
        passed=not other,
        expected=expected,
        actual=f"published with other content by {known.run_id}" if known and other else "no conflict",
        remedy="give the changed config a new version",
    )


def run_inputs_unchanged(found: Inspection) -> Iterator[Check]:
    """Compare with the run of this id, if there is one: it continues, with the same inputs only."""
    assert found.record is not None
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


def run_not_published(found: Inspection) -> Iterator[Check]:
    """Let a published run go on only where it was cut short after its publication, so changes nothing."""
    assert found.record is not None
    files, faults, state = found.files, [], "not published"
    try:
        published = ManifestRecord.read_if_there(files.manifest)
        before = RunRecord.read_if_there(files.inventory)
    except RunStateError as error:
        faults = [f"{files.manifest} or its inventory cannot be read: {error}"]
    else:
        if published is not None and before is None:
            faults = [f"{files.manifest} is there, and {files.inventory}, with which it was made, is not"]
        elif published is not None and before is not None:
            faults = differences_of(published.run, found.record)
            if not faults and published.run.started_at != before.started_at:
                faults = ["another start"]
            found.published, state = not faults, "published from these inputs"
    yield Check.of_faults(
        "run_not_published",
        faults,
        expected="a run id that has not been published, but from these very inputs",
        found=state,
        saying="published from others: ",
        remedy="a published run never changes: choose another run id",
    )


def mini_test_passed(found: Inspection) -> Iterator[Check]:
    """Ask for the record of a mini-test, where the run is no mini-test itself."""
    assert found.record is not None
    if found.request.mode == "test":
        return
    config, code = found.record.config.sha256, found.record.code.code_version
    uri = found.files.mini_test(config, code)
    what = f"{uri} is of another config or code"
    try:
        noted = MiniTestRecord.read_if_there(uri)
    except RunStateError:
        noted = None
    if noted is None:
        what = f"{uri} is missing or damaged"
    passed = noted is not None and (noted.config_sha256, noted.code_version) == (config, code)
    yield Check(
        name="mini_test_passed",
        passed=passed,
        expected="a passed mini-test of this config and this code",
        actual=uri if passed else f"none ({what}){_why_the_mini_test_failed(found)}",
        remedy=f"run with mode test first, or with test-then-full: {found.request.command('test')}",
    )


def _why_the_mini_test_failed(found: Inspection) -> str:
    files = RunFiles(found.request.out, mini_test_id(found.request.run_id))
    for gate in read_gates(files):
        for check in gate.failed:
            return f"; mini-test {files.run_id} failed {gate.gate}: " + check.sentence.rpartition(" (")[0]
    ended = found.mini_test
    if ended is None or not ended.Error:
        return ""
    with suppress(ValueError):  # the cause is the nested execution's description, with a cause of its own
        ended = StateError.model_validate_json(ended.Cause)
    return f"; mini-test {files.run_id} ended with {ended}"


def differences_of(before: RunRecord, now: RunRecord) -> list[str]:
    """Name what differs between a run's first record and what it is asked for now."""
    found = []
    if before.mode != now.mode:
        found.append(f"mode was {before.mode}")
    if before.config.sha256 != now.config.sha256:
        found.append(f"config {storage.basename(now.config.uri)}")
    if before.code.code_version != now.code.code_version:
        found.append(f"code was {before.code.code_version}")
    found += _changed("sweep", _by_name(before.sweeps), _by_name(now.sweeps))
    old, new = (
        {f"{c.role} {c.spec.model_dump_json()}": c.sha256 for c in record.catalogs}
        for record in (before, now)
    )
    return found + _changed("catalogue", old, new)


def _by_name(sweeps: tuple[SweepInput, ...]) -> dict[str, tuple[int, str]]:
    return {sweep.name: (sweep.size, sweep.etag) for sweep in sweeps}


def _changed(what: str, before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return (
        [f"{what} {name} is missing" for name in before if name not in now]
        + [f"{what} {name} is new" for name in now if name not in before]
        + [f"{what} {name} has other bytes" for name in now if name in before and before[name] != now[name]]
    )
