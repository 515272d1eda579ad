"""The time line of a run: when each state begins and ends and what it costs, planned and actual."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from lensneg.cost.model import WORKER_MINIMUM_SECONDS, Estimate
from lensneg.cost.planned_run import FILTER_MEMORY_MB, PlannedRun
from lensneg.schema.item import ItemStats
from lensneg.schema.run_cost import Span, StateCost, TimeLine
from lensneg.schema.sample_summary import JobRun
from lensneg.schema.state_times import DRAW, FIRST, MAP, MINI_TEST, StateTimes

#: The state of a part of the model, by the beginning of the part's name where that is not the state.
_STATE_OF: Final = {"Map": MAP, "CloudWatch Logs": MAP, "Draw": DRAW}

_OTHERS: Final = "Other functions"


def planned_states(run: PlannedRun, result: Estimate) -> tuple[dict[str, Span], float]:
    """Return the planned time and cost of each state.

    Parameters
    ----------
    run : PlannedRun
        The run.
    result : Estimate
        Its estimate.

    Returns
    -------
    states : dict of str to Span
        By state, in order; the first begins at 0. States that do no work, the choices, are left out, but
        take time.
    usd_of_all : float
        The dollars of the parts that belong to no single state.
    """
    usd: defaultdict[str, float] = defaultdict(float)
    seconds: defaultdict[str, float] = defaultdict(float)
    owners = [part.name.partition(":")[0] for part in result.parts]
    others = [state for state in run.graph.tasks if state not in owners]
    for part, owner in zip(result.parts, owners, strict=True):
        states = others if owner == _OTHERS else [_STATE_OF.get(owner, owner)]
        for state in states:
            usd[state] += part.usd / len(states)
            seconds[state] += part.seconds / len(states)
    spans: dict[str, Span] = {}
    clock = 0.0
    for state in run.graph.states:
        begin = clock + run.rates.transition_seconds if spans else 0.0
        clock = begin + seconds[state]
        if state in usd:
            spans[state] = Span.of(begin, clock, usd.pop(state))
    return spans, round(sum(usd.values()), 6)


def actual_states(
    last: Mapping[str, StateTimes],
    stats: Sequence[ItemStats],
    job: JobRun | None,
    planned: PlannedRun | None,
) -> dict[str, Span]:
    """Return the time and cost of each state of a run's last execution.

    Parameters
    ----------
    last : mapping of str to StateTimes
        The result of :func:`lensneg.schema.state_times.last_execution`.
    stats : sequence of ItemStats
        The items that the execution did.
    job : JobRun or None
        The job run of the draw, with what was billed.
    planned : PlannedRun or None
        The prices and rates. Without them the cost on AWS is None.

    Returns
    -------
    dict of str to Span
        By state, in order. A mini-test has no cost here, as its own run has it.
    """
    spans = {}
    for state, times in last.items():
        start = last[FIRST].entered
        begin, end = ((at - start).total_seconds() for at in (times.entered, times.ended))
        usd: float | None = 0.0
        if times.on_aws:
            usd = None
            if planned is not None and state != MINI_TEST:
                usd = _usd(state, end - begin, stats, job, planned)
        spans[state] = Span.of(begin, end, usd)
    return spans


def _usd(
    state: str, seconds: float, stats: Sequence[ItemStats], job: JobRun | None, planned: PlannedRun
) -> float:
    """Return the dollars of a state on AWS: Lambda, EMR and transitions, without S3 and logs."""
    prices, rates = planned.prices, planned.rates
    usd = prices.step_functions_transition.each
    if state == DRAW:
        hours = (job.vcpu_hours, job.memory_gb_hours) if job else (None, None)
        return usd + prices.job_usd(rates, max(WORKER_MINIMUM_SECONDS, seconds), *hours)
    if state == MAP:
        item_seconds = sum(item.seconds for item in stats)
        usd += prices.map_transitions_usd(rates, len(stats), len(planned.graph.child_states))
        return usd + prices.lambda_usd(item_seconds, FILTER_MEMORY_MB, len(stats))
    return usd + prices.lambda_usd(seconds, rates.task_memory, 1)


def time_line(
    last: Mapping[str, StateTimes],
    stats: Sequence[ItemStats],
    job: JobRun | None,
    planned: PlannedRun | None,
    result: Estimate | None,
) -> TimeLine:
    """Return the time line of a run.

    Parameters
    ----------
    last : mapping of str to StateTimes
        The result of :func:`lensneg.schema.state_times.last_execution`.
    stats : sequence of ItemStats
        All items that are done.
    job : JobRun or None
        The job run of the draw.
    planned : PlannedRun or None
        The run as it is planned on AWS; None if there are no rates or prices.
    result : Estimate or None
        The estimate of ``planned``.

    Returns
    -------
    TimeLine
        The states in the order of the graph; those that are not on its way through every gate come where
        they began.
    """
    started = last[FIRST].entered if FIRST in last else None
    done = [item for item in stats if item.ended is None or started is None or item.ended >= started]
    actual = actual_states(last, done, job, planned)
    plan, usd_of_all = planned_states(planned, result) if planned and result else ({}, None)
    names, at = list(plan), 0
    for name in actual:
        if name not in plan:  # a mini-test, or a quarantine
            names.insert(at, name)
        at = names.index(name) + 1
    states = []
    for i, name in enumerate(names):
        note = ""
        if name not in actual:
            note = "not recorded" if not actual else "skipped, as it was done" if i < at else "not reached"
        elif name == MAP and len(done) < len(stats):
            note = f"{len(stats) - len(done):,} of {len(stats):,} items skipped, as they were done"
        states.append(StateCost(state=name, planned=plan.get(name), actual=actual.get(name), note=note))
    on_aws = any(times.on_aws for times in last.values())
    return TimeLine(started=started, on_aws=on_aws, states=tuple(states), planned_usd_of_all=usd_of_all)
