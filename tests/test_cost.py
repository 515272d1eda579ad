"""The cost model: a case small enough to work out by hand, what must rise and fall with what, and the
command."""

import json
import math
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONFIGS, config_text
from hypothesis import given
from hypothesis import strategies as st

from lensneg import cost, storage
from lensneg.cli import main
from lensneg.cost import MIB, Graph, Listing, Model, Options, Rates, RatesFile, Work, Workload
from lensneg.errors import InputError
from lensneg.schema.config import Config

RATES = CONFIGS / "rates.yaml"
PRICES = CONFIGS / "prices.yaml"
GRAPH = json.loads(Path(cost.GRAPH_FILE).read_text())

#: One item of 1,048,576 rows has 505 MiB.
ROWS = 1 << 20
ITEM = Work(505 * MIB, ROWS, False)

#: Rates with which every part comes to a round number; they are explained where they are used.
ROUND = {
    "map_rate": 1000.0,
    "network_burst_rate": 105.0,
    "network_rate": 40.0,
    "network_burst": 105.0,
    "warm_burst": 0.0,
    "connection_rate": 1000.0,
    "read_connections": 1.0,
    "read_part": 101.0,
    "header_read": 0.0,
    "gunzip_rate": 200.0,
    "gzip_ratio": 0.5,
    "init_seconds": 2.0,
    "cold_start_seconds": 3.0,
    "item_seconds": 1.0,
    "write_rate": 52.4288,
    "child_seconds": 0.5,
    "child_start_rate": 1000.0,
    "child_start_transitions": 1.0,
    "get_limit": 5500.0,
    "retry_share": 0.0,
    "pool_share": 0.5,
    "pool_row_bytes": 100.0,
    "log_bytes": float(1 << 30),
    "task_memory": 4096.0,
    "task_seconds": 4.0,
    "header_seconds": 1.0,
    "request_seconds": 0.25,
    "transition_seconds": 0.1,
    "run_puts": 60.0,
    "spark_start_seconds": 20.0,
    "spark_open_seconds": 4.0,
    "spark_read_rate": 19.6608,
    "draw_read_share": 0.5,
    "draw_gets": 4.0,
    "draw_seconds": 50.0,
    "gather_seconds": 1.0,
    "driver_vcpu": 1.0,
    "driver_memory": 2.0,
    "executors": 2.0,
    "executor_vcpu": 2.0,
    "executor_memory": 4.0,
}


@pytest.fixture(scope="module")
def known() -> RatesFile:
    """The published rates."""
    return cost.load_rates(str(RATES))


@pytest.fixture(scope="module")
def prices() -> cost.Prices:
    """The published prices."""
    return cost.load_prices(str(PRICES))


def with_values(rates: Rates, values: dict[str, float], **spread: tuple[float, float]) -> Rates:
    """Rates of these values, each certain but for those whose low and high are given."""
    changed = {}
    for name, value in values.items():
        low, high = spread.get(name, (value, value))
        changed[name] = getattr(rates, name).model_copy(update={"value": value, "low": low, "high": high})
    return rates.model_copy(update=changed)


@pytest.fixture
def model(known: RatesFile, prices: cost.Prices) -> Model:
    """Round rates, the published prices, and a graph of six functions."""
    tasks = ("Preflight", "PlanFanOut", "SummarizeFanOut", "CheckSample", "Report")
    graph = Graph(("Gate", *tasks, "Map", "Draw", "Gate2", "Gate3"), tasks, ("FilterSweep",))
    return Model(with_values(known.rates, ROUND), prices, graph)


@pytest.fixture
def options(plan: Config) -> Options:
    """Two items at a time, 2 GB, 1,000 positives and so 100,000 negatives."""
    return Options.of_config(plan, concurrency=2, memory=2048, positives=1000)


@pytest.fixture
def two_files(known: RatesFile, options: Options) -> Workload:
    """A file of two items and one of a single item, all of one size."""
    sizes = {"sweep-000m005-005p000.fits": 2 * ROWS, "sweep-005m005-010p000.fits": ROWS}
    text = "\n".join(f"{name} {rows * 505 + 16 * 2880}" for name, rows in sizes.items())
    listing = cost.parse_listing(text, "two files", known)
    return cost.workload(listing.sweeps, options.with_item_bytes(505 * MIB).execution)


