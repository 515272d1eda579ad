"""The documentation site's own part: where links lead, and the help of commands. `make docs` builds it."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import site_pages  # noqa: E402


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("README.md", "[a](docs/cli.md#configs)", "[a](cli.md#configs)"),
        ("README.md", "![a](docs/report.png)", "![a](report.png)"),
        ("README.md", "![a](benchmarks/draw_scaling.png)", "![a](draw_scaling.png)"),
        ("docs/cli.md", "[a](science.md#rules)", "[a](science.md#rules)"),
        ("docs/cli.md", "[a](../README.md)", "[a](index.md)"),
        ("docs/cli.md", "[a](../lensneg/rules)", "[a](https://r/blob/main/lensneg/rules)"),
        ("benchmarks/results.md", "[a](draw.py)", "[a](https://r/blob/main/benchmarks/draw.py)"),
        ("docs/cli.md", "[a](https://e.org/x.md)", "[a](https://e.org/x.md)"),
        ("docs/cli.md", "[a](#exit-codes)", "[a](#exit-codes)"),
    ],
)
def test_where_a_link_leads(source: str, link: str, expected: str) -> None:
    page = {there: name for name, there in site_pages.ELSEWHERE.items()}.get(source, Path(source).name)
    for repository in ("https://r", ""):
        found = site_pages.on_page_markdown(
            link,
            SimpleNamespace(file=SimpleNamespace(src_uri=page)),
            SimpleNamespace(repo_url=repository),
            None,
        )
        assert found == (expected if repository or "https://r" not in expected else "a")


def test_the_help_is_what_the_command_prints() -> None:
    block = site_pages.help_of(["sweeps", "list"])
    command = [sys.executable, "-m", "lensneg", "sweeps", "list", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert block.startswith("```text\n$ lensneg sweeps list --help\nUsage: lensneg sweeps list [OPTIONS]")
    assert "".join(printed.split()) in "".join(block.split())  # the page is wider


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(named) == sorted(pages | {name for name in site_pages.ELSEWHERE if name.endswith(".md")})
