"""Gates 1, 2 and 3: each check fails by itself when, and only when, what it guards is spoiled."""

import csv
import glob
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from botocore.session import get_session
from botocore.stub import Stubber
from conftest import config_text, edited
from pipeline import OPEN_GATES, as_input, files_of, make_request, rewrite, write_other_lenses
from plainrun import draw_plainly, edit_json, failing, run_map

from lensneg.mocksky import write_mock_sky
from lensneg.rules.quotas import compute_quotas
from lensneg.rules.strata import Stratum
from lensneg.schema.code_version import CodeVersion
from lensneg.schema.columns import POOL_SCHEMA
from lensneg.schema.config import config_sha256
from lensneg.schema.gate import Verdict
from lensneg.schema.layout import RunFiles
from lensneg.schema.publication import ConfigVersion
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.request import RunRequest
from lensneg.schema.rerun_command import rerun_command
from lensneg.schema.run import Run, _load_run, load_run
from lensneg.schema.sample_summary import JobRun
from lensneg.schema.states import StateError
from lensneg.schema.tables import read_table, write_table
from lensneg.schema.tolerance import binomial
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.preflight import account, input_checks, run_checks
from lensneg.stages.preflight import gate1 as preflight
from lensneg.stages.quarantine import quarantine
from lensneg.stages.summarize_fan_out.checks import Findings, _strata
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out

CLEAN = CodeVersion("0.1.0", "a" * 64, "b" * 40)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gates")
    write_mock_sky(folder, files=2, rows=6_000, seed=51)
    write_other_lenses(folder, folder / "others.csv")
    config = edited(
        yaml.safe_load(config_text("negative_sampling_v1")), {**OPEN_GATES, "sampling.neg_pos_ratio": 3}
    )
    (folder / "config.yaml").write_text(config)
    return folder


# ---------------------------------------------------------------- gate 1


class Desk:
    """A request over a copy of the sky (of links), which a test spoils before gate 1 looks at it."""

    def __init__(self, sky: Path, folder: Path) -> None:
        self.folder = folder
        (folder / "sweeps").mkdir()
        for sweep in (sky / "sweeps").iterdir():
            (folder / "sweeps" / sweep.name).symlink_to(sweep)
        for name in ("positives.csv", "others.csv", "config.yaml"):
            shutil.copy(sky / name, folder)
        self.mode = "test"
        self.environment: dict[str, str] = {}

    @property
    def sweeps(self) -> list[Path]:
        return sorted((self.folder / "sweeps").iterdir())

    def copy_of_a_sweep(self) -> Path:
        """The first sweep file as a file of its own, to be changed."""
        path = self.sweeps[0]
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        return path

    @property
    def request(self) -> RunRequest:
        folder = self.folder
        return make_request(
            folder, folder / "config.yaml", folder / "out", "one", self.mode, (folder / "others.csv",)
        )

    @property
    def files(self) -> RunFiles:
        return files_of(self.request)

    def look(self) -> tuple[set[str], Verdict]:
        """The checks that fail, and the verdict."""
        result = preflight.preflight(as_input(self.request))
        return failing(self.files.gate(1)), result.gate


@pytest.fixture
def desk(sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for module in (input_checks, run_checks):
        monkeypatch.setattr(module, "code_version", lambda: CLEAN)
    return Desk(sky, tmp_path)


def rewrite_positions(path: Path, change: Callable[[float, float], tuple[float, float]]) -> None:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = ("ra", "dec") if "ra" in rows[0] else ("RA [deg]", "DEC [deg]")
    for row in rows:
        if row[names[0]] != "-":
            row[names[0]], row[names[1]] = map(str, change(float(row[names[0]]), float(row[names[1]])))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def break_config(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(path.read_text().replace("mag_z_max", "mag_z_limit"))


def no_sweeps(desk: Desk) -> None:
    for path in desk.sweeps:
        path.unlink()


def a_typo_in_a_name(desk: Desk) -> None:
    (desk.folder / "sweeps" / "sweep-010m005-15p000.fits").write_text("")


def a_gzipped_copy(desk: Desk) -> None:
    import gzip

    path = desk.sweeps[0]
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))


def a_truncated_sweep(desk: Desk) -> None:
    path = desk.copy_of_a_sweep()
    path.write_bytes(path.read_bytes()[:-100_000])


