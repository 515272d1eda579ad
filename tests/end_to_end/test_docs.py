"""The documents show the project as it is: the graph is the state machine's, links lead somewhere, and what
they name is there."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from conftest import LONGEST, pytest_collection_modifyitems

from lensneg.cli import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def test_the_architecture_draws_the_state_machine_as_it_is() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert "Gate4OutputValid" in text
    assert runpy.run_path(str(ROOT / "docs" / "graph.py"))["updated"](text) == text


def test_a_graph_by_hand() -> None:
    mermaid = runpy.run_path(str(ROOT / "docs" / "graph.py"))["mermaid"]
    machine = {
        "States": {
            "A": {"Type": "Task", "Next": "B", "Catch": [{"Next": "D"}]},
            "B": {"Type": "Choice", "Choices": [{"Next": "C"}], "Default": "D"},
            "C": {"Type": "Map", "End": True, "ItemProcessor": {"States": {"One": {}}}},
            "D": {"Type": "Fail"},
        }
    }
    assert mermaid(machine).split("\n    ") == [
        "flowchart TD", "A[A]", "B{B}", "C[C: One]", "D([D])",
        "A --> B", "A -.-> D", "B --> C", "B --> D\n",
    ]  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


#: The folders of the project whose files documents name, and the ends of such names.
FOLDERS = ("lensneg", "functions", "spark", "statemachine", "configs", "schemas", "docs", "benchmarks",
           "tests", ".ci", ".github")  # fmt: skip
ENDS = (".py", ".sh", ".yaml", ".toml", ".asl.json", ".schema.json", ".j2")

#: Options of other programs.
OF_OTHERS = {"--parameter-overrides", "--require-hashes"}


def code_spans(document: Path) -> Iterator[str]:
    """What stands in running text as code."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))


def is_there(name: str) -> bool:
    """A file, folder or pattern, from the root of the project or by the end of its path."""
    if any(ROOT.glob(name)):
        return True
    return any(any((ROOT / folder).rglob(name)) for folder in FOLDERS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_files_and_folders_that_documents_name_are_there(document: Path) -> None:
    for span in code_spans(document):
        path = re.fullmatch(r"[\w./*-]+", span)
        if path and (span.endswith(ENDS) or span.startswith(tuple(f"{folder}/" for folder in FOLDERS))):
            assert is_there(span.rstrip("/")), span


def options(command: click.Command) -> set[str]:
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*(options(sub) for sub in below))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_options_that_documents_name_are_there(document: Path) -> None:
    known = options(cli) | {"--help"} | OF_OTHERS
    for span in code_spans(document):
        option = span.split()[0] if span.strip() else ""
        if option.startswith("--"):
            assert option in known, span


def test_a_name_that_is_not_there_by_hand() -> None:
    assert is_there("lensneg/rules")
    assert is_there("test_docs.py")
    assert is_there("requirements*.lock")
    assert not is_there("lensneg/preflight.py")
    assert not is_there("test_s3_weather.py")


def test_the_architecture_names_every_part_and_every_state_with_its_stage() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    parts = {path.name for path in (ROOT / "lensneg").iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == parts
    states = json.loads((ROOT / "statemachine" / "negative_sampling.asl.json").read_text())["States"]
    tasks = {name for name, state in states.items() if state["Type"] == "Task" and name != "MiniTest"}
    rows = dict(re.findall(r"^\| (\w+)[^|]*\| \[(\w+)", text, re.MULTILINE))
    assert set(rows) == tasks | {"FilterSweep"}
    for state, stage in rows.items():
        if state != "SampleNegatives":
            assert stage == re.sub(r"(?<!^)(?=[A-Z])", "_", state).lower()
            assert (ROOT / "functions" / f"{stage}.py").exists()


def test_the_table_of_the_plan_names_states_that_are_there() -> None:
    table = (ROOT / "docs" / "plan.md").read_text()
    states = json.loads((ROOT / "statemachine" / "negative_sampling.asl.json").read_text())["States"]
    named = set(re.findall(r"`((?:[A-Z][a-z]+|\d){2,}|Preflight)`", table))
    assert {"Preflight", "MiniTest", "Gate4OutputValid"} <= named <= states.keys()


def test_the_longest_files_of_tests_are_there_and_begin_first_in_a_worker() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).exists()] == []
    paths = [ROOT / "tests" / name for name in ("a.py", LONGEST[1], "b.py", LONGEST[0])]
    items: list[Any] = [SimpleNamespace(path=path) for path in paths]
    pytest_collection_modifyitems(SimpleNamespace(), items)
    assert [item.path for item in items] == paths
    pytest_collection_modifyitems(SimpleNamespace(workerinput={}), items)
    assert [item.path for item in items] == [paths[i] for i in (3, 1, 0, 2)]
