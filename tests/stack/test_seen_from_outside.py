"""Messages, alarms and dashboard: what is told of a run to one who does not look at it."""

import json
import re
from typing import Any

import pytest
from deployed import REGION, STACK, Deployed, deployed
from test_graph import all_states

CAUSE = 'config_valid: "z_max" is no key; where: s3://b/my "best" config.yaml\nremedy: write \\ "z"\n'


def event(status: str, cause: str | None) -> dict[str, Any]:
    """An event of Step Functions ("Step Functions Execution Status Change", EventBridge reference)."""
    arn = f"arn:aws:states:{REGION}:123456789012:execution:{STACK}:run-1"
    error = cause and "Gate1PreSubmission"
    detail = {"executionArn": arn, "name": "run-1", "status": status, "error": error, "cause": cause}
    return {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}


def at(path: str, value: Any) -> Any:
    for key in path.split(".")[1:]:
        value = value[key]
    return value


def delivered(target: dict[str, Any], sent: dict[str, Any]) -> str:
    """What a target gets: a part of the event as JSON, or a template with the values' text put into it.

    EventBridge user guide, "Input transformation"; a variable between quotes is put in as it is.
    """
    if "InputTransformer" not in target:
        return json.dumps(at(target.get("InputPath", "$"), sent))
    text = target["InputTransformer"]["InputTemplate"]
    for name, path in target["InputTransformer"]["InputPathsMap"].items():
        text = text.replace(f"<{name}>", str(at(path, sent)))
    return text


@pytest.mark.parametrize(("status", "cause"), [("FAILED", CAUSE), ("SUCCEEDED", None), ("ABORTED", None)])
def test_the_message_of_a_verdict_holds_its_cause_whatever_that_is(status: str, cause: str | None) -> None:
    [rule] = deployed().of_type("AWS::Events::Rule").values()
    [target] = rule["Targets"]
    message = json.loads(delivered(target, event(status, cause)))  # EventBridge delivers nothing but JSON
    assert (message["name"], message["status"], message["cause"]) == ("run-1", status, cause)


def alarms(stack: Deployed | None = None) -> dict[str, dict[str, Any]]:
    return (stack or deployed()).of_type("AWS::CloudWatch::Alarm")


