"""SummarizeFetch: the end of a fetch."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.task import Json, log, logger
from lensneg.schema.fetch import FetchFiles
from lensneg.stages.summarize_fetch import summarize_fetch


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> Json:
    """Say which files are there, which are not, and what the fetch cost."""
    files = FetchFiles(event["root"])
    logger.append_keys(fetch_id=files.fetch_id, execution_arn=event["execution_arn"])
    verdict = summarize_fetch(files)
    if not verdict.passed:
        log.warning("%s", verdict.cause)
    return verdict.as_json()
