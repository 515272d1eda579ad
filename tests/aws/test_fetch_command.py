"""lensneg aws fetch: on the executed graph, with the real functions and a survey's server."""

import hashlib
import json
import time
from collections.abc import Iterator
from functools import partial

import boto3
import click
import pytest
from cloud import Cloud, aws, deployed_account
from surveyserver import A, B, C, Survey, serving, with_checksums
from usage import told

import functions.fetch_sweep
from lensneg import storage
from lensneg.aws.deployment import NO_FETCH
from lensneg.commands import aws_fetch
from lensneg.errors import InputError
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.survey.server import Server

SKY = {A: b"a" * 70_000, B: b"b" * 50_000, C: b"c" * 60_000}


@pytest.fixture(scope="module")
def account() -> Iterator[Cloud]:
    with deployed_account() as account:
        yield account


@pytest.fixture
def cloud(account: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    account.forget_runs()
    for info in storage.list_files("s3://sky"):
        storage.delete(info.uri)
    monkeypatch.setattr(functions.fetch_sweep, "Server", partial(Server, attempts=3, backoff=0.001))
    return account


@pytest.fixture
def survey() -> Iterator[Survey]:
    with serving(with_checksums(SKY)) as survey:
        yield survey


def stored() -> dict[str, bytes]:
    return {storage.basename(i.uri): storage.read_bytes(i.uri) for i in storage.list_files("s3://sky/sweeps")}


def test_files_are_fetched_and_followed_to_the_end(cloud: Cloud, survey: Survey) -> None:
    result = aws("fetch", A, B, C, "--from", survey.url, "--every", "0.1")
    assert "3 sweep files, about 3.0 GB, 8 at a time: about " in result.stderr
    assert " USD if none is there (Lambda " in result.stderr
    assert "aws stepfunctions stop-execution --execution-arn arn:" in result.stderr
    assert "3 of 3 files, 0.00 GB came" in result.stderr
    assert "SUCCEEDED" in result.stderr
    assert "3 of 3 files" in result.stdout
    assert {name: data for name, data in stored().items() if name != CHECKSUM_FILE} == SKY
    assert CHECKSUM_FILE in stored(), "sweeps verify reads it"


def test_json_says_all_of_it_and_a_repetition_fetches_nothing(cloud: Cloud, survey: Survey) -> None:
    arguments = ("fetch", A, B, "--from", survey.url, "--every", "0.1", "--json", "-q")
    told = json.loads(aws(*arguments).stdout)
    assert (told["status"], told["files"], told["fetched"], told["failed"]) == ("SUCCEEDED", 2, 2, [])
    assert (told["bytes"], told["bytes_left"], told["seconds_left"]) == (120_000, 0, 0.0)
    assert 0 < told["usd"] < 0.01
    survey.log.clear()
    cloud.forget_runs()  # names are of a second, and this may be the same
    told = json.loads(aws(*arguments).stdout)
    assert (told["fetched"], told["there_already"], told["bytes"]) == (0, 2, 0)
    assert {name for _, name, _ in survey.log} == {CHECKSUM_FILE}


def test_a_file_that_fails_is_named_and_tried_again(cloud: Cloud, survey: Survey) -> None:
    survey.always_wrong.add(B)
    result = aws("fetch", A, B, "--from", survey.url, "--every", "0.1", code=3)
    assert f"{B}: {survey.url}{B}: its SHA-256 is" in told(result.stderr)
    assert "it tries again what failed" in told(result.stderr)
    assert "FilesNotFetched: 1 of 2 files" in result.stdout
    survey.always_wrong.clear()
    cloud.forget_runs()
    aws("fetch", A, B, "--from", survey.url, "--every", "0.1")
    assert stored()[B] == SKY[B]


def test_a_fetch_that_is_under_way_is_followed(cloud: Cloud, survey: Survey) -> None:
    survey.faults[A] = [("stall", 1000)]
    survey.on_stall = partial(time.sleep, 2.0)
    explained = aws("fetch", A, "--from", survey.url, "--explain").stdout
    assert "aws s3 cp items.json s3://sky/fetch/fetch-" in explained
    assert "aws stepfunctions start-execution --state-machine-arn arn:" in explained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lensneg.commands.aws_screen.follow_as", interrupt)
        with pytest.raises(click.Abort):
            aws_fetch.fetch.main(["--from", survey.url, A], standalone_mode=False)
    survey.log.clear()
    result = aws("fetch", B, "--from", survey.url, "--every", "0.1")
    assert "under way already, and nothing else was started: arn:" in result.stderr
    assert set(stored()) == {A, CHECKSUM_FILE}
    assert len(boto3.client("stepfunctions").list_state_machines()["stateMachines"]) == 2


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_files_of_another_version_have_a_folder_of_their_own(cloud: Cloud, survey: Survey) -> None:
    """DR11 has files of the names of DR10.1."""
    for options in (("--release", "DR11-south"), ("--config", "negative_sampling_dr9_north")):
        aws("fetch", A, *options, "--from", survey.url, "--every", "0.1")
    found = [info.uri for info in storage.list_files("s3://sky/sweeps") if info.uri.endswith(A)]
    assert found == [f"s3://sky/sweeps/{name}/{A}" for name in ("DR11-south", "DR9-north")]


def test_a_plan_starts_nothing(cloud: Cloud, survey: Survey) -> None:
    told = json.loads(aws("fetch", A, "--plan", "--json", "--from", survey.url).stdout)
    # The mean size: at 20 MB/s, then twice at 75 MiB/s, and 3 s of INIT.
    seconds = 993_393_705 / 20e6 + 2 * 993_393_705 / (75 * (1 << 20)) + 3
    assert (told["files"], told["bytes"], told["estimated"]) == (1, 993_393_705, True)
    assert told["seconds"] == pytest.approx(seconds)
    assert told["usd"]["lambda"] == pytest.approx(seconds * 0.0000166667 + 2e-7)
    assert survey.log == []
    assert stored() == {}


def test_a_file_without_a_checksum_is_refused_before_anything_starts(cloud: Cloud, survey: Survey) -> None:
    sums = f"{hashlib.sha256(SKY[A]).hexdigest()}  {A}\n"
    survey.files[CHECKSUM_FILE] = sums.encode()
    with pytest.raises(InputError, match=rf"1 of 2 files are not in it: {B}"):
        aws("fetch", A, B, "--from", survey.url)
    assert stored() == {}


def test_a_stack_without_it_says_how_to_add_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = boto3.client("cloudformation").outputs
    [entry] = [o for o in outputs if o["OutputKey"] == "FetchStateMachineArn"]
    monkeypatch.setitem(entry, "OutputValue", NO_FETCH)
    with pytest.raises(InputError, match="deploy it with the parameter FetchSweeps=true"):
        aws("fetch", A)
