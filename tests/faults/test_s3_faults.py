"""A run in S3 while a fifth of its requests meets SlowDown, 500, a reset connection, a lost or a cut answer.

Sweeps, catalogue, config and output are all in S3, which is moto's server behind a proxy that spoils what
passes. What is published is to the byte what is published without faults.
"""

import http.client
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults import LONG, STARTED_AT, tell, walk
from moto.backends import get_backend
from moto.server import ThreadedMotoServer
from plainrun import draw_plainly
from proxy import KINDS, faulty_proxy
from s3_faults import S3Faults, with_s3_faults
from world import World, make_inputs

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.item import Item
from lensneg.schema.run import load_run
from lensneg.stages.filter_sweep.item import filter_item

BLOCK = 2880

REQUEST = {
    "run_id": "one",
    "mode": "full",
    "config": "s3://sky/config.yaml",
    "sweeps": "s3://sky/sweeps",
    "positives": ["s3://sky/positives.csv"],
    "out": "s3://sky/out",
    "started_at": STARTED_AT,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_inputs(tmp_path_factory.mktemp("world"), rows=4_000)


def fill(world: World) -> None:
    """Put the inputs into an empty S3."""
    get_backend("s3").reset()
    storage.s3_client().create_bucket(Bucket="sky")
    inputs = {f"sweeps/{path.name}": path for path in (world.sky / "sweeps").iterdir()}
    inputs |= {"config.yaml": world.config, "positives.csv": world.sky / "positives.csv"}
    for key, path in inputs.items():
        storage.write_bytes(f"s3://sky/{key}", path.read_bytes())


def draw_in_s3(folder: Path) -> Any:
    """The job's stand-in, which works on a copy: what Spark itself does with S3 is not tried here."""

    def draw(root: str) -> None:
        copy = folder / "runs" / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        for info in storage.list_files(root):
            path = copy / info.uri.removeprefix(f"{root}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(storage.read_bytes(info.uri))
        draw_plainly(copy)
        for path in (copy / "draw").rglob("*"):
            if path.is_file():
                storage.write_bytes(f"{root}/draw/{path.relative_to(copy / 'draw')}", path.read_bytes())

    return draw


def published() -> dict[str, bytes]:
    return {info.uri: storage.read_bytes(info.uri) for info in storage.list_files("s3://sky/out/manifests")}


def run_of(mode: str, folder: Path) -> str:
    return walk({**REQUEST, "mode": mode, "run_id": mode}, draw_in_s3(folder), storage.read_json)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's S3 over HTTP, in this process; ``host:port``."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")  # so that a list has several pages
        server.start()
        yield "{}:{}".format(*server.get_host_and_port())
        server.stop()


@contextmanager
def through(url: str) -> Iterator[None]:
    """Let this process's S3 client speak to a URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", url)
        storage.s3_client.cache_clear()
        yield
    storage.s3_client.cache_clear()


@pytest.fixture(scope="module")
def fair(server: str, world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is published without faults, and the record of the mini-test."""
    copy = tmp_path_factory.mktemp("copy") / "copy"
    with through(f"http://{server}"):
        fill(world)
        run_of("test", copy)
        run_of("full", copy)
        [record] = storage.list_files("s3://sky/out/minitests")
        return {**published(), record.uri: storage.read_bytes(record.uri)}


@pytest.mark.parametrize("seed", range(5) if LONG else [1])
def test_a_run_among_faults(
    fair: dict[str, bytes],
    server: str,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.001)))
    monkeypatch.setattr(storage.s3, "PART_BYTES", 128 << 10)  # so that a small file has many parts
    expected = {uri: data for uri, data in fair.items() if "/manifests/" in uri}
    with through(f"http://{server}"):
        fill(world)
        for uri in fair.keys() - expected.keys():
            storage.write_bytes(uri, fair[uri])
    with faulty_proxy(server, 0.2, seed) as proxy, through(proxy.url):
        if LONG:
            run_of("test", tmp_path / "copy")
        run_of("full", tmp_path / "copy")
    with through(f"http://{server}"):
        found = published()
    for faults, operation in proxy.table():
        tell(f"S3: {operation}", faults, "identical" if found == expected else "WRONG")
    assert found == expected
    assert len(found) >= 3
    # Not left to chance: each kind in each operation that a run makes often.
    for operation in ("GET", "GET of a range", "list page", "PUT", "HEAD"):
        assert len(proxy.injected[operation]) >= 4, operation
    assert proxy.injected["conditional PUT"]["answer lost"] >= 1
    total = sum(proxy.requests.values())
    assert sum(map(Counter.total, proxy.injected.values())) > total / 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_what_it_is_called(server: str, kind: str) -> None:
    """The proxy would prove nothing if its answers were whole."""
    with through(f"http://{server}"):
        get_backend("s3").reset()
        storage.s3_client().create_bucket(Bucket="sky")
        storage.write_bytes("s3://sky/x", b"x" * 1000)
    with faulty_proxy(server, 1.0) as proxy:
        proxy.injected["PUT"].update(other for other in KINDS if other != kind)
        proxy.injected["GET"].update(other for other in KINDS if other != kind)
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
        method = "PUT" if kind == "answer lost" else "GET"
        with through(proxy.url):
            url = storage.s3_client().generate_presigned_url(
                f"{method.lower()}_object", {"Bucket": "sky", "Key": "x"}
            )
        connection.request(method, url.removeprefix(proxy.url), b"other" if method == "PUT" else None)
        if kind in ("reset", "answer lost"):
            with pytest.raises(ConnectionResetError):
                connection.getresponse()
        elif kind == "short body":
            with pytest.raises(http.client.IncompleteRead) as error:
                connection.getresponse().read()
            assert (len(error.value.partial), error.value.expected) == (500, 500)
        else:
            assert connection.getresponse().status == {"SlowDown": 503, "InternalError": 500}[kind]
        connection.close()
    with through(f"http://{server}"):
        assert storage.read_bytes("s3://sky/x") == (b"other" if kind == "answer lost" else b"x" * 1000)


def test_a_file_that_is_replaced_while_it_is_read(mocked_s3: None, world: World, tmp_path: Path) -> None:
    """Its parts come one by one: rows of two files must not pass for those of one."""
    fill(world)
    root = run_of("test", tmp_path / "copy")
    run = load_run(root)
    item = Item.model_validate(storage.read_json(run.files.items)[0])
    storage.delete(run.files.stats(item.id))
    data = bytearray(storage.read_bytes(item.sweep))
    data[-BLOCK - 100 : -BLOCK - 90] = b"\x01" * 10

    class Replaced(S3Faults):
        """Puts another file in place when its headers have been read, and its rows not yet."""

        def __call__(self, request: Any, event_name: str, **more: Any) -> Any:
            self.requests[event_name.rpartition(".")[2]] += 1
            if self.requests["GetObject"] == 3:
                self.requests["GetObject"] += 1
                storage.write_bytes(item.sweep, bytes(data))

    with with_s3_faults(Replaced(0)), pytest.raises(SweepError, match="changed while it was read"):
        filter_item(run, item)
    assert not storage.exists(run.files.stats(item.id))
