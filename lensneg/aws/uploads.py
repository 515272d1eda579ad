"""What a run is made from, put into the bucket of a stack."""

import hashlib
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from lensneg import storage
from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack
from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.config import Config
from lensneg.survey.listing import find_sweeps


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
    Config.parse(storage.read_text(path, "--config"), path)
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
    source = read_catalog(CatalogSpec.parse(text)).spec.uri
    if storage.is_s3(source):
        return _there(source, text, stack.catalogs_uri)
    target = storage.join(stack.catalogs_uri, storage.basename(source))
    _, mark, options = text.partition("?")
    return Upload(source, target, f"{target}{mark}{options}")


def _there(uri: str, option: str, folder: str) -> Upload:
    """Return a file that is in the bucket, if it is where the functions may read."""
    if not uri.startswith(f"{folder}/"):
        what = f"the functions may read only below {folder}/"
        raise InputError(what, where=uri, remedy="copy it there (aws s3 cp)")
    return Upload(uri, uri, option)


def sweep_uploads(stack: Stack, folder: str) -> list[Upload]:
    """Return where the sweep files of a local folder belong.

    Raises
    ------
    InputError
        If there is none.
    """
    sources = [info.uri for info in find_sweeps(folder)]
    targets = [storage.join(stack.sweeps_uri, storage.basename(source)) for source in sources]
    return [Upload(source, target, target) for source, target in zip(sources, targets, strict=True)]


def upload(aws: Aws, uploads: Iterable[Upload], on_file: Callable[[Upload, bool], None]) -> None:
    """Put files into the bucket; one that is there with the same bytes is left alone.

    Parameters
    ----------
    aws : Aws
        In a dry run the commands are noted, and nothing is sent.
    uploads : iterable of Upload
    on_file : callable
        Told of each file, and whether it was sent.

    Raises
    ------
    InputError
        If a file that must not change is there with other bytes.
    """
    for entry in uploads:
        if not aws.dry:
            on_file(entry, _send(entry))
        elif entry.source != entry.target:
            aws.note(shlex.join(["aws", "s3", "cp", entry.source, entry.target]))


def _send(entry: Upload) -> bool:
    if entry.source == entry.target:
        return False
    with open(entry.source, "rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    with suppress(FileNotFoundError):
        if storage.stat(entry.target).etag == md5:  # the ETag of what was sent in one part
            return False
        if entry.fixed:
            raise InputError(
                f"there already, with other bytes than {entry.source}",
                where=entry.target,
                remedy="a config never changes: give the changed one a new version and a new file name",
            )
    storage.put_file(entry.source, entry.target)
    return True
