"""Fetches of sweep files by the stack: their plan, their start, and their progress."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lensneg import storage
from lensneg.aws.calls import Aws
from lensneg.aws.deployment import NO_FETCH, Stack
from lensneg.aws.history import Execution, MapProgress, describe
from lensneg.cost.listing import Listing, listing_of
from lensneg.cost.tables import RatesFile, load_rates
from lensneg.errors import InputError
from lensneg.schema.check import brief
from lensneg.schema.fetch import FetchedFile, FetchFiles, FetchItem, FetchRequest, FetchSummary
from lensneg.schema.request import new_id
from lensneg.stages.summarize_fetch import read_fetch_items, read_fetched, summarize
from lensneg.survey.checksums import ChecksumList


def fetch_machine(stack: Stack) -> str:
    """Return the ARN of the state machine that fetches.

    Raises
    ------
    InputError
        If the stack was deployed without it.
    """
    if stack.fetch_state_machine_arn == NO_FETCH:
        remedy = "deploy it with the parameter FetchSweeps=true, or use lensneg sweeps fetch --to"
        what = "it was deployed without the state machine that fetches sweep files"
        raise InputError(what, where=f"stack {stack.name}", remedy=remedy)
    return stack.fetch_state_machine_arn


def fetch_under_way(aws: Aws, machine: str) -> str | None:
    """Return the ARN of the fetch that goes on, if one does."""
    options = {"stateMachineArn": machine, "statusFilter": "RUNNING"}
    found = aws.pages("stepfunctions", "list_executions", "executions", **options)
    return next((str(entry["executionArn"]) for entry in found), None)


def items_of(names: Sequence[str], checksums: ChecksumList, source: str) -> list[FetchItem]:
    """Return files with their SHA-256.

    Raises
    ------
    InputError
        If the list of checksums does not have one of them.
    """
    unknown = [name for name in names if name not in checksums.sha256]
    if unknown:
        what = f"{len(unknown):,} of {len(names):,} files are not in it: {brief(unknown, 3)}"
        raise InputError(what, where=source, remedy="are they files of this folder? Name others, or its list")
    return [FetchItem(name=name, sha256=checksums.sha256[name]) for name in names]


def start_fetch(
    aws: Aws,
    stack: Stack,
    items: Sequence[FetchItem],
    base_url: str,
    to: str,
    checksums: ChecksumList,
    at_once: int,
) -> str:
    """Start a fetch.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    stack : Stack
        The stack that fetches.
    items : sequence of FetchItem
        The files.
    base_url : str
        Their folder on the survey's server.
    to : str
        The prefix that they are put below.
    checksums : ChecksumList
        The list that their SHA-256 are of. It is kept beside them, for ``lensneg sweeps verify``.
    at_once : int
        The number of files that are fetched at the same time.

    Returns
    -------
    str
        ARN of the execution; empty in a dry run.
    """
    files = FetchFiles.below(stack.fetch_uri, new_id("fetch"))
    listed = storage.join(to, checksums.name)
    if aws.dry:
        for uri in (listed, files.items):
            aws.note(f"aws s3 cp {storage.basename(uri)} {uri}")
    else:
        storage.write_bytes(listed, checksums.text.encode())
        files.write_items(items)
    bucket, key = storage.bucket_and_key(files.items)
    request = FetchRequest(
        root=files.root,
        base_url=base_url,
        to=to,
        bucket=bucket,
        key=key,
        max_concurrency=at_once,
    )
    started = aws.change(
        "stepfunctions",
        "start_execution",
        stateMachineArn=fetch_machine(stack),
        name=files.fetch_id,
        input=json.dumps(request.as_json()),
    )
    return str(started.get("executionArn", ""))


@dataclass(frozen=True)
class FetchSnapshot:
    """A fetch at a moment.

    Attributes
    ----------
    execution : Execution
        Its execution.
    map : MapProgress or None
        The counts of its files, once there are any.
    summary : FetchSummary
        The files that are there, and what they cost.
    left : int
        Bytes of the files that are not there yet. Where the server's sizes are not known, it is an estimate.
    at : datetime
        The moment.
    """

    execution: Execution
    map: MapProgress | None
    summary: FetchSummary
    left: int
    at: datetime

    @property
    def seconds(self) -> float:
        """Seconds since the start, or from the start to the end."""
        return max(1e-3, ((self.execution.ended or self.at) - self.execution.started).total_seconds())

    @property
    def rate(self) -> float:
        """Bytes that came in a second."""
        return self.summary.bytes / self.seconds

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last file is there; None as long as nothing is known."""
        return self.left / self.rate if self.rate else None

    @property
    def done(self) -> int:
        """Number of files that are there."""
        return self.summary.fetched + self.summary.there_already


