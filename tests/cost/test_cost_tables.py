"""rates.yaml and prices.yaml: what is read, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONFIGS
from costcase import changed

from lensneg.cost.graph import load_graph
from lensneg.cost.tables import Rates, load_prices, load_rates
from lensneg.errors import InputError
from lensneg.schema.states import DEFAULT_VCPUS

RATES = CONFIGS / "rates.yaml"
PRICES = CONFIGS / "prices.yaml"


def test_each_rate_is_the_value_of_its_entry() -> None:
    entries = yaml.safe_load(RATES.read_text())["rates"]
    assert load_rates().rates.model_dump() == {name: entry["value"] for name, entry in entries.items()}


def test_shipped_tables_are_read_in_a_function_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage takes files of S3 alone there."""
    here = load_rates(), load_prices(), load_graph()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lensneg-Report")
    assert (load_rates(), load_prices(), load_graph()) == here


def test_every_price_and_rate_says_where_it_comes_from() -> None:
    entries = list(yaml.safe_load(RATES.read_text())["rates"].values())
    entries += [price for price in yaml.safe_load(PRICES.read_text()).values() if isinstance(price, dict)]
    assert len(entries) == len(Rates.model_fields) + 9
    assert all(entry["source"] and entry["unit"] for entry in entries)


def test_the_job_has_all_workers_that_template_yaml_lets_it_have() -> None:
    text = (CONFIGS.parent / "template.yaml").read_text()
    [driver] = map(int, re.findall(r"spark\.driver\.cores=(\d+)", text))
    [executor] = map(int, re.findall(r"spark\.executor\.cores=(\d+)", text))
    rates = load_rates().rates
    assert rates.job_vcpu == DEFAULT_VCPUS
    assert rates.executor_cores == rates.job_vcpu - driver
    assert rates.executor_cores % executor == 0
    assert rates.job_memory == 4 * rates.job_vcpu  # GB: template.yaml gives 16 to each worker of 4 vCPU
    workers = re.findall(r"WorkerCount: (\d+), WorkerConfiguration: {Cpu: (\d+) vCPU, Memory: (\d+) GB", text)
    assert len(workers) == 2
    assert rates.warm_vcpu == sum(int(count) * int(cores) for count, cores, _ in workers)
    assert rates.warm_memory == sum(int(count) * int(memory) for count, _, memory in workers)
    [minutes] = map(int, re.findall(r"IdleTimeoutMinutes: (\d+)", text))
    assert rates.idle_seconds == 60 * minutes


def test_a_price_is_for_so_many_units() -> None:
    assert load_prices().lambda_request.each == pytest.approx(2e-7)


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"rates.map_rate": ...}, ["rates.map_rate: missing; see configs/rates.yaml"]),
        ({"rates.map_speed": {}}, ["rates.map_speed: unknown key"]),
        ({"rates.map_rate.low": 500}, ["rates.map_rate.low: unknown key"]),
        (
            {"rates.map_rate.value": "fast"},
            ["rates.map_rate.value: got 'fast'; Input should be a valid number"],
        ),
        ({"rates.map_rate.value": True}, ["rates.map_rate.value: got True"]),
        ({"rates.map_rate.value": 0}, ["rates.map_rate: got 0", "greater than 0"]),
        ({"rates.retry_share.value": 2}, ["rates.retry_share: got 2", "less than or equal to 1"]),
        (
            {"rates.init_seconds.value": -1},
            ["rates.init_seconds.value: got -1", "greater than or equal to 0"],
        ),
        ({"rates.init_seconds.value": float("inf")}, ["rates.init_seconds.value: got inf"]),
        ({"rates.init_seconds.source": ""}, ["rates.init_seconds.source: got ''"]),
        ({"rates.init_seconds.unit": ...}, ["rates.init_seconds.unit: missing"]),
        ({"sweeps.other_bytes": 0}, ["sweeps.other_bytes: got 0"]),
        ({"rates.map_rate": ..., "sweeps": ...}, ["2 faults", "rates.map_rate: missing", "sweeps: missing"]),
    ],
)
def test_rates_with_faults_name_every_one(
    tmp_path: Path, changes: dict[str, Any], messages: list[str]
) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(changed(RATES, changes))
    with pytest.raises(InputError) as caught:
        load_rates(str(path))
    for message in [str(path), *messages]:
        assert message in str(caught.value)


def test_a_rate_of_zero_is_taken_where_nothing_is_divided_by_it(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(changed(RATES, {"rates.init_seconds.value": 0, "rates.retry_share.value": 1}))
    rates = load_rates(str(path)).rates
    assert (rates.init_seconds, rates.retry_share) == (0, 1)


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
        load_prices(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[1, 2]",
            r"expected a mapping of sections \(sweeps, rates, …\), got tuple; start from configs/rates.yaml",
        ),
        ("a: [", "not a readable YAML"),
        ("rates: {}\nrates: {}", "key 'rates' is given twice"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_rates(str(path))


def test_the_functions_on_aws_need_no_rich_and_no_click() -> None:
    code = "import sys, lensneg.cost.run_cost; print({'rich', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
