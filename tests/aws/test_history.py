"""An execution as AWS describes it."""

from typing import Any

import pytest
from cloud import NOON, refusal

from lensneg.aws.calls import Aws
from lensneg.aws.history import Execution, JobProgress, StateVisit, describe, read_history
from lensneg.errors import InputError


def test_a_history_of_step_functions_is_read() -> None:
    def event(kind: str, **details: Any) -> dict[str, Any]:
        return {"type": kind, "timestamp": NOON, **details}

    entered = event("TaskStateEntered", stateEnteredEventDetails={"name": "SampleNegatives"})
    submitted = {"resourceType": "emr-serverless", "output": '{"ApplicationId": "app", "JobRunId": "00f"}'}
    history = read_history(
        [
            entered,
            event("TaskScheduled", taskScheduledEventDetails={"resourceType": "emr-serverless"}),
            event("TaskSubmitted", taskSubmittedEventDetails=submitted),
            event("TaskFailed"),
            event("TaskStateExited"),
        ]
    )
    assert history.jobs == (("app", "00f"),)
    assert history.visits == (StateVisit("SampleNegatives", NOON, NOON, failures=1),)


def test_an_execution_that_is_not_there_is_named() -> None:
    class Forgetful:
        def describe_execution(self, executionArn: str) -> None:  # noqa: N803 (boto3's name)
            raise refusal("ExecutionDoesNotExist", "gone")

    with pytest.raises(InputError, match="arn:x: no such execution; lensneg aws status"):
        describe(Aws(make_client=lambda _: Forgetful()), "arn:x")


@pytest.mark.parametrize(
    ("text", "run_id", "out"),
    [
        ('{"run_id": "r", "out": "s3://b/out"}', "r", "s3://b/out"),
        ('{"mini_test_of": {"run_id": "r"}}', None, None),
        ('{"run_id": 7}', None, None),
        ("[]", None, None),
        ("", None, None),
    ],
)
def test_an_input_may_name_run_and_prefix_or_not(text: str, run_id: str | None, out: str | None) -> None:
    found = {"executionArn": "a", "name": "n", "status": "FAILED", "startDate": NOON, "input": text}
    execution = Execution.of_aws(found)
    assert (execution.run_id, execution.out, execution.input) == (run_id, out, text)


def test_hours_of_a_job_are_those_billed_else_those_used() -> None:
    job = {"jobRunId": "j", "state": "SUCCESS", "totalExecutionDurationSeconds": 77}
    used, billed = {"vCPUHour": 1.0, "memoryGBHour": 4.0}, {"vCPUHour": 2.0, "memoryGBHour": 8.0}
    found = JobProgress.of_aws({**job, "totalResourceUtilization": used})
    assert (found.seconds, found.vcpu_hours, found.memory_gb_hours) == (77, 1.0, 4.0)
    found = JobProgress.of_aws({**job, "totalResourceUtilization": used, "billedResourceUtilization": billed})
    assert (found.vcpu_hours, found.memory_gb_hours) == (2.0, 8.0)
    found = JobProgress.of_aws({"jobRunId": "j", "state": "PENDING"})
    assert (found.seconds, found.vcpu_hours) == (None, None)
