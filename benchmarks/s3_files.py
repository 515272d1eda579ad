"""A folder served as an S3 bucket, read-only: HEAD, GET with ranges, and a listing.

moto's server copies a whole object for each range that is asked of it, which is not what S3 costs. This one
hands the range to the kernel, so that what is measured is the reader.

    python benchmarks/s3_files.py FOLDER PORT    # s3://any-bucket/KEY is FOLDER/KEY
"""

from __future__ import annotations

import os
import re
import sys
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Bucket(BaseHTTPRequestHandler):
    """Answers S3's requests for the files of a folder."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        """Describe an object."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Send an object or a range of it, or list the bucket."""
        url = urlsplit(self.path)
        if "list-type" in parse_qs(url.query):
            self._list(parse_qs(url.query).get("prefix", [""])[0])
        else:
            self._answer(with_body=True)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""

    def _answer(self, with_body: bool) -> None:
        key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
        path = self.folder / key
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        first, last = 0, size - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", etag(path))
        self.send_header("Last-Modified", formatdate(path.stat().st_mtime, usegmt=True))
        self.end_headers()
        if with_body:
            self.wfile.flush()
            with path.open("rb") as file:
                while first <= last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last + 1 - first)

    def _list(self, prefix: str) -> None:
        keys = sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{(self.folder / key).stat().st_size}</Size>"
            f"<ETag>{escape(etag(self.folder / key))}</ETag></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def etag(path: Path) -> str:
    """Return a tag that changes with the file."""
    info = path.stat()
    return f'"{info.st_size:x}-{info.st_mtime_ns:x}"'


if __name__ == "__main__":
    serve = partial(Bucket, Path(sys.argv[1]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), serve).serve_forever()
