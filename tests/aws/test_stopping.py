"""Stopping a run: what its history names late is stopped too, and the command waits for the end of all."""

from types import SimpleNamespace
from typing import Any, Final

import pytest
from cloud import NOON

from lensneg.aws import stopping
from lensneg.errors import InputError, LensnegError

STACK: Final = SimpleNamespace(name="sky")

JOB: Final = {
    "type": "TaskSubmitted",
    "taskSubmittedEventDetails": {"output": '{"ApplicationId": "app", "JobRunId": "job"}'},
}
MINI_TEST: Final = {
    "type": "TaskSubmitted",
    "taskSubmittedEventDetails": {"output": '{"ExecutionArn": "first-mini-test"}'},
}


class Account:
    """AWS's answers, look by look: what each execution's status and events are, and the job's state."""

    dry = False

    def __init__(self, *looks: tuple[dict[str, str], dict[str, list[Any]], str]) -> None:
        self.looks, self.now, self.changes = looks, 0, list[str]()

    @property
    def look(self) -> tuple[dict[str, str], dict[str, list[Any]], str]:
        return self.looks[min(self.now, len(self.looks) - 1)]

    def read(self, _service: str, operation: str, **asked: str) -> dict[str, Any]:
        if operation == "get_job_run":
            return {"jobRun": {"jobRunId": asked["jobRunId"], "state": self.look[2]}}
        arn = asked["executionArn"]
        told = {"executionArn": arn, "name": arn, "startDate": NOON, "input": '{"run_id": "first"}'}
        return {**told, "status": self.look[0][arn]}

    def pages(self, _service: str, _operation: str, _key: str, executionArn: str) -> list[Any]:  # noqa: N803
        return self.look[1].get(executionArn, [])

    def change(self, _service: str, operation: str, **asked: str) -> dict[str, Any]:
        self.changes.append(f"{operation} {asked.get('executionArn') or asked['jobRunId']}")
        return {}

    def pause(self, _seconds: float) -> None:
        self.now += 1


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(account: Account) -> list[str]:
        def find(aws: Any, *_: Any) -> Any:
            return stopping.describe(aws, "first")

        monkeypatch.setattr(stopping, "find_execution", find)
        return stopping.stop(account, STACK, None, account.pause)  # type: ignore[arg-type]

    return run


def test_what_turns_up_late_is_stopped_too_and_the_end_is_waited_for(stop: Any) -> None:
    both = {"first": [MINI_TEST], "first-mini-test": [JOB]}
    account = Account(
        ({"first": "RUNNING"}, {}, ""),
        ({"first": "ABORTED", "first-mini-test": "RUNNING"}, {"first": [MINI_TEST]}, ""),
        ({"first": "ABORTED", "first-mini-test": "ABORTED"}, both, "RUNNING"),
        ({"first": "ABORTED", "first-mini-test": "ABORTED"}, both, "CANCELLING"),
        ({"first": "ABORTED", "first-mini-test": "ABORTED"}, both, "CANCELLED"),
    )
    assert stop(account) == ["execution first", "execution first-mini-test", "job run job, which was RUNNING"]
    assert account.now == 4, "it is not done while the job is being cancelled"
    assert account.changes == ["stop_execution first", "stop_execution first-mini-test", "cancel_job_run job"]


def test_what_goes_on_all_the_same_is_named(stop: Any) -> None:
    account = Account(({"first": "RUNNING"}, {"first": [JOB]}, "RUNNING"))
    with pytest.raises(LensnegError, match=r"not ended: execution first, job run job \(RUNNING\); give the"):
        stop(account)
    assert account.changes == ["stop_execution first", "cancel_job_run job"], "each once"


def test_a_run_that_has_ended_is_no_run_to_stop(stop: Any) -> None:
    with pytest.raises(InputError, match="run first of stack sky: execution first is SUCCEEDED: there is"):
        stop(Account(({"first": "SUCCEEDED"}, {"first": [JOB]}, "SUCCESS")))
