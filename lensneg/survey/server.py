"""The survey's HTTP server: sizes, checksums, and files in resumable pieces.

Requests are retried by urllib3. What no library does is to go on with a body that broke off: that is here.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError
from urllib3.util import Retry

from lensneg.errors import InputError, TransientError
from lensneg.survey.checksums import parse_checksums
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.version import __version__

#: Seconds to wait for a connection, and for more bytes of a body.
TIMEOUT: Final = (15.0, 60.0)

#: Bytes taken from a body at once.
_CHUNK: Final = 1 << 20

#: Answers that may be others a moment later.
_BUSY: Final = (429, 500, 502, 503, 504)


class Interrupted(Exception):  # noqa: N818 (no error: what was asked for)
    """The person stopped the work; what is on the disk serves the next time."""


class Server:
    """A folder on an HTTP server.

    Parameters
    ----------
    base_url : str
        The folder.
    attempts : int
        Tries in a row that may bring no byte before a file is given up; also the retries of a request.
    backoff : float
        Seconds before the second retry; doubled each time, up to a minute.
    connections : int
        Kept open.

    Raises
    ------
    InputError
        If the URL is none of HTTP.
    """

    def __init__(
        self, base_url: str, *, attempts: int = 6, backoff: float = 1.0, connections: int = 4
    ) -> None:
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).netloc:
            raise InputError(
                "expected the http:// or https:// address of a folder", where=f"--from {base_url}"
            )
        self.base_url = base_url.rstrip("/") + "/"
        self._attempts, self._backoff = attempts, backoff
        retry = Retry(
            total=attempts,
            backoff_factor=backoff,
            backoff_max=60,
            backoff_jitter=backoff,
            status_forcelist=_BUSY,
            allowed_methods=("GET", "HEAD"),
            raise_on_status=False,
        )
        self._sizes: dict[str, int | None] = {}
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"lensneg/{__version__}"
        # The bytes as they are stored: a checksum is of them, and a range counts them.
        self._session.headers["Accept-Encoding"] = "identity"
        adapter = HTTPAdapter(max_retries=retry, pool_maxsize=connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def url(self, name: str) -> str:
        """Return the address of a file in the folder."""
        return urljoin(self.base_url, name)

    def size(self, name: str) -> int | None:
        """Return a file's bytes, asked for once; None where the server does not say.

        Raises
        ------
        InputError
            If there is no such file.
        TransientError
            If the server cannot be reached or is at fault.
        """
        if name not in self._sizes:
            length = self._ask("HEAD", self.url(name)).headers.get("Content-Length", "")
            self._sizes[name] = int(length) if length.isdecimal() else None
        return self._sizes[name]

    def text(self, url: str) -> str:
        """Return a small file; raises as :meth:`size` does."""
        return self._ask("GET", url).text

    def checksums(self) -> tuple[str, str, dict[str, str]]:
        """Return the folder's list of checksums: its name, its text, and what it says.

        It is looked for under the release's name, and where that is not there, in the folder's index.

        Raises
        ------
        InputError
            If there is no such list, or it is damaged.
        TransientError
            If the server cannot be reached or is at fault.
        """
        name = CHECKSUM_FILE
        try:
            text = self.text(self.url(name))
        except InputError:
            names = self._indexed(".sha256sum")
            if len(names) != 1:
                found = f"{len(names)} of them" if names else "none"
                raise InputError(
                    f"expected one list of checksums (*.sha256sum), found {found}",
                    where=self.base_url,
                    remedy="name one with --checksums, or give --unchecked to do without",
                ) from None
            name = names[0]
            text = self.text(self.url(name))
        return name, text, parse_checksums(text, self.url(name))

    def _indexed(self, suffix: str) -> list[str]:
        """Return the names with a suffix that the folder's HTML index links to."""
        try:
            page = self.text(self.base_url)
        except InputError:
            return []
        links = (unquote(link).rpartition("/")[2] for link in re.findall(r'href="([^"?#]+)"', page))
        return sorted({link for link in links if link.endswith(suffix)})

    def _ask(self, method: str, url: str) -> requests.Response:
        try:
            response = self._session.request(method, url, timeout=TIMEOUT, allow_redirects=True)
        except requests.RequestException as error:
            raise TransientError(
                f"{_reason(error)}", where=url, remedy="is the server up? Try again later"
            ) from error
        _check_status(response, url)
        return response

    def download(
        self,
        name: str,
        path: Path,
        stop: threading.Event,
        on_bytes: Callable[[int], None],
    ) -> str:
        """Bring a file to a path, going on from what is there already; return its SHA-256.

        Parameters
        ----------
        name : str
        path : Path
            Where the bytes go; those that an earlier attempt left there are kept.
        stop : threading.Event
            Ends the work when it is set.
        on_bytes : callable
            Told how many bytes came, and with a negative number that some were thrown away.

        Raises
        ------
        InputError
            If there is no such file.
        TransientError
            If the server brings no further byte in several attempts in a row.
        Interrupted
            If ``stop`` was set.
        """
        path.touch()
        with open(path, "r+b") as file:
            body = _Body(self._session, self.url(name), file, stop, on_bytes)
            body.take_what_is_there()
            idle = 0
            while True:
                before = file.tell()
                try:
                    if body.take_more():
                        return body.digest.hexdigest()
                    reason = "the connection broke off"
                except (requests.RequestException, HTTPError) as error:
                    reason = _reason(error)
                idle = 0 if file.tell() > before else idle + 1
                if idle >= self._attempts:
                    raise TransientError(
                        f"{reason}, {idle} times in a row after {file.tell():,} bytes",
                        where=body.url,
                        remedy="the same command goes on from there",
                    )
                pause = min(60.0, self._backoff * 2**idle) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
                if stop.wait(pause):
                    raise Interrupted


