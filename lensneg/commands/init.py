"""``lensneg init``: a folder to begin in, with a config of one's own and the next commands."""

import re
import shlex
from pathlib import Path
from typing import Final

import click

from lensneg.commands.common import Command, Result, output_folder, prints_result

_CONFIG: Final = """\
# {base}, with the changes that this file makes.
# A published version never changes: give this file a new version whenever you change a number.
name: {name}
version: 1.0.0
extends: {base}

# To change a number, write its section and its key here, as they are below without the "# " before them.
# A list replaces the whole list of {base}. These are the keys of {base}:
#
{keys}
"""

_README: Final = """\
# {name}

| here | what it holds |
|---|---|
| `config.yaml` | the numbers of the science, by what differs from {base} |
| `sweeps/` | sweep files |
| `positives.csv` | the known lenses that negatives are drawn for |
| `out/` | what runs write: manifests and reports |

The next commands, in this folder:

```sh
{commands}
```

The first one writes a made-up sky: sweep files, and positives. With data of your own it is not needed:
`lensneg sweeps fetch --near positives.csv --to sweeps` fetches the survey's files.
"""

#: What is done in the folder.
_COMMANDS: Final = (
    "lensneg mock-sky .",
    "lensneg run --config config.yaml --sweeps sweeps --positives positives.csv --out out",
    "lensneg validate out",
)


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--from",
    "base",
    default="negative_sampling_v1",
    metavar="NAME",
    help="The shipped config that yours extends, by its long or short name: v1, paper_iv_parity.",
)
@prints_result
def init(folder: Path, base: str) -> Result:
    """Make DIR, with a commented config, folders for sweep files and results, and the next commands.

    The config extends a shipped one. Its comments are the keys of that one, to be changed. DIR must be empty,
    or not be there.

    Example: lensneg init my_lenses --from v1
    """
    from lensneg.errors import InputError
    from lensneg.schema.resources import config_path, shipped_name, shipped_names

    path = config_path(base)
    shipped = shipped_name(path)
    if shipped is None:
        remedy = f"name one of {', '.join(shipped_names())}"
        raise InputError("no shipped config", where=f"--from {base}", remedy=remedy)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError("not empty", where=str(folder), remedy="name a new folder, or empty this one")
    output_folder(str(folder), "DIR")
    name = _name_of(folder, shipped_names())
    for below in ("sweeps", "out"):
        (folder / below).mkdir(parents=True, exist_ok=True)
    text = _CONFIG.format(base=shipped, name=name, keys=_commented(Path(path).read_text(encoding="utf-8")))
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    readme = _README.format(name=name, base=shipped, commands="\n".join(_COMMANDS))
    (folder / "README.md").write_text(readme, encoding="utf-8")
    next_commands = [f"cd {shlex.quote(str(folder))}", *_COMMANDS]
    made = {"folder": str(folder), "config": str(folder / "config.yaml"), "extends": shipped}
    remark = "\n".join([f"{folder} is ready. The next commands:", *(f"  {line}" for line in next_commands)])
    return Result({**made, "next": next_commands}, remark)


def _name_of(folder: Path, taken: list[str]) -> str:
    """Return a name for a config, made of that of its folder."""
    name = re.sub(r"[^a-z0-9_-]+", "_", folder.resolve().name.lower()).strip("_-")[:64] or "mine"
    return f"my_{name}"[:64] if name in taken else name


def _commented(text: str) -> str:
    """Return the sections of a config as comments, without its head."""
    sections = text[text.index("\n\n") + 2 :].rstrip()
    return "\n".join(f"# {line}".rstrip() for line in sections.splitlines())
