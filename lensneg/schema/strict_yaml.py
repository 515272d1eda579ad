"""YAML as a config writes it: PyYAML's safe loader, without its surprises."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from lensneg.errors import ConfigError

#: A file that has every key, with comments.
EXAMPLE: Final = "configs/negative_sampling_v1.yaml"

#: A config of more characters is not read: it would only take time and memory.
_LARGEST_TEXT = 256 << 10


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses a key given twice, and aliases, which a config never needs."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


#: Numbers as a config writes them. YAML 1.1 also reads 042 as 34, 1:30 as 90 and 1_0 as 10.
_PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?|[-+]?\.inf|\.nan", re.ASCII | re.IGNORECASE
)


def _plain_number(loader: _StrictLoader, node: yaml.ScalarNode) -> int | float:
    if not _PLAIN_NUMBER.fullmatch(node.value):
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value:.40}: write it as a plain decimal number", node.start_mark
        )
    if node.tag.endswith(":int"):
        return loader.construct_yaml_int(node)
    return float(loader.construct_yaml_float(node))


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _StrictLoader.add_constructor(_tag, _plain_number)


def load_yaml(text: str, source: str) -> Any:
    """Return the value of a YAML text, with sequences as tuples, so that nothing of it can be changed.

    Parameters
    ----------
    text : str
    source : str
        Where the text comes from; named in errors.

    Raises
    ------
    ConfigError
        If the text is not YAML, gives a key twice, or is far larger than a config.
    """
    if len(text) > _LARGEST_TEXT:
        raise ConfigError(
            f"{len(text):,} characters",
            where=source,
            remedy=f"a config has a few thousand: start from {EXAMPLE}",
        )
    try:
        # _StrictLoader is a SafeLoader: it constructs plain values only.
        return _tuples(yaml.load(text, Loader=_StrictLoader))  # noqa: S506
    except Exception as error:  # PyYAML raises many kinds on a value that does not fit its tag
        raise ConfigError(
            f"not a readable YAML file: {error}", where=source, remedy="correct it there"
        ) from error


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value
