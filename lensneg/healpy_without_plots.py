"""healpy without its plotting.

healpy imports matplotlib if it is installed, which takes longer than everything else that a task imports.
Only the report plots. So this module hides matplotlib while it imports healpy, which works without it.
"""

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