# The small case, by hand.


def test_two_files_make_three_items(two_files: Workload) -> None:
    assert two_files == Workload(2, (ITEM, ITEM, ITEM))


def test_reading_is_a_burst_and_then_a_steady_rate(model: Model) -> None:
    # 105 MiB at 105 MiB/s and 400 MiB at 40 MiB/s; without a burst, 505 MiB at 40 MiB/s.
    assert cost.network_seconds(505 * MIB, 105 * MIB, model.rates) == pytest.approx(1 + 10)
    assert cost.network_seconds(505 * MIB, 0, model.rates) == pytest.approx(12.625)
    assert cost.network_seconds(52.5 * MIB, 105 * MIB, model.rates) == pytest.approx(0.5)


def test_few_connections_hold_reading_back(model: Model) -> None:
    slow = with_values(model.rates, {"connection_rate": 10.0, "read_connections": 2.0})
    assert cost.network_seconds(100_000_000, 105 * MIB, slow) == pytest.approx(5)


def test_an_item_takes_init_requests_reading_and_writing(model: Model) -> None:
    # 2 INIT + 1 round trips + 11 reading + 1 writing 1,048,576 x 0.5 rows of 100 bytes.
    assert cost.item_seconds(ITEM, 2048, model.rates, cold=True) == pytest.approx(15)
    assert cost.item_seconds(ITEM, 2048, model.rates, cold=False) == pytest.approx(14.625)


def test_computing_is_hidden_behind_reading_unless_it_is_slower(model: Model) -> None:
    seconds = 505 * MIB / 10e6  # at 10 MB/s
    slow = with_values(model.rates, {"map_rate": 10.0})
    assert cost.item_seconds(ITEM, 2048, slow, cold=False) == pytest.approx(1 + seconds + 1)
    assert cost.compute_seconds(ITEM, 2048, slow) == pytest.approx(seconds)
    # One thread has no use for more than one vCPU, and half the memory is half a vCPU.
    assert cost.compute_seconds(ITEM, 10_240, slow) == pytest.approx(seconds)
    assert cost.compute_seconds(ITEM, 1769 // 2, slow) == pytest.approx(2 * seconds, rel=1e-2)


def test_gzipped_rows_are_also_unpacked(model: Model) -> None:
    work = Work(100 * MIB, ROWS, True)
    plain = ROWS * 505 / 1e6
    expected = plain / 1000 + plain / 200
    assert cost.compute_seconds(work, 2048, model.rates) == pytest.approx(expected)


def test_the_map_puts_items_onto_the_first_free_environment(
    two_files: Workload, options: Options, model: Model
) -> None:
    mapped = cost.map_time(two_files, options, model.rates)
    # Two cold items of 3 + 0.5 + 15 s, then a warm one of 0.5 + 14.625 s.
    assert mapped.seconds == pytest.approx(18.5 + 15.125)
    assert mapped.billed_seconds == pytest.approx(15 + 15 + 14.625)
    assert mapped.environments == 2
    assert mapped.bound == "the environments"


def test_the_map_is_no_faster_than_children_start_or_s3_answers(
    two_files: Workload, options: Options, model: Model
) -> None:
    starts = with_values(model.rates, {"child_start_rate": 0.01})
    assert cost.map_time(two_files, options, starts).seconds == pytest.approx(300)
    gets = with_values(model.rates, {"get_limit": 0.1})
    mapped = cost.map_time(two_files, options, gets)
    assert mapped.seconds == pytest.approx((15 + 3) / 0.1)
    assert "GET a second" in mapped.bound


def test_the_draw_starts_opens_reads_and_draws(two_files: Workload, options: Options, model: Model) -> None:
    drawn = cost.draw_time(two_files, options, model.rates)
    # 4 cores open 3 files at 4 s each, and read half of 157.3 MB at 19.66 MB/s each; 50 s for 500,000 rows.
    assert (drawn.start, drawn.read, drawn.draw) == pytest.approx((20, 3 + 1, 10))
    assert drawn.seconds == pytest.approx(34)
    assert drawn.billed_seconds == 60


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
    # 6 s, and 3 stats and 3 matches at two requests of 0.25 s.
    "SummarizeFanOut: Lambda": (9 * 4, 36 * 0.0000166667, 12),
    # 1 + 2 x 2 vCPU and 2 + 2 x 4 GB for a minute.
    "Draw: EMR vCPU": (5 / 60, 5 / 60 * 0.052624, 34),
    "Draw: EMR memory": (10 / 60, 10 / 60 * 0.0057785, 0),
    # 6 s, and 3 pool files at two requests of 0.25 s and 1 s of decoding.
    "CheckSample: Lambda": (10.5 * 4, 42 * 0.0000166667, 13.5),
    # Two functions are left.
    "Other functions: Lambda": (2 * 6 * 4, 48 * 0.0000166667, 2 * 9),
    "Execution: transitions": (10, 10 * 0.025e-3, 1),
    # 2 headers, twice 3 stats and 3 matches, 3 pool files at 4 and at 2.
    "Rest: S3 GET": (32, 32 * 0.0004e-3, 0),
    # 60, one listing of the sweeps, ten small ones.
    "Rest: S3 PUT, LIST": (71, 71 * 0.005e-3, 0),
    "CloudWatch Logs": (3, 1.5, 0),
}


