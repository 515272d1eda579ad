"""lensneg.run: from a plain script and from a thread, in one process, which it leaves as it was."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import config_text, edited
from nearrun import run_here
from pipeline import OPEN_GATES
from published import publish

import lensneg
from lensneg.errors import GateFailedError, InputError
from lensneg.local.run import make_request

#: A script without a main guard: a process that imported it as its main module would print "script" again.
SCRIPT = """
import json, os, signal, sys, threading
print("script")
import boto3, botocore.handlers
import lensneg

def watched(*_):
    raise RuntimeError
signal.signal(signal.SIGTERM, watched)
client = boto3.client("s3", region_name="eu-north-1")

def state():
    return (dict(os.environ), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT),
            len(botocore.handlers.BUILTIN_HANDLERS), id(boto3.DEFAULT_SESSION), client.meta.region_name,
            threading.active_count())

before, found = state(), []
sky, config, bad, out = sys.argv[1:]

def run(name, config):
    manifest = lensneg.run(config=config, sweeps=sky + "/sweeps", positives=[sky + "/positives.csv"],
                           out=out, mode="test", run_id=name, workers=2)
    found.extend([manifest.run_id, manifest.counts.negatives, manifest.negatives().count_rows()])

try:
    run("refused", bad)
except lensneg.LensnegError as error:
    failed = f"{type(error).__name__}: {error}"
same = state() == before
thread = threading.Thread(target=run, args=("drawn", config))
thread.start()
thread.join()
print(json.dumps({"found": found, "failed": failed, "same": same and state() == before,
                  "loaded": [name for name in ("moto", "pyspark", "py4j") if name in sys.modules]}))
"""


def test_a_script_runs_twice_and_finds_its_process_as_it_was(gate_sky: Path, tmp_path: Path) -> None:
    """The first run fails at gate 1, with an error that says what to do; the second, in a thread, draws."""
    script, bad = tmp_path / "script.py", tmp_path / "bad.yaml"
    script.write_text(SCRIPT)
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3, "sweeps.releases": [9010]}
    bad.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    arguments = (script, gate_sky, gate_sky / "config.yaml", bad, tmp_path / "out")
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine"}
    environment["HOME"] = "/proc/nowhere"  # nobody can write there, not even root
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("script") == 1
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["same"] is True
    assert said["loaded"] == []
    assert re.search(
        r"GateFailedError.*Gate1PreSubmission.*one_release.*a config for this one", said["failed"]
    )
    run_id, negatives, rows = said["found"]
    assert run_id == "drawn"
    assert negatives == rows > 0


def test_bad_arguments_are_refused_before_anything_starts(gate_sky: Path, tmp_path: Path) -> None:
    good = {
        "config": gate_sky / "config.yaml",
        "sweeps": gate_sky / "sweeps",
        "positives": gate_sky / "positives.csv",
        "out": tmp_path / "out",
    }
    for name, value in {"config": "nowhere.yaml", "sweeps": "nowhere", "positives": "nowhere.csv"}.items():
        with pytest.raises(InputError, match=f"--{name} .*nowhere"):
            lensneg.run(**{**good, name: value})
    with pytest.raises(InputError, match="a run on this machine writes to a local folder"):
        lensneg.run(**{**good, "out": "s3://bucket/out"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("mini_test_files", "left_out", "mode"), [
    (1, [], "test-then-full"), (2, [], "full"), (1, ["sweep-000*"], "full"),
])  # fmt: skip
def test_no_mini_test_is_made_that_would_read_every_file(
    gate_sky: Path, tmp_path: Path, mini_test_files: int, left_out: list[str], mode: str
) -> None:
    config = tmp_path / "config.yaml"
    text, changes = config_text("negative_sampling_v1"), {"execution.mini_test_files": mini_test_files}
    config.write_text(edited(yaml.safe_load(text), changes))
    for asked, made in {"test-then-full": mode, "test": "test", "full": "full"}.items():
        request = make_request(
            config=config,
            sweeps=gate_sky / "sweeps",
            positives=gate_sky / "positives.csv",
            exclude=(),
            leave_out=left_out,
            out=tmp_path / "out",
            mode=asked,  # type: ignore[arg-type]
            run_id="one",
        )
        assert request.mode == made


def test_an_output_folder_that_cannot_be_written_to_is_refused(gate_sky: Path, tmp_path: Path) -> None:
    """A read-only disk and a lack of permission take the same way, which root cannot try."""
    (tmp_path / "file").touch()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "runs").touch()
    (tmp_path / "logs" / "runs" / "one").mkdir(parents=True)
    (tmp_path / "logs" / "runs" / "one" / "logs").touch()
    outs = {
        "a" * 300: r"\(File name too long\); the name is too long: check the path",
        "file/below": r"\(Not a directory\); something on the way there is not a folder",
        "used": r"\(Not a directory\); something on the way there is not a folder",
        "logs": "logs is in the way; remove it, or give another folder",
    }
    for out, message in outs.items():
        with pytest.raises(InputError, match=f"--out .*{message}"):
            lensneg.run(
                config=gate_sky / "config.yaml",
                sweeps=gate_sky / "sweeps",
                positives=gate_sky / "positives.csv",
                out=tmp_path / out,
                run_id="one",
            )


def everything(folder: str) -> dict[Path, tuple[int, bytes]]:
    paths = [Path(folder), *Path(folder).rglob("*")]
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in paths}


@pytest.mark.parametrize("lock", ["", "12345\n", None], ids=["empty lock", "lock", "no lock"])
def test_a_refused_start_leaves_a_published_run_as_it_is(
    gate_sky: Path, tmp_path: Path, lock: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the starts has processes of its own."""
    if lock is not None:
        run_here(monkeypatch)
    files = publish(tmp_path)
    if lock is not None:
        Path(files.root, ".lock").write_text(lock)
    before = everything(files.root) | everything(files.manifest_folder)
    with pytest.raises(GateFailedError, match=r"run_not_published.*choose another run id"):
        lensneg.run(
            config=gate_sky / "config.yaml",
            sweeps=gate_sky / "sweeps",
            positives=gate_sky / "positives.csv",
            out=files.out,
            run_id=files.run_id,
            mode="full",
            workers=1,
        )
    assert everything(files.root) | everything(files.manifest_folder) == before
    assert Path(files.out, "logs", files.run_id, "run.log").exists() == (lock is None)


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    script = "import sys, lensneg; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"numpy", "pyarrow", "pydantic", "boto3", "moto", "pyspark", "astropy", "healpy", "click", "rich"}
    assert not heavy & set(done.stdout.split())


def test_the_public_names_are_there() -> None:
    assert set(dir(lensneg)) >= {"run", "Config", "Manifest", "LensnegError", "__version__"}
    assert all(getattr(lensneg, name) for name in lensneg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Manifests'"):
        _ = lensneg.Manifests
