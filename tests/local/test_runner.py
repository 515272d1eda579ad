"""The words of an item whose function did not live to write them: gate 2 quotes them."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lensneg.local import runner
from lensneg.local.lambdas import LocalLambda
from lensneg.local.watcher import NoWatcher
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

    monkeypatch.setattr(runner, "local_machine", functions_alone)

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
