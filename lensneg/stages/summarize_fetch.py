"""SummarizeFetch: say which files of a fetch are there, which are not, and what it cost."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pydantic import TypeAdapter, ValidationError

from lensneg import storage
from lensneg.cost.fetch import fetch_cost
from lensneg.cost.tables import load_prices
from lensneg.errors import RunStateError
from lensneg.schema.check import brief
from lensneg.schema.fetch import FetchedFile, FetchFailure, FetchFiles, FetchItem, FetchSummary, FetchVerdict
from lensneg.schema.record import damage_of

_ITEMS: Final = TypeAdapter(list[FetchItem])

#: Small files that are read at the same time.
_AT_ONCE: Final = 16

_NO_WORD: Final = "its function ended without a word; the log of FetchSweep may say why"


def read_fetch_items(files: FetchFiles) -> list[FetchItem]:
    """Read the list of a fetch's files.

    Raises
    ------
    RunStateError
        If it is missing or damaged.
    """
    remedy = "start another fetch"
    try:
        return _ITEMS.validate_json(storage.read_bytes(files.items))
    except FileNotFoundError as error:
        raise RunStateError("missing", where=files.items, remedy=remedy) from error
    except ValidationError as error:
        raise RunStateError(damage_of(error), where=files.items, remedy=remedy) from error


def read_fetched(files: FetchFiles, known: dict[str, FetchedFile]) -> None:
    """Add the files that are there to those that are known, by their names."""
    listed = [info.uri for info in storage.list_files(files.fetched_folder)]
    new = [uri for uri in listed if storage.basename(uri).removesuffix(".json") not in known]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        known |= {done.name: done for done in threads.map(FetchedFile.read, new)}


def summarize_fetch(files: FetchFiles) -> FetchVerdict:
    """Write the summary of a fetch.

    Parameters
    ----------
    files : FetchFiles
        The files of the fetch.

    Returns
    -------
    FetchVerdict
    """
    items, done = read_fetch_items(files), dict[str, FetchedFile]()
    read_fetched(files, done)
    missing = [item.name for item in items if item.name not in done]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        failed = tuple(threads.map(lambda name: _failure(files, name), missing))
    summary = summarize(items, done, failed)
    summary.write(files.summary)
    if not failed:
        return FetchVerdict(passed=True, cause="")
    reasons = brief([f"{failure.name}: {failure.reason}" for failure in failed], 3)
    remedy = f"{files.summary} names all of them, and lensneg aws fetch tries them again"
    return FetchVerdict(passed=False, cause=f"{len(failed):,} of {len(items):,} files: {reasons}; {remedy}")


def summarize(
    items: list[FetchItem], done: dict[str, FetchedFile], failed: tuple[FetchFailure, ...] = ()
) -> FetchSummary:
    """Add up the files that are there."""
    fetched = [file for file in done.values() if file.outcome == "fetched"]
    invocations = sum(file.invocations for file in done.values()) + len(failed)
    seconds, size = sum(file.seconds for file in done.values()), sum(file.size for file in fetched)
    began = len(done) + len(failed)
    cost = fetch_cost(
        load_prices(), files=began, fetched=len(fetched), size=size, invocations=invocations, seconds=seconds
    )
    return FetchSummary(
        files=len(items),
        fetched=len(fetched),
        there_already=len(done) - len(fetched),
        failed=failed,
        bytes=size,
        invocations=invocations,
        seconds=seconds,
        usd=cost.total,
    )


def _failure(files: FetchFiles, name: str) -> FetchFailure:
    return FetchFailure.read_if_there(files.error(name)) or FetchFailure(name=name, reason=_NO_WORD)
