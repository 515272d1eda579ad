"""What a run is made from, put into the bucket of a stack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lensneg import storage
from lensneg.aws.deployment import Stack
from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.config import Config
from lensneg.survey.listing import list_sweep_folder
from lensneg.survey.names import sweep_cell


@dataclass(frozen=True)
class Upload:
    """A file to put into a stack's bucket.

    Attributes
    ----------
    source : str
        Local path; the target itself where it is there already.
    target : str
        Its URI.
    option : str
        How the execution's input names it: the URI, with a catalogue's column mapping.
    fixed : bool
        Whether other bytes at the target are an error: a config's version stands for its bytes for ever.
    """

    source: str
    target: str
    option: str
    fixed: bool = False


def config_upload(stack: Stack, path: str) -> Upload:
    """Return where a config belongs, once it was found to be one; one in S3 must be there already.

    Raises
    ------
    InputError
        If it is no valid config.
    """
    try:
        data = storage.read_bytes(path) if storage.is_s3(path) else Path(path).read_bytes()
        Config.parse(data.decode("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(error), where=path) from error
    if storage.is_s3(path):
        return _there(path, path, stack.configs_uri)
    target = storage.join(stack.configs_uri, storage.basename(path))
    return Upload(path, target, target, fixed=True)


def catalog_upload(stack: Stack, text: str) -> Upload:
    """Return where a catalogue, written as ``FILE?option=value``, belongs, once it was read.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    source = CatalogSpec.parse(text).uri
    read_catalog(CatalogSpec.parse(text))
    if storage.is_s3(source):
        return _there(source, text, stack.catalogs_uri)
    target = storage.join(stack.catalogs_uri, storage.basename(source))
    _, mark, options = text.partition("?")
    return Upload(source, target, f"{target}{mark}{options}")


def _there(uri: str, option: str, folder: str) -> Upload:
    """Return a file that is in the bucket, if it is where the functions may read."""
    if not uri.startswith(f"{folder}/"):
        raise InputError(
            f"the functions may read only below {folder}/", where=uri, remedy="copy it there (aws s3 cp)"
        )
    return Upload(uri, uri, option)


def sweep_uploads(stack: Stack, folder: str) -> list[Upload]:
    """Return where the sweep files of a local folder belong.

    Raises
    ------
    InputError
        If there is none.
    """
    listed = list_sweep_folder(folder)
    sources = [info.uri for info in listed if sweep_cell(storage.basename(info.uri))]
    if not sources:
        raise InputError("no sweep files (sweep-AAAcBBB-DDDcEEE.fits or .fits.gz) in it", where=folder)
    targets = [storage.join(stack.sweeps_uri, storage.basename(source)) for source in sources]
    return [Upload(source, target, target) for source, target in zip(sources, targets, strict=True)]


def upload(uploads: Iterable[Upload]) -> list[tuple[Upload, bool]]:
    """Put files into the bucket; one that is there with the same bytes is left alone.

    Returns
    -------
    list of (Upload, bool)
        Each file, and whether it was sent.

    Raises
    ------
    InputError
        If a file that must not change is there with other bytes.
    """
    return [(entry, _send(entry)) for entry in uploads]


def _send(entry: Upload) -> bool:
    if entry.source == entry.target:
        return False
    with open(entry.source, "rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    try:
        there = storage.stat(entry.target)
    except FileNotFoundError:
        there = None
    if there is not None and there.etag == md5:  # the ETag of what was sent in one part
        return False
    if there is not None and entry.fixed:
        raise InputError(
            f"there already, with other bytes than {entry.source}",
            where=entry.target,
            remedy="a config never changes: give the changed one a new version and a new file name",
        )
    storage.put_file(entry.source, entry.target)
    return True
