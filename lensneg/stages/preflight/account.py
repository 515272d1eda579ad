"""Gate 1's checks of the AWS account, for a run on AWS.

template.yaml sets the environment variables that name the application and the functions.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from lensneg.schema.check import Check
from lensneg.schema.states import DEFAULT_VCPUS
from lensneg.stages.preflight.functions import WAKING_CALL, readiness

#: Lambda sets this variable for its functions.
ON_AWS_VARIABLE: Final = "AWS_LAMBDA_FUNCTION_NAME"

#: Names the EMR Serverless application of the draw.
APPLICATION_VARIABLE: Final = "LENSNEG_EMR_APPLICATION_ID"

#: Names the function of the map.
FILTER_VARIABLE: Final = "LENSNEG_FILTER_FUNCTION"

#: Names the functions that the state machine calls after Preflight, separated by commas.
FUNCTIONS_VARIABLE: Final = "LENSNEG_FUNCTIONS"

#: Service and code of EMR Serverless's quota "Max concurrent vCPUs per account".
VCPU_QUOTA: Final = ("emr-serverless", "L-D05C8A75")

#: Service and code of Lambda's quota "Concurrent executions".
CONCURRENCY_QUOTA: Final = ("lambda", "L-B99A9384")

#: The vCPUs of the smallest job: a driver and an executor, of 4 each.
LEAST_VCPUS: Final = 8

#: States of an application that takes a job. In any other but TERMINATED it takes one if it starts by itself.
_STARTED: Final = frozenset({"STARTING", "STARTED"})

#: Differences of the map's time that are no reason for a warning, in seconds.
_NO_TIME: Final = 1.0

Client = Callable[[str], Any]


@dataclass
class Limits:
    """What a run may take of its account. The checks lower it to what they find.

    Attributes
    ----------
    concurrency : int
        Map items at a time.
    vcpus : int
        vCPUs of the job.
    """

    concurrency: int
    vcpus: int = DEFAULT_VCPUS


def _client(service: str) -> Any:
    import boto3  # slow to import, and a run on one machine does not need it

    make: Any = boto3.client  # its stubs know a name only as a literal
    return make(service)


def account_checks(
    limits: Limits,
    environment: Mapping[str, str] = os.environ,
    client: Client = _client,
    map_seconds: Callable[[int], float] | None = None,
) -> Iterator[Check]:
    """Check the account of a run on AWS, and lower the run's limits to what is there.

    Parameters
    ----------
    limits : Limits
        What the run would take.
    environment : mapping of str to str
    client : callable
        Returns boto3's client of a service.
    map_seconds : callable, optional
        Returns the estimated seconds of the map with so many items at a time.

    Yields
    ------
    Check
        No checks for a run on one machine. A check that this role may not make is a warning: the run may
        still succeed.
    """
    if ON_AWS_VARIABLE not in environment:
        return
    from botocore.exceptions import BotoCoreError, ClientError  # here for the same reason as boto3

    checks: dict[str, Callable[[], Check]] = {
        "emr_application": lambda: _application(client("emr-serverless"), environment, limits),
        "emr_vcpu_quota": lambda: _vcpu_quota(client("service-quotas"), limits),
        "lambda_concurrency": lambda: _concurrency(client("lambda"), environment, limits, map_seconds),
    }
    if FUNCTIONS_VARIABLE in environment:
        checks["functions_ready"] = lambda: _functions(client("lambda"), environment)
    for name, check in checks.items():
        try:
            yield check()
        except (BotoCoreError, ClientError) as error:
            yield Check(
                name=name,
                passed=False,
                expected="to be allowed to look",
                actual=str(error),
                remedy="grant Preflight's role emr-serverless:GetApplication, servicequotas:GetServiceQuota, "
                "lambda:GetAccountSettings, lambda:GetFunctionConcurrency, lambda:GetFunctionConfiguration",
                critical=False,
            )


def _functions(client: Any, environment: Mapping[str, str]) -> Check:
    """Look at the functions that the state machine will call, and wake those that are inactive."""
    found = {}
    for name in environment[FUNCTIONS_VARIABLE].split(","):
        configuration = client.get_function_configuration(FunctionName=name)
        found[name] = readiness(configuration, partial(_wake, client, name))
    unready = {name: one for name, one in found.items() if not one.passed}
    return Check.of_faults(
        "functions_ready",
        [f"{name}: {one.actual}" for name, one in unready.items()],
        expected="functions that can be called",
        found=f"{len(found)} functions are active",
        shown=len(found),
        remedy="nothing need be done if they are inactive, pending or in progress: the run waits for them; "
        "else deploy the stack again",
        critical=any(one.critical for one in unready.values()),
    )


def _wake(client: Any, name: str) -> None:
    """Call a function. If that is refused, the state machine's own call wakes it later."""
    from botocore.exceptions import BotoCoreError, ClientError

    with suppress(BotoCoreError, ClientError):
        client.invoke(FunctionName=name, **WAKING_CALL)


