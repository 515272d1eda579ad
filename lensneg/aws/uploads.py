"""The upload of configs, catalogues and sweep files to the bucket of a stack."""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lensneg import storage
from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack
from lensneg.catalogs.sources import read_any
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec, Role
from lensneg.schema.check import brief
from lensneg.schema.config import Config
from lensneg.schema.config_extends import read_config
from lensneg.schema.resources import shipped_name
from lensneg.survey.hats import CATALOG_FILES
from lensneg.survey.listing import NOT_READ_REMEDY, find_sweeps, list_sweep_folder
from lensneg.survey.names import is_table, sweep_cell


@dataclass(frozen=True)
class Upload:
    """A file to upload.

    Attributes
    ----------
    source : str
        Local path; the target itself if the file is there already.
    target : str
        URI in the bucket.
    option : str
        The file in an execution's input: the URI, and the column mapping of a catalogue.
    fixed : bool
        Whether other bytes at the target are an error, as the bytes of a config's version never change.
    """

    source: str
    target: str
    option: str
    fixed: bool = False


def config_uploads(stack: Stack, path: str) -> list[Upload]:
    """Check a config, and return the uploads of the config and of the files that it extends.

    Parameters
    ----------
    stack : Stack
        The stack.
    path : str
        A local file, or one in the stack's bucket.

    Returns
    -------
    list of Upload
        That of the config first. The functions have the shipped configs, so none is sent as a base.

    Raises
    ------
    InputError
        If it is no valid config, or one of the files is in S3 outside the folder of configs.
    """
    storage.read_text(path, "--config")
    Config.load_with_text(path)
    config, *bases = (file.uri for file in read_config(path))
    own = [config, *(base for base in bases if not shipped_name(base))]
    return [_upload_below(stack.configs_uri, source, fixed=True) for source in own]


def catalog_upload(stack: Stack, text: str, role: Role) -> Upload:
    """Check a catalogue and return its upload.

    Parameters
    ----------
    stack : Stack
        The stack.
    text : str
        The catalogue as ``FILE?option=value``, with a local file or one in the stack's bucket.
    role : str
        What the run takes it for.

    Returns
    -------
    Upload

    Raises
    ------
    InputError
        If it cannot be read, or is in S3 outside the folder of catalogues.
    """
    source = read_any(CatalogSpec.parse(text), role).spec.uri
    _, mark, options = text.partition("?")
    return _upload_below(stack.catalogs_uri, source, f"{mark}{options}")


def _upload_below(folder: str, source: str, options: str = "", fixed: bool = False) -> Upload:
    """Return the upload of a local file to a folder, or of a file that is in that folder already."""
    target = source if storage.is_s3(source) else storage.join(folder, storage.basename(source))
    if not target.startswith(f"{folder}/"):
        what = f"the functions may read only below {folder}/"
        raise InputError(what, where=source, remedy="copy it there (aws s3 cp)")
    return Upload(source, target, f"{target}{options}", fixed)


def sweep_uploads(stack: Stack, folder: str, leave_out: Sequence[str] = ()) -> list[Upload]:
    """Return the uploads of the sweep files of a local folder, of tables, or of a HATS catalogue.

    Parameters
    ----------
    stack : Stack
        The stack.
    folder : str
        The folder; or a local table or HATS catalogue, or one in the stack's folder of sweep files.
    leave_out : sequence of str
        Files or folders in it that are no inputs.

    Returns
    -------
    list of Upload

    Raises
    ------
    InputError
        If there is no sweep file, or something that may be one and is not read.
    """
    found = find_sweeps(folder, leave_out)
    if found.not_read or found.not_files:
        what = f"not read: {brief([*found.not_read, *found.not_files], 3)}"
        raise InputError(what, where=folder, remedy=NOT_READ_REMEDY)
    root = storage.normalize(folder)
    files = [info.uri for info in found.sweeps]
    if files != [root]:
        files += [uri for name in CATALOG_FILES if storage.exists(uri := storage.join(root, name))]
    # Several tables get a folder of their own: among sweep files, a run would not read them.
    if storage.is_s3(root) or len(files) == 1 or not is_table(files[0]):
        return [_upload_below(stack.sweeps_uri, uri) for uri in files]
    below = storage.join(stack.sweeps_uri, storage.basename(root))
    targets = [storage.join(below, uri.removeprefix(f"{root}/")) for uri in files]
    return [Upload(uri, target, target) for uri, target in zip(files, targets, strict=True)]


