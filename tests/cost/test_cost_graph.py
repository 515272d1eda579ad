"""The states that a run goes through."""

import json

import pytest

from lensneg.cost.graph import load_graph, read_graph
from lensneg.errors import InputError
from lensneg.schema.resources import STATE_MACHINE

STATES = json.loads(STATE_MACHINE.read_text())


def test_the_route_of_a_run_through_the_real_graph() -> None:
    graph = load_graph()
    assert graph.states[0] == STATES["StartAt"]
    assert graph.states[-1] == "Report"
    assert len(set(graph.states)) == len(graph.states)
    assert {state for state in graph.states if state.startswith("Gate")} == {
        state for state in STATES["States"] if state.startswith("Gate") and state != "GateFailed"
    }
    assert not {"MiniTest", "Quarantine", "GateFailed"} & set(graph.states)
    assert graph.tasks == (
        "Preflight", "PlanFanOut", "SummarizeFanOut", "CheckSample", "ValidateManifest", "PublishManifest",
        "Report",
    )  # fmt: skip
    assert graph.child_states == ("FilterSweep",)


def test_a_graph_by_hand() -> None:
    invoke = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"}
    graph = read_graph(
        {
            "StartAt": "Choose",
            "States": {
                "Choose": {
                    "Type": "Choice",
                    "Choices": [{"Next": "Short"}, {"Next": "Work"}],
                    "Default": "No",
                },
                "Short": {"Type": "Succeed"},
                "No": {"Type": "Fail"},
                "Work": {**invoke, "Next": "Each", "Catch": [{"Next": "No"}]},
                "Each": {
                    "Type": "Map",
                    "Next": "Job",
                    "ItemProcessor": {
                        "StartAt": "One",
                        "States": {"One": {**invoke, "Next": "Two"}, "Two": {"Type": "Pass", "End": True}},
                    },
                },
                "Job": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::emr-serverless:startJobRun.sync",
                    "End": True,
                },
            },
        }
    )
    assert graph == (("Choose", "Work", "Each", "Job"), ("Work",), ("One", "Two"))


def test_a_graph_that_only_fails_is_refused() -> None:
    with pytest.raises(InputError, match="every route ends in a Fail state"):
        read_graph({"StartAt": "A", "States": {"A": {"Type": "Fail"}}})