class FetchFollower:
    """The progress of a fetch. A file's record is read once.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    arn : str
        The execution.
    """

    def __init__(self, aws: Aws, arn: str) -> None:
        self._aws, self._arn = aws, arn
        execution = describe(aws, arn)
        request = FetchRequest.of_json(execution.input, arn, InputError)
        self._files = FetchFiles(request.root)
        self._items = read_fetch_items(self._files)
        self._sizes = {s.uri: s.size for s in planned_listing([i.name for i in self._items]).sweeps}
        self._done: dict[str, FetchedFile] = {}

    def take(self) -> FetchSnapshot:
        """Read the progress.

        Returns
        -------
        FetchSnapshot
        """
        execution = describe(self._aws, self._arn)
        maps = execution.history(self._aws).read_maps(self._aws)
        read_fetched(self._files, self._done)
        summary = FetchSummary.read_if_there(self._files.summary) if execution.ended else None
        summary = summary or summarize(self._items, self._done)
        failed = {failure.name for failure in summary.failed}
        left = sum(size for name, size in self._sizes.items() if name not in self._done.keys() | failed)
        return FetchSnapshot(execution, maps[-1] if maps else None, summary, left, datetime.now(UTC))


def planned_listing(names: Sequence[str], rates: RatesFile | None = None) -> Listing:
    """Return files with their sizes, or the mean size where it is not known."""
    return listing_of([(name, None) for name in names], "the files to fetch", rates or load_rates())


def fetch_changes(before: FetchSnapshot | None, now: FetchSnapshot) -> Iterator[str]:
    """Compare two snapshots of a fetch.

    Parameters
    ----------
    before : FetchSnapshot or None
        The earlier one; None at the start.
    now : FetchSnapshot
        The later one.

    Yields
    ------
    str
        A line for each hundredth of the files that is done, for each failure, and for the end.
    """
    if before is None or _hundredths(before) != _hundredths(now):
        yield f"{fetch_text(now)} (about {now.summary.usd:.4f} USD so far)"
    if now.execution.status != "RUNNING":
        yield f"{now.execution.name} {now.execution.status}"


def _hundredths(snapshot: FetchSnapshot) -> tuple[int, int]:
    return 100 * snapshot.done // max(1, snapshot.summary.files), snapshot.map.failed if snapshot.map else 0


def fetch_text(snapshot: FetchSnapshot) -> str:
    """Return the counts, the rate and the time left of a fetch in words."""
    summary, counts, left = snapshot.summary, snapshot.map, snapshot.seconds_left
    text = f"{snapshot.done:,} of {summary.files:,} files"
    if summary.there_already:
        text += f" ({summary.there_already:,} were there)"
    text += f", {summary.bytes / 1e9:,.2f} GB came, {snapshot.rate / 1e6:,.1f} MB/s"
    if counts and counts.running:
        text += f", {counts.running:,} at work"
    if counts and counts.failed:
        text += f", {counts.failed:,} FAILED"
    if left is not None and snapshot.execution.status == "RUNNING":
        text += f", about {timedelta(seconds=round(left))} left"
    return text


def fetch_as_json(snapshot: FetchSnapshot) -> dict[str, Any]:
    """Return a snapshot for ``--json``."""
    execution, left = snapshot.execution, snapshot.seconds_left
    return {
        "fetch_id": execution.name,
        "execution_arn": execution.arn,
        "status": execution.status,
        "error": execution.error,
        "cause": execution.cause,
        **snapshot.summary.as_json(),
        "bytes_left": snapshot.left,
        "bytes_per_second": snapshot.rate,
        "seconds_left": left if execution.status == "RUNNING" else 0.0,
    }
