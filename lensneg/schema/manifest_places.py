"""Where a published manifest is, of what a user named."""

from collections.abc import Iterator
from typing import Final

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.layout import MANIFEST_PLACES, RunFiles
from lensneg.schema.publication import Latest
from lensneg.schema.run import RunRecord

#: The name of the file that describes a published manifest.
MANIFEST_NAME: Final = "manifest.json"

#: What a user can name instead.
WHAT_TO_GIVE: Final = f"give {MANIFEST_PLACES}"


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
    if run := _run_at(uri):
        yield run.manifest
    try:
        latest = Latest.read(storage.join(uri, "latest.json"), InputError)
    except FileNotFoundError:
        return
    # The folder may have been moved or copied, so the URI in latest.json may be wrong.
    yield storage.join(uri, "manifests", latest.run_id, MANIFEST_NAME)


def _run_at(uri: str) -> RunFiles | None:
    """Return the layout of a run if a URI has the form of a run's folder."""
    out, _, run_id = uri.rpartition("/runs/")
    return RunFiles(out, run_id) if out else None


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
    root = uri.removesuffix("/run.json")
    if root.endswith(".json"):
        return "no such file"
    run = RunRecord.read_if_there(storage.join(root, "run.json"))
    files = _run_at(root)
    if run is None and files and storage.exists(files.gate(1)):
        ended = "this run ended at its inputs, before it planned anything"
        return f"{ended}; {files.gate(1)} has what was checked"
    if run is None:
        return "no such file" if root != uri else "no published manifest there"
    what = "a mini-test publishes nothing" if run.mode == "test" else "it was not published"
    return f"run {run.run_id} has no manifest: {what}"


def named_run(uri: str) -> RunFiles:
    """Return the run of what a user named, whether it is published or not.

    Parameters
    ----------
    uri : str
        As for :func:`candidates`. An output folder means the run that was published last.

    Returns
    -------
    RunFiles
        The run that was planned there, or that made the manifest there.

    Raises
    ------
    InputError
        If there is none, or the manifest was copied without its run.
    """
    root = uri.removesuffix("/run.json")
    files = _run_at(root)
    if files and storage.exists(files.run):
        return files
    for manifest in filter(storage.exists, candidates(uri)):
        out, _, run_id = manifest.removesuffix(f"/{MANIFEST_NAME}").rpartition("/manifests/")
        if out and storage.exists(RunFiles(out, run_id).run):
            return RunFiles(out, run_id)
        remedy = "give the output folder in which it was made, or the run's folder there"
        raise InputError("the run that made this manifest is not there", where=manifest, remedy=remedy)
    raise InputError(why_none(uri), where=uri, remedy=WHAT_TO_GIVE)
