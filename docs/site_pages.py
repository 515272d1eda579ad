"""What mkdocs.yml adds to the pages of this folder: pages that lie elsewhere in the checkout, and help texts.

mkdocs calls the functions, by their names.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

#: The pages of the site that are no files of this folder, and the files that they show.
ELSEWHERE = {
    "index.md": "README.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "results.md": "benchmarks/results.md",
    "draw_scaling.png": "benchmarks/draw_scaling.png",
    "map_scaling.png": "benchmarks/map_scaling.png",
}

_HELP = re.compile(r"^<!-- help: (.*) -->$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie elsewhere."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let links lead to pages of the site or to the repository, and fill in the help of the commands."""
    name = page.file.src_uri
    source = ELSEWHERE.get(name, f"docs/{name}")
    text = _LINK.sub(lambda match: link(match, source, config.repo_url), markdown)
    return _HELP.sub(lambda match: help_of(match[1].split()), text)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Leave Sphinx's roles out of docstrings."""
    return re.sub(r":(?:class|func|meth|mod):(?=<code>)", "", html)


def link(match: re.Match[str], source: str, repository: str | None) -> str:
    """Return a link as the site has it: the text alone if it leads nowhere there."""
    mark, text, target = match.groups()
    path, hash_mark, anchor = target.partition("#")
    if not path or ":" in path:
        return match[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    of_site = {there: page for page, there in ELSEWHERE.items()}
    if file in of_site or (file.startswith("docs/") and not file.endswith(".py")):
        return f"{mark}[{text}]({of_site.get(file, file.removeprefix('docs/'))}{hash_mark}{anchor})"
    if not repository:
        return text
    return f"{mark}[{text}]({repository}/blob/main/{file}{hash_mark}{anchor})"


def help_of(words: list[str]) -> str:
    """Return what ``lensneg WORDS --help`` prints, as a block."""
    from lensneg.cli import cli

    command: click.Command = cli
    context = click.Context(cli, info_name="lensneg", terminal_width=100, **cli.context_settings)
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
        context = click.Context(command, context, word)
    return f"```text\n$ lensneg {' '.join(words)} --help\n{command.get_help(context)}\n```"
