"""Files on a web server, of which ranges are read. Nothing is written there."""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lensneg.errors import InputError, TransientError
from lensneg.storage.uri import FileInfo

if TYPE_CHECKING:
    from requests import Response, Session

#: Seconds to wait for a connection, and for more bytes.
_TIMEOUT: Final = (15.0, 60.0)

#: Status codes of a server that may answer a moment later.
_BUSY: Final = (429, 500, 502, 503, 504)

_ATTEMPTS: Final = 5

#: Requests of this process at a time: the servers of surveys are shared by many.
_AT_ONCE: Final = threading.BoundedSemaphore(8)

_NO_RANGE: Final = 416


@lru_cache(maxsize=1)
def _session() -> "Session":
    import requests  # slow to import, and most runs need no web server
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=_ATTEMPTS,
        backoff_factor=0.5,
        status_forcelist=_BUSY,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may be longer than the time that a function has
    )
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # a range counts the bytes as they are stored
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _ask(method: str, uri: str, size: int | None, **headers: str) -> tuple["Response", bytes]:
    """Return the answer, and at most ``size`` bytes of its body."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        with (
            _AT_ONCE,
            _session().request(method, uri, timeout=_TIMEOUT, headers=headers, stream=True) as answer,
        ):
            _check_status(answer, uri)
            return answer, answer.raw.read(size)
    except (requests.RequestException, HTTPError) as error:
        remedy = "is the server up? Try again later"
        raise TransientError(
            f"no answer from the server ({type(error).__name__})", where=uri, remedy=remedy
        ) from error


def _check_status(answer: "Response", uri: str) -> None:
    if answer.ok or answer.status_code == _NO_RANGE:
        return
    what = f"the server answers {answer.status_code} {answer.reason}"
    if answer.status_code in (404, 410):
        raise FileNotFoundError(f"{uri}: {what}")
    if answer.status_code in _BUSY:
        raise TransientError(what, where=uri, remedy="try again later")
    raise InputError(what, where=uri, remedy="check the address")


def head(uri: str) -> FileInfo:
    """Return size and ETag of a file."""
    answer, _ = _ask("HEAD", uri, 0)
    length = answer.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise InputError("the server gives no size", where=uri, remedy="fetch it: lensneg sweeps fetch")
    return FileInfo(uri, int(length), answer.headers.get("ETag", "").strip('"'))


def get_range(uri: str, start: int, size: int | None) -> bytes:
    """Return a range of a file, or all from ``start`` on; shorter where the file ends before it."""
    stop = "" if size is None else str(start + size - 1)
    answer, data = _ask("GET", uri, size, Range=f"bytes={start}-{stop}")
    if answer.status_code == _NO_RANGE:
        return b""  # the file ends before the range
    if start and answer.status_code != 206:
        raise InputError(
            "the server gives no parts of files", where=uri, remedy="fetch it: lensneg sweeps fetch"
        )
    if len(data) < int(answer.headers.get("Content-Length") or 0) and (size is None or len(data) < size):
        raise TransientError("the connection broke off", where=uri, remedy="try again later")
    return bytes(data)
