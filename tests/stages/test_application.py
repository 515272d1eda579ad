"""PlanFanOut starts the application of the draw, and a refusal does not stop the run."""

import logging

import boto3
import pytest
from botocore.stub import Stubber

from lensneg.stages.application import start_application
from lensneg.stages.preflight.account import APPLICATION_VARIABLE, ON_AWS_VARIABLE

ON_AWS = {ON_AWS_VARIABLE: "PlanFanOut", APPLICATION_VARIABLE: "00app"}


@pytest.fixture
def emr() -> Stubber:
    client = boto3.client(
        "emr-serverless", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return Stubber(client)


def test_the_application_is_started(emr: Stubber) -> None:
    emr.add_response("start_application", {}, {"applicationId": "00app"})
    with emr:
        start_application(ON_AWS, emr.client)
    emr.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["ValidationException", "ServiceQuotaExceededException", "AccessDenied"])
def test_a_start_that_is_refused_is_logged_and_leaves_the_start_to_the_job(
    emr: Stubber, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    emr.add_client_error("start_application", code)
    with emr, caplog.at_level(logging.WARNING):
        start_application(ON_AWS, emr.client)
    assert code in caplog.text
    assert "00app starts with the job" in caplog.text


@pytest.mark.parametrize(
    "environment", [{}, {APPLICATION_VARIABLE: "00app"}, {ON_AWS_VARIABLE: "PlanFanOut"}]
)
def test_a_run_on_one_machine_starts_none(emr: Stubber, environment: dict[str, str]) -> None:
    with emr:
        start_application(environment, emr.client)
