"""Writes commit and hash of the code into what is built, as there is no git where it will be installed."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface[Any]):
    """Adds ``COMMIT``: to an sdist at its top, to a wheel among the bundled files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, but not to an editable install: that is a checkout, whose commit changes."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from lensneg.schema.code_version import COMMIT_FILE, code_version_of, commit_file

        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / COMMIT_FILE
        path.write_text(commit_file(code_version_of(Path(self.root) / "lensneg", Path(self.root))))
        place = "" if self.target_name == "sdist" else "lensneg/bundled/"
        build_data["force_include"][str(path)] = place + COMMIT_FILE

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact: str) -> None:
        """Remove the file from where it was written."""
        if version != "editable":
            self._folder.cleanup()
