"""Publication: what gate 4 passed, byte for byte, all at once for a reader, and never over something else."""

import hashlib
import json
import shutil
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from auditcase import as_full_run, audited_run
from pipeline import rewrite
from plainrun import edit_json

from lensneg import storage
from lensneg.errors import InputError, RunStateError
from lensneg.schema.code_version import CodeVersion
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.run import load_run
from lensneg.stages import report
from lensneg.stages.publish_manifest import publish_manifest
from lensneg.stages.quarantine import quarantine
from lensneg.stages.rollback import rollback
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out
from lensneg.stages.validate_manifest import validate_manifest


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return audited_run(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def ready(files: RunFiles, tmp_path: Path) -> RunFiles:
    """A full run that has passed gate 4 and is not published."""
    return as_full_run(files, tmp_path / "out")


def test_nothing_is_published_that_gate_4_did_not_pass(ready: RunFiles) -> None:
    gate = json.loads(Path(ready.gate(4)).read_text())
    gate["checks"][0]["passed"] = gate["passed"] = False
    Path(ready.gate(4)).write_text(json.dumps(gate))
    with pytest.raises(RunStateError, match="gate 4 did not pass"):
        publish_manifest(ready.root)
    assert not Path(ready.manifest_folder).exists()


@pytest.mark.parametrize("mode", ["full", "test"])
def test_other_code_than_the_runs_publishes_nothing(
    ready: RunFiles, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But where a manifest is published, it may say so."""
    other = CodeVersion("1.0.0", "0" * 64, "abc")
    edit_json(ready.run, lambda record: record.update(mode=mode))
    with monkeypatch.context() as deployed:
        deployed.setattr("lensneg.stages.one_code.code_version", lambda: other)
        with pytest.raises(RunStateError, match=r"also 1\.0\.0-0.*deploy the planned code again"):
            publish_manifest(ready.root)
    assert not Path(ready.manifest_folder).exists()
    assert not Path(ready.out, "minitests").exists()
    done = publish_manifest(ready.root)
    monkeypatch.setattr("lensneg.stages.one_code.code_version", lambda: other)
    if mode == "full":
        assert publish_manifest(ready.root) == done


def test_bytes_that_changed_after_the_audit_are_not_published(ready: RunFiles) -> None:
    rewrite(Path(ready.sample_folder) / "negatives", lambda t: t.slice(1))
    with pytest.raises(RunStateError, match="changed after gate 4 audited it"):
        publish_manifest(ready.root)
    assert not Path(ready.manifest).exists()
    assert not Path(ready.latest).exists()


def test_a_reader_sees_manifest_json_after_all_its_files(
    ready: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    write = storage.write_bytes

    def watched(uri: str, data: Any, **options: Any) -> bool:
        if uri == ready.manifest:
            described = json.loads(bytes(data))
            for part in ("negatives", "positives"):
                assert all(Path(ready.manifest_folder, f["name"]).exists() for f in described[part]["files"])
        seen.append(uri)
        return write(uri, data, **options)

    monkeypatch.setattr(storage, "write_bytes", watched)
    publish_manifest(ready.root)
    assert seen[-2:] == [ready.manifest, ready.latest]


def test_a_published_run_is_never_overwritten(ready: RunFiles) -> None:
    publish_manifest(ready.root)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in Path(ready.manifest_folder).rglob("*.*")}
    publish_manifest(ready.root)  # a task that is tried twice: no error, and nothing is written
    rewrite(Path(ready.sample_folder) / "negatives", lambda t: t.slice(0).replace_schema_metadata({"a": "b"}))
    [path] = (Path(ready.sample_folder) / "negatives").iterdir()
    data = path.read_bytes()
    found = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_json(ready.sample_written, lambda parts: parts["negatives"]["files"][0].update(found))
    assert validate_manifest(ready.root).gate.passed
    with pytest.raises(RunStateError, match="published already, with other content"):
        publish_manifest(ready.root)
    assert before == {
        p: (p.read_bytes(), p.stat().st_mtime_ns) for p in Path(ready.manifest_folder).rglob("*.*")
    }


def test_a_publication_that_was_interrupted_is_finished(ready: RunFiles) -> None:
    stray = Path(ready.manifest_folder) / "negatives" / "part-00007.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"left by an earlier attempt")
    publish_manifest(ready.root)
    assert not stray.exists()
    Path(ready.latest).unlink()  # as if the process had ended between the last two steps
    publish_manifest(ready.root)
    assert json.loads(Path(ready.latest).read_text())["run_id"] == "one"


@pytest.mark.parametrize("name", ["notes.txt", "negatives/part-00000.bak.parquet", "part-00000.parquet"])
def test_a_file_that_no_publication_has_written_is_neither_deleted_nor_published(
    ready: RunFiles, name: str
) -> None:
    mine = Path(ready.manifest_folder) / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(RunStateError, match=rf"does not list: {mine.name}") as refused:
        publish_manifest(ready.root)
    assert refused.value.where == ready.manifest_folder
    assert mine.read_bytes() == b"mine"
    assert not Path(ready.manifest).exists()
    mine.unlink()
    publish_manifest(ready.root)
    Manifest.open(ready.manifest).verify()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [Path.unlink, cut, one_byte])
@pytest.mark.parametrize("part", ["negatives", "positives"])
def test_a_published_part_that_was_lost_is_restored(ready: RunFiles, damage: Any, part: str) -> None:
    publish_manifest(ready.root)
    path = Path(ready.manifest_folder, part, "part-00000.parquet")
    data = path.read_bytes()
    damage(path)
    publish_manifest(ready.root)
    assert path.read_bytes() == data
    damage(path)
    shutil.rmtree(ready.sample_folder)
    with pytest.raises(RunStateError, match=rf"the published {part}/part-00000.parquet cannot be restored"):
        publish_manifest(ready.root)
    path.write_bytes(data)
    publish_manifest(ready.root)  # with its files there, nothing more is needed


def test_a_file_that_someone_put_into_a_published_folder_is_named(ready: RunFiles) -> None:
    publish_manifest(ready.root)
    left = Path(ready.manifest_folder, "negatives", "part-00000.bak.parquet")
    left.write_bytes(b"mine")
    with pytest.raises(RunStateError, match=r"does not list: part-00000\.bak\.parquet"):
        publish_manifest(ready.root)
    assert left.read_bytes() == b"mine"


def test_a_second_publisher_does_not_delete_what_the_first_published(
    ready: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found no manifest.json; the second one goes on when the first is done."""
    module = sys.modules[publish_manifest.__module__]
    look, seen = module._published, []

    def late(*arguments: Any) -> bool:
        found: bool = look(*arguments)
        if not seen:
            seen.append(found)
            publish_manifest(ready.root)
        return found

    deleted: list[str] = []
    monkeypatch.setattr(module, "_published", late)
    monkeypatch.setattr(storage, "delete", deleted.append)
    publish_manifest(ready.root)
    assert (seen, deleted) == ([False], [])
    Manifest.open(ready.manifest).verify()


def as_second(first: RunFiles, run_id: str, started_at: str, more: str = "") -> RunFiles:
    """A copy of an audited run under another id, with another start, and a config with more text."""
    second = RunFiles(first.out, run_id)
    shutil.copytree(first.root, second.root)
    text = json.loads(Path(first.run).read_text())["config"]["text"] + more

    def change(record: dict[str, Any]) -> None:
        record.update(run_id=run_id, started_at=started_at)
        record["config"].update(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())

    edit_json(second.run, change)
    return second


def test_a_name_and_version_stand_for_one_content_whoever_publishes_first(ready: RunFiles) -> None:
    """Two runs passed gate 1 before either was published."""
    second = as_second(ready, "two", "2026-06-01T00:00:00Z", "# another\n")
    publish_manifest(ready.root)
    with pytest.raises(RunStateError, match="was published with other content by one"):
        publish_manifest(second.root)
    assert not Path(second.manifest_folder).exists()


def latest_of(files: RunFiles) -> tuple[str, str]:
    latest = json.loads(Path(files.latest).read_text())
    return latest["run_id"], latest["manifest"]


def start_of(files: RunFiles, days: int) -> str:
    started = datetime.fromisoformat(json.loads(Path(files.run).read_text())["started_at"])
    return (started + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_rollback_stays_until_something_new_is_published(ready: RunFiles) -> None:
    edit_json(ready.run, lambda r: r.update(started_at=start_of(ready, -9)))
    second, third = (
        as_second(ready, "two", start_of(ready, 1)),
        as_second(ready, "three", start_of(ready, 99)),
    )
    publish_manifest(ready.root)
    publish_manifest(second.root)
    assert latest_of(ready) == ("two", "manifests/two/manifest.json")
    rollback(ready.out, "one")
    assert latest_of(ready) == ("one", "manifests/one/manifest.json")
    assert Manifest.open(ready.out).run_id == "one"
    publish_manifest(second.root)  # the newer run is started again, and finds that it is published
    publish_manifest(ready.root)
    assert latest_of(ready)[0] == "one"
    rollback(ready.out, "two")
    assert latest_of(ready)[0] == "two"
    rollback(ready.out, "one")
    publish_manifest(third.root)
    assert latest_of(ready)[0] == "three"


def test_a_rollback_to_what_is_not_whole_is_refused(ready: RunFiles) -> None:
    second = as_second(ready, "two", start_of(ready, 1))
    publish_manifest(ready.root)
    publish_manifest(second.root)
    with pytest.raises(InputError, match="no published manifest of run none; name one of one, two"):
        rollback(ready.out, "none")
    path = Path(ready.manifest_folder, "negatives", "part-00000.parquet")
    data = path.read_bytes()
    one_byte(path)
    with pytest.raises(InputError, match="its SHA-256 is not the manifest's"):
        rollback(ready.out, "one")
    path.write_bytes(data)
    [claim] = Path(ready.out, "configs").iterdir()
    edit_json(claim, lambda known: known.update(config_sha256="0" * 64))
    with pytest.raises(RunStateError, match="was published with other content"):
        rollback(ready.out, "one")
    assert latest_of(ready)[0] == "two"


def test_a_latest_json_that_was_written_by_hand_is_named_and_mended(ready: RunFiles) -> None:
    publish_manifest(ready.root)
    Path(ready.latest).write_text('{"run_id": "one", "manifest": "manifests/one/manifest.json"}')
    with pytest.raises(RunStateError, match=r"latest\.json: damaged.*lensneg rollback OUT RUN_ID"):
        publish_manifest(ready.root)
    rollback(ready.out, "one")
    publish_manifest(ready.root)
    assert latest_of(ready)[0] == "one"


def test_a_copied_folder_is_itself(ready: RunFiles, tmp_path: Path) -> None:
    """What is done in the copy does not write into the original, though run.json names that."""
    copy = RunFiles(str(tmp_path / "copy"), "one")
    shutil.copytree(ready.out, copy.out)
    before = {path: path.stat().st_mtime_ns for path in Path(ready.out).rglob("*")}
    assert load_run(copy.root).files.root == copy.root
    summarize_fan_out(copy.root)
    assert validate_manifest(copy.root).gate.passed
    publish_manifest(copy.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_figures", lambda *_: ({}, defaultdict(str)))
        assert report.write_report(copy.root).uri == copy.report
    quarantine(copy.root)
    assert {path: path.stat().st_mtime_ns for path in Path(ready.out).rglob("*")} == before
    assert all(Path(path).exists() for path in (copy.manifest, copy.report, copy.latest, copy.quarantine))
    for path in (copy.latest, copy.quarantine):
        assert str(tmp_path) not in Path(path).read_text()


def test_a_late_repetition_does_not_take_latest_json_back(ready: RunFiles) -> None:
    publish_manifest(ready.root)
    latest = json.loads(Path(ready.latest).read_text())
    newer = {**latest, "run_id": "two", "started_at": "2999-01-01T00:00:00Z"}
    Path(ready.latest).write_text(json.dumps(newer))
    publish_manifest(ready.root)
    assert json.loads(Path(ready.latest).read_text()) == newer


def test_what_was_not_read_is_in_the_manifest_and_on_its_card(ready: RunFiles) -> None:
    item = json.loads(Path(ready.items).read_text())[0]
    edit_json(ready.summary, lambda summary: summary.update(missing={item["id"]: "the file is broken"}))
    publish_manifest(ready.root)
    name = item["sweep"].rpartition("/")[2]
    assert json.loads(Path(ready.manifest).read_text())["not_read"] == [
        {"sweep": name, "first_row": 0, "rows": item["n_rows"], "reason": "the file is broken"}
    ]
    card = Path(ready.manifest_folder, "README.md").read_text()
    assert f"| not read | {name}, rows 0 to {item['n_rows'] - 1:,}: the file is broken |" in card
