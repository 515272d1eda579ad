"""How many requests to S3 the states make that read something of every file or item."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pipeline import as_input, make_request

from lensneg import storage
from lensneg.schema.layout import RunFiles
from lensneg.stages.preflight.gate1 import preflight
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out


@contextmanager
def counted(prefix: str) -> Iterator[Counter[str]]:
    """Count the S3 operations on keys that begin with a prefix."""
    found: Counter[str] = Counter()

    def count(params: dict[str, str], model: object, **_: object) -> None:
        if params.get("Key", params.get("Prefix", "")).startswith(prefix):
            found[model.name] += 1  # type: ignore[attr-defined]

    events = storage.s3_client().meta.events
    events.register("provide-client-params.s3", count, unique_id="count")
    try:
        yield found
    finally:
        events.unregister("provide-client-params.s3", unique_id="count")


def put(folder: Path, uri: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            storage.write_bytes(f"{uri}/{path.relative_to(folder)}", path.read_bytes())


def test_files_of_one_folder_are_looked_up_by_one_listing(s3: str) -> None:
    uris = [f"{s3}/pool/{i}.parquet" for i in range(3)]
    for uri in [*uris, f"{s3}/pool/deeper/0.parquet", f"{s3}/pool/other", f"{s3}/lenses.csv"]:
        storage.write_bytes(uri, uri.encode())
    wanted = [*uris, f"{s3}/pool/none.parquet", f"{s3}/lenses.csv", f"{s3}/gone/none.csv"]
    with counted("") as requests:
        found = storage.stat_all(wanted)
    assert found == {uri: storage.stat(uri) for uri in [*uris, f"{s3}/lenses.csv"]}
    assert requests == {"ListObjectsV2": 1, "HeadObject": 2}


def test_files_on_this_machine_are_looked_up(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    found = storage.stat_all([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c" / "d")])
    assert found == {str(tmp_path / "a"): storage.stat(str(tmp_path / "a"))}


def test_the_fan_in_reads_the_stats_of_each_item_and_lists_the_rest(
    mapped: RunFiles, s3: str, tmp_path: Path
) -> None:
    copy = tmp_path / "one"
    shutil.copytree(mapped.root, copy)
    for folder, end in {"pool": "parquet", "positives": "parquet", "stats": "json"}.items():
        assert len(list((copy / folder).glob(f"*.{end}"))) == 2
    put(copy, f"{s3}/out/runs/one")
    with counted("out/runs/one/") as requests:
        assert summarize_fan_out(f"{s3}/out/runs/one").gate.passed
    gets = 2 + 2 + 3  # stats and positives of both items; run.json, items.json, lenses.parquet
    assert requests["GetObject"] == gets
    assert requests["ListObjectsV2"] == 2
    assert requests["HeadObject"] == 1  # run.json


@pytest.mark.parametrize("leave_out", [(), ("sweep-000*",)])
def test_gate_1_lists_the_sweeps_once_and_reads_two_ranges_of_each(
    gate_sky: Path, s3: str, tmp_path: Path, leave_out: tuple[str, ...]
) -> None:
    put(gate_sky / "sweeps", f"{s3}/sweeps")
    request = make_request(gate_sky, gate_sky / "config.yaml", tmp_path / "out", "one", "test")
    request = request.model_copy(update={"sweeps": f"{s3}/sweeps", "leave_out": leave_out})
    with counted("sweeps/") as requests:
        preflight(as_input(request))
    assert requests == {"ListObjectsV2": 1, "GetObject": 2 * (2 - len(leave_out))}
