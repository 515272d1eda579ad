"""The JSON Schema of a config.

``python -m lensneg.schema.config_json_schema`` prints it, for ``schemas/config.schema.json``.
"""

import json

from lensneg.schema.config import Config


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of a config, by which editors complete and check one.

    Returns
    -------
    dict
        As JSON types.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lensneg:config:1",
        **Config.model_json_schema(),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
