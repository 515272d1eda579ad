"""Where a published manifest is, of what a user named."""

from collections.abc import Iterator
from typing import Final

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.publication import Latest
from lensneg.schema.run import RunRecord

#: The name of the file that describes a published manifest.
MANIFEST_NAME: Final = "manifest.json"

#: What a user can name instead.
WHAT_TO_GIVE: Final = "give an output folder, a run, a manifest's folder or its manifest.json"


def candidates(uri: str) -> Iterator[str]:
    """Yield the possible URIs of the manifest.json of what a user named.

    Parameters
    ----------
    uri : str
        An output folder, a run's folder, a manifest's folder, or one of their files.

    Yields
    ------
    str
        The most likely one first.
    """
    folder, _, name = uri.rpartition("/")
    if name in ("latest.json", "run.json"):
        uri = folder
    elif name.endswith(".json") or storage.is_file(uri):
        yield uri
        return
    yield storage.join(uri, MANIFEST_NAME)
    out, _, run_id = uri.rpartition("/runs/")
    if out:
        yield storage.join(out, "manifests", run_id, MANIFEST_NAME)
    try:
        latest = Latest.read(storage.join(uri, "latest.json"), InputError)
    except FileNotFoundError:
        return
    # The folder may have been moved or copied, so the URI in latest.json may be wrong.
    yield storage.join(uri, "manifests", latest.run_id, MANIFEST_NAME)


def why_none(uri: str) -> str:
    """Return the reason why there is no manifest where a user named one.

    Parameters
    ----------
    uri : str
        As for :func:`candidates`.

    Returns
    -------
    str
        In a few words.
    """
    run = None
    if not uri.endswith(".json") or uri.endswith("/run.json"):
        run = RunRecord.read_if_there(storage.join(uri.removesuffix("/run.json"), "run.json"))
    if run is None:
        return "no such file" if uri.endswith(".json") else "no published manifest there"
    what = "a mini-test publishes nothing" if run.mode == "test" else "it was not published"
    return f"run {run.run_id} has no manifest: {what}"
