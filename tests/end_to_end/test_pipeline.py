"""The whole path, executed: what it publishes equals the slow reference, row for row."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import config_text, edited
from nearrun import NearLambda, draw_no_figures
from pipeline import (
    OPEN_GATES,
    SilentWatcher,
    as_input,
    files_of,
    make_request,
    read_parts,
    same,
    states_entered,
    write_other_lenses,
)
from reference import ROW_COLUMNS, Reference, reference

from lensneg.local.emr import LocalEmrServerless, local_submit_parameters
from lensneg.local.engine import Machine, local_machine
from lensneg.local.runner import machine
from lensneg.mocksky import write_mock_sky
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest

#: Of each file.
ROWS = 20_000

#: Logarithms of two libraries may differ in their last bit.
LOGARITHMIC = {"mag_g", "mag_r", "mag_z", "g_minus_r", "r_minus_z", "z_minus_w1"}


#: Executes a request through the real state machine and the real Spark job.
Execute = Callable[[RunRequest], tuple[RunFiles, list[str]]]


class Executed:
    """A run that was executed, and what the reference makes of the same inputs."""

    def __init__(
        self, folder: Path, config: str, changes: dict[str, Any], mode: str, seed: int, execute: Execute
    ) -> None:
        self.sky = folder / "sky"
        write_mock_sky(self.sky, files=3, rows=ROWS, seed=seed)
        self.exclude = folder / "other_lenses.csv"
        write_other_lenses(self.sky, self.exclude)
        self.text = edited(yaml.safe_load(config_text(config)), {**OPEN_GATES, **changes})
        self.config = folder / f"{config}.yaml"
        self.config.write_text(self.text)
        self.request = make_request(self.sky, self.config, folder / "out", "one", mode, (self.exclude,))
        self.files, self.states = execute(self.request)

    def reference(self) -> Reference:
        return reference(
            sorted((self.sky / "sweeps").iterdir()),
            [self.sky / "positives.csv"],
            [self.exclude],
            yaml.safe_load(self.text),
        )


def walked(state_machine: Machine, request: RunRequest) -> tuple[RunFiles, list[str]]:
    """The files of an execution, and the states that it entered."""
    execution = state_machine.execute(request.run_id, as_input(request))
    assert execution["status"] == "SUCCEEDED", f"{execution.get('error')}: {execution.get('cause')}"
    return files_of(request), states_entered(state_machine, request.run_id)


def execute_in_processes(request: RunRequest) -> tuple[RunFiles, list[str]]:
    """Execute a request as ``lensneg run`` does."""
    with machine(2, Path(files_of(request).root) / "logs", SilentWatcher()) as state_machine:
        return walked(state_machine, request)


@pytest.fixture(scope="module")
def execute_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Execute]:
    """Execute requests with the handlers in this process, and one Spark for all of them, with one core."""
    folder = tmp_path_factory.mktemp("logs")
    emr = LocalEmrServerless(folder)

    def execute(request: RunRequest) -> tuple[RunFiles, list[str]]:
        functions = NearLambda(2, folder)
        with (
            pytest.MonkeyPatch.context() as patch,
            local_machine(functions, emr, local_submit_parameters(1)) as state_machine,
        ):
            draw_no_figures(patch)
            return walked(state_machine, request)

    yield execute
    emr.stop()


@pytest.fixture(scope="module")
def plan_run(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """negative_sampling_v1, test-then-full, to a published manifest; some strata short, some not."""
    folder, changes = tmp_path_factory.mktemp("plan"), {"negative_pools.neg_pos_ratio": 10}
    return Executed(folder, "negative_sampling_v1", changes, "test-then-full", 11, execute_in_processes)


@pytest.fixture(scope="module")
def parity_run(tmp_path_factory: pytest.TempPathFactory, execute_here: Execute) -> Executed:
    """paper_iv_parity on three files in one mini-test: every stratum short, so that backfill is at work."""
    folder, changes = tmp_path_factory.mktemp("parity"), {"execution.mini_test_files": 3}
    return Executed(folder, "paper_iv_parity", changes, "test", 12, execute_here)


@pytest.fixture(scope="module", params=["plan_run", "parity_run"])
def executed(request: pytest.FixtureRequest) -> Executed:
    """Each of the two runs."""
    run: Executed = request.getfixturevalue(request.param)
    return run


@pytest.fixture(scope="module")
def expected(executed: Executed) -> Reference:
    """What the reference makes of a run's inputs."""
    return executed.reference()


