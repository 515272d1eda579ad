"""``lensneg self-test``: whether this installation computes what it should."""

import click

from lensneg.commands.common import EXIT_GATE_FAILED, Command, Result, checks_table, prints_result
from lensneg.commands.failure import faults_of_checks


@click.command("self-test", cls=Command)
@prints_result
def self_test() -> Result:
    """Send a fixed sky of 1,000 rows through the rules, and compare the result with the one on record.

    It needs no files and no account. Gate 1 of each run makes the same check.

    Example: lensneg self-test
    """
    from lensneg.stages.self_test import self_test as make_check

    check = make_check()
    exit_code = 0 if check.passed else EXIT_GATE_FAILED
    table = checks_table([check], "self-test")
    return Result(check.as_json(), table, faults=faults_of_checks([check]), exit_code=exit_code)