class _Body:
    """A file on its way: what has come of it, and its hash so far."""

    def __init__(
        self,
        session: requests.Session,
        url: str,
        file: BinaryIO,
        stop: threading.Event,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._session, self.url, self._file = session, url, file
        self._stop, self._on_bytes = stop, on_bytes
        self.digest = hashlib.sha256()
        self._etag = ""

    def take_what_is_there(self) -> None:
        """Hash what an earlier attempt left."""
        while chunk := self._file.read(_CHUNK):
            self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        if self._stop.is_set():
            raise Interrupted
        self.digest.update(chunk)
        self._on_bytes(len(chunk))

    def _start_again(self) -> None:
        self._on_bytes(-self._file.tell())
        self._file.seek(0)
        self._file.truncate()
        self.digest = hashlib.sha256()

    def take_more(self) -> bool:
        """Ask for what is missing, and take what comes of it; return whether the file is whole."""
        start = self._file.tell()
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self._etag:
            headers["If-Range"] = self._etag  # a file that was replaced meanwhile comes whole
        with self._session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if response.headers.get("Content-Range", "") == f"bytes */{start}":
                    return True  # it was whole already
                self._start_again()
                return False
            _check_status(response, self.url)
            etag = response.headers.get("ETag", "")
            self._etag = "" if etag.startswith("W/") else etag
            if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                self._start_again()  # the server sends the whole file
                start = 0
            length = response.headers.get("Content-Length", "")
            # read1 hands on what is there: read and iter_content wait for a full chunk, and where the
            # connection breaks within it, its bytes are lost.
            while chunk := response.raw.read1(_CHUNK):
                self._file.write(chunk)
                self._count(chunk)
        return length.isdecimal() and self._file.tell() == start + int(length)


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status < requests.codes.bad_request:
        return
    if status in _BUSY:
        raise TransientError(
            f"the server answers {status} {response.reason}", where=url, remedy="try again later"
        )
    raise InputError(f"the server answers {status} {response.reason}", where=url, remedy="check the address")


def _reason(error: Exception) -> str:
    """Return what went wrong in a few words, without the chain of Python objects around it."""
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return "the server is silent"
    if isinstance(error, ProtocolError):
        return "the connection broke off"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not accepted"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    return str(error)