def assert_rows_equal(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [row["targetid"] for row in found] == [row["targetid"] for row in wanted]
    for row, other in zip(found, wanted, strict=True):
        wrong = [
            f"{name}: {row[name]!r}, not {other[name]!r}"
            for name in ROW_COLUMNS
            if not same(row[name], other[name], 1e-12 if name in LOGARITHMIC else 0.0)
        ]
        assert not wrong, f"TARGETID {row['targetid']}: {wrong}"


def test_negatives_are_the_references_row_for_row(executed: Executed, expected: Reference) -> None:
    assert len(expected.negatives) > 100
    assert_rows_equal(read_parts(f"{executed.files.sample_folder}/negatives"), expected.negatives)


def test_positives_are_the_references_row_for_row(executed: Executed, expected: Reference) -> None:
    assert len(expected.positives) > 5
    assert_rows_equal(read_parts(f"{executed.files.sample_folder}/positives"), expected.positives)


def test_the_pool_is_the_references(executed: Executed, expected: Reference) -> None:
    rows = read_parts(executed.files.pool_folder)
    keys = ("targetid", "pool", "confuser_category", "nobs_z_bin", "type_bin", "sampling_priority")
    found = sorted(tuple(str(row[key]) for key in keys) for row in rows)
    assert found == sorted(tuple(str(row[key]) for key in keys) for row in expected.pool)
    assert {row["pool"] for row in rows} == {"N1", "N2"}


def test_every_row_is_accounted_for_under_the_references_reason(
    executed: Executed, expected: Reference
) -> None:
    summary = json.loads(Path(executed.files.summary).read_text())
    assert summary["cut"] == expected.cuts
    assert summary["rows_in"] == 3 * ROWS
    assert summary["rows_kept"] == len(expected.pool)
    assert summary["positives"]["unmatched"] == expected.unmatched
    assert summary["positives"]["outside_strata"] == expected.outside_strata
    assert summary["positives"]["sources"] == len(expected.positives)


def test_quotas_are_the_references(executed: Executed, expected: Reference) -> None:
    found = {
        (stratum["nobs_z_bin"], stratum["type_bin"]): {
            "positives": stratum["positives"],
            "target": stratum["target"],
            "n1_available": stratum["pools"][0]["available"],
            "n2_available": stratum["pools"][1]["available"],
            "n1_quota": stratum["pools"][0]["quota"],
            "n2_quota": stratum["pools"][1]["quota"],
            "shortfall": stratum["shortfall"],
        }
        for stratum in json.loads(Path(executed.files.quotas).read_text())["strata"]
    }
    assert found == expected.quotas


def test_the_runs_meet_full_and_short_strata_and_backfill(plan_run: Executed, parity_run: Executed) -> None:
    """Otherwise the comparisons above would prove little."""
    kinds = Counter()
    for run in (plan_run, parity_run):
        for stratum in json.loads(Path(run.files.quotas).read_text())["strata"]:
            kinds["full"] += stratum["target"] > 0 and not stratum["shortfall"]
            kinds["short"] += stratum["shortfall"] > 0
            kinds["backfill"] += any(pool["backfill"] for pool in stratum["pools"])
            kinds["thresholded"] += any(draw["ranges"][0]["highest"] < 2**63 - 1 for draw in stratum["draws"])
    assert min(kinds[kind] for kind in ("full", "short", "backfill", "thresholded")) > 0, kinds


def test_the_graph_is_walked_in_order(plan_run: Executed) -> None:
    assert plan_run.states == [
        "MiniTestFirst",
        "MiniTest",
        "Preflight",
        "Gate1PreSubmission",
        "PlanFanOut",
        "FilterSweeps",
        "SummarizeFanOut",
        "Gate2FanOutComplete",
        "SampleNegatives",
        "CheckSample",
        "Gate3SampleComplete",
        "ValidateManifest",
        "Gate4OutputValid",
        "PublishManifest",
        "Report",
    ]


def test_every_state_has_its_time(plan_run: Executed) -> None:
    """Each begins when the one before it has ended; a mini-test comes first, with a time line of its own."""
    line = json.loads(Path(plan_run.files.cost).read_text())["time_line"]
    work = [state for state in plan_run.states if not state.startswith(("Gate", "MiniTestFirst"))]
    assert [state["state"] for state in line["states"]] == work
    assert line["on_aws"] is False
    spans = [state["actual"] for state in line["states"]]
    assert all(before["end"] <= after["begin"] for before, after in pairwise(spans))
    assert all(span["begin"] <= span["end"] for span in spans)
    assert [span["begin"] for span in spans[1:2]] == [0]
    assert {span["usd"] for span in spans} == {0}
    test = json.loads(Path(plan_run.files.root + "-test", "cost.json").read_text())["time_line"]
    assert [state["state"] for state in test["states"]] == work[1:]
    assert test["states"][-1]["actual"]["end"] < spans[0]["seconds"]


def test_what_is_published_is_what_was_audited(plan_run: Executed) -> None:
    folder = Path(plan_run.files.manifest_folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"] == {
        part: len(read_parts(f"{plan_run.files.sample_folder}/{part}")) for part in ("negatives", "positives")
    }
    for part in ("negatives", "positives"):
        audited = sorted(Path(plan_run.files.sample_folder, part).glob("*.parquet"))
        published = [folder / entry["name"] for entry in manifest[part]["files"]]
        assert [path.read_bytes() for path in published] == [path.read_bytes() for path in audited]
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in published]
        assert [entry["sha256"] for entry in manifest[part]["files"]] == hashes
    latest = json.loads(Path(plan_run.files.latest).read_text())
    assert latest["run_id"] == "one"
    assert Path(plan_run.files.out, latest["manifest"]) == Path(plan_run.files.manifest)