def padding_lost(desk: Desk) -> None:
    path = desk.copy_of_a_sweep()
    data = path.read_bytes()
    assert data.endswith(bytes(17))
    path.write_bytes(data[:-17])


def bytes_behind_the_end(desk: Desk) -> None:
    with desk.copy_of_a_sweep().open("ab") as file:
        file.write(b"\0" * 17)


def another_release(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(edited(yaml.safe_load(path.read_text()), {"sweeps.releases": [10000]}))


def an_unreadable_catalogue(desk: Desk) -> None:
    (desk.folder / "others.csv").write_text("name,alpha,delta\na,1,2\n")


def lenses_elsewhere(desk: Desk) -> None:
    rewrite_positions(desk.folder / "others.csv", lambda ra, dec: ((ra + 180) % 360, dec))


def positives_elsewhere(desk: Desk) -> None:
    rewrite_positions(desk.folder / "positives.csv", lambda ra, dec: (ra, 89.0 if dec < 60 else -dec))


def published_before(desk: Desk) -> None:
    path = Path(desk.files.manifest)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"run": published_record(desk, "one", "")}))


def published_record(desk: Desk, run_id: str, more: str) -> dict[str, Any]:
    text = (desk.folder / "config.yaml").read_text() + more
    return {
        "run_id": run_id,
        "mode": "full",
        "started_at": "2026-01-01T00:00:00Z",
        "out": str(desk.folder / "out"),
        "config": {"uri": "c.yaml", "sha256": config_sha256(text), "text": text},
        "code": {"pipeline_version": "0", "git_commit": "x", "code_version": "0-x"},
        "sweeps": [],
        "ignored_files": 0,
        "catalogs": [],
    }


def version_used_otherwise(desk: Desk) -> None:
    uri = desk.files.config_version("negative_sampling_v1", "1.0.0")
    ConfigVersion(config_sha256="0" * 64, run_id="older").write(uri)


def inputs_changed_since(desk: Desk) -> None:
    assert desk.look()[1].passed
    rewrite_positions(desk.folder / "others.csv", lambda ra, dec: (ra, dec + 1e-5))


def no_mini_test(desk: Desk) -> None:
    desk.mode = "full"


def mini_test_of_another_code(desk: Desk) -> None:
    desk.mode = "full"
    sha256 = config_sha256((desk.folder / "config.yaml").read_text())
    path = Path(desk.files.mini_test(sha256, CLEAN.code_version))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"config_sha256": sha256, "code_version": "0.0.1-other"}))


GATE_1: dict[str, tuple[Callable[[Desk], None], set[str]]] = {
    "a key is misspelt": (break_config, {"config_valid"}),
    "no sweep files": (no_sweeps, {"sweeps_listed"}),
    "a sweep's name has a typo": (a_typo_in_a_name, {"sweep_names"}),
    "a file and its gzipped copy": (a_gzipped_copy, {"sweeps_disjoint"}),
    "a truncated file": (a_truncated_sweep, {"sweeps_readable"}),
    "bytes behind the end of a file": (bytes_behind_the_end, {"sweeps_readable"}),
    "a file without all of its padding": (padding_lost, {"sweep_sizes"}),
    "a release that the config does not take": (another_release, {"one_release"}),
    "a catalogue without positions": (an_unreadable_catalogue, {"catalog_readable:others.csv"}),
    "lenses in another part of the sky": (lenses_elsewhere, {"catalog_in_footprint:others.csv"}),
    "positives in another part of the sky": (positives_elsewhere, {"positives_in_sweeps"}),
    "a run id that is published": (published_before, {"run_not_published"}),
    "a version that stands for other content": (version_used_otherwise, {"config_version_immutable"}),
    "inputs changed since the run began": (inputs_changed_since, {"run_inputs_unchanged"}),
    "no mini-test": (no_mini_test, {"mini_test_passed"}),
    "a mini-test of another code": (mini_test_of_another_code, {"mini_test_passed"}),
}
WARNINGS = {"sweep_names", "sweep_sizes", "catalog_in_footprint:others.csv", "code_version_known"}


def test_gate_1_passes(desk: Desk) -> None:
    assert desk.look() == (set(), Verdict(gate="Gate1PreSubmission", passed=True, cause=""))


