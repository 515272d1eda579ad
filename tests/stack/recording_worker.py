"""The local worker process, which also notes each of its calls to S3 in the file that CALLS names."""

import json
import os
import sys
from typing import Any

sys.path[:0] = sys.argv[1:3]

from bucket import BUCKET  # noqa: E402

from lensneg import storage  # noqa: E402
from lensneg.local import worker  # noqa: E402

plain = worker.invoke


def recorded(function_name: str, body: str) -> dict[str, Any]:
    """Run a handler; note what it called."""

    def note(http_response: Any, model: Any, **_: Any) -> None:
        # The request's own address says what it was about: /bucket/key?query.
        key = http_response.url.split("?")[0].split(f"/{BUCKET}", 1)[-1].lstrip("/")
        call = [function_name, model.name, key, http_response.status_code]
        with open(os.environ["CALLS"], "a") as calls:
            print(json.dumps(call), file=calls)

    events = storage.s3_client().meta.events
    events.register("after-call.s3", note)
    try:
        return plain(function_name, body)
    finally:
        events.unregister("after-call.s3", note)


if __name__ == "__main__":
    worker.invoke = recorded
    worker.main()
