"""Judge what `mutmut run` found: is enough of the code held by tests, and is each survivor explained.

    python .ci/mutants.py tests/mutants.toml

A mutant is a copy of the code with one change. It is killed if a test fails, or takes many times as long as
before. Exit codes: 0 enough are killed, and the list has a reason for every survivor; 1 not so.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

#: The least share of mutants that the tests must kill.
LEAST_KILLED: Final = 0.95


class Survivor(NamedTuple):
    """A mutant that no test noticed: the function, and the lines that went and came, without indentation."""

    where: str
    change: str


def results() -> tuple[int, list[Survivor]]:
    """Return the number of all mutants of the last run, and those that live."""
    total, alive = 0, []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        total += len(data.exit_code_by_key)
        for key, code in data.exit_code_by_key.items():
            if status_by_exit_code[code] not in ("killed", "timeout"):
                function, owner = orig_function_and_class_names_from_key(key)
                name = f"{owner}.{function}" if owner else function
                lines = get_diff_for_mutant(key, path=path).splitlines()[3:]
                change = "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-")
                alive.append(Survivor(f"{path.with_suffix('')}:{name}", change))
    return total, alive


def covers(entry: dict[str, Any], survivor: Survivor) -> bool:
    """Return whether an entry of the list means a survivor, by a pattern or by function and change."""
    if "pattern" in entry:
        return re.fullmatch(entry["pattern"], survivor.change) is not None
    return survivor.where == entry["where"] and survivor.change in map(str.strip, entry["changes"])


def main() -> int:
    """Judge the last run."""
    entries = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["survivor"]
    total, alive = results()
    unexplained = [survivor for survivor in alive if not any(covers(entry, survivor) for entry in entries)]
    for survivor in unexplained:
        print(f"survives: {survivor.where}\n{survivor.change}")
    for entry in entries:
        if not any(covers(entry, survivor) for survivor in alive):
            print(f"covers nothing any more: {entry.get('pattern') or entry['where']}")
    killed = total - len(alive)
    share = killed / total if total else 0.0
    print(f"mutants: {killed:,} of {total:,} killed ({share:.1%}); {len(unexplained)} survive unexplained")
    return 0 if share >= LEAST_KILLED and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())
