"""The content of the shipped configs, so that none of their names and versions stands for another content."""

import hashlib
import json
from typing import TYPE_CHECKING, Final

from lensneg.errors import ConfigError

if TYPE_CHECKING:
    from lensneg.schema.config import Config

#: The content hash, name and version of each config that was shipped. No line is ever changed or removed.
_LINES: Final = """
db73a735e29a802fc5cd02c06e59cc68609cd8732076c2ba1822fc364078d32f negative_sampling_dr9_north 1.0.0
3f1e13dbb37acfb1c450122d3f601a4aca1e03fba3d7752351b8988509c02180 negative_sampling_dr9_south 1.0.0
6685b1b6208cd5cda4abff5e8d32ef2f8bffa43b46695f00d6fb20fa6eea8813 negative_sampling_v1 1.0.0
e3e7bcda8b065dd4a7083ba0ce5dc835e129daa4869bfe6326546618e9004752 negative_sampling_v2 1.0.0
87a7e3d5d0d3c11e165e74390d462a1a3ffec710018a15718ac0c23d3b51e725 paper_iv_parity 1.0.0
"""

#: The content hash of each name and version.
SHIPPED: Final = {
    known: digest for digest, _, known in (line.partition(" ") for line in _LINES.split("\n") if line)
}


def content_hash(config: "Config") -> str:
    """Return a hash of the values that a config gives.

    Parameters
    ----------
    config : Config
        A config.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits. Comments, layout, the order of keys, and the defaults of keys that the
        file does not have are without effect.
    """
    values = config.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def refuse_other_content(config: "Config", source: str) -> None:
    """Refuse a config that has the name and version of a shipped one and other content.

    Parameters
    ----------
    config : Config
        A config.
    source : str
        Its origin, for the error message.

    Raises
    ------
    ConfigError
        If it has other content.
    """
    shipped = SHIPPED.get(f"{config.name} {config.version}")
    if shipped not in (None, content_hash(config)):
        what = f"{config.name} {config.version} is a shipped config, with other content"
        remedy = "rename it: give it a name of its own (name: …)"
        raise ConfigError(what, where=source, remedy=remedy)
