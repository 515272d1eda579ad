"""The states that a run which passes every gate goes through, from the state machine's definition."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.resources import STATE_MACHINE


class Graph(NamedTuple):
    """States of a run that passes every gate.

    Attributes
    ----------
    states : tuple of str
        All states, in order.
    tasks : tuple of str
        The states that invoke a function.
    child_states : tuple of str
        The states of one child of the map.
    """

    states: tuple[str, ...]
    tasks: tuple[str, ...]
    child_states: tuple[str, ...]


def load_graph() -> Graph:
    """Return the states of the state machine that is deployed.

    Returns
    -------
    Graph
    """
    return read_graph(storage.read_json(str(STATE_MACHINE)))


def read_graph(definition: Mapping[str, Any]) -> Graph:
    """List the states that a run which passes every gate goes through.

    Parameters
    ----------
    definition : mapping
        The state machine in Amazon States Language.

    Returns
    -------
    Graph
        The shortest route from the first state to an end that is no Fail, through a Map where there is one.
        It has no mini-test, retry or catch, and does not skip the work of a run that is published already.

    Raises
    ------
    InputError
        If every route ends in a Fail.

    Examples
    --------
    >>> read_graph({"StartAt": "A", "States": {
    ...     "A": {"Type": "Choice", "Choices": [{"Next": "B"}], "Default": "C"},
    ...     "B": {"Type": "Succeed"}, "C": {"Type": "Fail"}}}).states
    ('A', 'B')
    """
    route = _route(definition)
    bodies = {name: definition["States"][name] for name in route}
    tasks = (name for name, body in bodies.items() if "lambda:invoke" in body.get("Resource", ""))
    children = (_route(body["ItemProcessor"]) for body in bodies.values() if body["Type"] == "Map")
    return Graph(route, tuple(tasks), tuple(name for child in children for name in child))


def _route(machine: Mapping[str, Any]) -> tuple[str, ...]:
    states = machine["States"]
    maps = {name for name, state in states.items() if state["Type"] == "Map"}
    routes: list[tuple[str, ...]] = [(machine["StartAt"],)]
    for route in routes:  # longer routes are appended meanwhile
        state = states[route[-1]]
        if (state.get("End") or state["Type"] == "Succeed") and (not maps or maps & set(route)):
            return route
        nexts = [state.get("Next"), state.get("Default"), *(c["Next"] for c in state.get("Choices", ()))]
        routes += [(*route, name) for name in dict.fromkeys(nexts) if name is not None and name not in route]
    what = "every route ends in a Fail state"
    raise InputError(what, where="the state machine", remedy="add an end that is none")
