"""Faults of a mocked S3: a share of its answers is late, lost, wrong or cut short.

The faults go in where botocore would send a request, below its own retries: so what is tried is the real
client with its real retries, and what is above it.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from lensneg import storage

ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>injected</Message></Error>"

#: What can go wrong, and what it is like.
KINDS = ("SlowDown", "InternalError", "reset", "answer lost", "short body")


class S3Faults:
    """A hook that spoils a share of the requests.

    Parameters
    ----------
    share : float
        Of the requests, 0 to 1.
    seed : int
        The same seed spoils the same requests of a sequence.
    kinds : tuple of str
        Of :data:`KINDS`.
    """

    def __init__(self, share: float, seed: int = 1, kinds: tuple[str, ...] = KINDS) -> None:
        self.share, self.kinds, self.numbers = share, kinds, random.Random(seed)
        self.injected: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()

    def __call__(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        self.requests[operation] += 1
        if self.numbers.random() >= self.share:
            return None
        kind = self.numbers.choice(self.kinds)
        if kind == "short body" and operation != "GetObject":
            kind = "answer lost"
        self.injected[kind] += 1
        if kind == "reset":  # nothing reached S3
            raise ConnectionClosedError(endpoint_url=request.url)
        if kind == "answer lost":  # S3 did it, and nobody heard
            botocore_stubber(event_name=event_name, request=request)
            raise ReadTimeoutError(endpoint_url=request.url)
        if kind == "short body":
            whole = botocore_stubber(event_name=event_name, request=request)
            body = whole.raw.read()
            if whole.status_code >= 300 or len(body) < 2:
                return AWSResponse(request.url, whole.status_code, whole.headers, MockRawResponse(body))
            headers = {**whole.headers, "content-length": str(len(body))}
            return AWSResponse(
                request.url, whole.status_code, headers, MockRawResponse(body[: len(body) // 2])
            )
        status = {"SlowDown": 503, "InternalError": 500}[kind]
        body = b"" if request.method == "HEAD" else ERROR.format(kind).encode()
        headers = {"content-type": "application/xml", "content-length": str(len(body))}
        return AWSResponse(request.url, status, headers, MockRawResponse(body))


@contextmanager
def with_s3_faults(faults: S3Faults) -> Iterator[S3Faults]:
    """Let faults meet the requests of this process's S3 client."""
    events = storage.s3_client().meta.events
    events.register_first("before-send.s3", faults, unique_id="faults")
    try:
        yield faults
    finally:
        events.unregister("before-send.s3", faults, unique_id="faults")