def test_rows_carry_the_start_of_the_run_and_not_a_clock(plan_run: Executed) -> None:
    rows = read_parts(Path(plan_run.files.manifest_folder) / "negatives")
    started = json.loads(Path(plan_run.files.run).read_text())["started_at"]
    assert {row["extraction_timestamp"].strftime("%Y-%m-%dT%H:%M:%SZ") for row in rows} == {started}


def test_a_mini_test_publishes_nothing(parity_run: Executed) -> None:
    out = Path(parity_run.request.out)
    assert not (out / "manifests").exists()
    assert not (out / "latest.json").exists()
    assert len(list((out / "minitests").iterdir())) == 1


def test_nothing_in_the_output_folder_says_where_that_is(executed: Executed) -> None:
    """So it can be moved. Logs alone tell what was done where."""
    out = Path(executed.request.out)
    files = [path for path in out.rglob("*") if path.is_file() and path.parent.name != "logs"]
    assert [path for path in files if bytes(out) in path.read_bytes()] == []


def test_nothing_half_written_is_left(executed: Executed) -> None:
    hidden = [p for p in Path(executed.request.out).rglob(".*") if not p.name.endswith(".crc")]
    assert hidden == []


def test_the_manifest_does_not_depend_on_slices_workers_or_listing_order(
    plan_run: Executed, execute_here: Execute, tmp_path: Path
) -> None:
    sky = tmp_path / "sky"
    for i, sweep in enumerate(sorted((plan_run.sky / "sweeps").iterdir())):
        folder = sky / "sweeps" / "zyx"[i]  # listed in the reverse order
        folder.mkdir(parents=True)
        os.link(sweep, folder / sweep.name)
    os.link(plan_run.sky / "positives.csv", sky / "positives.csv")
    changes = {"execution.target_item_bytes": 2**20, "execution.mini_test_files": 3}
    config = tmp_path / "sliced.yaml"
    config.write_text(edited(yaml.safe_load(plan_run.text), changes))
    request = make_request(sky, config, tmp_path / "out", "sliced", "test", (plan_run.exclude,))
    files, _ = execute_here(request)
    assert len(json.loads(Path(files.items).read_text())) > 10
    manifest = json.loads(Path(plan_run.files.manifest).read_text())
    for part in ("negatives", "positives"):
        rows = read_parts(f"{files.sample_folder}/{part}")
        wanted = read_parts(Path(plan_run.files.manifest_folder) / part)
        for row in (*rows, *wanted):
            del row["extraction_timestamp"]
        assert [str(row) for row in rows] == [str(row) for row in wanted]
        table = pa.concat_tables(
            [
                pq.ParquetFile(path).read()
                for path in sorted(Path(files.sample_folder, part).glob("*.parquet"))
            ]
        )
        assert content_sha256(table, table.schema) == manifest[part]["content_sha256"]
