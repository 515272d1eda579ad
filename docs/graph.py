"""Draws the state machine as a Mermaid graph, and puts it between the markers in architecture.md.

.venv/bin/python docs/graph.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DEFINITION = ROOT / "statemachine" / "negative_sampling.asl.json"
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"(<!-- graph -->\n).*?(<!-- /graph -->\n)", re.DOTALL)

#: How a state of each type is drawn: tasks as boxes, choices as diamonds, ends rounded.
SHAPES = {"Choice": "{{{0}}}", "Succeed": "([{0}])", "Fail": "([{0}])"}


def mermaid(machine: Mapping[str, Any]) -> str:
    """Return a state machine as a Mermaid flowchart: errors that are caught dotted."""
    lines = ["flowchart TD"]
    for name, state in machine["States"].items():
        label = name if state["Type"] != "Map" else f"{name}: {' '.join(state['ItemProcessor']['States'])}"
        shape = SHAPES.get(state["Type"], "[{0}]")
        lines.append(f"    {name}{shape.format(label)}")
    for name, state in machine["States"].items():
        lines += [f"    {name} {arrow} {target}" for arrow, target in dict.fromkeys(_arrows(state))]
    return "\n".join(lines) + "\n"


def _arrows(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "Next" in state:
        yield "-->", state["Next"]
    for choice in state.get("Choices", ()):
        yield "-->", choice["Next"]
    if "Default" in state:
        yield "-->", state["Default"]
    for catch in state.get("Catch", ()):
        yield "-.->", catch["Next"]


def updated(text: str) -> str:
    """Return the page with the graph of the state machine as it is."""
    graph = mermaid(json.loads(DEFINITION.read_text()))
    return BLOCK.sub(lambda found: f"{found[1]}```mermaid\n{graph}```\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