def _application(emr: Any, environment: Mapping[str, str], limits: Limits) -> Check:
    application_id = environment.get(APPLICATION_VARIABLE, "")
    found = emr.get_application(applicationId=application_id)["application"]
    capacity = re.sub(r"[^\d.]", "", str(found.get("maximumCapacity", {}).get("cpu", "")))
    limits.vcpus = int(float(capacity)) if capacity else DEFAULT_VCPUS
    state = found["state"]
    starts = found.get("autoStartConfiguration", {}).get("enabled", True)
    return Check(
        name="emr_application",
        passed=state in _STARTED or (starts and state != "TERMINATED"),
        expected="an EMR Serverless application that is started, or starts by itself",
        actual=f"{application_id} is {state}" + ("" if starts else " and does not start by itself"),
        remedy="start the application, or deploy the stack again",
    )


def _vcpu_quota(client: Any, limits: Limits) -> Check:
    service, code = VCPU_QUOTA
    quota = client.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"]
    wanted, limits.vcpus = limits.vcpus, min(limits.vcpus, int(quota))
    return Check(
        name="emr_vcpu_quota",
        passed=quota >= wanted,
        expected=f"a quota of at least {wanted} vCPUs, the application's maximum capacity",
        actual=f"{quota:g} vCPUs in this account and Region (quota {code}), which limits the draw's job",
        remedy=f"{_ask_for_more(VCPU_QUOTA, wanted)}; or deploy with a smaller MaximumVCpu",
        critical=quota < LEAST_VCPUS,
    )


def _concurrency(
    client: Any,
    environment: Mapping[str, str],
    limits: Limits,
    map_seconds: Callable[[int], float] | None,
) -> Check:
    free = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    where = f"unreserved in this account and Region (quota {CONCURRENCY_QUOTA[1]})"
    wanted, remedy = limits.concurrency, _ask_for_more(CONCURRENCY_QUOTA, max(limits.concurrency, 1000))
    if function := environment.get(FILTER_VARIABLE):
        reserved = client.get_function_concurrency(FunctionName=function)
        if "ReservedConcurrentExecutions" in reserved:
            free, where = reserved["ReservedConcurrentExecutions"], f"reserved for {function}"
            remedy = "deploy with another ReservedConcurrency"
    limits.concurrency = max(1, min(wanted, free))
    lost, cost = math.inf, ""
    if map_seconds is not None and 0 < free < wanted:
        slow, fast = map_seconds(free), map_seconds(wanted)
        lost, cost = slow - fast, f"; the map takes about {_time(slow)} instead of {_time(fast)}"
    return Check(
        name="lambda_concurrency",
        passed=free >= wanted or lost < _NO_TIME,
        expected=f"{wanted:,} FilterSweep functions at a time (max_concurrency)",
        actual=f"{free:,} {where}{cost}",
        remedy=remedy
        if free < 1
        else f"nothing need be done: the run takes {free:,} at a time; for more: {remedy}",
        critical=free < 1,
    )


def _ask_for_more(quota: tuple[str, str], wanted: int) -> str:
    """Return the command that asks AWS to raise a quota."""
    return (
        f"ask AWS for more: aws service-quotas request-service-quota-increase --service-code {quota[0]} "
        f"--quota-code {quota[1]} --desired-value {wanted}"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
