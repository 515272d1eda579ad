"""Negatives for strong-lens finders, drawn from the DESI Legacy Imaging Surveys DR10.

The public names load what they need when they are first used, so that ``import lensneg`` costs nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lensneg.version import __version__

if TYPE_CHECKING:
    from lensneg.errors import LensnegError
    from lensneg.local.run import run
    from lensneg.rules.rates import population_rate
    from lensneg.schema.config import Config
    from lensneg.schema.manifest import Manifest

__all__ = ["Config", "LensnegError", "Manifest", "__version__", "population_rate", "run"]

# What the library logs is shown where the application asks for it, and nowhere else.
logging.getLogger("lensneg").addHandler(logging.NullHandler())

#: Where each public name is.
_PLACES = {
    "Config": "lensneg.schema.config",
    "LensnegError": "lensneg.errors",
    "Manifest": "lensneg.schema.manifest",
    "population_rate": "lensneg.rules.rates",
    "run": "lensneg.local.run",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'lensneg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
