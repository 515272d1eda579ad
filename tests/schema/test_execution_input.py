"""The input of an execution: read, and written again as a person would write it."""

import json
import re
from typing import Any

import pytest

from lensneg.schema.request import RUN_ID_PATTERN, RunRequest, mini_test_id, new_id

SHORT: dict[str, Any] = {
    "run_id": "one",
    "mode": "test",
    "config": "s3://b/configs/c.yaml",
    "sweeps": "s3://b/sweeps",
    "positives": ["s3://b/catalogs/l.csv?ra=A+B&where.g=A%2CB"],
    "exclude": [],
    "out": "s3://b/out",
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_concurrency": 7},
        {"started_at": "2026-01-02T03:04:05Z"},
        {"spectroscopic": ["s3://b/catalogs/desi.fits?ra=TARGET_RA&grade=Q"]},
    ],
    ids=json.dumps,
)
def test_an_input_is_written_as_it_was_read(more: dict[str, Any]) -> None:
    request = RunRequest.of_input(SHORT | more)
    assert request.as_input() == SHORT | more
    assert RunRequest.of_input(request.as_input()) == request


def test_the_command_names_the_catalogues_of_each_role() -> None:
    request = RunRequest.of_input(SHORT | {"exclude": ["/e.csv"], "spectroscopic": ["/s.fits", "/t.csv"]})
    catalogs = "--exclude /e.csv --spectroscopic /s.fits --spectroscopic /t.csv"
    assert request.command("test").endswith(f" {catalogs} --out s3://b/out")


def test_what_the_state_machine_adds_is_no_part_of_it() -> None:
    added = {"mini_test": {"Error": "x"}, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:x"}
    assert RunRequest.of_input(SHORT | added).as_input() == SHORT


@pytest.mark.parametrize("length", [1, 58, 59, 63])
def test_a_mini_test_of_any_run_that_a_users_machine_started(length: int) -> None:
    parent = SHORT | {"run_id": "r" * length, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:outer"}
    event = {"mini_test_of": parent, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:parent"}
    request = RunRequest.of_input(event)
    assert (request.mode, request.out) == ("test", SHORT["out"])
    assert request.run_id.endswith("-test")


def test_long_run_ids_that_differ_at_their_end_have_mini_tests_of_their_own() -> None:
    assert mini_test_id("r" * 62 + "a") != mini_test_id("r" * 62 + "b")


def test_runs_that_start_in_the_same_second_have_different_ids() -> None:
    ids = {new_id("run") for _ in range(50)}
    assert len(ids) == 50
    assert all(re.match(RUN_ID_PATTERN, run_id) for run_id in ids)
    assert len({run_id[:21] for run_id in ids}) <= 2, "they begin with the time, so that names sort by it"