@pytest.mark.parametrize("how", GATE_1)
def test_what_gate_1_refuses_fails_one_check(desk: Desk, how: str) -> None:
    spoil, expected = GATE_1[how]
    spoil(desk)
    failed, verdict = desk.look()
    assert failed == expected
    assert verdict.passed == (expected <= WARNINGS)
    if not verdict.passed:
        assert next(iter(expected)) in verdict.cause


def test_code_that_is_not_committed_is_a_warning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_checks, "code_version", lambda: CLEAN.__class__("0.1.0", "a" * 64, "b-dirty"))
    failed, verdict = desk.look()
    assert failed == {"code_version_known"}
    assert verdict.passed


def test_an_output_that_cannot_be_written_to(desk: Desk) -> None:
    (desk.folder / "out").write_text("a file where the folder should be")
    verdict = preflight.preflight(as_input(desk.request)).gate
    assert not verdict.passed
    assert verdict.cause.startswith("output_writable: ")


def test_a_full_run_is_sent_to_its_mini_test_by_the_command_that_makes_it(desk: Desk) -> None:
    no_mini_test(desk)
    command = rerun_command(
        config=desk.request.config,
        sweeps=desk.request.sweeps,
        positives=desk.request.positives,
        exclude=desk.request.exclude,
        out=desk.request.out,
        mode="test",
    )
    folder = desk.folder
    assert command == (
        f"lensneg run --mode test --config {folder}/config.yaml --sweeps {folder}/sweeps "
        f"--positives {folder}/positives.csv --exclude {folder}/others.csv --out {folder}/out"
    )
    assert command in desk.look()[1].cause


def whole_sky_catalogue(
    path: Path, cells: list[tuple[float, float]], unit: Callable[[float, float], Any]
) -> None:
    """Positions all over the sky, and some in each of the cells, in another unit than degrees."""
    rng = np.random.default_rng(8)
    positions = [
        (float(r), float(d)) for r, d in zip(rng.uniform(0, 360, 60), rng.uniform(-80, 80, 60), strict=True)
    ]
    positions += [(ra + 1 + i / 10, dec + 1 + i / 10) for ra, dec in cells for i in range(5)]
    lines = ["name,ra,dec", *[f"L{i},{x},{y}" for i, (x, y) in enumerate(unit(*p) for p in positions)]]
    path.write_text("\n".join(lines) + "\n")


UNITS: dict[str, Callable[[float, float], Any]] = {
    "hours of RA": lambda ra, dec: (ra / 15, dec),
    "radians": lambda ra, dec: (math.radians(ra), math.radians(dec)),
    "degrees": lambda ra, dec: (ra, dec),
}


@pytest.mark.parametrize("unit", UNITS)
def test_a_catalogue_in_another_unit_than_degrees(desk: Desk, unit: str) -> None:
    from lensneg.survey.names import sweep_cell

    cells = [cell for path in desk.sweeps if (cell := sweep_cell(path.name))]
    whole_sky_catalogue(desk.folder / "others.csv", [(c.ra_min, c.dec_min) for c in cells], UNITS[unit])
    failed, verdict = desk.look()
    if unit == "degrees":
        assert failed == set()
    else:
        assert "catalog_in_degrees:others.csv" in failed
        assert failed <= {"catalog_in_degrees:others.csv", "catalog_in_footprint:others.csv"}
        assert f"they look like {unit}" in verdict.cause


# ---------------------------------------------------------------- gate 1 on AWS


