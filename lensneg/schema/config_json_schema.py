"""The JSON Schema of a config.

``python -m lensneg.schema.config_json_schema`` prints it, for ``schemas/config.schema.json``.
"""

import json
from typing import Any, Final

from lensneg.schema.config import Config
from lensneg.schema.config_extends import EXTENDS

_CHANGES: Final = "Changes"


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of a config, by which editors complete and check one.

    Returns
    -------
    dict
        As JSON types. A config that extends another may lack any key, those of sections included.
    """
    whole = Config.model_json_schema()
    types = whole.pop("$defs")
    extends = {
        "title": "Extends",
        "type": "string",
        "description": "A shipped config, a .yaml file beside this one, or an s3:// URI.",
    }
    changes = _changes_of(whole)
    changes["properties"] = {EXTENDS: extends} | changes["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lensneg:config:1",
        "if": {"required": [EXTENDS]},
        "then": {"$ref": f"#/$defs/{_CHANGES}"},
        "else": {"$ref": "#/$defs/Config"},
        "$defs": types
        | {f"{_CHANGES}{name}": _changes_of(schema) for name, schema in types.items()}
        | {"Config": whole, _CHANGES: changes},
    }


def _changes_of(schema: Any) -> Any:
    """Return a schema in which no key is required, here and in the types that it refers to."""
    if isinstance(schema, list):
        return [_changes_of(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace("#/$defs/", f"#/$defs/{_CHANGES}") if key == "$ref" else _changes_of(value)
        for key, value in schema.items()
        if not (key == "required" and isinstance(value, list))
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
