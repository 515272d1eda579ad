"""What is left of an item whose function did not live to write it; the driver that starts before the job."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import config_text, edited
from nearrun import draw_no_figures, run_here
from pipeline import OPEN_GATES, JobStandIn
from plainrun import draw_plainly

import lensneg
from lensneg.local import engine, runner
from lensneg.local.emr import driver_options
from lensneg.local.lambdas import LocalLambda
from lensneg.local.watcher import NoWatcher
from lensneg.mocksky import write_mock_sky
from lensneg.schema.item import ItemError
from lensneg.schema.layout import RunFiles

Invoke = Callable[..., str]


@pytest.fixture
def word_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    """Filter an item in a worker process of a local run; return what is left of it for gate 2."""
    files = RunFiles(str(tmp_path / "out"), "one")

    @contextmanager
    def functions_alone(functions: LocalLambda, *_: Any) -> Iterator[LocalLambda]:
        yield functions

    monkeypatch.setattr(engine, "local_machine", functions_alone)

    def filtered(kill: bool = False, **environment: str) -> str:
        with runner.machine(1, tmp_path, NoWatcher(), {**os.environ, **environment}) as functions:
            if kill:
                mine = functions._free.get()
                functions._free.put(mine)
                mine.start().kill()
                mine.start().wait()
            functions.invoke("FilterSweep", json.dumps({"root": files.root, "item": {"id": "a"}}))
        return ItemError.read(files.error("a")).message

    return filtered


def test_a_handler_that_cannot_be_imported_says_which_import_failed(word_of: Invoke, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('libarrow.so: no such file')\n")
    word = word_of(PYTHONPATH=str(tmp_path))
    assert word.startswith(
        "functions.filter_sweep cannot be imported: ImportError: libarrow.so: no such file"
    )
    assert "install lensneg again" in word


def test_a_process_that_the_system_kills_says_so_and_asks_for_memory(word_of: Invoke) -> None:
    word = word_of(kill=True)
    assert word == (
        "the system killed the process that ran FilterSweep (SIGKILL): out of memory? free some, or take "
        "fewer --workers"
    )


class Jobs(JobStandIn):
    """An application that keeps what it is asked for, in order: a start with its options, a job, a stop."""

    def __init__(self) -> None:
        super().__init__(draw_plainly)
        self.asked: list[str] = []

    def start_application(self, submit_parameters: str) -> None:
        self.asked.append(f"start {driver_options(submit_parameters)}")

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        options = parameters["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"]
        self.asked.append(f"job {driver_options(options)}")
        return super().start_job_run(**parameters)

    def stop_application(self) -> None:
        self.asked.append("stop")


@pytest.mark.parametrize(
    ("mode", "files", "runs"), [("full", 2, 1), ("test", 1, 1), ("test-then-full", 1, 2)]
)
def test_one_java_serves_all_jobs_of_a_run_and_ends_after_the_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: Any, files: int, runs: int
) -> None:
    """A driver that is started ahead with other options than those of the job would be replaced."""
    jobs = Jobs()
    run_here(monkeypatch)
    draw_no_figures(monkeypatch)
    monkeypatch.setattr(runner, "LocalEmrServerless", lambda *_: jobs)
    write_mock_sky(tmp_path / "sky", files=2, rows=3_000, seed=21)
    config = tmp_path / "config.yaml"
    changes = {**OPEN_GATES, "execution.mini_test_files": files}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    inputs = {"sweeps": tmp_path / "sky" / "sweeps", "positives": tmp_path / "sky" / "positives.csv"}
    lensneg.run(config=config, **inputs, out=tmp_path / "out", mode=mode)
    kinds, options = zip(*(asked.partition(" ")[::2] for asked in jobs.asked), strict=True)
    assert kinds == (*("start", "job") * runs, "stop")
    assert len({*options[:-1]}) == 1
