"""The model: a run worked out by hand, and what must rise and fall with what."""

import math
from dataclasses import replace

import pytest
from costcase import MIB, ROUND, small_run, sweep, whole_files, with_rates
from hypothesis import given
from hypothesis import strategies as st

from lensneg.cost.listing import Listing, list_release
from lensneg.cost.model import estimate, not_included
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import Price, Rates, load_prices, load_rates
from lensneg.schema.config import Config

#: Part by part: quantity, dollars, seconds.
BY_HAND = {
    # 2 INIT + 4, and 2 headers of 1 s, at 4 GB; 3 s unbilled.
    "Preflight: Lambda": (32, 32 * 0.0000166667, 11),
    "Map: Lambda": (44.625 * 2, 89.25 * 0.0000166667, 33.625),
    "Map: invocations": (3, 3 * 0.20e-6, 0),
    # 505 MiB in parts of 101, one header and 2 more an item, 2 an environment.
    "Map: S3 GET": (3 * 5 + 3 * 3 + 2 * 2, 28 * 0.0004e-3, 0),
    "Map: S3 PUT": (9, 9 * 0.005e-3, 0),
    "Map: transitions": (3 * (1 + 1), 6 * 0.025e-3, 0),
    # 6 s, and 3 stats and 3 matches at a request of 0.25 s.
    "SummarizeFanOut: Lambda": (7.5 * 4, 30 * 0.0000166667, 10.5),
    # 5 vCPU and 10 GB for a minute: it takes 20 s to start; 4 cores open 3 files at 4 s each and read half of
    # 157.3 MB at 19.66 MB/s each, which is 3 + 1 s; 10 s for a fifth of 500,000 rows. And 2 vCPU and 4 GB for
    # the 9, 33.625 and 10.5 s of PlanFanOut, map and SummarizeFanOut, and 66.875 s idle: two minutes.
    "Draw: EMR vCPU": (9 / 60, 9 / 60 * 0.052624, 34),
    "Draw: EMR memory": (18 / 60, 18 / 60 * 0.0057785, 0),
    # 6 s, 3 pool files at a request of 0.25 s, and 10 s for five times as many rows.
    "CheckSample: Lambda": (8.75 * 4, 35 * 0.0000166667, 11.75),
    # Two functions are left.
    "Other functions: Lambda": (2 * 6 * 4, 48 * 0.0000166667, 2 * 9),
    "Execution: transitions": (10, 10 * 0.025e-3, 1),
    # 2 headers and 2 last rows, 3 stats and 3 matches, 3 pool files at 4 and at 1.
    "Rest: S3 GET": (25, 25 * 0.0004e-3, 0),
    # 70, two listings of the sweeps, one of pool files and one of matches.
    "Rest: S3 PUT, LIST": (74, 74 * 0.005e-3, 0),
    "CloudWatch Logs": (3, 1.5, 0),
}


def test_every_part_as_worked_out_by_hand() -> None:
    result = estimate(small_run())
    assert [part.name for part in result.parts] == list(BY_HAND)
    for part in result.parts:
        assert (part.quantity, part.usd, part.seconds) == pytest.approx(BY_HAND[part.name]), part.name
        assert part.assumption
    assert result.usd == pytest.approx(sum(usd for _, usd, _ in BY_HAND.values()))
    assert result.seconds == pytest.approx(11 + 33.625 + 10.5 + 34 + 11.75 + 18 + 1)
    assert result.map_billed_seconds == pytest.approx(44.625)
    assert result.overruns == ()


def test_a_long_draw_is_billed_as_long_as_it_takes() -> None:
    result = estimate(with_rates(small_run(), draw_seconds=500.0))
    # 20 + 4 + 100 s.
    assert result.part("Draw: EMR vCPU").seconds == pytest.approx(124)
    assert result.part("Draw: EMR vCPU").quantity == pytest.approx((5 * 124 + 2 * 120) / 3600)
    assert result.part("Draw: EMR memory").quantity == pytest.approx((10 * 124 + 4 * 120) / 3600)
    text = result.part("Draw: EMR vCPU").assumption
    assert "20 s to start, 4 s to open 3 pool files and read 50% of them, 100 s to draw 100,000 rows" in text