def test_every_part_as_worked_out_by_hand(two_files: Workload, options: Options, model: Model) -> None:
    result = cost.estimate(two_files, options, model)
    assert [part.name for part in result.parts] == list(BY_HAND)
    for part in result.parts:
        assert (part.quantity, part.usd, part.seconds) == pytest.approx(BY_HAND[part.name]), part.name
        assert part.assumption
    assert result.usd == pytest.approx(sum(usd for _, usd, _ in BY_HAND.values()))
    assert result.seconds == pytest.approx(11 + 33.625 + 12 + 34 + 13.5 + 18 + 1)
    assert (result.items, result.waves, result.transitions) == (3, 2, 6 + 10)
    assert result.map_billed_seconds == pytest.approx(44.625)
    assert result.overruns == ()


def test_long_reads_of_headers_are_paid_for_and_waited_for(
    two_files: Workload, options: Options, model: Model
) -> None:
    greedy = Model(with_values(model.rates, {"header_read": 1000.0}), model.prices, model.graph)
    result = cost.estimate(two_files, options, greedy)
    # 6 s, then 2,000 MiB: 105 in a second and the rest at 40 MiB/s; that takes longer than parsing.
    assert result.part("Preflight: Lambda").seconds == pytest.approx(6 + 1 + 1895 / 40 + 3)
    assert result.part("Map: S3 GET").quantity == 3 * 5 + 3 * (2 + 10) + 2 * 2
    assert result.part("Rest: S3 GET").quantity == 32 + 2 * 9
    # An item reads 1,505 MiB, two of them with a burst.
    assert result.map_billed_seconds == pytest.approx(2 * (2 + 1 + 1 + 35 + 1) + (1 + 1505 / 40 + 1))


@pytest.mark.parametrize(
    ("name", "value", "function"),
    [
        ("header_seconds", 500.0, "Preflight"),
        ("request_seconds", 100.0, "SummarizeFanOut"),
        ("item_seconds", 900.0, "FilterSweep"),
    ],
)
def test_a_function_that_would_be_stopped_is_named(
    two_files: Workload, options: Options, model: Model, name: str, value: float, function: str
) -> None:
    slow = Model(with_values(model.rates, {name: value}), model.prices, model.graph)
    assert cost.estimate(two_files, options, slow).overruns == (function,)


def test_retries_are_paid_for(two_files: Workload, options: Options, model: Model) -> None:
    retried = Model(with_values(model.rates, {"retry_share": 0.5}), model.prices, model.graph)
    result = cost.estimate(two_files, options, retried)
    assert result.part("Map: Lambda").quantity == pytest.approx(89.25 * 1.5)
    assert result.part("Map: invocations").quantity == pytest.approx(4.5)
    # A child is started once, however often it tries its one state.
    assert result.part("Map: transitions").quantity == pytest.approx(3 * (1 + 1.5))


# The graph.


def test_the_way_of_a_run_through_the_real_graph() -> None:
    graph = cost.read_graph(GRAPH)
    assert graph.states[0] == GRAPH["StartAt"]
    assert graph.states[-1] == "Report"
    assert len(set(graph.states)) == len(graph.states)
    assert {state for state in graph.states if state.startswith("Gate")} == {
        state for state in GRAPH["States"] if state.startswith("Gate") and state != "GateFailed"
    }
    assert not {"MiniTest", "Quarantine", "GateFailed"} & set(graph.states)
    assert {"Preflight", "SummarizeFanOut"} <= set(graph.tasks)
    assert graph.child_states == ("FilterSweep",)


