"""``lensneg doctor``: this machine and this installation, and what a run takes of them."""

import click

from lensneg.commands.common import EXIT_BAD_INPUT, Command, Result, prints_result
from lensneg.commands.failure import Fault


@click.command(cls=Command)
@click.option("--out", default="", metavar="DIR", help="The output folder of a run: look at its disk, too.")
@prints_result
def doctor(out: str) -> Result:
    """Print what was found on this machine, and after an arrow what a run uses: paste it into a bug report.

    Versions, Java, cores, memory, disks, and the variables that a run heeds and ignores. Values of variables
    are not printed. Ends with 2 if a run lacks something, and says what to do.

    Example: lensneg doctor
    """
    from lensneg.local.doctor import examine

    found = examine(out)
    lines = [f"{f.subject:<11}{f.found}" + (f" -> {f.used}" if f.used else "") for f in found.findings]
    data = {"findings": [finding._asdict() for finding in found.findings], "shortages": found.shortages}
    faults = [Fault("this machine", line) for line in found.shortages]
    return Result(data, "\n".join(lines), faults=faults, exit_code=EXIT_BAD_INPUT if faults else 0)
