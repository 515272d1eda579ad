"""YAML files of a pydantic model, read with PyYAML's safe loader without its surprising conversions."""

import re
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lensneg.errors import ConfigError
from lensneg.schema.record import faults_of

#: A longer text is refused, because it would only take time and memory.
_LARGEST_TEXT = 256 << 10

M = TypeVar("M", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses doubled keys, and aliases, which a config does not need."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


#: The numbers that are accepted. YAML 1.1 also reads 042 as 34, 1:30 as 90 and 1_0 as 10.
_PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?|[-+]?\.inf|\.nan", re.ASCII | re.IGNORECASE
)


def _plain_number(loader: _StrictLoader, node: yaml.ScalarNode) -> int | float:
    if not _PLAIN_NUMBER.fullmatch(node.value):
        what = f"{node.value:.40}: write it as a plain decimal number"
        raise yaml.MarkedYAMLError(None, None, what, node.start_mark)
    if node.tag.endswith(":int"):
        return loader.construct_yaml_int(node)
    return float(loader.construct_yaml_float(node))


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _StrictLoader.add_constructor(_tag, _plain_number)


def parse_yaml(
    model: type[M], text: str, source: str, example: str, renamed: Mapping[str, str] = MappingProxyType({})
) -> M:
    """Parse and validate the text of a YAML file.

    Parameters
    ----------
    model : type of pydantic model
        The schema.
    text : str
        YAML.
    source : str
        The origin of the text, for error messages.
    example : str
        A file with every key, for error messages.
    renamed : mapping of str to str
        Keys of earlier versions with their sections, and their new names.

    Returns
    -------
    pydantic model
        Of type ``model``.

    Raises
    ------
    ConfigError
        If the text is not YAML, or a key is unknown, missing, doubled or of a wrong value. The message names
        every fault with its key, its value and what was expected.
    """
    data = load_yaml(text, source, example)
    if not isinstance(data, dict):
        sections = ", ".join(list(model.model_fields)[:3])
        what = f"expected a mapping of sections ({sections}, …), got {type(data).__name__}"
        raise ConfigError(what, where=source, remedy=f"start from {example}")
    if old := [f"{key} is now {renamed[key]}" for key in _keys(data) if key in renamed]:
        remedy = f"write the keys as {example} does"
        raise ConfigError("\n  ".join(["keys of an earlier version:", *old]), where=source, remedy=remedy)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = faults_of(error, example)
        head = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}:"
        raise ConfigError("\n  ".join([head, *faults]), where=source) from error


def _keys(data: dict[Any, Any], section: str = "") -> Iterator[str]:
    """Yield the dotted name of each key of a mapping and of those within it."""
    for key, value in data.items():
        yield f"{section}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{section}{key}.")


def load_yaml(text: str, source: str, example: str) -> Any:
    """Return what a YAML file holds, with tuples for its sequences.

    Parameters
    ----------
    text : str
        YAML.
    source : str
        The origin of the text, for error messages.
    example : str
        A file with every key, for error messages.

    Returns
    -------
    any
        Plain values.

    Raises
    ------
    ConfigError
        If the text is too long or not YAML, or a key is doubled.
    """
    if len(text) > _LARGEST_TEXT:
        remedy = f"a config has a few thousand: start from {example}"
        raise ConfigError(f"{len(text):,} characters", where=source, remedy=remedy)
    try:
        # Sequences become tuples, so that no part of a config can be changed.
        return _tuples(_load(text))
    except Exception as error:  # PyYAML raises errors of many types if a value does not fit its tag
        what = f"not a readable YAML file: {error}"
        raise ConfigError(what, where=source, remedy="correct it there") from error


@lru_cache(maxsize=32)
def _load(text: str) -> Any:
    """Return what a text holds. A process reads the same configs and rates again and again."""
    # _StrictLoader is a SafeLoader, which constructs plain values only.
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value
