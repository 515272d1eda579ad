"""Stopping a run on AWS: its executions and its job runs, until all of them have ended."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack
from lensneg.aws.executions import find_execution
from lensneg.aws.history import Execution, JobProgress, describe
from lensneg.errors import InputError, LensnegError

#: Seconds between two looks at what was stopped, and their number.
_EVERY: Final = 2.0
_LOOKS: Final = 150

#: A job run in one of these states has ended. One that is being cancelled is waited for.
_JOB_ENDED: Final = ("SUCCESS", "FAILED", "CANCELLED")


def stop(
    aws: Aws, stack: Stack, run_id: str | None, pause: Callable[[float], None] = time.sleep
) -> list[str]:
    """Stop a run's execution and its mini-test, cancel their job runs, and wait until all have ended.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    stack : Stack
        The stack of the run.
    run_id : str or None
        The run; None for the newest.
    pause : callable
        Waits for some seconds.

    Returns
    -------
    list of str
        What was stopped, in words.

    Raises
    ------
    InputError
        If nothing was under way.
    LensnegError
        If something goes on five minutes later.
    """
    execution = find_execution(aws, stack, run_id)
    run = execution.run_id or execution.name
    of_stack = f"run {run} of stack {stack.name}"
    stopped = end_executions(aws, lambda: [describe(aws, execution.arn)], of_stack, pause)
    if not stopped:
        remedy = f"lensneg aws status {run} shows it"
        what = f"execution {execution.name} is {execution.status}: there is nothing to stop"
        raise InputError(what, where=of_stack, remedy=remedy)
    return stopped


def end_executions(
    aws: Aws, find: Callable[[], Iterable[Execution]], where: str, pause: Callable[[float], None]
) -> list[str]:
    """Stop executions, their mini-tests and their job runs, and look until all have ended.

    Step Functions tries to cancel a job run that it waits for, without a guarantee. So each job run that goes
    on is cancelled here as well. An execution's history names a mini-test or a job run a moment after it was
    started, so each look stops what has turned up since. A dry run looks once.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    find : callable
        Returns the executions as they are now.
    where : str
        What they are, for an error.
    pause : callable
        Waits for some seconds.

    Returns
    -------
    list of str
        What was stopped, in words.

    Raises
    ------
    LensnegError
        If something goes on five minutes later.
    """
    stopped: dict[str, str] = {}
    for _ in range(_LOOKS):
        own = list(find())
        family = own + [describe(aws, arn) for e in own for arn in e.history(aws).mini_tests]
        at_work = [member for member in family if member.status == "RUNNING"]
        for member in at_work:
            if member.arn not in stopped:
                reason = {"error": "Stopped", "cause": "lensneg aws stop"}
                aws.change("stepfunctions", "stop_execution", executionArn=member.arn, **reason)
                stopped[member.arn] = f"execution {member.name}"
        jobs = [(application, job) for member in family for application, job in _jobs(aws, member)]
        for application, job in jobs:
            if job.state != "CANCELLING" and job.job_run_id not in stopped:
                ids = {"applicationId": application, "jobRunId": job.job_run_id}
                aws.change("emr-serverless", "cancel_job_run", **ids)
                stopped[job.job_run_id] = f"job run {job.job_run_id}, which was {job.state}"
        if aws.dry or not (at_work or jobs):
            return list(stopped.values())
        pause(_EVERY)
    going_on = [f"execution {member.name}" for member in at_work]
    going_on += [f"job run {job.job_run_id} ({job.state})" for _, job in jobs]
    remedy = "give the same command again; if that does not help, stop them in the console of AWS"
    raise LensnegError(f"stopped, and not ended: {', '.join(going_on)}", where=where, remedy=remedy)


def _jobs(aws: Aws, execution: Execution) -> list[tuple[str, JobProgress]]:
    """Return the job runs of an execution that have not ended, each with its application."""
    history = execution.history(aws)
    found = zip(history.jobs, history.read_jobs(aws), strict=True)
    return [(application, job) for (application, _), job in found if job.state not in _JOB_ENDED]
