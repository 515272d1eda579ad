"""Whether a run could start: what `lensneg aws preflight` looks at. Gate 1 looks at the inputs themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

from lensneg import storage
from lensneg.aws.calls import Aws, Call
from lensneg.aws.deployment import COMPLETE, Stack, read_stack
from lensneg.cost.prices import load_prices
from lensneg.errors import InputError, LensnegError
from lensneg.schema.check import Check
from lensneg.stages.preflight import account
from lensneg.storage.errors import error_code, is_denied
from lensneg.survey.names import sweep_cell

#: Days after which a table of prices should be compared with AWS's pages again.
PRICES_GOOD_FOR: Final = 180


def preflight(aws: Aws, name: str, max_concurrency: int, today: date | None = None) -> Iterator[Check]:
    """Check credentials, Region, stack, and all that a run needs of them.

    Parameters
    ----------
    aws : Aws
    name : str
        The stack.
    max_concurrency : int
        Map items at a time.
    today : date, optional

    Yields
    ------
    Check
        What cannot be looked at without an earlier check's success is left out. Where a look is not
        permitted, the check is a warning.
    """
    yield _prices(today or datetime.now(UTC).date())
    early: tuple[tuple[str, Callable[[], Check]], ...] = (
        ("credentials", lambda: _credentials(aws)),
        ("region", lambda: _region(aws)),
    )
    for title, look in early:
        check = _guarded(title, look)
        yield check
        if not check.passed:
            return
    try:
        stack = read_stack(name, aws)
    except LensnegError as error:
        yield Check(
            name="stack", passed=False, expected="a stack of template.yaml", actual="", remedy=str(error)
        )
        return
    yield _stack(stack)
    yield _guarded("bucket", lambda: _bucket(aws, stack))
    yield _guarded("spark_code", lambda: _spark_code(aws, stack))
    yield _guarded("sweeps", lambda: _sweeps(aws, stack))
    try:
        machine = aws.read("stepfunctions", "describe_state_machine", stateMachineArn=stack.state_machine_arn)
    except LensnegError as error:
        yield _unknown("state_machine", error)
        machine = {}
    graph = json.loads(machine.get("definition", "{}"))
    if machine:
        yield _machine(machine)
    functions = dict.fromkeys(map(str, _values(graph, "FunctionName")))
    for arn in functions:
        yield _guarded(f"function {_short(arn)}", lambda arn=arn: _function(aws, arn))  # type: ignore[misc]
    roles = dict.fromkeys(filter(None, [machine.get("roleArn"), *_values(graph, "ExecutionRoleArn")]))
    for role in roles:
        yield _guarded(f"role {_short(role)}", lambda role=role: _role(aws, role))  # type: ignore[misc]
    mapped = [
        arn for processor in _values(graph, "ItemProcessor") for arn in _values(processor, "FunctionName")
    ]
    environment = {
        account.ON_AWS_VARIABLE: "lensneg aws preflight",
        account.APPLICATION_VARIABLE: stack.emr_application_id,
        account.FILTER_VARIABLE: str(mapped[0]) if mapped else "",
    }
    for check in account.account_checks(max_concurrency, environment, lambda service: _Noting(aws, service)):
        remedy = check.remedy.replace("grant Preflight's role", "add to your own permissions")
        yield check.model_copy(update={"remedy": remedy})


class _Noting:
    """boto3's client of a service, whose calls are noted."""

    def __init__(self, aws: Aws, service: str) -> None:
        self._aws, self._service = aws, service

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self._aws.note(str(Call(self._service, operation, parameters)))
            return getattr(self._aws.client(self._service), operation)(**parameters)

        return call


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (LensnegError, OSError) as error:
        return _unknown(name, error)


def _unknown(name: str, error: Exception) -> Check:
    allowed = not is_denied(error.__cause__)
    return Check(
        name=name,
        passed=False,
        expected="to find it" if allowed else "to be allowed to look",
        actual="not found, or not in order" if allowed else "not known",
        remedy=str(error),
        critical=allowed,
    )


def _values(node: Any, key: str) -> Iterator[Any]:
    """Yield the values of a key, wherever it is in a definition."""
    if isinstance(node, list):
        for entry in node:
            yield from _values(entry, key)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            else:
                yield from _values(value, key)


def _short(arn: str) -> str:
    return arn.rpartition("/" if ":role/" in arn else ":")[2]


