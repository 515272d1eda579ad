"""The cost of a fetch, worked out by hand, and its counts compared with the graph and the template."""

import json
import re

import pytest
from costcase import MIB, ROUND, sweep

from lensneg.cost.fetch import _FIRST, _MORE, _TRANSITIONS, FETCH_MEMORY_MB, fetch_cost, plan_fetch
from lensneg.cost.graph import read_graph
from lensneg.cost.listing import Listing
from lensneg.cost.tables import load_prices, load_rates
from lensneg.schema.resources import FETCH_MACHINE, ROOT


def test_two_files_by_hand() -> None:
    rates = load_rates().rates.model_copy(update=ROUND)
    listing = Listing("two", (sweep(1, size=1280 * MIB), sweep(1, size=640 * MIB)))
    planned = plan_fetch(listing, 8, rates, load_prices())
    # 1,920 MiB are 2,013,265,920 bytes: at 10 MB/s 201.326592 s; twice at 40 MiB/s 96 s; two INITs of 2 s.
    assert planned.seconds == pytest.approx(301.326592 / 2)
    assert planned.cost.lambda_usd == pytest.approx(301.326592 * 0.0000166667 + 2 * 0.0000002)
    # The Map and three states after it; for each file its start and three states.
    assert planned.cost.step_functions_usd == pytest.approx(12 * 0.000025)
    # 60 parts of 32 MiB and 15 of 128, and two halves more of each; 6 other PUTs and a record for each file.
    # 240 GETs of 8 MiB and two halves; 10 others for each file.
    assert planned.cost.s3_usd == pytest.approx((61 + 16 + 12 + 2) * 0.000005 + (241 + 20) * 0.0000004)
    parts = planned.cost.lambda_usd + planned.cost.step_functions_usd + planned.cost.s3_usd
    assert planned.cost.total == pytest.approx(parts)


def test_more_invocations_than_files_by_hand() -> None:
    cost = fetch_cost(load_prices(), files=3, fetched=0, size=0, invocations=5, seconds=0)
    assert cost.lambda_usd == pytest.approx(5 * 0.0000002)
    assert cost.step_functions_usd == pytest.approx((4 + 3 * 4 + 2 * 3) * 0.000025)
    assert cost.s3_usd == pytest.approx(3 * 0.000005 + 30 * 0.0000004)


def test_a_large_file_takes_several_invocations() -> None:
    """At 1 MB/s 750 MB come in an invocation, so 1,600 MB take three."""
    rates = load_rates().rates.model_copy(update={**ROUND, "archive_rate": 1.0})
    planned = plan_fetch(Listing("one", (sweep(1, size=1_600_000_000),)), 8, rates, load_prices())
    assert planned.cost.step_functions_usd == pytest.approx((4 + 4 + 2 * 3) * 0.000025)


def test_the_transitions_are_those_of_the_graph() -> None:
    definition = json.loads(FETCH_MACHINE.read_text())
    graph = read_graph(definition)
    assert len(graph.states) == _TRANSITIONS
    assert len(graph.child_states) + load_rates().rates.child_start_transitions == _FIRST
    child = definition["States"]["FetchSweeps"]["ItemProcessor"]["States"]
    assert [
        child["SweepIsWhole"]["Default"],
        child["PauseForArchive"]["Next"],
        child["FetchSweep"]["Next"],
    ] == [
        "PauseForArchive",
        "FetchSweep",
        "SweepIsWhole",
    ]
    assert _MORE == 3


def test_the_memory_is_that_of_the_template() -> None:
    text = (ROOT / "template.yaml").read_text().partition("FetchSweepFunction:\n")[2]
    memory = re.search(r"MemorySize: (\d+)", text)
    assert memory is not None
    assert int(memory[1]) == FETCH_MEMORY_MB
