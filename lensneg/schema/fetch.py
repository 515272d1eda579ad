"""A fetch of sweep files into the bucket: its input, its files, and the messages between its states."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.options import MOST_AT_ONCE
from lensneg.schema.record import Count, Record

#: Seconds at the end of an invocation in which it takes no more bytes: a silent server is waited for during
#: 75 of them, or else a file of 2.5 GB is read back, in 35, and copied.
LAST_SECONDS: Final = 150.0


class FetchItem(Record):
    """A file to fetch, and the SHA-256 that the survey publishes of it."""

    name: str
    sha256: str


class FetchRequest(Record):
    """The input of an execution of the state machine that fetches.

    Attributes
    ----------
    root : str
        The folder of the fetch; its last part is the name of the execution.
    base_url : str
        The folder on the survey's server.
    to : str
        The prefix that the files are put below.
    bucket, key : str
        The object that holds the list of files, which Step Functions reads.
    max_concurrency : int
        The number of files that are fetched at the same time.
    tolerated_failure_percentage : float
        A file that fails does not stop the others; SummarizeFetch judges.
    """

    root: str
    base_url: str
    to: str
    bucket: str
    key: str
    max_concurrency: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)]
    tolerated_failure_percentage: float = 100.0


class FetchStep(Record):
    """The result of an invocation of FetchSweep, and the input of the next one for the same file.

    Attributes
    ----------
    whole : bool
        Whether the file is there, and its SHA-256 is right.
    wait_seconds : int
        The pause before the next invocation.
    idle : int
        The number of last invocations that stored nothing.
    wrong : str
        The SHA-256 of a download that was wrong, if there was one.
    invocations : int
        The number of invocations so far.
    seconds : float
        Their time.
    """

    whole: bool = False
    wait_seconds: Annotated[int, Field(ge=1)] = 1
    idle: Count = 0
    wrong: str = ""
    invocations: Count = 0
    seconds: float = 0.0


class FetchEvent(Record):
    """The event of FetchSweep."""

    root: str
    base_url: str
    to: str
    item: FetchItem
    step: FetchStep
    execution_arn: str


class PartialUpload(Record):
    """The upload of a file that is not whole yet.

    Attributes
    ----------
    upload_id : str
        The id of the multipart upload. S3 lists its parts.
    etag : str
        The server's version of the file that the parts are of.
    sha256 : str
        The SHA-256 that the file is to have.
    """

    upload_id: str
    etag: str
    sha256: str


class FetchedFile(Record):
    """A file that is there: what was done, by how many invocations, and in how many seconds."""

    name: str
    outcome: Literal["fetched", "there already"]
    size: Count
    invocations: Count
    seconds: float
    ended: AwareDatetime


class FetchFailure(Record):
    """The file errors/<name>.json: why a file was not fetched."""

    name: str
    reason: str


class FetchSummary(Record):
    """The file summary.json of a fetch. ``usd`` is an estimate by the table of prices."""

    files: Count
    fetched: Count
    there_already: Count
    failed: tuple[FetchFailure, ...]
    bytes: Count
    invocations: Count
    seconds: float
    usd: float


class FetchVerdict(Record):
    """The output of SummarizeFetch: whether every file is there, and which are not."""

    passed: bool
    cause: str


class FetchFiles:
    """The URIs of a fetch's files.

    Parameters
    ----------
    root : str
        The folder of the fetch, ``<folder>/<fetch_id>``.
    """

    def __init__(self, root: str) -> None:
        folder, _, fetch_id = root.rpartition("/")
        if not folder or not fetch_id:
            raise RunStateError("expected …/fetch/<fetch_id>", where=root)
        self.root, self.folder, self.fetch_id = root, folder, fetch_id
        self.items = storage.join(root, "items.json")
        self.fetched_folder = storage.join(root, "fetched")
        self.errors_folder = storage.join(root, "errors")
        self.summary = storage.join(root, "summary.json")

    @classmethod
    def below(cls, folder: str, fetch_id: str) -> Self:
        """Return the files of a fetch from its name.

        Parameters
        ----------
        folder : str
            The folder of all fetches.
        fetch_id : str
            The name of the fetch.

        Returns
        -------
        FetchFiles
            The files.
        """
        return cls(storage.join(folder, fetch_id))

    def fetched(self, name: str) -> str:
        """Return the file that is written when a sweep file is there.

        Parameters
        ----------
        name : str
            The sweep file.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.fetched_folder, f"{name}.json")

    def error(self, name: str) -> str:
        """Return the file of a failure.

        Parameters
        ----------
        name : str
            The sweep file.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.errors_folder, f"{name}.json")

    def incoming(self, name: str) -> str:
        """Return the object that is a sweep file before it is checked. All fetches share it.

        Parameters
        ----------
        name : str
            The sweep file.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.folder, "incoming", name)

    def upload(self, name: str) -> str:
        """Return the record of an upload that is not complete. All fetches share it.

        Parameters
        ----------
        name : str
            The sweep file.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.folder, "uploads", f"{name}.json")

    def write_items(self, items: Iterable[FetchItem]) -> None:
        """Write the list of files, which Step Functions reads.

        Parameters
        ----------
        items : iterable of FetchItem
            The files.
        """
        storage.write_json(self.items, [item.as_json() for item in items])