def stubbed(answers: dict[str, list[tuple[str, Any]]]) -> Callable[[str], Any]:
    """botocore's clients with canned answers, which botocore checks against its models; errors as texts."""
    clients = {}
    for service, calls in answers.items():
        client = get_session().create_client(
            service, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        stub = Stubber(client)
        for operation, answer in calls:
            if isinstance(answer, str):
                stub.add_client_error(operation, answer, "no")
            else:
                stub.add_response(operation, answer)
        stub.activate()
        clients[service] = client
    return lambda service: clients[service]


def application(state: str = "STOPPED", starts: bool = True, cpu: str = "64 vCPU") -> dict[str, Any]:
    return {
        "application": {
            "applicationId": "app",
            "arn": "arn:aws:emr-serverless:us-east-1:123456789012:/applications/app",
            "releaseLabel": "emr-7.13.0",
            "type": "Spark",
            "state": state,
            "createdAt": 0,
            "updatedAt": 0,
            "autoStartConfiguration": {"enabled": starts},
            "maximumCapacity": {"cpu": cpu, "memory": "256 GB"},
        }
    }


ON_AWS = {
    account.ON_AWS_VARIABLE: "Preflight",
    account.APPLICATION_VARIABLE: "app",
    account.FILTER_VARIABLE: "FilterSweep",
}


def account_failures(
    first: Any = None, second: Any = None, vcpus: Any = 64.0, free: Any = 1000, reserved: int | None = None
) -> set[str]:
    client = stubbed(
        {
            "emr-serverless": [
                ("get_application", first or application()),
                ("get_application", second or application()),
            ],
            "service-quotas": [
                ("get_service_quota", vcpus if isinstance(vcpus, str) else {"Quota": {"Value": vcpus}})
            ],
            "lambda": [
                (
                    "get_account_settings",
                    free
                    if isinstance(free, str)
                    else {"AccountLimit": {"UnreservedConcurrentExecutions": free}},
                ),
                (
                    "get_function_concurrency",
                    {} if reserved is None else {"ReservedConcurrentExecutions": reserved},
                ),
            ],
        }
    )
    checks = list(account.account_checks(500, ON_AWS, client))
    assert [c.name for c in checks] == ["emr_application", "emr_vcpu_quota", "lambda_concurrency"]
    return {c.name + ("" if c.critical else " (warning)") for c in checks if not c.passed}


def test_the_account_is_looked_at_on_aws_alone() -> None:
    assert list(account.account_checks(500, {}, stubbed({}))) == []
    assert account_failures() == set()


def test_each_check_of_the_account_fails_alone() -> None:
    assert account_failures(first=application("TERMINATED")) == {"emr_application"}
    assert account_failures(first=application("STOPPED", starts=False)) == {"emr_application"}
    assert account_failures(first=application("STARTED", starts=False)) == set()
    assert account_failures(vcpus=16.0) == {"emr_vcpu_quota"}
    assert account_failures(free=10) == {"lambda_concurrency"}
    assert account_failures(free=10, reserved=500) == set()
    assert account_failures(reserved=100) == {"lambda_concurrency"}


def test_what_may_not_be_looked_at_is_a_warning() -> None:
    assert account_failures(first="AccessDeniedException") == {"emr_application (warning)"}
    assert account_failures(vcpus="AccessDeniedException") == {"emr_vcpu_quota (warning)"}
    assert account_failures(free="AccessDeniedException") == {"lambda_concurrency (warning)"}


# ---------------------------------------------------------------- gate 2


@pytest.fixture(scope="module")
def mapped(sky: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run whose map is done."""
    return run_map(
        make_request(
            sky, sky / "config.yaml", tmp_path_factory.mktemp("mapped"), "one", "test", (sky / "others.csv",)
        )
    )


@pytest.fixture
def spread(mapped: RunFiles, tmp_path: Path) -> RunFiles:
    """A copy of that run, to be spoiled."""
    shutil.copytree(mapped.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    edit_json(files.run, lambda record: record.update(out=files.out))
    return files


def a_stats_file(files: RunFiles) -> Path:
    return sorted(Path(files.stats_folder).iterdir())[0]


def lose_an_item(files: RunFiles) -> None:
    a_stats_file(files).unlink()


def lose_a_row(files: RunFiles) -> None:
    def change(stats: dict[str, Any]) -> None:
        stats["cut"]["faint"] -= 1

    edit_json(a_stats_file(files), change)


def plan_fewer_rows(files: RunFiles) -> None:
    """items.json and stats agree on fewer rows than the sweep file has."""
    [item] = [i for i in json.loads(Path(files.items).read_text()) if i["id"] == a_stats_file(files).stem]

    def shorten(entry: dict[str, Any]) -> None:
        if entry["id"] == item["id"]:
            entry["n_rows"] -= 7

    def items(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            shorten(entry)

    def stats(value: dict[str, Any]) -> None:
        shorten(value["item"])
        value["rows_in"] -= 7
        value["cut"]["faint"] -= 7

    edit_json(files.items, items)
    edit_json(a_stats_file(files), stats)


def change_a_catalogue(files: RunFiles) -> None:
    def move(record: dict[str, Any]) -> None:
        source = record["catalogs"][-1]
        path = Path(files.out) / "others.csv"
        path.write_text(Path(source["spec"]["uri"]).read_text() + "\n")
        source["spec"]["uri"] = str(path)

    edit_json(files.run, move)


def configure(changes: dict[str, Any]) -> Callable[[RunFiles], None]:
    """Another config with the same name, version and hash: the map's work stays valid."""

    def change(files: RunFiles) -> None:
        def edit(record: dict[str, Any]) -> None:
            record["config"]["text"] = edited(yaml.safe_load(record["config"]["text"]), changes)

        edit_json(files.run, edit)

    return change


def lose_the_matches(files: RunFiles) -> None:
    """Half of the positives get a catalogue position where there is no source."""
    table = pq.read_table(files.lenses)
    positive = table.filter(table["is_positive"])
    empty = positive.set_column(
        2, table.schema.field("dec"), pa.array([dec + 0.002 for dec in positive["dec"].to_pylist()])
    )
    pq.write_table(pa.concat_tables([table, *[empty] * 3]), files.lenses)


def positives_of_another_type(files: RunFiles) -> None:
    for path in Path(files.positives_folder).iterdir():
        rewrite_column(path, "type_bin", "EXP")
        edit_json(
            files.stats(path.stem), lambda stats, p=path: stats.update(positives_bytes=p.stat().st_size)
        )


def rewrite_column(path: Path, name: str, value: Any) -> None:
    table = pq.ParquetFile(path).read()
    i = table.column_names.index(name)
    values = pa.array([value] * len(table), table.schema.field(name).type)
    pq.write_table(table.set_column(i, table.schema.field(name), values), path)


GATE_2: dict[str, tuple[Callable[[RunFiles], None], set[str]]] = {
    "an item without stats": (lose_an_item, {"items_done"}),
    "a row that is not accounted for": (lose_a_row, {"rows_accounted"}),
    "rows that no item has": (plan_fewer_rows, {"items_cover_sweeps"}),
    "a catalogue that changed": (change_a_catalogue, {"inputs_unchanged"}),
    "catalogue positions without sources": (lose_the_matches, {"positives_matched"}),
    "positives of a type without strata": (positives_of_another_type, {"positives_in_strata"}),
    "too many confusers": (configure({"gates.n2_fraction_range": [0.0, 0.01]}), {"n2_fraction"}),
    "too few confusers": (configure({"gates.n2_fraction_range": [0.99, 1.0]}), {"n2_fraction"}),
    "strata that are short": (
        configure(
            {
                "sampling.neg_pos_ratio": 999,
                "gates.stratum_shortfall_max": 0.0,
                "gates.chance_sigmas": 0.0,
            }
        ),
        {"strata_available"},
    ),
}


def gate_2(files: RunFiles) -> tuple[set[str], Verdict]:
    _load_run.cache_clear()  # the run was changed behind its back
    verdict = summarize_fan_out(files.root).gate
    return failing(files.gate(2)), verdict


def test_gate_2_passes(spread: RunFiles) -> None:
    assert gate_2(spread) == (set(), Verdict(gate="Gate2FanOutComplete", passed=True, cause=""))


@pytest.mark.parametrize("how", GATE_2)
def test_what_gate_2_refuses_fails_one_check(spread: RunFiles, how: str) -> None:
    spoil, expected = GATE_2[how]
    spoil(spread)
    failed, verdict = gate_2(spread)
    assert failed == expected
    assert not verdict.passed
    assert next(iter(expected)) in verdict.cause


def found(run: Run, quotas: list[StratumQuota]) -> Findings:
    """Findings of which only the run and its quotas matter."""
    return Findings(run, None, None, quotas, None)  # type: ignore[arg-type]


def test_a_mini_test_does_not_fail_by_chance_and_a_full_run_is_not_excused(spread: RunFiles) -> None:
    """One positive with 60 of 100 negatives: two files may well hold so few; the whole sky may not."""
    _load_run.cache_clear()
    run = load_run(spread.root)
    config = run.config.model_copy(
        update={
            "gates": run.config.gates.model_copy(update={"stratum_shortfall_max": 0.0}),
            "sampling": run.config.sampling.model_copy(update={"neg_pos_ratio": 100}),
        }
    )

    def short(mode: str, positives: int, available: int) -> bool:
        stratum = Stratum("3-5", "SER")
        quotas = compute_quotas({stratum: positives}, {(stratum, "N1"): available}, config)
        told = type(run)(run.record.model_copy(update={"mode": mode}), config, run.files, run.lenses)
        [check] = [c for c in _strata(found(told, quotas)) if c.name == "strata_available"]
        return not check.passed

    assert not short("test", 1, 60)
    assert short("full", 1, 60)
    # 2,500 positives: sigma is sqrt(1/2500 + 1/250000) = 2 %, so 8 % may be missing.
    assert not short("test", 2_500, 231_000)
    assert short("test", 2_500, 229_000)


def test_strata_that_the_cuts_leave_empty_are_a_warning(spread: RunFiles) -> None:
    _load_run.cache_clear()
    run = load_run(spread.root)
    changed = run.config.model_copy(
        update={"selection": run.config.selection.model_copy(update={"nobs_min": {"z": 3}})}
    )
    quotas = compute_quotas({Stratum("1-2", "SER"): 4}, {}, changed)
    checks = list(_strata(found(run, quotas)))
    assert [(c.name, c.critical) for c in checks if not c.passed] == [("strata_reachable", False)]


def test_binomial_bounds_are_those_of_coins() -> None:
    """Of many samples of 400 coins, as many as the normal law says are within each bound."""
    rng = np.random.default_rng(2)
    shares = rng.binomial(400, 0.3, 200_000) / 400
    for sigmas, inside in ((1.0, 0.683), (2.0, 0.954), (3.0, 0.997)):
        bound = binomial(0.0, 0.3, 400, sigmas)
        assert abs((np.abs(shares - 0.3) <= bound.total + 1 / 800).mean() - inside) < 0.02


# ---------------------------------------------------------------- gate 3


@pytest.fixture(scope="module")
def sampled(mapped: RunFiles, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run whose sample is drawn."""
    out = tmp_path_factory.mktemp("sampled") / "out"
    shutil.copytree(mapped.out, out)
    files = RunFiles(str(out), "one")
    edit_json(files.run, lambda record: record.update(out=files.out))
    assert gate_2(files)[1].passed
    draw_plainly(Path(files.root))
    return files


@pytest.fixture
def draw(sampled: RunFiles, tmp_path: Path) -> RunFiles:
    """A copy of it, to be spoiled."""
    shutil.copytree(sampled.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    edit_json(files.run, lambda record: record.update(out=files.out))
    return files


def quota_of_one_more(files: RunFiles) -> None:
    def change(quotas: dict[str, Any]) -> None:
        quotas["strata"][0]["pools"][0]["quota"] += 1

    edit_json(files.quotas, change)


def one_positive_more(files: RunFiles) -> None:
    def change(quotas: dict[str, Any]) -> None:
        quotas["strata"][0]["positives"] += 1

    edit_json(files.quotas, change)


def one_fewer_drawn(files: RunFiles) -> None:
    edit_json(files.sample_summary, lambda summary: summary["rows"][0].update(rows=0))


def empty_pool_file(files: RunFiles) -> None:
    """To Spark an empty file is one without rows, so that the draw comes out short."""
    one_fewer_drawn(files)
    os.truncate(pool_files(files)[0], 0)


def pool_files(files: RunFiles) -> list[str]:
    return sorted(glob.glob(f"{files.pool_folder}/*.parquet"))


def change_pool(files: RunFiles, column: str, change: Callable[[list[int]], list[int]]) -> None:
    """Change a column in the first two drawn rows of a pool file, and leave its row groups as they are."""
    path = pool_files(files)[0]
    last = {
        (r["nobs_z_bin"], r["type_bin"], r["pool"]): r["last_priority"]
        for r in json.loads(Path(files.sample_summary).read_text())["rows"]
    }
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(i).to_pylist() for i in range(file.num_row_groups)]
    drawn = [
        row
        for rows in groups
        for row in rows
        if row["sampling_priority"]
        <= last.get((row["nobs_z_bin"], row["type_bin"], row["pool"]), -(2**63) - 1)
    ][:2]
    assert len(drawn) == 2
    for row, value in zip(drawn, change([row[column] for row in drawn]), strict=True):
        row[column] = value
    with pq.ParquetWriter(path, POOL_SCHEMA) as writer:
        for rows in groups:
            writer.write_table(pa.Table.from_pylist(rows, POOL_SCHEMA))


GATE_3: dict[str, tuple[Callable[[RunFiles], None], set[str]]] = {
    "no summary": (lambda f: os.unlink(f.sample_summary), {"summary_written"}),
    "half a summary": (lambda f: os.truncate(f.sample_summary, 40), {"summary_written"}),
    "another run's summary": (
        lambda f: edit_json(f.sample_summary, lambda s: s.update(run_id="two")),
        {"summary_of_this_run"},
    ),
    "a quota that is not met": (quota_of_one_more, {"drawn_equals_quota"}),
    "a draw that came out short": (one_fewer_drawn, {"drawn_equals_quota"}),
    "a draw short by an empty pool file": (
        empty_pool_file,
        {"drawn_equals_quota", "files_as_summarized"},
    ),
    "a positive that is not written": (one_positive_more, {"positives_written"}),
    "a source twice in the pool": (
        lambda f: edit_json(f.sample_summary, lambda s: s.update(duplicate_targetids=3)),
        {"pool_unique"},
    ),
    "a drawn row that the pool lacks": (
        lambda f: change_pool(f, "sampling_priority", lambda drawn: [2**63 - 1] * len(drawn)),
        {"files_as_summarized"},
    ),
    "a pool file that is gone": (
        lambda f: os.unlink(pool_files(f)[0]),
        {"files_as_summarized"},
    ),
    "a positive that its file lacks": (
        lambda f: write_table(f.matched_positives, read_table(f.matched_positives).slice(1)),
        {"positives_written"},
    ),
    "a source drawn twice": (
        lambda f: change_pool(f, "targetid", lambda drawn: [drawn[0]] * len(drawn)),
        {"no_duplicates"},
    ),
}


def test_gate_3_names_an_empty_pool_file_and_what_to_do(draw: RunFiles) -> None:
    empty_pool_file(draw)
    cause = check_sample(draw.root).gate.cause
    name = Path(pool_files(draw)[0]).name
    assert f"{name}: not the pool file that was counted" in cause
    assert f"remove {draw.stats(name.removesuffix('.parquet'))} and start again with the same run id" in cause


def test_gate_3_passes(draw: RunFiles) -> None:
    assert check_sample(draw.root).gate.passed
    assert failing(draw.gate(3)) == set()


@pytest.mark.parametrize("how", GATE_3)
def test_what_gate_3_refuses_fails_its_check(draw: RunFiles, how: str) -> None:
    spoil, expected = GATE_3[how]
    spoil(draw)
    verdict = check_sample(draw.root).gate
    assert failing(draw.gate(3)) == expected
    assert verdict.passed == (expected == {"pool_unique"})
    assert bool(draw.sample_parts("negatives")) == verdict.passed


@pytest.mark.parametrize(
    "ended",
    [
        {"job_error": StateError(Error="States.TaskFailed", Cause="out of memory")},
        {"job": JobRun.of_emr({"State": "CANCELLED"})},
    ],
)
def test_a_job_that_did_not_succeed(draw: RunFiles, ended: dict[str, Any]) -> None:
    assert not check_sample(draw.root, **ended).gate.passed
    assert failing(draw.gate(3)) == {"job_succeeded"}


def test_a_quarantined_run_names_what_failed_and_keeps_its_files(draw: RunFiles) -> None:
    from lensneg.stages.validate_manifest import validate_manifest

    _load_run.cache_clear()
    assert check_sample(draw.root).gate.passed
    rewrite(Path(draw.sample_folder) / "negatives", lambda t: t.slice(1))
    assert not validate_manifest(draw.root).gate.passed
    quarantine(draw.root)
    mark = json.loads(Path(draw.quarantine).read_text())
    assert [check["name"] for check in mark["failed"]] == ["row_count"]
    assert Path(mark["sample"], "negatives").is_dir()
