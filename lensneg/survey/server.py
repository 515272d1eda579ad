"""The survey's HTTP server: sizes, checksums, and files in resumable pieces.

urllib3 retries requests, but does not resume a body that breaks off. This module does.
"""

import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.survey.checksums import ChecksumList
from lensneg.survey.pauses import LONGEST_PAUSE, Interrupted, InterruptibleRetry
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.version import __version__

#: Seconds to wait for a connection, and for more bytes of a body.
_TIMEOUT: Final = (15.0, 60.0)

#: Bytes taken from a body at once.
_CHUNK: Final = 1 << 20

#: Status codes of a server that may answer a moment later.
_BUSY: Final = (429, 500, 502, 503, 504)

#: Status codes of a server that does not answer requests of this method.
_METHOD_REFUSED: Final = (405, 501)


class Destination(Protocol):
    """A writer that takes the bytes of a file in their order, and knows how many it has.

    Attributes
    ----------
    etag : str
        The server's version of the file that the bytes are of; empty if it is not known.
    """

    etag: str

    def tell(self) -> int:
        """Return the number of bytes that are there.

        Returns
        -------
        int
            The number.
        """

    def write(self, data: bytes) -> None:
        """Add bytes.

        Parameters
        ----------
        data : bytes
            The next bytes of the file.
        """

    def start_again(self) -> None:
        """Discard all bytes."""


class Server:
    """A folder on an HTTP server.

    Parameters
    ----------
    base_url : str
        Address of the folder.
    attempts : int
        Number of consecutive attempts without a new byte after which a file is given up; also the number of
        retries of a request.
    backoff : float
        Seconds before the second retry. They double with each retry, up to a minute.
    connections : int
        Number of connections that are kept open.

    Attributes
    ----------
    stop : threading.Event
        Ends downloads and pauses in all threads when it is set.

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
        self.stop = threading.Event()
        self._attempts, self._backoff = attempts, backoff
        self._sizes: dict[str, int | None] = {}
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"lensneg/{__version__}"
        # The bytes as they are stored: a checksum is of them, and a range counts them.
        self._session.headers["Accept-Encoding"] = "identity"
        retry = InterruptibleRetry(
            stop=self.stop,
            where=self.base_url,
            total=attempts,
            backoff_factor=backoff,
            backoff_max=LONGEST_PAUSE,
            backoff_jitter=backoff,
            status_forcelist=_BUSY,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=connections))

    @contextmanager
    def threads(self, count: int) -> Iterator[ThreadPoolExecutor]:
        """Start threads that use the server. Their work ends if an error or the user interrupts the block.

        Parameters
        ----------
        count : int
            Number of threads.

        Yields
        ------
        ThreadPoolExecutor
            The threads.
        """
        with ThreadPoolExecutor(count, thread_name_prefix="server") as threads:
            try:
                yield threads
            except BaseException:
                self.stop.set()
                raise

    def url(self, name: str) -> str:
        """Return the address of a file in the folder.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        str
            The URL.
        """
        return urljoin(self.base_url, name)

    def size(self, name: str) -> int | None:
        """Return the size of a file. The server is asked for it once.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        int or None
            Bytes, or None if the server does not give them.

        Raises
        ------
        InputError
            If there is no such file.
        TransientError
            If the server cannot be reached or is at fault.
        """
        if name not in self._sizes:
            response = self._ask("HEAD", self.url(name), refused_ok=True)
            self._sizes[name] = _content_length(response) if response.ok else None
        return self._sizes[name]

    def text(self, url: str) -> str:
        """Return the text of a small file.

        Parameters
        ----------
        url : str
            Its address.

        Returns
        -------
        str
            The text.

        Raises
        ------
        InputError
            If there is no such file.
        TransientError
            If the server cannot be reached or is at fault.
        """
        return self._ask("GET", url).text

    def checksums(self) -> ChecksumList:
        """Return the folder's list of checksums.

        Its name is that of the release's list, or else the only one in the index of the folder.

        Returns
        -------
        ChecksumList
            The list.

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
                what = f"expected one list of checksums (*.sha256sum), found {found}"
                remedy = "name one with --checksums, or give --unchecked to do without"
                raise InputError(what, where=self.base_url, remedy=remedy) from None
            url = self.url(names[0])
            text = self.text(url)
        return ChecksumList.parse(text, url)

    def _indexed(self, suffix: str) -> list[str]:
        """Return the file names with a suffix to which the HTML index of the folder links."""
        try:
            page = self.text(self.base_url)
        except InputError:
            return []
        links = (unquote(link).rpartition("/")[2] for link in re.findall(r'href="([^"?#]+)"', page))
        return sorted({link for link in links if link.endswith(suffix)})

    def _ask(self, method: str, url: str, *, refused_ok: bool = False) -> requests.Response:
        try:
            response = self._session.request(method, url, timeout=_TIMEOUT, allow_redirects=True)
        except requests.RequestException as error:
            remedy = "is the server up? Try again later"
            raise TransientError(_reason(error), where=url, remedy=remedy) from error
        if not (refused_ok and response.status_code in _METHOD_REFUSED):
            _check_status(response, url)
        return response

    def download(
        self,
        name: str,
        to: Destination,
        on_bytes: Callable[[int], None],
        *,
        checked: bool,
    ) -> None:
        """Download a file, or the rest of it.

        Parameters
        ----------
        name : str
            File name.
        to : Destination
            Takes the bytes. Those that are there already are kept. Nobody else may write to it.
        on_bytes : callable
            Called with the number of bytes that came; negative for bytes that were discarded.
        checked : bool
            Whether the caller compares the SHA-256. If so, the server need not say where the file ends.

        Raises
        ------
        InputError
            If there is no such file, or nothing would show that it is cut short.
        TransientError
            If several consecutive attempts bring no further byte.
        Interrupted
            If :attr:`stop` was set.
        """
        on_bytes(to.tell())
        transfer = _Transfer(self._session, self.url(name), to, self.stop, on_bytes, checked)
        idle = 0
        while True:
            before = to.tell()
            try:
                if transfer.take_more():
                    break
                reason = "the connection broke off"
            except (requests.RequestException, HTTPError) as error:
                reason = _reason(error)
            idle = 0 if to.tell() > before else idle + 1
            if idle >= self._attempts:
                what = f"{reason}, {idle} times in a row after {to.tell():,} bytes"
                remedy = "the same command goes on from there"
                raise TransientError(what, where=transfer.url, remedy=remedy)
            pause = min(LONGEST_PAUSE, self._backoff * 2**idle) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
            if self.stop.wait(pause):
                raise Interrupted