def test_long_reads_of_headers_are_paid_for_and_waited_for() -> None:
    result = estimate(with_rates(small_run(), header_read=1000.0))
    # 6 s, then 2,000 MiB: 105 in a second and the rest at 40 MiB/s; that takes longer than parsing.
    assert result.part("Preflight: Lambda").seconds == pytest.approx(6 + 1 + 1895 / 40 + 3)
    assert result.part("Map: S3 GET").quantity == 3 * 5 + 3 * (2 + 10) + 2 * 2
    assert result.part("Rest: S3 GET").quantity == 25 + 2 * 9
    # An item reads 1,505 MiB, two of them with a burst.
    assert result.map_billed_seconds == pytest.approx(2 * (2 + 1 + 1 + 35 + 1) + (1 + 1505 / 40 + 1))


@pytest.mark.parametrize(
    ("name", "value", "function"),
    [
        ("header_seconds", 500.0, "Preflight"),
        ("request_seconds", 160.0, "SummarizeFanOut"),
        ("item_seconds", 900.0, "FilterSweep"),
        ("check_seconds", 5000.0, "CheckSample"),
    ],
)
def test_a_function_that_would_be_stopped_is_named(name: str, value: float, function: str) -> None:
    assert estimate(with_rates(small_run(), **{name: value})).overruns == tuple(function.split())


def test_no_more_items_have_matches_than_there_are_positives() -> None:
    result = estimate(replace(small_run(), positives=2))
    # 6 s, and 3 stats and 2 matches at a request of 0.25 s.
    assert result.part("SummarizeFanOut: Lambda").quantity == pytest.approx(7.25 * 4)
    assert result.part("Rest: S3 GET").quantity == 2 * 2 + 3 + 2 + 3 * (4 + 1)


def test_the_draw_waits_for_the_application_only_after_the_map() -> None:
    # 9, 33.625 and 10.5 s pass from PlanFanOut to the draw.
    for start, waits in ((53.0, 0.0), (63.125, 10.0)):
        result = estimate(with_rates(small_run(), application_start_seconds=start))
        assert result.part("Draw: EMR vCPU").seconds == pytest.approx(34 + waits)


def test_all_of_dr10_takes_less_than_five_minutes_and_75_cents() -> None:
    rates = load_rates()
    config = Config.load("negative_sampling_v1")
    result = estimate(PlannedRun(list_release(rates), config, 5000, rates.rates, load_prices()))
    assert result.seconds < 300
    assert result.usd < 0.75


def test_retries_are_paid_for() -> None:
    result = estimate(with_rates(small_run(), retry_share=0.5))
    assert result.part("Map: Lambda").quantity == pytest.approx(89.25 * 1.5)
    assert result.part("Map: invocations").quantity == pytest.approx(4.5)
    assert result.part("Map: S3 GET").quantity == pytest.approx(24 * 1.5 + 4)
    # A child is started once, however often it tries its one state.
    assert result.part("Map: transitions").quantity == pytest.approx(3 * (1 + 1.5))
    assert result.part("CloudWatch Logs").quantity == pytest.approx(4.5)


def test_what_is_not_included_by_hand() -> None:
    run = small_run()
    extras = {extra.name: extra for extra in not_included(run)}
    assert list(extras) == [
        "mini-test", "sweeps in S3, a month", "pool files in S3, a month", "getting the sweeps into S3"
    ]  # fmt: skip
    assert extras["sweeps in S3, a month"].usd == pytest.approx(3 * 505 / 1024 * 0.023)
    # Half of the rows, of 100 bytes.
    assert extras["pool files in S3, a month"].usd == pytest.approx(3 * 50 / 1024 * 0.023)
    assert extras["getting the sweeps into S3"].usd == 0
    # The mini-test takes two files, so here all.
    assert run.config.execution.mini_test_files == 2
    assert extras["mini-test"].usd == pytest.approx(estimate(run).usd)
    assert extras["mini-test"].why.startswith("120 s more")


