"""FetchSweep: one file of a fetch."""

from contextlib import suppress

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.task import Json, log, logger
from lensneg.errors import LensnegError
from lensneg.schema.fetch import FetchEvent, FetchFailure, FetchFiles
from lensneg.stages.fetch_sweep import fetch_sweep
from lensneg.survey.server import Server


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> Json:
    """Fetch a file, or go on with it. If it fails, write the reason for SummarizeFetch."""
    parsed = FetchEvent.model_validate(event)
    files, name = FetchFiles(parsed.root), parsed.item.name
    logger.append_keys(fetch_id=files.fetch_id, item=name, execution_arn=parsed.execution_arn)
    seconds = context.get_remaining_time_in_millis() / 1000
    try:
        server = Server(parsed.base_url, connections=1)
        step = fetch_sweep(files, parsed.to, parsed.item, parsed.step, server, seconds)
    except Exception as error:
        log.error("%s failed: %s: %s", name, type(error).__name__, error)
        with suppress(LensnegError):  # the file's own error matters more
            FetchFailure(name=name, reason=str(error)).write(files.error(name))
        raise
    log.info("%s after %.2f s: %s", name, step.seconds, "whole" if step.whole else "more must come")
    return step.as_json()
