"""Which code is running: its version, a hash of its files, and its commit.

A checkout asks git for its commit. What is built from it (a wheel, an sdist, the functions' image) has no
git, so the build writes the file ``COMMIT``: the commit, and the hash of the files that were built. The
commit counts only for files with that hash. ``python -m lensneg.schema.code_version`` prints the file.
"""

import hashlib
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lensneg.schema.resources import PACKAGE, ROOT
from lensneg.version import __version__

#: What the code version covers: everything that can change a manifest.
_PACKAGE_CODE = "**/*.py"
_OTHER_CODE = ("functions/*.py", "spark/*.py", "statemachine/*.json")

#: File that names the commit and the hash of what was built.
COMMIT_FILE = "COMMIT"

#: The commit where none is known.
UNKNOWN = "unknown"


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
        Full commit of the checkout, or of that in which this code was built, with ``-dirty`` where files were
        changed; ``unknown`` where there was no git, or where the files are not those that were built.
    built_sha256 : str or None
        SHA-256 that the build wrote down; None where nothing was built, as in a checkout.
    """

    pipeline_version: str
    sha256: str
    git_commit: str
    built_sha256: str | None = None

    @property
    def code_version(self) -> str:
        """Short name of the exact code, e.g. ``0.1.0-3f2a9c1b7d5e``."""
        return f"{self.pipeline_version}-{self.sha256[:12]}"


@lru_cache(maxsize=1)
def code_version() -> CodeVersion:
    """Return the version of the code that is running."""
    return code_version_of(PACKAGE, ROOT)


def code_version_of(package: Path, root: Path) -> CodeVersion:
    """Return the version of the code in a folder.

    Parameters
    ----------
    package : pathlib.Path
        The folder of the package.
    root : pathlib.Path
        The folder of what lies beside it: of a checkout or an image, or of a wheel's bundled files.

    Returns
    -------
    CodeVersion
        The version.
    """
    sha256 = _code_sha256(package, root)
    if (root / ".git").exists():
        return CodeVersion(__version__, sha256, _git_commit(root))
    if not (root / COMMIT_FILE).exists():
        return CodeVersion(__version__, sha256, UNKNOWN)
    commit, _, built = (root / COMMIT_FILE).read_text().strip().partition("\n")
    return CodeVersion(__version__, sha256, commit if built == sha256 else UNKNOWN, built)


def commit_file(code: CodeVersion) -> str:
    """Return the content of the file ``COMMIT`` for code that is about to be built.

    Parameters
    ----------
    code : CodeVersion
        The version of that code.

    Returns
    -------
    str
        A line with the commit, and a line with the hash.
    """
    return f"{code.git_commit}\n{code.sha256}\n"


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


def _git_commit(root: Path) -> str:
    def git(*args: str) -> str:
        command = ["git", "-C", str(root), *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        # A new file is no change to git, but it is built and it runs.
        new = git("ls-files", "--others", "--", "lensneg/*.py", *_OTHER_CODE)
        return f"{commit}-dirty" if new or git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


if __name__ == "__main__":
    print(commit_file(code_version()), end="")