def _credentials(aws: Aws) -> Check:
    found = aws.read("sts", "get_caller_identity")
    return Check(
        name="credentials",
        passed=True,
        expected="credentials that AWS accepts",
        actual=f"{found['Arn']} (account {found['Account']})",
        remedy="",
    )


def _region(aws: Aws) -> Check:
    region = aws.client("cloudformation").meta.region_name
    return Check(name="region", passed=True, expected="a Region", actual=region, remedy="")


def _prices(today: date) -> Check:
    prices = load_prices()
    age = (today - prices.date).days
    return Check(
        name="prices",
        passed=age <= PRICES_GOOD_FOR,
        expected=f"a table of prices of the last {PRICES_GOOD_FOR} days",
        actual=f"{prices.date} ({prices.region}), {max(0, age)} days old",
        remedy="compare configs/prices.yaml with the pages that it names, and correct its date",
        critical=False,
    )


def _stack(stack: Stack) -> Check:
    return Check(
        name="stack",
        passed=stack.status in COMPLETE,
        expected="a deployment that has ended well",
        actual=f"{stack.name} is {stack.status}",
        remedy="wait until it has ended, or deploy it again: a run would meet functions old and new",
    )


def _bucket(aws: Aws, stack: Stack) -> Check:
    bucket = stack.data_bucket_name
    found = aws.read("s3", "get_bucket_location", Bucket=bucket)["LocationConstraint"] or "us-east-1"
    return Check(
        name="bucket",
        passed=found == stack.region,
        expected=f"a bucket in {stack.region}: Step Functions reads the map's items in its own Region only",
        actual=f"{bucket} is in {found}",
        remedy="deploy the stack in the bucket's Region, or with another bucket",
    )


def _spark_code(aws: Aws, stack: Stack) -> Check:
    aws.note(f"aws s3 ls {stack.spark_code_uri}")
    there = storage.exists(stack.spark_code_uri)
    return Check(
        name="spark_code",
        passed=there,
        expected="the Spark job of this deployment",
        actual=stack.spark_code_uri if there else f"{stack.spark_code_uri} is not there",
        remedy="deploy the stack again with another image: PublishSparkCode puts it there",
    )


def _sweeps(aws: Aws, stack: Stack) -> Check:
    aws.note(f"aws s3 ls --recursive {stack.sweeps_uri}/")
    try:
        listed = storage.list_files(stack.sweeps_uri)
    except FileNotFoundError:
        listed = []
    found = [info for info in listed if sweep_cell(storage.basename(info.uri))]
    return Check(
        name="sweeps",
        passed=bool(found),
        expected="sweep files",
        actual=f"{len(found):,} files, {sum(i.size for i in found) / 1e9:,.1f} GB below {stack.sweeps_uri}",
        remedy=f"lensneg sweeps fetch --to {stack.sweeps_uri}, or lensneg aws upload --sweeps DIR",
    )


def _machine(machine: dict[str, Any]) -> Check:
    return Check(
        name="state_machine",
        passed=machine["status"] == "ACTIVE",
        expected="a state machine that takes executions",
        actual=f"{machine['name']} is {machine['status']}",
        remedy="deploy the stack again",
    )


def _function(aws: Aws, arn: str) -> Check:
    found = aws.read("lambda", "get_function_configuration", FunctionName=arn)
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    return Check(
        name=f"function {_short(arn)}",
        passed=state in ("Active", "Inactive") and update == "Successful",
        expected="a function that can be called",
        actual=f"{state}, last update {update}" + _because(found),
        remedy="wait if it is pending or in progress; else deploy the stack again",
    )


def _because(found: dict[str, Any]) -> str:
    reason = found.get("StateReason") or found.get("LastUpdateStatusReason")
    return f": {reason}" if reason else ""


def _role(aws: Aws, arn: str) -> Check:
    name = _short(arn)
    try:
        aws.read("iam", "get_role", RoleName=name)
    except InputError as error:
        if error_code(error.__cause__) != "NoSuchEntity":
            raise
        return Check(
            name=f"role {name}",
            passed=False,
            expected="the role that the stack made",
            actual="there is none of this name",
            remedy="deploy the stack again: someone has deleted the role",
        )
    return Check(name=f"role {name}", passed=True, expected="the role", actual="there", remedy="")
