"""YAML as a config writes it: PyYAML's safe loader, without its surprises."""

import re
from collections.abc import Hashable
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lensneg.errors import ConfigError
from lensneg.schema.record import faults_of

#: A config of more characters is not read: it would only take time and memory.
_LARGEST_TEXT = 256 << 10

M = TypeVar("M", bound=BaseModel)


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


def parse_yaml(model: type[M], text: str, source: str, example: str) -> M:
    """Parse and validate the text of a YAML file.

    Parameters
    ----------
    model : type of pydantic model
        The schema.
    text : str
        YAML.
    source : str
        Where the text comes from; named in errors.
    example : str
        A file that has every key; named in errors.

    Returns
    -------
    model

    Raises
    ------
    ConfigError
        If the text is not YAML, or a key is unknown, missing, doubled or of a wrong value. Every
        fault is named with its key, its value and what was expected.
    """
    data = _load(text, source, example)
    if not isinstance(data, dict):
        sections = ", ".join(list(model.model_fields)[:3])
        raise ConfigError(
            f"expected a mapping of sections ({sections}, …), got {type(data).__name__}",
            where=source,
            remedy=f"start from {example}",
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = faults_of(error, example)
        head = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}:"
        raise ConfigError("\n  ".join([head, *faults]), where=source) from error


def _load(text: str, source: str, example: str) -> Any:
    if len(text) > _LARGEST_TEXT:
        raise ConfigError(
            f"{len(text):,} characters",
            where=source,
            remedy=f"a config has a few thousand: start from {example}",
        )
    try:
        # _StrictLoader is a SafeLoader: it constructs plain values only. Sequences become tuples, so that
        # nothing of a config can be changed.
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
