"""The linters of SAM, CloudFormation, security, workflows and state machines find nothing wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deployed import deployed, run_tool, with_fetch


@pytest.mark.parametrize(
    "command",
    [
        ("bin/sam", "validate", "--lint"),  # it runs cfn-lint on template.yaml
        ("bin/cfn-lint", "deploy/repository.yaml", "deploy/github-role.yaml"),
        ("bin/checkov", "--config-file", ".checkov.yaml"),
        ("bin/zizmor", "--offline", "--quiet", ".github"),
    ],
    ids=lambda command: command[0].removeprefix("bin/"),
)
def test_the_linters_find_nothing(command: tuple[str, ...]) -> None:
    process = run_tool(*command)
    assert process.returncode == 0, process.stdout + process.stderr
    if "checkov" in command[0]:
        assert "Failed checks: 0" in process.stdout, process.stdout


@pytest.mark.parametrize(
    "definition",
    [
        lambda: deployed().definition(),
        lambda: with_fetch().definition("FetchStateMachine", "fetch_sweeps.asl.json"),
    ],
    ids=["negative_sampling", "fetch_sweeps"],
)
def test_the_validator_of_state_machines_finds_nothing(
    tmp_path: Path, definition: Callable[[], dict[str, Any]]
) -> None:
    """Among others a field that its state does not have, for which AWS refuses the whole machine."""
    rendered = tmp_path / "rendered.asl.json"
    rendered.write_text(json.dumps(definition()))
    process = run_tool("node_modules/.bin/asl-validator", "--json-path", str(rendered))
    assert process.returncode == 0, process.stdout + process.stderr
