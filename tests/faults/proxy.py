"""An HTTP proxy before an S3 server that spoils a share of what passes, as a wire and a busy S3 do.

The client is the real one, over real connections: what is tried is botocore's and urllib3's own handling of
them, and what stands above it.
"""

import http.client
import http.server
import random
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: S3 is too busy; it broke; the connection is reset before S3 heard; it is reset after S3 did what it was
#: asked to; the answer ends in the midst of its body.
KINDS = ("SlowDown", "InternalError", "reset", "answer lost", "short body")

ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>injected</Message></Error>"


class FaultyProxy(http.server.ThreadingHTTPServer):
    """Passes requests on to a server, most of them.

    Parameters
    ----------
    upstream : str
        ``host:port`` of the server.
    share : float
        Of the requests, 0 to 1, that are spoiled. Before chance decides, each operation meets each kind once,
        so that none is left out.
    seed : int
    """

    daemon_threads = True

    def __init__(self, upstream: str, share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.share = upstream, share
        self.requests: Counter[str] = Counter()
        self.injected: dict[str, Counter[str]] = defaultdict(Counter)
        self._numbers = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, operation: str) -> str:
        """Decide what becomes of a request: one of KINDS, or nothing."""
        with self._lock:
            self.requests[operation] += 1
            has_body = operation.startswith(("GET", "list"))
            kinds = KINDS if has_body else KINDS[:-1]
            # Every other request, until each kind has been: the same request should come through at last.
            new = [kind for kind in kinds if kind not in self.injected[operation]]
            if self.share and new and self.requests[operation] % 2:
                kind = new[-1]
            elif self._numbers.random() < self.share:
                kind = self._numbers.choice(kinds)
            else:
                return ""
            self.injected[operation][kind] += 1
            return kind

    def table(self) -> Iterator[tuple[str, str]]:
        """Return each operation with what was injected into it."""
        for operation, counts in sorted(self.injected.items()):
            faults = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            yield f"{faults or 'nothing'} in {self.requests[operation]}", operation

    def handle_error(self, *_: Any) -> None:
        """Keep silent of connections that the client gave up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _operation(self) -> str:
        if self.command == "GET" and "list-type" in parse_qs(urlsplit(self.path).query):
            return "list page"
        if self.command == "GET" and "Range" in self.headers:
            return "GET of a range"
        return "conditional PUT" if "If-None-Match" in self.headers else self.command

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.server.fault(self._operation())
        if kind == "reset":
            return self._reset()
        if kind in ("SlowDown", "InternalError"):
            text = b"" if self.command == "HEAD" else ERROR.format(kind).encode()
            return self._answer(503 if kind == "SlowDown" else 500, [("Content-Type", "text/xml")], text)
        upstream = http.client.HTTPConnection(self.server.upstream)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            data = response.read()
        finally:
            upstream.close()
        if kind == "answer lost" or (kind == "short body" and not data):
            return self._reset()
        dropped = ("connection", "transfer-encoding", "content-length", "date", "server")
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in dropped]
        if self.command == "HEAD":
            headers.append(("Content-Length", response.getheader("Content-Length", "0")))
        return self._answer(response.status, headers, data, cut=kind == "short body")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 (http.server's names)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD" and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def _reset(self) -> None:
        """Close the connection so that the other side gets a RST, and not the end of a stream."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Keep silent."""


@contextmanager
def faulty_proxy(upstream: str, share: float, seed: int = 1) -> Iterator[FaultyProxy]:
    """Run a proxy for as long as the context lasts."""
    proxy = FaultyProxy(upstream, share, seed)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
