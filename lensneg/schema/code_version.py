"""Which code is running: its version, a hash of its files, and its commit."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lensneg.schema.resources import PACKAGE, ROOT
from lensneg.version import __version__

#: What the code version covers: everything that can change a manifest.
_PACKAGE_CODE = "**/*.py"
_OTHER_CODE = ("functions/*.py", "spark/*.py", "statemachine/*.json")

#: Environment variable that names the commit where there is no git checkout, as in an image.
GIT_COMMIT_VARIABLE = "LENSNEG_GIT_COMMIT"

#: File that names it in a wheel or an sdist: hatch_build.py writes it.
COMMIT_FILE = "COMMIT"


@dataclass(frozen=True)
class CodeVersion:
    """The code that a run is made with.

    Attributes
    ----------
    pipeline_version : str
        The package's version.
    sha256 : str
        SHA-256 over names and contents of the code files; the same in a checkout, a wheel and an image.
    git_commit : str
        Full commit of the checkout, or of that in which a wheel was built, with ``-dirty`` where tracked
        files were changed; ``unknown`` where there was no git.
    """

    pipeline_version: str
    sha256: str
    git_commit: str

    @property
    def code_version(self) -> str:
        """Short name of the exact code, e.g. ``0.1.0-3f2a9c1b7d5e``."""
        return f"{self.pipeline_version}-{self.sha256[:12]}"


@lru_cache(maxsize=1)
def code_version() -> CodeVersion:
    """Return the version of the code that is running."""
    return CodeVersion(__version__, _code_sha256(PACKAGE, ROOT), git_commit(ROOT))


def _code_sha256(package: Path, root: Path) -> str:
    named = {f"lensneg/{path.relative_to(package).as_posix()}": path for path in package.glob(_PACKAGE_CODE)}
    named = {name: path for name, path in named.items() if root == package.parent or root not in path.parents}
    named |= {path.relative_to(root).as_posix(): path for glob in _OTHER_CODE for path in root.glob(glob)}
    digest = hashlib.sha256()
    for name, path in sorted(named.items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def git_commit(root: Path) -> str:
    """Return the commit of the code in a folder.

    Parameters
    ----------
    root : pathlib.Path
        The folder of a checkout, or of a wheel's bundled files.

    Returns
    -------
    str
        The commit; see :class:`CodeVersion`.
    """
    given = os.environ.get(GIT_COMMIT_VARIABLE)
    if given:
        return given
    if (root / COMMIT_FILE).exists():
        return (root / COMMIT_FILE).read_text()
    if not (root / ".git").exists():
        return "unknown"

    def _git(*args: str) -> str:
        command = ["git", "-C", str(root), *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit}-dirty" if _git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
