"""Seconds of the map, by hand and against a plain simulation."""

import pytest
from costcase import MIB, ROWS, small_run, sweep, whole_files, with_rates
from hypothesis import given
from hypothesis import strategies as st

from lensneg.cost.map_time import item_seconds, map_time, network_seconds


def test_two_files_make_three_items() -> None:
    assert [(item.n_bytes, item.n_rows) for item in small_run().items] == [(505 * MIB, ROWS)] * 3


def test_items_are_taken_largest_first() -> None:
    run = whole_files(
        [sweep(100), sweep(300, "sweep-005m005-010p000.fits"), sweep(200, "sweep-010m005-015p000.fits")]
    )
    assert [item.n_rows for item in run.items] == [300, 200, 100]


def test_reading_is_a_burst_and_then_a_steady_rate() -> None:
    rates = small_run().rates
    # 105 MiB at 105 MiB/s and 400 MiB at 40 MiB/s; without a burst, 505 MiB at 40 MiB/s.
    assert network_seconds(505 * MIB, 105 * MIB, rates) == pytest.approx(1 + 10)
    assert network_seconds(505 * MIB, 0, rates) == pytest.approx(12.625)
    assert network_seconds(52.5 * MIB, 105 * MIB, rates) == pytest.approx(0.5)


def test_few_connections_hold_reading_back() -> None:
    slow = with_rates(small_run(), connection_rate=10.0, read_connections=2.0).rates
    assert network_seconds(100_000_000, 105 * MIB, slow) == pytest.approx(5)


def test_an_item_takes_init_requests_reading_and_writing() -> None:
    run = small_run()
    # 2 INIT + 1 round trips + 11 reading + 1 writing 1,048,576 x 0.5 rows of 100 bytes.
    assert item_seconds(run.items[0], run, cold=True) == pytest.approx(15)
    assert item_seconds(run.items[0], run, cold=False) == pytest.approx(14.625)


@pytest.mark.parametrize(("memory", "cores"), [(2048, 1), (10_240, 1), (1769, 1), (884.5, 0.5)])
def test_computing_is_hidden_behind_reading_unless_it_is_slower(memory: float, cores: float) -> None:
    # At 10 MB/s. One thread has no use for more than one vCPU, and half of 1,769 MB is half a vCPU.
    run = with_rates(
        whole_files([sweep(ROWS)], memory=memory), **{**small_run().rates.model_dump(), "map_rate": 10.0}
    )
    seconds = 505 * MIB / 10e6 / cores
    assert item_seconds(run.items[0], run, cold=False) == pytest.approx(1 + seconds + 1)
    assert item_seconds(run.items[0], run, cold=True) == pytest.approx(2 / cores + 1 + seconds + 1)


def test_gzipped_rows_are_also_unpacked() -> None:
    packed = sweep(ROWS, "sweep-000m005-005p000.fits.gz", 100 * MIB)
    run = with_rates(whole_files([packed]), **small_run().rates.model_dump())
    plain = ROWS * 505 / 1e6
    assert item_seconds(run.items[0], run, cold=False) == pytest.approx(1 + plain / 1000 + plain / 200 + 1)


def test_the_map_puts_items_onto_the_first_free_environment() -> None:
    mapped = map_time(small_run())
    # Two cold items of 3 + 0.5 + 15 s, then a warm one of 0.5 + 14.625 s.
    assert mapped.seconds == pytest.approx(18.5 + 15.125)
    assert mapped.billed_seconds == pytest.approx(15 + 15 + 14.625)
    assert mapped.longest_item == pytest.approx(15)
    assert mapped.environments == 2
    assert mapped.bound == "the environments"


def test_the_map_is_no_faster_than_children_start_or_s3_answers() -> None:
    mapped = map_time(with_rates(small_run(), child_start_rate=0.01))
    assert (mapped.seconds, mapped.bound) == (pytest.approx(300), "starting 0.01 children a second")
    mapped = map_time(with_rates(small_run(), get_limit=0.1))
    assert mapped.seconds == pytest.approx((15 + 3) / 0.1)
    assert "GET a second" in mapped.bound


@given(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=30), st.integers(1, 12))
def test_a_plain_simulation_ends_at_the_same_time(rows: list[int], concurrency: int) -> None:
    run = whole_files([sweep(n, f"sweep-{i:03d}") for i, n in enumerate(rows)], concurrency=concurrency)
    rates = run.rates
    ends, billed = [0.0] * concurrency, 0.0
    cold = [True] * concurrency
    for n in sorted(rows, reverse=True):
        at = min(range(concurrency), key=lambda place: (not cold[place], ends[place]))
        n_bytes = n * 505 / MIB + 0.25
        fast = min(n_bytes, 300 if cold[at] else 50)
        # 8 connections of 90 MB/s are slower than the burst.
        reading = fast * MIB / 720e6 + (n_bytes - fast) / 75
        computing, written = n * 505 / (rates.map_rate * 1e6), n * 0.03 * rates.pool_row_bytes
        seconds = (3 if cold[at] else 0) + 0.6 + max(reading, computing) + written / 75e6
        ends[at] += (2 if cold[at] else 0) + 0.3 + seconds
        billed += seconds
        cold[at] = False
    mapped = map_time(run)
    gets = sum(-(-n * 505 // (8 * MIB)) + 1 for n in rows)
    assert mapped.seconds == pytest.approx(max(*ends, 0, len(rows) / 300, gets / rates.get_limit))
    assert mapped.billed_seconds == pytest.approx(billed)
    assert mapped.environments == cold.count(False)
