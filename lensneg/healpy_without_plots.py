"""healpy without its plotting, imported where it is first used.

healpy imports matplotlib if it is installed, which takes longer than everything else that a task imports.
Only the report plots. So matplotlib is hidden while healpy is imported, which works without it. healpy itself
takes half a second, which a command that refuses its arguments does not need.
"""

import sys
from functools import lru_cache
from typing import Any, Final


@lru_cache(maxsize=1)
def _imported() -> Any:
    was_there = "matplotlib" in sys.modules
    if not was_there:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
        import healpy
    finally:
        if not was_there:
            del sys.modules["matplotlib"]
    return healpy


class _Healpy:
    """What the module healpy has."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_imported(), name)


healpy: Final[Any] = _Healpy()

__all__ = ["healpy"]
