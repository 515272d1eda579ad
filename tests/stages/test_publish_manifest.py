"""Publication: what gate 4 passed, byte for byte, all at once for a reader, and never over something else."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from auditcase import as_full_run, audited_run
from pipeline import rewrite
from plainrun import edit_json

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.layout import RunFiles
from lensneg.stages.publish_manifest import publish_manifest
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


def test_a_late_repetition_does_not_take_latest_json_back(ready: RunFiles) -> None:
    publish_manifest(ready.root)
    latest = json.loads(Path(ready.latest).read_text())
    newer = {**latest, "run_id": "two", "started_at": "2999-01-01T00:00:00Z"}
    Path(ready.latest).write_text(json.dumps(newer))
    publish_manifest(ready.root)
    assert json.loads(Path(ready.latest).read_text()) == newer
