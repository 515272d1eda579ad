"""The part of gate 1 that looks at the AWS account: only where the run is on AWS.

The functions find the names of what they run with in their environment; template.yaml puts them there.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lensneg.schema.check import Check

#: Is set wherever code runs as a Lambda function, and nowhere else.
ON_AWS_VARIABLE: Final = "AWS_LAMBDA_FUNCTION_NAME"

#: The EMR Serverless application of the draw.
APPLICATION_VARIABLE: Final = "LENSNEG_EMR_APPLICATION_ID"

#: The function of the map.
FILTER_VARIABLE: Final = "LENSNEG_FILTER_FUNCTION"

#: "Max concurrent vCPUs per account" of EMR Serverless, as Service Quotas knows it.
VCPU_QUOTA: Final = ("emr-serverless", "L-D05C8A75")

#: States from which an application takes a job, given that it may start by itself.
_READY_STATES: Final = frozenset({"CREATED", "STARTING", "STARTED", "STOPPED"})

#: Of these, the ones in which it must first be started.
_AT_REST: Final = frozenset({"CREATED", "STOPPED"})

Client = Callable[[str], Any]


def _client(service: str) -> Any:
    import boto3  # a run on one machine should not wait for it

    make: Any = boto3.client  # its stubs know a name only as a literal
    return make(service)


def account_checks(
    max_concurrency: int, environment: Mapping[str, str] = os.environ, client: Client = _client
) -> Iterator[Check]:
    """Check the account, where the run is on AWS.

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
        None where the run is on one machine. What may not be looked at is a warning: whether it is in
        order is then not known, and a run may well go through.
    """
    if ON_AWS_VARIABLE not in environment:
        return
    application = environment.get(APPLICATION_VARIABLE, "")
    looks: dict[str, Callable[[], Check]] = {
        "emr_application": lambda: _application(client("emr-serverless"), application),
        "emr_vcpu_quota": lambda: _vcpu_quota(client, application),
        "lambda_concurrency": lambda: _concurrency(client("lambda"), environment, max_concurrency),
    }
    for name, check in looks.items():
        try:
            yield check()
        except Exception as error:
            # botocore is imported here for the same reason as boto3.
            from botocore.exceptions import BotoCoreError, ClientError

            if not isinstance(error, BotoCoreError | ClientError):
                raise
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
        passed=state in _READY_STATES and (starts or state not in _AT_REST),
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
    function = environment.get(FILTER_VARIABLE)
    if function:
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