def series(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that an alarm reads."""
    if "MetricName" in alarm:
        return [alarm]
    return [entry["MetricStat"]["Metric"] for entry in alarm["Metrics"] if "MetricStat" in entry]


def test_every_alarm_is_about_this_stack_alone() -> None:
    """A metric without the stack's own dimension counts what others in the account do."""
    own = set(deployed().resources) | {STACK, deployed().outputs()["StateMachineArn"]}
    for name, alarm in alarms().items():
        for metric in series(alarm):
            values = {dimension["Value"].strip("<>") for dimension in metric.get("Dimensions", [])}
            assert values, name
            assert values <= own, name
        assert "AlarmName" not in alarm
        assert alarm["TreatMissingData"] == "notBreaching"


def test_every_function_of_the_graph_is_watched_for_throttles() -> None:
    watched = {
        dimension["Value"]
        for alarm in alarms().values()
        for metric in series(alarm)
        if metric["MetricName"] == "Throttles"
        for dimension in metric["Dimensions"]
    }
    assert watched == {f"<{name}Function>" for name in set(deployed().functions()) - {"PublishSparkCode"}}
    assert all(len(alarm.get("Metrics", [])) <= 10 for alarm in alarms().values())  # CloudWatch's limit


def value(expression: str, points: dict[str, float | None]) -> float:
    """A metric math expression in one period; None is a metric without a data point."""
    python = re.sub(r"\bAND\b", "and", expression)
    known = {
        "IF": lambda condition, yes, no: yes if condition else no,
        "FILL": lambda point, filling: filling if point is None else point,
        "SUM": sum,
        "METRICS": lambda: [point for point in points.values() if point is not None],
        **points,
    }
    return float(eval(python, {"__builtins__": {}}, known))


@pytest.mark.parametrize(
    ("called", "throttled", "done", "is_stalled"),
    [
        (None, None, None, False),  # no map
        (40, None, 40, False),
        (40, 500, 1, False),
        (40, None, None, True),  # every attempt fails, or hangs until its timeout
        (None, 500, None, True),  # nothing but throttles
        (40, 0, 0, True),
    ],
)
def test_a_map_that_does_not_progress_raises_an_alarm(
    called: float | None, throttled: float | None, done: float | None, is_stalled: bool
) -> None:
    alarm = alarms()["StalledMapAlarm"]
    [expression] = [entry["Expression"] for entry in alarm["Metrics"] if "Expression" in entry]
    found = value(expression, {"called": called, "throttled": throttled, "done": done})
    assert (found > alarm["Threshold"]) == is_stalled
    periods = {entry["MetricStat"]["Period"] for entry in alarm["Metrics"] if "MetricStat" in entry}
    assert periods == {300}
    assert alarm["EvaluationPeriods"] == 3


def test_one_throttle_of_a_state_raises_an_alarm() -> None:
    alarm = alarms()["ThrottledStatesAlarm"]
    points = {e["Id"]: None for e in alarm["Metrics"] if "MetricStat" in e}
    [expression] = [entry["Expression"] for entry in alarm["Metrics"] if "Expression" in entry]
    assert value(expression, points) <= alarm["Threshold"] < value(expression, {**points, "report": 1.0})


def test_a_failed_job_and_a_failed_run_raise_an_alarm() -> None:
    names = {name: {metric["MetricName"] for metric in series(alarm)} for name, alarm in alarms().items()}
    assert names["FailedJobsAlarm"] == {"JobsFailed"}
    assert names["FailedRunsAlarm"] == {"ExecutionsFailed", "ExecutionsTimedOut"}
    for name in ("FailedJobsAlarm", "FailedRunsAlarm"):
        assert (alarms()[name]["Threshold"], alarms()[name]["EvaluationPeriods"]) == (0, 1)


def widgets() -> list[dict[str, Any]]:
    [dashboard] = deployed().of_type("AWS::CloudWatch::Dashboard").values()
    return json.loads(dashboard["DashboardBody"])["widgets"]


def test_the_dashboard_shows_every_alarm() -> None:
    [shown] = [w["properties"]["alarms"] for w in widgets() if w["type"] == "alarm"]
    assert {arn.rpartition(":")[2] for arn in shown} == set(alarms())


def test_the_dashboard_shows_emrs_metrics_of_this_application() -> None:
    """Two dimensions, from release 7.10 on (EMR Serverless guide, "Monitoring applications and jobs")."""
    emr = [m for w in widgets() for m in w["properties"].get("metrics", []) if m[0] == "AWS/EMRServerless"]
    assert {metric[1] for metric in emr} == {"PendingJobs", "RunningJobs", "FailedJobs"}
    [application] = deployed().of_type("AWS::EMRServerless::Application").values()
    expected = ["ApplicationId", "<EmrApplication>", "ApplicationName", application["Name"]]
    assert all(metric[2:6] == expected for metric in emr)
    searches = [
        m[0]["expression"] for w in widgets() for m in w["properties"].get("metrics", []) if len(m) == 1
    ]
    found = {name for text in searches for name in re.findall(r'MetricName="(\w+)"', text)}
    assert found == {"WorkerCpuUsed", "WorkerMemoryUsed"}


def test_widgets_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for w in widgets():
        cells = {
            (x, y) for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])
        }
        assert not cells & taken
        taken |= cells


def test_every_function_is_told_its_execution_and_its_run_or_item() -> None:
    """Its log records carry them (tests/functions/test_task.py)."""
    definition = deployed().definition()
    selector = definition["States"]["FilterSweeps"]["ItemSelector"]
    for name, state in all_states(definition):
        if state.get("Resource") == "arn:aws:states:::lambda:invoke":
            payload = state["Parameters"].get("Payload", selector)
            assert payload["execution_arn.$"] == "$$.Execution.Id", name
            assert {"root.$", "input.$"} & set(payload), name
    assert selector["item.$"] == "$$.Map.Item.Value"
