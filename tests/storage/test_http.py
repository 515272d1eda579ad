"""Files on a web server are read in parts."""

from collections.abc import Iterator

import pytest
from surveyserver import Survey, serving

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.storage import http

DATA = bytes(range(200))


@pytest.fixture
def survey(monkeypatch: pytest.MonkeyPatch) -> Iterator[Survey]:
    monkeypatch.setattr(http, "_ATTEMPTS", 1)
    http._session.cache_clear()
    with serving({"file": DATA}) as survey:
        yield survey
    http._session.cache_clear()


@pytest.mark.parametrize(
    ("start", "size", "expected"),
    [(0, None, DATA), (0, 5, DATA[:5]), (7, 3, DATA[7:10]), (190, 50, DATA[190:]), (200, 1, b"")],
)
def test_a_range(survey: Survey, start: int, size: int | None, expected: bytes) -> None:
    assert storage.read_bytes(f"{survey.url}file", start, size) == expected


def test_its_size_and_etag(survey: Survey) -> None:
    survey.etags["file"] = '"v1"'
    uri = f"{survey.url}file"
    assert storage.stat(uri) == storage.FileInfo(uri, 200, "v1")
    assert not storage.exists(f"{survey.url}nowhere")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{survey.url}nowhere")


def test_a_file_and_a_stream(survey: Survey) -> None:
    with storage.open_file(f"{survey.url}file", 200) as file:
        file.seek(-10, 2)
        assert file.read(4) == DATA[190:194]
    buffer = memoryview(bytearray(300))
    reader = storage.open_range(f"{survey.url}file", 10, 50)
    count = reader.readinto(buffer)
    reader.close()
    assert bytes(buffer[:count]) == DATA[10:60]


def test_a_server_that_gives_whole_files_only_is_refused(survey: Survey) -> None:
    survey.ranges = False
    assert storage.read_bytes(f"{survey.url}file", 0, 5) == DATA[:5], "the rest is not read"
    with pytest.raises(InputError, match="gives no parts of files; fetch it"):
        storage.read_bytes(f"{survey.url}file", 5, 5)


@pytest.mark.parametrize("fault", [("busy", 503), ("drop", 50)])
def test_a_server_at_fault_is_asked_again_or_later(survey: Survey, fault: tuple[str, int]) -> None:
    survey.faults["file"] = [fault] * 2
    with pytest.raises(TransientError, match="again later"):
        storage.read_bytes(f"{survey.url}file", 0, 100)
    survey.faults["file"] = [("busy", 503)]
    assert storage.read_bytes(f"{survey.url}file", 0, 5) == DATA[:5]


def test_what_is_not_allowed_is_the_users_error(survey: Survey) -> None:
    survey.faults["file"] = [("busy", 403)]
    with pytest.raises(InputError, match="answers 403 Forbidden; check the address"):
        storage.read_bytes(f"{survey.url}file")


def test_what_is_read_may_be_on_a_server_and_what_is_written_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage.normalize_readable("https://a.example/b/") == "https://a.example/b"
    with pytest.raises(InputError, match="expected a local path or s3://"):
        storage.normalize("https://a.example/b")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    with pytest.raises(InputError, match="on AWS every file is in S3"):
        storage.normalize_readable("https://a.example/b")


def test_the_common_folder_of_files_on_a_server() -> None:
    assert (
        storage.common_folder(["https://a.example/x/1", "https://a.example/x/y/2"]) == "https://a.example/x"
    )
