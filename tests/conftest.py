"""What several test modules share: the published configs, the real data, a mocked S3."""

import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import Phase, settings
from moto import mock_aws
from moto.backends import get_backend
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from pipeline import OPEN_GATES, make_request, write_other_lenses
from plainrun import run_map

from lensneg import storage
from lensneg.mocksky import write_mock_sky
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles

CONFIGS = Path(__file__).parents[1] / "configs"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# The same examples in every run: a failure is seen by all or by none.
settings.register_profile("lensneg", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("lensneg")

# For `make mutants`, where only the failure counts, and not the simplest example of it.
settings.register_profile(
    "mutants", settings.get_profile("lensneg"), phases=[Phase.explicit, Phase.generate], max_examples=30
)

# A shell's background ignores SIGINT, and the commands that the tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: The files that take longest, the longest first. They begin first, so no worker ends long after the others.
LONGEST = (
    "stack/test_pipeline_in_s3.py",
    "end_to_end/test_documented_commands.py",
    "end_to_end/test_pipeline.py",
    "install/test_wheel.py",
    "faults/test_recovery.py",
    "end_to_end/test_plan_scripts.py",
    "faults/test_killed_processes.py",
    "stack/test_linters.py",
    "local/test_run.py",
    "end_to_end/test_recovery_page.py",
    "aws/test_smoke.py",
    "local/test_stream.py",
    "faults/test_s3_faults.py",
    "stages/test_hostile_tables.py",
    "spark/test_sample_negatives.py",
    "local/test_environment.py",
    "spark/test_python_versions.py",
    "local/test_emr.py",
    "page/test_report.py",
)

#: Needs hats-import, which has an environment of its own.
collect_ignore = ["make_hats.py"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests for workers, of which each takes one file after the other."""
    if hasattr(config, "workerinput"):
        place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
        items.sort(key=lambda item: place.get(item.path, len(place)))


def config_text(name: str) -> str:
    """The text of a published config."""
    return (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Restore what a command that was interrupted in this process ignores: processes would inherit it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="session")
def _retriers_do_not_wait() -> Iterator[None]:
    """Let the graph's retriers try again at once; test_service_errors.py looks at their waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrier_decl, "time", SimpleNamespace(sleep=lambda _: None))
        yield


@pytest.fixture(scope="session")
def plan_text() -> str:
    """The text of negative_sampling_v1."""
    return config_text("negative_sampling_v1")


@pytest.fixture(scope="session")
def plan(plan_text: str) -> Config:
    """The config negative_sampling_v1."""
    return Config.parse(plan_text)


@pytest.fixture(scope="session")
def v2() -> Config:
    """The config negative_sampling_v2."""
    return Config.parse(config_text("negative_sampling_v2"))


@pytest.fixture(scope="session")
def v2_dict() -> dict[str, Any]:
    """negative_sampling_v2 as PyYAML parses it."""
    return yaml.safe_load(config_text("negative_sampling_v2"))


@pytest.fixture(scope="session")
def parity() -> Config:
    """The config paper_iv_parity."""
    return Config.parse(config_text("paper_iv_parity"))


@pytest.fixture(scope="session")
def plan_dict(plan_text: str) -> dict[str, Any]:
    """negative_sampling_v1 as PyYAML parses it."""
    return yaml.safe_load(plan_text)


@pytest.fixture(scope="session")
def parity_dict() -> dict[str, Any]:
    """paper_iv_parity as PyYAML parses it."""
    return yaml.safe_load(config_text("paper_iv_parity"))


def edited(config: dict[str, Any], changes: dict[str, Any]) -> str:
    """The text of a config with some values changed, by their dotted keys; ``...`` removes a key.

    It has a name of its own, because other content is refused under the name of a shipped config.
    """
    copy = deepcopy(config) | {"name": f"edited_{config['name']}"}
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        section = copy
        for name in sections:
            section = section[name]
        if value is ...:
            del section[key]
        else:
            section[key] = value
    return yaml.dump(copy, Dumper=yaml.CSafeDumper, sort_keys=False)


@pytest.fixture(scope="session")
def plan_with(plan_dict: dict[str, Any]) -> Callable[[dict[str, Any]], Config]:
    """negative_sampling_v1 with some values changed: ``plan_with({"negative_pools.seed": 1})``."""

    def parse(changes: dict[str, Any]) -> Config:
        return Config.parse(edited(plan_dict, changes))

    return parse


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Where a file of real data is; the test is skipped where there is none."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"real data: no ../shared/data/{name} beside this checkout")
        return path

    return find


@pytest.fixture(scope="module")
def mocked_s3() -> Iterator[None]:
    """A mocked S3 for a module: to make a client takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_PROFILE", raising=False)
        storage.s3_client.cache_clear()
        yield
    storage.s3_client.cache_clear()


@pytest.fixture
def s3(mocked_s3: None) -> str:
    """An empty bucket in a mocked S3, as a URI."""
    get_backend("s3").reset()
    storage.s3_client().create_bucket(Bucket="sky")
    return "s3://sky"


@pytest.fixture(scope="session")
def gate_sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sky, further lenses, and a config whose gates it passes."""
    folder = tmp_path_factory.mktemp("gates")
    write_mock_sky(folder, files=2, rows=6_000, seed=51)
    write_other_lenses(folder, folder / "others.csv")
    config = edited(
        yaml.safe_load(config_text("negative_sampling_v1")), {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3}
    )
    (folder / "config.yaml").write_text(config)
    return folder


@pytest.fixture(scope="session")
def mapped(gate_sky: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run whose map is done."""
    return run_map(
        make_request(
            gate_sky,
            gate_sky / "config.yaml",
            tmp_path_factory.mktemp("mapped"),
            "one",
            "test",
            (gate_sky / "others.csv",),
        )
    )