def test_a_graph_that_only_fails_has_no_way() -> None:
    with pytest.raises(InputError, match="no way to an end"):
        cost.read_graph({"StartAt": "A", "States": {"A": {"Type": "Fail"}}})


# What must rise and fall with what.

#: Rates that make a run slower or dearer as they rise; all others must make it neither.
BURDENS = {
    "init_seconds", "cold_start_seconds", "item_seconds", "child_seconds", "child_start_transitions",
    "retry_share", "pool_share", "pool_row_bytes", "log_bytes", "task_seconds", "header_seconds",
    "request_seconds", "header_read", "transition_seconds", "run_puts", "spark_start_seconds",
    "spark_open_seconds",
    "draw_read_share", "draw_gets", "draw_seconds", "gather_seconds", "driver_memory", "driver_vcpu",
    "executor_memory",
}  # fmt: skip
#: More of these costs more and takes less.
TRADES = {"task_memory", "executors", "executor_vcpu"}


@pytest.mark.parametrize("name", Rates.model_fields)
def test_each_rate_moves_the_estimate_in_its_direction(
    known: RatesFile, prices: cost.Prices, plan: Config, name: str
) -> None:
    options = Options.of_config(plan, concurrency=10, memory=1024, positives=50)
    work = Workload(6, (*[Work(800 * MIB, 1_600_000, False)] * 30, *[Work(90 * MIB, 400_000, True)] * 5))
    graph = cost.read_graph(GRAPH)
    rate = getattr(known.rates, name)
    results = [
        cost.estimate(work, options, Model(with_values(known.rates, {name: value}), prices, graph))
        for value in (rate.low, rate.value, rate.high)
    ]
    usd, seconds = [r.usd for r in results], [r.seconds for r in results]
    if name in TRADES:
        assert seconds == sorted(seconds, reverse=True)
    elif name in BURDENS:
        assert (usd, seconds) == (sorted(usd), sorted(seconds))
    else:
        assert (usd, seconds) == (sorted(usd, reverse=True), sorted(seconds, reverse=True))


@lru_cache
def published() -> tuple[Config, Model]:
    """The published config, and the model with the published rates and prices."""
    config = Config.parse(config_text("negative_sampling_v1"))
    rates, prices = cost.load_rates(str(RATES)).rates, cost.load_prices(str(PRICES))
    return config, Model(rates, prices, cost.read_graph(GRAPH))


def options_of(concurrency: int, positives: int) -> Options:
    return Options.of_config(published()[0], concurrency=concurrency, memory=1769, positives=positives)


