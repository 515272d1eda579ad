"""Packages of this environment, linked into another that has no others."""

from collections.abc import Collection
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def link(name: str, site: Path) -> Distribution:
    """Link a package that is installed here into a folder."""
    found = distribution(name)
    for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(str(found.locate_file(top)))
    return found


def link_needs(package: Distribution, site: Path, extras: Collection[str] = ()) -> None:
    """Link what a package with some of its extras needs, and what that needs, and so on."""
    for needed in map(Requirement, package.requires or ()):
        if needed.marker is None or any(needed.marker.evaluate({"extra": name}) for name in extras or [""]):
            link_needs(link(needed.name, site), site, needed.extras)
