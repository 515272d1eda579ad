"""The EMR Serverless application of the draw, which starts while the map runs."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from lensneg.stages.preflight.account import APPLICATION_VARIABLE, ON_AWS_VARIABLE

_log = logging.getLogger(__name__)


def start_application(environment: Mapping[str, str] = os.environ, client: Any = None) -> None:
    """Start the application, so that its first workers are ready when the map is done.

    It also starts with a job, so a start that is refused costs only time, and is logged. A run on one machine
    starts its Spark driver itself.

    Parameters
    ----------
    environment : mapping of str to str
        template.yaml names the application in it.
    client : boto3 client, optional
        The client of EMR Serverless.
    """
    application = environment.get(APPLICATION_VARIABLE)
    if ON_AWS_VARIABLE not in environment or not application:
        return
    import boto3  # slow to import, and a run on one machine does not need it
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        (client or boto3.client("emr-serverless")).start_application(applicationId=application)
    except (BotoCoreError, ClientError) as error:
        _log.warning("the application %s starts with the job: %s", application, error)
