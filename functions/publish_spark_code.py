"""PublishSparkCode: copy the Spark job's code from the image into the bucket when the stack is deployed.

This is no state of the graph. CloudFormation calls it as the custom resource SparkCode, and waits for an
answer at a URL that the event names. A deletion does nothing, as old runs still name their code.
"""

import json
import urllib.request

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.task import Json, logger
from lensneg.aws.spark_upload import publish_spark_code

#: The resource's id in CloudFormation until there is code in S3.
_NOTHING_YET = "no-code"

#: The longest reason, in characters. CloudFormation takes an answer of at most 4,096 bytes.
_MAX_REASON = 1000


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> None:
    """Publish the code, and answer CloudFormation with its URI or with the error."""
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": event.get("PhysicalResourceId", _NOTHING_YET),
        **{key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")},
    }
    try:
        if event["RequestType"] != "Delete":
            uri = publish_spark_code(event["ResourceProperties"]["Destination"])
            answer |= {"PhysicalResourceId": uri, "Data": {"Uri": uri}}
    except Exception as error:  # without an answer CloudFormation waits for its timeout
        logger.exception("failed")
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        answer |= {"Status": "FAILED", "Reason": f"{reason}; see log stream {context.log_stream_name}"}
    request = urllib.request.Request(  # noqa: S310 (a URL of CloudFormation's own)
        event["ResponseURL"],
        data=json.dumps(answer).encode(),
        method="PUT",
        headers={"Content-Type": ""},  # the URL is signed without one
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        logger.info("answered", extra={"status": answer["Status"]})
