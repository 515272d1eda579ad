"""The survey's HTTP server: sizes, checksums, and files in resumable pieces.

urllib3 retries requests. No library goes on with a body that broke off: this module does.
"""

import hashlib
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError
from urllib3.util import Retry

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.survey.checksums import ChecksumList
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.version import __version__

#: Seconds to wait for a connection, and for more bytes of a body.
_TIMEOUT: Final = (15.0, 60.0)

#: Bytes taken from a body at once.
_CHUNK: Final = 1 << 20

#: Answers that may be others a moment later.
_BUSY: Final = (429, 500, 502, 503, 504)


class Interrupted(Exception):  # noqa: N818 (no error: what was asked for)
    """The person stopped the work; what is on the disk is used the next time."""


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
        If the URL is not one of HTTP.
    """

    def __init__(
        self, base_url: str, *, attempts: int = 6, backoff: float = 1.0, connections: int = 4
    ) -> None:
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).netloc:
            what = "expected the http:// or https:// address of a folder"
            raise InputError(what, where=f"--from {base_url}")
        self.base_url = base_url.rstrip("/") + "/"
        self._attempts, self._backoff = attempts, backoff
        self._sizes: dict[str, int | None] = {}
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"lensneg/{__version__}"
        # The bytes as they are stored: a checksum is of them, and a range counts them.
        self._session.headers["Accept-Encoding"] = "identity"
        retry = Retry(
            total=attempts,
            backoff_factor=backoff,
            backoff_max=60,
            backoff_jitter=backoff,
            status_forcelist=_BUSY,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=connections))

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

    def checksums(self) -> ChecksumList:
        """Return the folder's list of checksums.

        It is looked for under the release's name, and where that is not there, in the folder's index.

        Raises
        ------
        InputError
            If there is no such list, or it is damaged.
        TransientError
            If the server cannot be reached or is at fault.
        """
        url = self.url(CHECKSUM_FILE)
        try:
            text = self.text(url)
        except InputError:
            names = self._indexed(".sha256sum")
            if len(names) != 1:
                found = f"{len(names)} of them" if names else "none"
                raise InputError(
                    f"expected one list of checksums (*.sha256sum), found {found}",
                    where=self.base_url,
                    remedy="name one with --checksums, or give --unchecked to do without",
                ) from None
            url = self.url(names[0])
            text = self.text(url)
        return ChecksumList.parse(text, url)

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
            response = self._session.request(method, url, timeout=_TIMEOUT, allow_redirects=True)
        except requests.RequestException as error:
            remedy = "is the server up? Try again later"
            raise TransientError(_reason(error), where=url, remedy=remedy) from error
        _check_status(response, url)
        return response

    def download(self, name: str, path: Path, stop: threading.Event, on_bytes: Callable[[int], None]) -> str:
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
        with open(path, "a+b") as file:
            on_bytes(file.tell())
            transfer = _Transfer(self._session, self.url(name), file, stop, on_bytes)
            idle = 0
            while True:
                before = file.tell()
                try:
                    if transfer.take_more():
                        break
                    reason = "the connection broke off"
                except (requests.RequestException, HTTPError) as error:
                    reason = _reason(error)
                idle = 0 if file.tell() > before else idle + 1
                if idle >= self._attempts:
                    raise TransientError(
                        f"{reason}, {idle} times in a row after {file.tell():,} bytes",
                        where=transfer.url,
                        remedy="the same command goes on from there",
                    )
                pause = min(60.0, self._backoff * 2**idle) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
                if stop.wait(pause):
                    raise Interrupted
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class _Transfer:
    """A file on its way, to the end of a file that is open to append."""

    session: requests.Session
    url: str
    file: BinaryIO
    stop: threading.Event
    on_bytes: Callable[[int], None]
    etag: str = ""

    def _start_again(self) -> None:
        self.on_bytes(-self.file.tell())
        self.file.seek(0)
        self.file.truncate()

    def take_more(self) -> bool:
        """Ask for what is missing, and take what comes of it; return whether the file is whole."""
        start = self.file.tell()
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.etag:
            headers["If-Range"] = self.etag  # a file that was replaced meanwhile comes whole
        with self.session.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            sent = response.headers.get("Content-Range", "")
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if sent == f"bytes */{start}":
                    return True  # it was whole already
                self._start_again()
                return False
            _check_status(response, self.url)
            etag = response.headers.get("ETag", "")
            self.etag = "" if etag.startswith("W/") else etag
            if start and not sent.startswith(f"bytes {start}-"):
                self._start_again()  # the server sends the whole file
            length = response.headers.get("Content-Length", "")
            end = self.file.tell() + int(length) if length.isdecimal() else None
            # read1 hands on what is there: read and iter_content wait for a full chunk, and where the
            # connection breaks within it, its bytes are lost.
            while chunk := response.raw.read1(_CHUNK):
                self.file.write(chunk)
                self.on_bytes(len(chunk))
                if self.stop.is_set():
                    raise Interrupted
        return self.file.tell() == end


def read_checksums(source: str) -> ChecksumList:
    """Read the list of checksums that a person named: an http(s) address, a path or an ``s3://`` URI.

    Raises
    ------
    InputError
        If there is no such list, or it is damaged.
    TransientError
        If a server cannot be reached or is at fault.
    """
    if source.startswith(("http://", "https://")):
        text = Server(source.rpartition("/")[0]).text(source)
    else:
        text = storage.read_text(source, "--checksums")
    return ChecksumList.parse(text, source)


def _check_status(response: requests.Response, url: str) -> None:
    if response.ok:
        return
    what = f"the server answers {response.status_code} {response.reason}"
    if response.status_code in _BUSY:
        raise TransientError(what, where=url, remedy="try again later")
    raise InputError(what, where=url, remedy="check the address")


#: What went wrong in a few words, without the chain of Python objects around it.
_REASONS: Final = (
    ((requests.Timeout, ReadTimeoutError), "the server is silent"),
    (ProtocolError, "the connection broke off"),
    (requests.exceptions.SSLError, "the server's certificate is not accepted"),
    (requests.ConnectionError, "no connection to the server"),
)


def _reason(error: Exception) -> str:
    return next((text for kinds, text in _REASONS if isinstance(error, kinds)), str(error))