@dataclass
class _Transfer:
    """The download of a file to the end of what is there."""

    session: requests.Session
    url: str
    to: Destination
    stop: threading.Event
    on_bytes: Callable[[int], None]
    checked: bool

    def _start_again(self) -> None:
        self.on_bytes(-self.to.tell())
        self.to.start_again()

    def take_more(self) -> bool:
        """Request the missing bytes and write those that come; return whether the file is whole."""
        start = self.to.tell()
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.to.etag:
            headers["If-Range"] = self.to.etag  # a file that was replaced meanwhile is sent whole
        with self.session.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            sent = response.headers.get("Content-Range", "")
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if sent == f"bytes */{start}":
                    return True  # it was whole already
                self._start_again()
                return False
            _check_status(response, self.url)
            if start and not sent.startswith(f"bytes {start}-"):
                self._start_again()  # the server sends the whole file
            etag = response.headers.get("ETag", "")
            self.to.etag = "" if etag.startswith("W/") else etag
            length, begin = _content_length(response), self.to.tell()
            if length is None and not (response.raw.chunked or self.checked):
                what = "the server does not say how long the file is, and there is no checksum of it"
                remedy = "name a list with --checksums, or another server with --from"
                raise InputError(what, where=self.url, remedy=remedy)
            # read1 returns what has come. read and iter_content wait for a full chunk, and lose its bytes
            # where the connection breaks within it.
            while chunk := response.raw.read1(_CHUNK):
                self.to.write(chunk)
                self.on_bytes(len(chunk))
                if self.stop.is_set():
                    raise Interrupted
        # Without a length, a chunked body shows its end itself; of another body, the checksum decides.
        return length is None or self.to.tell() == begin + length


def read_checksums(source: str) -> ChecksumList:
    """Read the list of checksums that a user named.

    Parameters
    ----------
    source : str
        An ``http(s)://`` address, a path or an ``s3://`` URI.

    Returns
    -------
    ChecksumList
        The list.

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


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _check_status(response: requests.Response, url: str) -> None:
    if response.ok:
        return
    what = f"the server answers {response.status_code} {response.reason}"
    if response.status_code == requests.codes.too_many_requests or response.status_code >= 500:
        raise TransientError(what, where=url, remedy="try again later")
    raise InputError(what, where=url, remedy="check the address")


#: Short texts for errors whose own text is a chain of Python objects.
_REASONS: Final = (
    ((requests.Timeout, ReadTimeoutError), "the server is silent"),
    (ProtocolError, "the connection broke off"),
    (requests.exceptions.SSLError, "the server's certificate is not accepted"),
    (requests.ConnectionError, "no connection to the server"),
)


def _reason(error: Exception) -> str:
    return next((text for kinds, text in _REASONS if isinstance(error, kinds)), str(error))