def pz_uploads(stack: Stack, folder: str) -> list[Upload]:
    """Return the uploads of the ``-pz`` files of a folder. They come to lie beside the sweep files.

    Parameters
    ----------
    stack : Stack
        The stack.
    folder : str
        The folder, local or in the stack's folder of sweep files.

    Returns
    -------
    list of Upload
        None for a folder in the bucket.

    Raises
    ------
    InputError
        If there is no such file below the folder, or it is in S3 outside the folder of sweep files.
    """
    root = storage.normalize(folder)
    if storage.is_s3(root):
        _upload_below(stack.sweeps_uri, f"{root}/")
        return []
    names = {info.uri: storage.basename(info.uri) for info in list_sweep_folder(root, "--pz")}
    found = [
        uri for uri, name in names.items() if sweep_cell(name.replace("-pz.fits", ".fits")) and "-pz." in name
    ]
    if not found:
        remedy = "name the folder of the survey's -pz files: sweep-…-pz.fits"
        raise InputError("no -pz file", where=f"--pz {folder}", remedy=remedy)
    return [_upload_below(stack.sweeps_uri, uri) for uri in found]


def sweeps_option(stack: Stack, uploads: Sequence[Upload]) -> str:
    """Return where a run finds its sweep files once they are uploaded.

    Parameters
    ----------
    stack : Stack
        The stack.
    uploads : sequence of Upload
        As of :func:`sweep_uploads`; none if the bucket's sweep files are meant.

    Returns
    -------
    str
        The stack's folder of sweep files, a table, or the folder of several tables or a HATS catalogue.
    """
    tables = [entry.target for entry in uploads if is_table(entry.target)]
    if len(tables) < 2:
        return tables[0] if tables else stack.sweeps_uri
    return storage.common_folder([entry.target for entry in uploads])


def refuse_shared_targets(uploads: Iterable[Upload]) -> None:
    """Refuse two files that would become one object: the later one would replace the other.

    Parameters
    ----------
    uploads : iterable of Upload
        The files. One file may come several times, for example as a catalogue of two roles.

    Raises
    ------
    InputError
        If two files have one target.
    """
    sources: dict[str, str] = {}
    for entry in uploads:
        first = sources.setdefault(entry.target, entry.source)
        if first != entry.source:
            what = f"{first} would be uploaded to the same place, {entry.target}"
            raise InputError(what, where=entry.source, remedy="give one of the two another file name")


def upload(aws: Aws, uploads: Iterable[Upload], on_file: Callable[[Upload, bool], None]) -> None:
    """Upload files, except those that are there with the same bytes.

    Parameters
    ----------
    aws : Aws
        A dry run notes the commands and sends nothing.
    uploads : iterable of Upload
        The files.
    on_file : callable
        Called with each file and whether it was sent.

    Raises
    ------
    InputError
        If a config is there with other bytes.
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
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(FileNotFoundError):
        # Where a key of KMS encrypts the bucket, an ETag is no MD5.
        if storage.stat(entry.target).etag == md5:
            return False
        if not entry.fixed:
            is_there = storage.metadata(entry.target).get("sha256") == sha256
        else:
            is_there = hashlib.sha256(storage.read_bytes(entry.target)).hexdigest() == sha256
        if is_there:
            return False
        if entry.fixed:
            what = f"there already, with other bytes than {entry.source}"
            remedy = "a config never changes: give the changed one a new version and a new file name"
            raise InputError(what, where=entry.target, remedy=remedy)
    storage.put_file(entry.source, entry.target, {"sha256": sha256})
    return True
