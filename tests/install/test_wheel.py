"""The wheel, installed where nothing of the checkout is: what it holds, and that it makes a run.

It is built by way of an sdist, with the build tool that is here. Its environment has links to what it says
that it needs, and to nothing else; so no test asks a network.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from linked import link_needs
from pipeline import make_request
from plainrun import run_to_sample

from lensneg.schema.code_version import code_version
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Parts
from lensneg.schema.run import RunRecord
from lensneg.stages.validate_manifest import validate_manifest
from lensneg.version import __version__

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "negative_sampling_v1.yaml"

#: What lies beside the package in a checkout, and in it in a wheel.
BUNDLED = ("configs/*.yaml", "functions/*.py", "schemas/*.json", "spark/*.py", "statemachine/*.json")
OF_THE_PACKAGE = ("lensneg/**/*.py", "lensneg/page/*.j2", "lensneg/py.typed")

CALL = """
import lensneg

manifest = lensneg.run(
    config="negative_sampling_v1",
    sweeps="sky/sweeps",
    positives="sky/positives.csv",
    out="out",
    mode="full",
    run_id="call",
)
assert manifest.negatives().to_table().num_rows == manifest.counts.negatives
"""


def python(*arguments: str | Path) -> None:
    """Run a module of this environment on the checkout."""
    subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    python("hatchling", "build", "--target", "sdist", "--directory", folder)
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel of an sdist of the checkout, as pip makes it."""
    python("pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", sdist.parent, sdist)
    [made] = sdist.parent.glob("*.whl")
    return made


class Installed:
    """An environment with the wheel, and an unrelated folder to work in."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.place, environment = folder / "place", folder / "environment"
        self.place.mkdir()
        venv.create(environment)
        self.bin = environment / "bin"
        python("pip", "--python", self.bin / "python", "install", "-q", "--no-index", "--no-deps", wheel)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
        [metadata] = site.glob("*.dist-info")
        link_needs(Distribution.at(metadata), site)
        (site / "functions.py").write_text("raise ImportError('of somebody else')")

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment; return what it prints."""
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.place,
            env=theirs,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    @cached_property
    def call(self) -> RunFiles:
        """A run by a call, which takes all of a sky of one file."""
        self.run("lensneg", "mock-sky", "sky", "--files", "1", "--rows", "250000")
        self.run("python", "-c", CALL)
        assert json.loads((self.place / "out" / "latest.json").read_text())["run_id"] == "call"
        return RunFiles(str(self.place / "out"), "call")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_the_wheel_holds_the_package_and_what_lies_beside_it(wheel: Path) -> None:
    of_package = {path.relative_to(ROOT).as_posix(): path for g in OF_THE_PACKAGE for path in ROOT.glob(g)}
    beside = {path.relative_to(ROOT).as_posix(): path for g in BUNDLED for path in ROOT.glob(g)}
    expected = of_package | {f"lensneg/bundled/{name}": path for name, path in beside.items()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert held == {*expected, "lensneg/bundled/COMMIT"}
        for name, path in expected.items():
            assert archive.read(name) == path.read_bytes(), name


def test_the_sdist_holds_every_file_of_the_checkout(sdist: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.removeprefix(f"{top}/") for name in archive.getnames()}
    assert set(listed.stdout.splitlines()) - held == set()
    assert {"COMMIT", "PKG-INFO"} <= held


def test_the_metadata_name_license_versions_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        said = archive.read(name).decode()
        [license_name] = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert archive.read(license_name) == (ROOT / "LICENSE").read_bytes()
    for line in (
        "License-Expression: BSD-3-Clause",
        "Classifier: Typing :: Typed",
        "Classifier: Programming Language :: Python :: 3.13",
        "Provides-Extra: aws",
        "Provides-Extra: docs",
    ):
        assert line in said.splitlines(), line


def test_the_wheel_is_that_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    python("hatchling", "build", "--target", "wheel", "--directory", tmp_path)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_nothing_of_the_checkout_is_there(installed: Installed) -> None:
    path = json.loads(installed.run("python", "-c", "import json, sys; print(json.dumps(sys.path))"))
    assert not [entry for entry in path if Path(entry).is_relative_to(ROOT)]
    assert installed.run("lensneg", "--version") == f"lensneg, version {__version__}\n"
    where = installed.run("python", "-c", "import lensneg; print(lensneg.__file__)")
    assert Path(where.strip()).is_relative_to(installed.bin.parent)


def test_a_run_draws_what_the_checkout_draws(installed: Installed, tmp_path: Path) -> None:
    found = Parts.read(installed.call.audited)
    ours = run_to_sample(make_request(installed.place / "sky", CONFIG, tmp_path, "ours", "test"))
    assert validate_manifest(ours.root).gate.passed
    expected = Parts.read(ours.audited)
    assert expected.negatives.rows == 1400  # 10 lenses, and 4 whose flaw leaves them in a stratum
    assert found.negatives.content_sha256 == expected.negatives.content_sha256
    assert found.positives.content_sha256 == expected.positives.content_sha256


def test_the_command_runs_the_graph_too(installed: Installed) -> None:
    """A run that is published goes from gate 1 to its report, without a map and without Java."""
    options = ["--config", "negative_sampling_v1", "--sweeps", "sky/sweeps", "--mode", "full"]
    options += ["--positives", "sky/positives.csv", "--out", "out", "--run-id", installed.call.run_id]
    Path(installed.call.report).unlink()
    installed.run("lensneg", "run", *options)
    assert Path(installed.call.report).exists()


def test_a_run_names_the_code_that_the_wheel_was_built_from(installed: Installed) -> None:
    named = RunRecord.read(installed.call.run).code
    ours = code_version()
    assert (named.code_version, named.git_commit) == (ours.code_version, ours.git_commit)


def test_the_tables_of_the_cost_model_are_there(installed: Installed) -> None:
    assert json.loads(installed.run("lensneg", "cost", "--json"))["usd"] > 0
