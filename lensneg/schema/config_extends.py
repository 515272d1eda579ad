"""A config file that extends another: ``extends: v1``, and the keys that differ.

The base is a shipped config, a file beside the config, or a file in S3. Mappings are merged. Every other
value replaces that of the base. A run records and hashes the merged text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from lensneg import storage
from lensneg.errors import ConfigError
from lensneg.schema.resources import config_path, shipped_name, shipped_names
from lensneg.schema.strict_yaml import load_yaml

#: The key that names the base.
EXTENDS: Final = "extends"

#: A file with every key and comments.
EXAMPLE: Final = "configs/negative_sampling_v1.yaml"

#: The name of a file beside the config. A path would lead elsewhere once the file is copied to S3.
_BESIDE: Final = re.compile(r"[^/\\:]+\.ya?ml")


class ConfigFile(NamedTuple):
    """A config file, and its text."""

    uri: str
    text: str


def read_config(uri: str) -> list[ConfigFile]:
    """Read a config file and the files that it extends.

    Parameters
    ----------
    uri : str
        A path, or ``s3://bucket/key``.

    Returns
    -------
    list of ConfigFile
        The file itself, then its base, the base of that, and so on.

    Raises
    ------
    ConfigError
        If there is no such file, a base is unknown, or a file extends itself by way of others.
    """
    files = [_read(uri, uri)]
    while (base := _base_of(files[-1])) is not None:
        seen = [file.uri for file in files]
        if base in seen:
            chain = " extends ".join(storage.basename(name) for name in [*seen, base])
            remedy = "let one of them hold every key, and extend no other"
            raise ConfigError(f"a circle: {chain}", where=files[-1].uri, remedy=remedy)
        files.append(_read(base, f"{files[-1].uri}: extends {base}"))
    return files


def merged_text(files: list[ConfigFile]) -> str:
    """Return the text of a config with what it extends.

    Parameters
    ----------
    files : list of ConfigFile
        As :func:`read_config` returns them.

    Returns
    -------
    str
        The text of a file that extends none, as it is. Otherwise YAML without comments. Its keys are in the
        order of the last base, after them come those that the base has not.

    Raises
    ------
    ConfigError
        If the config has the name and the version of a file that it extends.
    """
    first, *bases = files
    if not bases:
        return first.text
    merged: dict[Any, Any] = {}
    named = []
    for file in reversed(files):
        merged = _merged(merged, _mapping(file))
        named.append((merged.get("name"), merged.get("version")))
    merged.pop(EXTENDS, None)
    if named[-1] in named[:-1]:
        name, version = named[-1]
        what = f"{name} {version} is the name and version of a config that it extends"
        raise ConfigError(what, where=first.uri, remedy="give it a name of its own (name: …)")
    return yaml.dump(merged, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=1000)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _read(uri: str, where: str) -> ConfigFile:
    try:
        if shipped_name(uri):  # a function on AWS reads no other file of its own machine
            return ConfigFile(uri, Path(uri).read_text(encoding="utf-8"))
        return ConfigFile(uri, storage.read_bytes(storage.normalize(uri)).decode())
    except FileNotFoundError as error:
        remedy = f"correct its path, or name a shipped config: {', '.join(shipped_names())}"
        if storage.is_s3(uri):
            remedy = "put it there with lensneg aws upload, or correct its address"
        raise ConfigError("no such file", where=where, remedy=remedy) from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise ConfigError("not a YAML file", where=where, remedy=f"{EXAMPLE} shows its form") from error


def _base_of(file: ConfigFile) -> str | None:
    """Return the path or URI of the config that a file extends; None if it extends none."""
    data = load_yaml(file.text, file.uri, EXAMPLE)
    if not isinstance(data, dict) or EXTENDS not in data:
        return None
    base = data[EXTENDS]
    if isinstance(base, str):
        if (path := config_path(base)) != base:
            return path
        if storage.is_s3(base):
            return base
        if _BESIDE.fullmatch(base):
            folder, slash, _ = file.uri.rpartition("/")
            return f"{folder}{slash}{base}"
    what = f"extends: {base!r} is no shipped config, no .yaml file beside this one, and no s3:// URI"
    remedy = f"extend one of {', '.join(shipped_names())}, or put the other file beside this one"
    raise ConfigError(what, where=file.uri, remedy=remedy)


def _mapping(file: ConfigFile) -> dict[Any, Any]:
    data = load_yaml(file.text, file.uri, EXAMPLE)
    if isinstance(data, dict):
        return data
    what = f"expected a mapping of sections, got {type(data).__name__}"
    raise ConfigError(what, where=file.uri, remedy=f"{EXAMPLE} shows its form")


def _merged(base: Mapping[Any, Any], changes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping with the values of another: mappings merged, other values replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)
        merged[key] = value
    return merged
