"""The survey's web server, with files of ours and faults at will."""

import contextlib
import functools
import hashlib
import http.server
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lensneg.mocksky import write_mock_sky
from lensneg.survey.releases import CHECKSUM_FILE

#: The sweep files of :func:`three_sweeps`.
A, B, C = "sweep-000p005-005p010.fits", "sweep-355p005-360p010.fits", "sweep-000p000-005p005.fits"


class Survey:
    """The survey's server: files, and the faults that it is to have.

    ``faults[name]`` are taken one a GET of that file: ``("drop", n)`` ends the connection after n bytes of
    the body, ``("busy", status)`` answers with it, ``("later", s)`` asks for a pause of s seconds,
    ``("wrong", i)`` changes byte i of the file, and ``("replace", n)`` ends the connection after n bytes and
    then reverses the file. ``faulty_head`` is whether a HEAD takes them, too. ``etags`` are sent, and
    If-Range is heeded. ``length`` is how a body's end is shown: ``"given"`` in a header, by ``"chunks"``, or
    only by the ``"close"`` of the connection. ``head`` is whether HEAD is answered.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.always_wrong: set[str] = set()
        self.etags: dict[str, str] = {}
        self.ranges = self.head = True
        self.faulty_head = False
        self.length = "given"
        self.on_stall: Callable[[], object] = functools.partial(time.sleep, 1.0)
        self.log: list[tuple[str, str, str]] = []
        self.sent: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        survey = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                if survey.head:
                    self.answer(body=False)
                else:
                    self.send_error(405)

            def do_GET(self) -> None:
                with survey._lock:
                    survey.at_once += 1
                    survey.most_at_once = max(survey.most_at_once, survey.at_once)
                try:
                    self.answer(body=True)
                finally:
                    with survey._lock:
                        survey.at_once -= 1

            def answer(self, body: bool) -> None:
                place = self.path.removeprefix("/dr10/south/sweep/10.1/")
                name = place if place in survey.files else self.path.rpartition("/")[2]
                asked = self.headers.get("Range", "")
                survey.log.append((self.command, name, asked))
                data = survey.files.get(name)
                if name == "":
                    data = "".join(f'<a href="{n}">{n}</a>\n' for n in survey.files).encode()
                if data is None:
                    self.send_error(404)
                    return
                wanted = body or survey.faulty_head
                kind, number = survey.faults[name].pop(0) if wanted and survey.faults[name] else ("", 0)
                if kind == "busy":
                    self.send_error(number)
                    return
                if kind in ("later", "too many"):
                    self.send_response(503 if kind == "later" else 429)
                    self.send_header("Retry-After", str(number))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                etag, if_range = survey.etags.get(name, ""), self.headers.get("If-Range")
                if if_range not in (None, etag):
                    asked = ""
                if kind == "wrong" or (body and name in survey.always_wrong):
                    data = data[:number] + bytes([data[number] ^ 1]) + data[number + 1 :]
                first, _, last = (
                    asked.removeprefix("bytes=").partition("-") if survey.ranges else ("", "", "")
                )
                start, whole = int(first or 0), len(data)
                data = data[: int(last) + 1] if last else data
                if start and start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{whole}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206 if start or last else 200)
                if survey.length == "given":
                    self.send_header("Content-Length", str(len(data) - start))
                elif survey.length == "chunks":
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Connection", "close")
                if etag:
                    self.send_header("ETag", etag)
                if start or last:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{whole}")
                self.end_headers()
                if not body:
                    return
                rest = data[start:]
                drop = kind in ("drop", "replace")
                rest = rest[:number] if drop else rest
                survey.sent[name] += len(rest)
                if survey.length == "chunks":
                    self.wfile.write(f"{len(data) - start:x}\r\n".encode())
                if kind == "stall":
                    self.wfile.write(rest[:number])
                    self.wfile.flush()
                    survey.on_stall()
                    rest = rest[number:]
                with contextlib.suppress(ConnectionError):  # the client may have gone
                    self.wfile.write(rest)
                if survey.length == "chunks" and not drop:
                    self.wfile.write(b"\r\n0\r\n\r\n")
                if kind == "replace":
                    survey.files[name], survey.etags[name] = survey.files[name][::-1], '"another"'
                if drop:
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.close()

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/dr10/south/sweep/10.1/"

    def gets(self, name: str) -> list[str]:
        """The ranges of all GETs of a file."""
        return [asked for method, n, asked in self.log if method == "GET" and n == name]


def with_checksums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by name, with the list of their SHA-256 that the survey puts beside them."""
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return {**files, CHECKSUM_FILE: sums.encode()}


@functools.cache
def three_sweeps() -> dict[str, bytes]:
    """Three small sweep files, and their list of checksums."""
    with tempfile.TemporaryDirectory() as folder:
        sky = write_mock_sky(folder, files=3, rows=600, seed=4)
        files = {path.name: path.read_bytes() for path in Path(sky.sweeps).iterdir()}
    assert set(files) == {A, B, C}
    return with_checksums(files)


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Survey]:
    """Serve files until the end of the block."""
    survey = Survey()
    survey.files.update(files)
    thread = threading.Thread(target=survey.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield survey
    finally:
        survey.http.shutdown()
        thread.join()
        survey.http.server_close()
