"""Gate 1's checks of the AWS account, for a run on AWS.

template.yaml sets the environment variables that name the application and the function.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lensneg.schema.check import Check

#: Lambda sets this variable for its functions.
ON_AWS_VARIABLE: Final = "AWS_LAMBDA_FUNCTION_NAME"

#: Names the EMR Serverless application of the draw.
APPLICATION_VARIABLE: Final = "LENSNEG_EMR_APPLICATION_ID"

#: Names the function of the map.
FILTER_VARIABLE: Final = "LENSNEG_FILTER_FUNCTION"

#: Service and code of EMR Serverless's quota "Max concurrent vCPUs per account".
VCPU_QUOTA: Final = ("emr-serverless", "L-D05C8A75")

#: States in which an application takes a job.
_RUNNING: Final = frozenset({"STARTING", "STARTED"})

#: States in which it takes a job only if it starts by itself.
_AT_REST: Final = frozenset({"CREATED", "STOPPED"})

Client = Callable[[str], Any]


def _client(service: str) -> Any:
    import boto3  # slow to import, and a run on one machine does not need it

    make: Any = boto3.client  # its stubs know a name only as a literal
    return make(service)


def account_checks(
    max_concurrency: int, environment: Mapping[str, str] = os.environ, client: Client = _client
) -> Iterator[Check]:
    """Check the account of a run on AWS.

    Parameters
    ----------
    max_concurrency : int
        Map items at a time.
    environment : mapping of str to str
    client : callable
        Returns boto3's client of a service.

    Yields
    ------
    Check
        No checks for a run on one machine. A check that this role may not make is a warning: the run may
        still succeed.
    """
    if ON_AWS_VARIABLE not in environment:
        return
    from botocore.exceptions import BotoCoreError, ClientError  # here for the same reason as boto3

    application = environment.get(APPLICATION_VARIABLE, "")
    checks: dict[str, Callable[[], Check]] = {
        "emr_application": lambda: _application(client("emr-serverless"), application),
        "emr_vcpu_quota": lambda: _vcpu_quota(client, application),
        "lambda_concurrency": lambda: _concurrency(client("lambda"), environment, max_concurrency),
    }
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
                "lambda:GetAccountSettings and lambda:GetFunctionConcurrency",
                critical=False,
            )


def _application(emr: Any, application_id: str) -> Check:
    found = emr.get_application(applicationId=application_id)["application"]
    state = found["state"]
    starts = found.get("autoStartConfiguration", {}).get("enabled", True)
    return Check(
        name="emr_application",
        passed=state in _RUNNING or (starts and state in _AT_REST),
        expected="an EMR Serverless application that is started, or starts by itself",
        actual=f"{application_id} is {state}" + ("" if starts else " and does not start by itself"),
        remedy="start the application, or deploy the stack again",
    )


def _vcpu_quota(client: Client, application_id: str) -> Check:
    found = client("emr-serverless").get_application(applicationId=application_id)["application"]
    capacity = str(found.get("maximumCapacity", {}).get("cpu", "0"))
    needed = float(re.sub(r"[^\d.]", "", capacity) or 0)
    service, code = VCPU_QUOTA
    quota = client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"]
    return Check(
        name="emr_vcpu_quota",
        passed=quota >= needed,
        expected=f"a quota of at least {needed:g} vCPUs, the application's maximum capacity",
        actual=f"{quota:g} vCPUs in this account and Region",
        remedy=f"ask Service Quotas for more ({code}), or deploy with a smaller maximum capacity: a job that "
        "goes beyond the quota fails",
    )


def _concurrency(client: Any, environment: Mapping[str, str], max_concurrency: int) -> Check:
    limits = client.get_account_settings()["AccountLimit"]
    free, where = limits["UnreservedConcurrentExecutions"], "unreserved in this account and Region"
    if function := environment.get(FILTER_VARIABLE):
        reserved = client.get_function_concurrency(FunctionName=function)
        if "ReservedConcurrentExecutions" in reserved:
            free, where = reserved["ReservedConcurrentExecutions"], f"reserved for {function}"
    return Check(
        name="lambda_concurrency",
        passed=free >= max_concurrency,
        expected=f"room for {max_concurrency:,} FilterSweep functions at a time (max_concurrency)",
        actual=f"{free:,} {where}",
        remedy="give a smaller max_concurrency in the input, or ask Service Quotas for more: "
        "items that are throttled too often fail",
    )