def test_the_mini_test_takes_the_smallest_files_and_their_share_of_the_positives() -> None:
    sweeps = [sweep(rows, f"sweep-{rows}") for rows in (10, 400, 30, 360)]
    run = whole_files(sweeps, positives=1000)
    tested = replace(run, listing=Listing("", (sweeps[0], sweeps[2])), positives=50)
    assert not_included(run)[0].usd == pytest.approx(estimate(tested).usd)


# What must rise and fall with what.

#: Rates that make a run slower or dearer as they rise; all others must make it neither.
BURDENS = {
    "init_seconds", "cold_start_seconds", "item_seconds", "child_seconds", "child_start_transitions",
    "retry_share", "pool_share", "pool_row_bytes", "log_bytes", "task_seconds", "header_seconds",
    "request_seconds", "header_read", "transition_seconds", "run_puts", "spark_start_seconds",
    "spark_open_seconds", "draw_read_share", "draw_gets", "draw_seconds", "check_seconds", "job_vcpu",
    "job_memory", "application_start_seconds", "warm_vcpu", "warm_memory", "idle_seconds",
}  # fmt: skip


def test_the_round_rates_are_all_there_are() -> None:
    assert set(ROUND) == set(Rates.model_fields)
    assert set(Rates.model_fields) > BURDENS


@pytest.mark.parametrize("name", Rates.model_fields)
def test_each_rate_moves_the_estimate_in_its_direction(name: str) -> None:
    plain = [sweep(1_600_000 + i, f"sweep-{i:03d}") for i in range(30)]
    packed = [sweep(400_000, f"sweep-{i:03d}.gz", 90 * MIB) for i in range(5)]
    run = whole_files(plain + packed, concurrency=10, memory=1024)
    value = getattr(run.rates, name)
    results = [estimate(with_rates(run, **{name: value * factor})) for factor in (0.5, 1, 2)]
    usd, seconds = [r.usd for r in results], [r.seconds for r in results]
    if name == "task_memory":  # more of it costs more and takes less
        assert seconds == sorted(seconds, reverse=True)
    elif name in BURDENS:
        assert (usd, seconds) == (sorted(usd), sorted(seconds))
        assert usd[0] < usd[2] or seconds[0] < seconds[2]
    else:
        assert (usd, seconds) == (sorted(usd, reverse=True), sorted(seconds, reverse=True))


@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=12),
    st.integers(1, 2000),
    st.integers(1, 15),
    st.integers(1, 10_000),
)
def test_more_work_never_costs_less(sizes: list[int], another: int, concurrency: int, positives: int) -> None:
    def run(megabytes: list[int], positives: int) -> PlannedRun:
        sweeps = [sweep(mb * MIB // 505, f"sweep-{i:03d}") for i, mb in enumerate(megabytes)]
        return whole_files(sweeps, concurrency=concurrency, positives=positives)

    less = estimate(run(sizes, positives))
    more = estimate(run([*sizes, another], positives))
    assert more.usd > less.usd
    assert more.seconds >= less.seconds
    richer = estimate(run(sizes, positives + 1000))
    assert richer.usd >= less.usd
    assert richer.seconds > less.seconds


def test_prices_scale_the_dollars_and_nothing_else() -> None:
    run = small_run()
    doubled = {
        name: price.model_copy(update={"usd": 2 * price.usd})
        for name, price in run.prices
        if isinstance(price, Price)
    }
    once, twice = estimate(run), estimate(replace(run, prices=run.prices.model_copy(update=doubled)))
    assert twice.usd == pytest.approx(2 * once.usd)
    assert twice.seconds == once.seconds


def test_more_concurrency_shortens_the_map() -> None:
    sweeps = [sweep(1000 * MIB // 505, f"sweep-{i:03d}") for i in range(100)]
    seconds = [estimate(whole_files(sweeps, concurrency=n)).seconds for n in (1, 5, 25, 100)]
    assert seconds == sorted(seconds, reverse=True)
    assert len(set(seconds)) == 4
    assert not any(math.isinf(value) for value in seconds)
