"""The state machine: what a run that passes every gate goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lensneg.errors import InputError
from lensneg.schema.resources import STATE_MACHINE

#: The graph that runs.
GRAPH_FILE: Final = str(STATE_MACHINE)


@dataclass(frozen=True)
class Graph:
    """States on the way of a run that passes, of the execution itself and of one child of its map."""

    states: tuple[str, ...]
    tasks: tuple[str, ...]
    child_states: tuple[str, ...]


def read_graph(definition: Mapping[str, Any]) -> Graph:
    """Count what a state machine goes through.

    The shortest way from the first state to an end that is no Fail, through the Map where there is one:
    through no mini-test, retry or catch, and not past the work as for what was published before.

    Parameters
    ----------
    definition : dict
        Amazon States Language with one distributed Map on the way.

    Examples
    --------
    >>> read_graph({"StartAt": "A", "States": {
    ...     "A": {"Type": "Choice", "Choices": [{"Next": "B"}], "Default": "C"},
    ...     "B": {"Type": "Succeed"}, "C": {"Type": "Fail"}}}).states
    ('A', 'B')
    """
    states = _way(definition)
    bodies = [definition["States"][name] for name in states]
    children = [body["ItemProcessor"] for body in bodies if body["Type"] == "Map"]
    tasks = tuple(
        name
        for name, body in zip(states, bodies, strict=True)
        if body["Type"] == "Task" and "lambda:invoke" in body["Resource"]
    )
    return Graph(states, tasks, tuple(name for child in children for name in _way(child)))


def _way(machine: Mapping[str, Any]) -> tuple[str, ...]:
    has_map = any(state["Type"] == "Map" for state in machine["States"].values())
    ways: list[tuple[str, ...]] = [(machine["StartAt"],)]
    for way in ways:
        state = machine["States"][way[-1]]
        if state.get("End") or state["Type"] == "Succeed":
            if not has_map or any(machine["States"][name]["Type"] == "Map" for name in way):
                return way
            continue
        nexts = [state.get("Next"), state.get("Default"), *(c["Next"] for c in state.get("Choices", ()))]
        ways += [(*way, name) for name in dict.fromkeys(nexts) if name is not None and name not in way]
    raise InputError("the state machine has no way to an end that is not a Fail state")
