"""The documents show the project as it is: the graph is the state machine's, links lead somewhere."""

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def test_the_readme_draws_the_state_machine_as_it_is() -> None:
    text = (ROOT / "README.md").read_text()
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
