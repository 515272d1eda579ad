"""healpy without its plotting.

Where matplotlib is installed, healpy imports all of it, which takes longer than everything else that a task
imports; and only the report plots. So healpy is told that there is none, as it is made for.
"""

from __future__ import annotations

import sys

_ALREADY_THERE = "matplotlib" in sys.modules

if not _ALREADY_THERE:
    sys.modules["matplotlib"] = None  # type: ignore[assignment]  # an import of it raises ImportError


try:
    import healpy
finally:
    if not _ALREADY_THERE:
        del sys.modules["matplotlib"]


__all__ = ["healpy"]
