"""The files states/<state>.json: when the states of a run's executions began and ended."""

from datetime import UTC, datetime
from typing import Final, Self

from pydantic import AwareDatetime

from lensneg import storage
from lensneg.schema.layout import RunFiles
from lensneg.schema.record import Record

#: The states that work without a function of their own. Each fills the time between two functions.
MAP: Final = "FilterSweeps"
DRAW: Final = "SampleNegatives"
_BETWEEN: Final = {MAP: ("PlanFanOut", "SummarizeFanOut"), DRAW: ("SummarizeFanOut", "CheckSample")}

#: The first function of every execution, and the state that may come before it.
FIRST: Final = "Preflight"
MINI_TEST: Final = "MiniTest"


class StateTimes(Record):
    """When a state was entered, and when its function ended. A later execution overwrites the file."""

    state: str
    entered: AwareDatetime
    ended: AwareDatetime
    on_aws: bool

    @classmethod
    def until_now(cls, state: str, entered: datetime, root: str) -> Self:
        """Return the times of a state that ends now.

        Parameters
        ----------
        state : str
            The state.
        entered : datetime
            When it was entered.
        root : str
            The run's folder. It is in S3 if the run is made on AWS, and only then.

        Returns
        -------
        StateTimes
            The times.
        """
        ended = max(entered, datetime.now(UTC))
        return cls(state=state, entered=entered, ended=ended, on_aws=storage.is_s3(root))


def last_execution(files: RunFiles, own: StateTimes | None = None) -> dict[str, StateTimes]:
    """Return the times of the states of a run's last execution.

    Parameters
    ----------
    files : RunFiles
        The run.
    own : StateTimes, optional
        The state that is at work now and has written no times yet.

    Returns
    -------
    dict of str to StateTimes
        By state, in the order in which they began. Empty if the run has no times.

    Raises
    ------
    RunStateError
        If a file is damaged.
    """
    listed = storage.list_files(files.states_folder, missing_ok=True)
    found = {times.state: times for times in (StateTimes.read(info.uri) for info in listed)}
    if own is not None:
        found[own.state] = own
    if FIRST not in found:
        return {}
    begun = found[FIRST].entered
    # Every execution enters Preflight. A mini-test before it ends when Preflight is entered.
    last = {name: times for name, times in found.items() if times.entered >= begun or times.ended == begun}
    for state, (before, after) in _BETWEEN.items():
        if before in last and after in last:
            span = {"state": state, "entered": last[before].ended, "ended": last[after].entered}
            last[state] = last[before].model_copy(update=span)
    return dict(sorted(last.items(), key=lambda entry: entry[1].entered))