@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=40),
    st.integers(1, 2000),
    st.integers(1, 50),
    st.integers(1, 10_000),
)
def test_more_work_never_costs_less(sizes: list[int], another: int, concurrency: int, positives: int) -> None:
    model = published()[1]

    def work(megabytes: list[int]) -> Workload:
        items = sorted((Work(mb * MIB, mb * MIB // 505, False) for mb in megabytes), reverse=True)
        return Workload(len(items), tuple(items))

    less = cost.estimate(work(sizes), options_of(concurrency, positives), model)
    more = cost.estimate(work([*sizes, another]), options_of(concurrency, positives), model)
    assert more.usd > less.usd
    assert more.seconds >= less.seconds
    richer = cost.estimate(work(sizes), options_of(concurrency, positives + 1000), model)
    assert richer.usd >= less.usd
    assert richer.seconds > less.seconds
    assert less.waves == math.ceil(len(sizes) / concurrency)


def test_prices_scale_the_dollars_and_nothing_else(
    two_files: Workload, options: Options, model: Model
) -> None:
    doubled = model.prices.model_copy(
        update={
            name: price.model_copy(update={"usd": 2 * price.usd})
            for name, price in model.prices
            if isinstance(price, cost.Price)
        }
    )
    once = cost.estimate(two_files, options, model)
    twice = cost.estimate(two_files, options, Model(model.rates, doubled, model.graph))
    assert twice.usd == pytest.approx(2 * once.usd)
    assert twice.seconds == once.seconds


def test_more_concurrency_shortens_the_map() -> None:
    work = Workload(100, (Work(1000 * MIB, ROWS, False),) * 100)
    seconds = [cost.estimate(work, options_of(n, 10), published()[1]).seconds for n in (1, 5, 25, 100)]
    assert seconds == sorted(seconds, reverse=True)
    assert len(set(seconds)) == 4


# Sensitivity.


def test_certain_rates_change_nothing(two_files: Workload, options: Options, model: Model) -> None:
    swings = cost.sensitivity(two_files, options, model)
    assert [swing.name for swing in swings] == list(Rates.model_fields)
    assert not any(swing.usd or swing.seconds for swing in swings)
    result = cost.estimate(two_files, options, model)
    assert cost.bounds(two_files, options, model, swings) == (
        result.usd, result.usd, result.seconds, result.seconds
    )  # fmt: skip


@pytest.mark.parametrize(
    ("planted", "spread", "kind"),
    [
        ("transition_seconds", (0.1, 1e4), "seconds"),
        ("log_bytes", (0.0, 1e13), "usd"),
        ("map_rate", (0.001, 1000.0), "seconds"),
        ("child_start_transitions", (1.0, 1e7), "usd"),
    ],
)
def test_sensitivity_finds_a_planted_rate(
    two_files: Workload, options: Options, model: Model, planted: str, spread: tuple[float, float], kind: str
) -> None:
    # Every rate is uncertain by a tenth, and the planted one by far more.
    wide: dict[str, tuple[float, float]] = {
        name: (0.9 * value, min(1.1 * value, 1.0) if name.endswith("share") else 1.1 * value)
        for name, value in ROUND.items()
    }
    rates = with_values(model.rates, ROUND, **{**wide, planted: spread})
    uncertain = Model(rates, model.prices, model.graph)
    swings = cost.sensitivity(two_files, options, uncertain)
    assert max(swings, key=lambda swing: getattr(swing, kind)).name == planted
    ends = cost.bounds(two_files, options, uncertain, swings)
    result = cost.estimate(two_files, options, uncertain)
    assert ends.usd_low <= result.usd <= ends.usd_high
    assert ends.seconds_low <= result.seconds <= ends.seconds_high
    for swing in swings:
        assert result.usd + max(swing.usd_at_low, swing.usd_at_high) <= ends.usd_high * (1 + 1e-9)


# Item sizes.


def size(usd: float, seconds: float) -> cost.ItemSize:
    return cost.ItemSize(1 << 28, 1, 1, 0.0, 0.0, usd, seconds)


def test_the_cheapest_size_in_time_is_recommended_else_the_fastest() -> None:
    cheap_and_late, cheap, dear, slowest = size(0.5, 601), size(1, 500), size(2, 100), size(0.1, 900)
    assert cost.recommend([cheap_and_late, dear, cheap]) is cheap
    assert cost.recommend([slowest, cheap_and_late]) is cheap_and_late


def test_sizes_from_small_to_whole_files_and_the_configured_one(
    known: RatesFile, prices: cost.Prices, plan: Config
) -> None:
    names = [f"sweep-{ra:03d}p000-{ra + 5:03d}p005.fits" for ra in range(0, 100, 5)]
    listing = cost.parse_listing("\n".join(names), "names", known)
    options = Options.of_config(plan, concurrency=1000, memory=1769, positives=10, item_bytes=100 * MIB)
    sizes = cost.item_sizes(listing, options, Model(known.rates, prices, cost.read_graph(GRAPH)))
    assert [s.item_bytes for s in sizes] == [*sorted({*cost.ITEM_SIZES[:-1], 100 * MIB}), None]
    assert [s.items for s in sizes] == sorted((s.items for s in sizes), reverse=True)
    assert sizes[-1].items == len(names)
    transitions = [s.transitions_usd for s in sizes]
    assert transitions == sorted(transitions, reverse=True)


# Listings.


def test_a_listing_of_names_takes_known_and_mean_sizes(known: RatesFile) -> None:
    text = """
    # a comment
    sweep-000m005-005p000.fits
    sweep-005m005-010p000.fits
    10.1/sweep-010m005-015p000.fits   1010046080

    sweep-010m005-015p000-pz.fits
    legacysurvey_dr10_south_sweep_10.1.sha256sum
    """
    listing = cost.parse_listing(text, "names", known)
    assert [s.uri for s in listing.sweeps] == [f"sweep-0{r}.fits" for r in (
        "00m005-005p000", "05m005-010p000", "10m005-015p000"
    )]  # fmt: skip
    assert (listing.modelled, listing.ignored) == (2, 2)
    first, second, third = listing.sweeps
    assert first.size == 1_865_471_040
    assert second.rows == known.sweeps.rest_rows
    assert third.rows == (1_010_046_080 - 16 * 2880) // 505
    assert 0.9e9 < second.size < 1.0e9
    assert listing.bytes == first.size + second.size + third.size


def test_a_gzipped_file_is_one_item_and_smaller(known: RatesFile, plan: Config) -> None:
    plain = cost.parse_listing("sweep-005m005-010p000.fits", "names", known)
    packed = cost.parse_listing("sweep-005m005-010p000.fits.gz", "names", known)
    assert packed.rows == plain.rows
    assert packed.bytes == pytest.approx(plain.bytes * known.rates.gzip_ratio.value, rel=1e-6)
    assert len(cost.workload(plain.sweeps, plan.execution).items) == 4
    (item,) = cost.workload(packed.sweeps, plan.execution).items
    assert item == Work(packed.bytes, packed.rows, True)
    sized = cost.parse_listing(f"sweep-005m005-010p000.fits.gz {packed.bytes}", "names", known)
    assert sized.rows == pytest.approx(plain.rows, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no sweep file among 0 entries"),
        ("readme.txt\n", "no sweep file among 1 entries"),
        ("sweep-000m005-005p000.fits big", r"line 1: size: got 'big'; expected bytes"),
        ("\nsweep-000m005-005p000.fits 0", r"line 2: size: got '0'"),
        ("sweep-000m005-005p000.fits -5", r"size: got '-5'"),
        ("sweep-000m005-005p000.fits 1 GB", "expected NAME or NAME BYTES"),
        ("sweep-000m005-005p000.fits\nsweep-000m005-005p000.fits.gz", "its cell of the sky is listed twice"),
    ],
)
def test_a_listing_with_faults_is_refused(known: RatesFile, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cost.parse_listing(text, "names.txt", known)


def test_sweeps_are_listed_from_a_folder_and_from_s3(known: RatesFile, tmp_path: Path, s3: str) -> None:
    content = {"sweep-000m005-005p000.fits": 60_000, "sweep-005m005-010p000.fits": 90_000, "notes.txt": 3}
    for name, n_bytes in content.items():
        (tmp_path / name).write_bytes(bytes(n_bytes))
        storage.write_bytes(f"{s3}/dr10/{name}", bytes(n_bytes))
    for uri in (str(tmp_path), f"{s3}/dr10"):
        listing = cost.list_sweeps(uri, known)
        assert [s.size for s in listing.sweeps] == [60_000, 90_000]
        assert (listing.modelled, listing.ignored) == (0, 1)


def test_the_dr10_listing_adds_up_to_the_survey(
    shared_data: Callable[[str], Path], known: RatesFile, prices: cost.Prices, plan: Config
) -> None:
    listing = cost.read_listing(str(shared_data("dr10.1_sweep_names.txt")), known)
    assert (len(listing.sweeps), listing.ignored) == (1436, 0)
    assert listing.rows == pytest.approx(2_827_055_986, rel=1e-5)
    assert listing.bytes == pytest.approx(1.43e12, rel=0.005)
    options = Options.of_config(plan, concurrency=1000, memory=1769, positives=5000)
    report = cost.assess(listing, options, Model(known.rates, prices, cost.read_graph(GRAPH)))
    assert report.estimate.items > 1436
    assert 0 < report.bounds.usd_low <= report.estimate.usd <= report.bounds.usd_high
    assert 0 < report.bounds.seconds_low <= report.estimate.seconds <= report.bounds.seconds_high
    extras = {extra.name: extra.usd for extra in report.not_included}
    assert extras["sweeps in S3, a month"] == pytest.approx(1.428e12 / 2**30 * 0.023, rel=1e-3)
    assert 0 < extras["mini-test"] < report.estimate.usd


# The files of rates and prices.


def changed(path: Path, changes: dict[str, Any]) -> str:
    """The text of a YAML file with some values changed, by their dotted keys; ``...`` removes a key."""
    data = yaml.safe_load(path.read_text())
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        section = data
        for name in sections:
            section = section[name]
        if value is ...:
            del section[key]
        else:
            section[key] = value
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"rates.map_rate": ...}, ["rates.map_rate: missing; see configs/rates.yaml"]),
        ({"rates.map_speed": {}}, ["rates.map_speed: unknown key"]),
        (
            {"rates.map_rate.value": "fast"},
            ["rates.map_rate.value: got 'fast'; Input should be a valid number"],
        ),
        ({"rates.map_rate.value": 5000}, ["rates.map_rate: got", "must lie between low 500 and high 4000"]),
        ({"rates.map_rate.low": 0}, ["rates.map_rate: got", "low 0 must be above 0"]),
        ({"rates.retry_share.high": 2}, ["rates.retry_share: got", "high 2 must be at most 1"]),
        ({"rates.init_seconds.low": -1}, ["rates.init_seconds.low: got -1", "greater than or equal to 0"]),
        ({"rates.init_seconds.source": ""}, ["rates.init_seconds.source: got ''"]),
        ({"sweeps.files": 2}, ["sweeps: got", "known_bytes holds more files"]),
        ({"rates.map_rate": ..., "sweeps": ...}, ["2 faults", "rates.map_rate: missing", "sweeps: missing"]),
    ],
)
def test_rates_with_faults_name_every_one(
    tmp_path: Path, changes: dict[str, Any], messages: list[str]
) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(changed(RATES, changes))
    with pytest.raises(InputError) as caught:
        cost.load_rates(str(path))
    for message in [str(path), *messages]:
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"date": ...}, "date: missing; see configs/prices.yaml"),
        ({"date": "yesterday"}, "date: got 'yesterday'"),
        ({"lambda_request.per": 0}, "lambda_request.per: got 0; Input should be greater than or equal to 1"),
        ({"s3_get.usd": -1}, "s3_get.usd: got -1"),
        ({"s3_glacier": {}}, "s3_glacier: unknown key"),
    ],
)
def test_prices_with_faults_name_them(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(changed(PRICES, changes))
    with pytest.raises(InputError) as caught:
        cost.load_prices(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("[1, 2]", "expected a mapping, got list"), ("a: [", "not a readable YAML")]
)
def test_files_that_are_no_mapping_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        cost.load_rates(str(path))


def test_every_price_and_rate_says_where_it_comes_from(known: RatesFile, prices: cost.Prices) -> None:
    assert all(getattr(known.rates, name).source for name in Rates.model_fields)
    assert all(price.source for _, price in prices if isinstance(price, cost.Price))


# The command.


class Run:
    """The command line within this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["lensneg", "cost", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return int(ended.value.code or 0), out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "80")
    return Run(monkeypatch, capsys)


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    cells = [f"sweep-{ra:03d}p000-{ra + 5:03d}p005.fits" for ra in range(0, 50, 5)]
    path.write_text("\n".join([*cells, "sweep-000p000-005p005-pz.fits"]))
    return path


def test_the_command_prints_parts_verdicts_and_assumptions(run: Run, names: Path) -> None:
    code, out, _ = run("--listing", names)
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    text = " ".join(out.split())
    assert "10 sweep files (sizes of 10 modelled); 1 other entries ignored" in text
    for part in BY_HAND:
        assert part in out
    for phrase in ("wall time", "target of 10 min met", "target of 2.00 USD met", "most sensitive to",
                   "cheapest within the target time", "what changes the dollars most",
                   "what changes the seconds most", "assumptions", "not included",
                   "sweeps in S3, a month"):  # fmt: skip
        assert phrase in text


def test_a_missed_target_is_said_and_is_no_failure(run: Run, names: Path, tmp_path: Path) -> None:
    rates, prices = tmp_path / "rates.yaml", tmp_path / "prices.yaml"
    rates.write_text(
        changed(
            RATES,
            {
                "rates.spark_start_seconds.value": 2000,
                "rates.spark_start_seconds.high": 2000,
                "rates.header_seconds.value": 100,
                "rates.header_seconds.high": 100,
            },
        )
    )
    prices.write_text(changed(PRICES, {"s3_put.usd": 50.0}))
    code, out, _ = run("--listing", names, "--rates", rates, "--prices", prices)
    assert code == 0
    assert "target of 10 min MISSED by" in out
    assert "target of 2.00 USD MISSED by" in out
    assert "longest: Draw: EMR vCPU" in out
    assert "Preflight would be stopped: Lambda ends a function after 900 s" in out
    assert "dearest: Map: S3 PUT" in out
    assert "none is within the target time; fastest" in out


def test_json_says_the_same(run: Run, names: Path) -> None:
    code, out, _ = run("--listing", names, "--json", "--concurrency", 7, "--memory", 1024,
                       "--item-bytes", 64 * MIB, "--positives", 20)  # fmt: skip
    assert code == 0
    report = json.loads(out)
    assert report["options"] == {
        "concurrency": 7, "memory_mb": 1024, "item_bytes": 64 * MIB, "positives": 20, "negatives": 2000
    }  # fmt: skip
    assert report["usd"] == pytest.approx(sum(part["usd"] for part in report["parts"]))
    assert report["seconds"] == pytest.approx(sum(part["seconds"] for part in report["parts"]))
    for part in report["parts"]:
        assert part["usd"] == pytest.approx(part["quantity"] * part["unit_usd"])
    assert report["waves"] == math.ceil(report["items"] / 7)
    assert report["verdict"]["meets_usd"] is True
    assert {swing["name"] for swing in report["sensitivity"]} == set(Rates.model_fields)
    assert report["prices"]["date"] == str(yaml.safe_load(PRICES.read_text())["date"])


def test_free_prices_are_no_error(run: Run, names: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(PRICES.read_text())
    free = {f"{name}.usd": 0.0 for name, price in data.items() if isinstance(price, dict)}
    path = tmp_path / "prices.yaml"
    path.write_text(changed(PRICES, free))
    code, out, _ = run("--listing", names, "--prices", path)
    assert code == 0
    assert "cost 0.00 USD: target of 2.00 USD met" in out


def test_the_command_takes_a_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sweep-000m005-005p000.fits").write_bytes(bytes(100_000))
    code, out, _ = run("--sweeps", tmp_path)
    assert code == 0
    assert "1 sweep files: 0.000 TB" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--listing", "a", "--sweeps", "b"), "give either --listing FILE or --sweeps URI"),
        (("--listing", "nowhere.txt"), "--listing nowhere.txt: no such file"),
        (("--listing", "."), "--listing .: not a text file"),
        (("--sweeps", "nowhere"), "nowhere: no such folder"),
        (("--sweeps", "ftp://host/x"), "expected a local path or s3://"),
        (("--listing", "names", "--rates", "nowhere.yaml"), "--rates nowhere.yaml: no such file"),
        (("--listing", "names", "--prices", "nowhere.yaml"), "--prices nowhere.yaml: no such file"),
        (("--listing", "names", "--concurrency", "0"), "0 is not in the range"),
        (("--listing", "names", "--memory", "64"), "64 is not in the range"),
        (("--listing", "names", "--item-bytes", "1000"), "1000 is not in the range"),
        (("--listing", "names", "--positives", "0"), "0 is not in the range"),
    ],
)
def test_bad_usage_and_input_end_with_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert message in err
    assert out == ""


def test_without_arguments_it_is_the_whole_release(run: Run) -> None:
    # dr10-facts: 1,436 files; catalogue totals: 2,827,055,986 rows of 505 bytes.
    code, out, _ = run("--json")
    assert code == 0
    listing = json.loads(out)["listing"]
    assert (listing["source"], listing["files"]) == ("DR10.1", 1436)
    assert listing["rows"] == pytest.approx(2_827_055_986, rel=1e-6)
    assert listing["bytes"] == pytest.approx(2_827_055_986 * 505, rel=1e-4)
    code, out, _ = run()
    assert code == 0
    assert "DR10.1\n1,436 sweep files (sizes of 1,436 modelled)" in out


def test_help_has_an_example(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "Example: lensneg cost" in " ".join(out.split())


def test_listing_is_in_order(known: RatesFile) -> None:
    listing: Listing = cost.parse_listing(
        "sweep-005m005-010p000.fits\nsweep-000m005-005p000.fits", "names", known
    )
    assert [s.uri for s in listing.sweeps] == sorted(s.uri for s in listing.sweeps)
