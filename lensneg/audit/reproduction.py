"""A run again from its own record: are its inputs the same, and is what came out of it.

A run's record names every input: the config with its whole text, catalogues by SHA-256, sweep files by size
and ETag, and the code. Rows depend on these alone, so a second run of them must have the same content.
With the same code, which rows name, the files have the same bytes as well.
"""

import glob
import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import ROLES
from lensneg.schema.code_version import code_version
from lensneg.schema.columns import NOT_CONTENT, PARTS
from lensneg.schema.input_name import input_name
from lensneg.schema.item import NotRead
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.progress import Tell, tell_nobody
from lensneg.schema.request import LISTING_SUFFIX, RunRequest
from lensneg.schema.run import CatalogInput, RunRecord, SweepInput
from lensneg.survey.listing import list_sweep_folder, look_into
from lensneg.survey.names import is_table
from lensneg.survey.remote import SHA256_TAG, is_streamed
from lensneg.survey.uncompressed import content_sha256

_PZ_REMEDY: Final = "put it there again"

Kind = Literal["catalogue", "sweep", "code"]


class Difference(NamedTuple):
    """An input that is not what the record says.

    ``missing`` inputs make a run impossible; the others make it another run.
    """

    kind: Kind
    name: str
    text: str
    missing: bool = False


class Inputs(NamedTuple):
    """The inputs of a record as they are now."""

    sweeps: tuple[str, ...]
    catalogs: tuple[CatalogInput, ...]
    differences: tuple[Difference, ...]

    @property
    def missing(self) -> list[Difference]:
        """Those without which there is no run."""
        return [difference for difference in self.differences if difference.missing]


def look_at_inputs(
    record: RunRecord,
    sweeps: str | None,
    catalogs: Sequence[str],
    not_read: Sequence[NotRead] = (),
    tell: Tell = tell_nobody,
) -> Inputs:
    """Compare a record with its inputs as they are now.

    A sweep file that the run did not read at all is left out. One that it read in part is a difference.

    Parameters
    ----------
    record : RunRecord
    sweeps : str, optional
        Folder or prefix where the sweep files are now, if they were moved.
    catalogs : sequence of str
        Catalogue files that were moved, found by their names.
    not_read : sequence of NotRead
        The rows of sweep files that the run did not read.
    tell : callable, optional
        Is told how many sweep files are compared.
    """
    differences: list[Difference] = []
    moved = {storage.basename(uri): storage.normalize(uri) for uri in catalogs}
    unused = moved.keys() - {c.name for c in record.catalogs}
    if unused:
        raise InputError(
            f"--catalog {moved[min(unused)]}: the run had no catalogue of this name; it had "
            + ", ".join(sorted(c.name for c in record.catalogs))
        )
    now = []
    for catalog in record.catalogs:
        name = catalog.name
        uri = moved.get(name, catalog.spec.uri)
        now.append(catalog.model_copy(update={"spec": catalog.spec.model_copy(update={"uri": uri})}))
        differences += _look_at_catalog(catalog, name, uri)
    unread = Counter[str]()
    for part in not_read:
        unread[part.sweep] += part.rows
    read = [sweep for sweep in record.sweeps if sweep.name not in unread or unread[sweep.name] < sweep.rows]
    differences += [
        Difference("sweep", part.sweep, f"the run did not read {part.text}; a second run reads them")
        for part in not_read
        if part.sweep in {sweep.name for sweep in read}
    ]
    where = _places(read, sweeps)
    for done, sweep in enumerate(read):
        tell("sweep files", done, len(read))
        differences += _look_at_sweep(sweep, where[sweep.uri])
        if sweep.pz:
            differences += _look_at_file(
                storage.basename(sweep.pz.uri), sweep.pz.info, sweep.pz.uri, _PZ_REMEDY
            )
    differences += _look_at_code(record)
    return Inputs(tuple(where.values()), tuple(now), tuple(differences))


def _look_at_catalog(catalog: CatalogInput, name: str, uri: str) -> list[Difference]:
    try:
        found = hashlib.sha256(storage.read_bytes(uri)).hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        text = f"{uri}: no such file; say where it is with --catalog PATH/{name}"
        return [Difference("catalogue", name, text, missing=True)]
    if found == catalog.sha256:
        return []
    text = f"{uri}: its SHA-256 is {found[:12]}…, the run's was {catalog.sha256[:12]}…"
    return [Difference("catalogue", name, text)]


def _places(sweeps: Sequence[SweepInput], folder: str | None) -> dict[str, str]:
    """Return where each sweep file is to be looked for, by where it was."""
    if folder is None:
        return {sweep.uri: sweep.uri for sweep in sweeps}
    listed = list_sweep_folder(folder, "--sweeps")
    places = {}
    for sweep in sweeps:
        found = [info for info in listed if input_name(info.uri) == sweep.name]
        # Of several with its name, the recorded file is the one with its ETag, or else with its size.
        found.sort(key=lambda info: (info.etag == sweep.etag, info.size == sweep.size))
        places[sweep.uri] = found[-1].uri if found else storage.join(folder, sweep.name)
    return places


def _look_at_sweep(sweep: SweepInput, uri: str) -> list[Difference]:
    return _look_at_file(sweep.name, sweep.info, uri, "say where the sweep files are with --sweeps URI")


def _look_at_file(name: str, before: storage.FileInfo, uri: str, remedy: str) -> list[Difference]:
    try:
        info = storage.stat(uri)
    except FileNotFoundError:
        text = f"{uri}: no such file; {remedy}"
        return [Difference("sweep", name, text, missing=True)]
    if info.size != before.size:
        text = f"{uri}: it has {info.size:,} bytes, the run's had {before.size:,}"
        return [Difference("sweep", name, text)]
    if before.etag.startswith(SHA256_TAG):  # a run that fetched it; another one compares it in the same way
        found = before.etag if is_streamed(uri) else f"{SHA256_TAG}{content_sha256(info)[0]}"
        text = f"{uri}: its SHA-256 is not the run's {before.etag.removeprefix(SHA256_TAG)[:12]}…"
        return [] if found == before.etag else [Difference("sweep", name, text)]
    if info.etag != before.etag:
        local = " (of a local file, its size and time of change: its bytes may be the same)"
        text = f"{uri}: its ETag is {info.etag}, the run's was {before.etag}"
        return [Difference("sweep", name, text + ("" if storage.is_s3(uri) else local))]
    return []


def _look_at_code(record: RunRecord) -> list[Difference]:
    code = code_version()
    if code.code_version == record.code.code_version and code.git_commit == record.code.git_commit:
        return []
    commit = record.code.git_commit
    remedy = f"check out commit {commit}"
    if commit.endswith("-dirty") or commit == "unknown":
        remedy = "it had changes that no commit holds"
    text = (
        f"this is {code.code_version}, commit {code.git_commit}; the run was made with "
        f"{record.code.code_version}: {remedy}"
    )
    return [Difference("code", "lensneg", text)]


def request_again(record: RunRecord, inputs: Inputs, out: str) -> RunRequest:
    """Lay the inputs out for a second run, and return its request.

    The config is written from the record, whatever became of its file. Local sweep files are linked in a
    folder of their own, so that others beside them do not come into the run. In S3 the others are left out.
    Of sweep files on a web server a listing is written.

    Parameters
    ----------
    record : RunRecord
    inputs : Inputs
        None may be missing.
    out : str
        A local folder for the second run.

    Raises
    ------
    InputError
        If the run's id was published there already, or the sweep files are not in one place of S3.
    """
    files = RunFiles(storage.normalize(out), record.run_id)
    if storage.exists(files.manifest):
        raise InputError(
            "there is one already", where=files.manifest, remedy="name another folder with --out"
        )
    config = storage.join(files.out, "inputs", storage.basename(record.config.uri))
    storage.write_bytes(config, record.config.text.encode())
    catalogs = {role: tuple(c.spec for c in inputs.catalogs if c.role == role) for role in ROLES}
    folder, left_out = _gather(inputs.sweeps, Path(files.out) / "inputs" / "sweeps")
    return RunRequest(
        run_id=record.run_id,
        mode="test-then-full",
        config=config,
        sweeps=folder,
        **catalogs,
        pz=record.pz_folder,
        leave_out=left_out,
        out=files.out,
        started_at=record.started_at,
    )


def other_sweeps(uris: Sequence[str]) -> list[str]:
    """Return what lies beside some sweep files and could be taken for one of the run's.

    Parameters
    ----------
    uris : sequence of str
        The sweep files of the run.

    Returns
    -------
    list of str
        Places below the folders of these files: of other sweep files, and of what is named almost like one.
    """
    known, others = set(uris), list[str]()
    for folder in sorted({_folder(uri) for uri in uris if not storage.is_http(uri)}):
        found = look_into(folder)
        places = [info.uri.removeprefix(f"{folder}/") for info in found.sweeps if info.uri not in known]
        others += [*places, *found.not_read]
    return others


def _folder(uri: str) -> str:
    """Return the folder of a sweep file, or that of all partitions of its HATS catalogue."""
    return uri.removesuffix(f"/{input_name(uri)}")


def _gather(uris: Sequence[str], folder: Path) -> tuple[str, tuple[str, ...]]:
    """Return a folder or prefix that holds these sweep files, and what in it is to be left out."""
    if storage.is_s3(uris[0]):
        prefixes = {_folder(uri) for uri in uris}
        if len(prefixes) > 1:
            raise InputError(
                f"the sweep files are below {len(prefixes)} prefixes of S3",
                remedy="put them below one, and give it with --sweeps",
            )
        if len(uris) == 1 and is_table(uris[0]):
            return uris[0], ()
        # A place without a slash is not the name of a file of the run, as these all lie at the same level.
        return prefixes.pop(), tuple(map(glob.escape, other_sweeps(uris)))
    if is_streamed(uris[0]):
        listing = folder.with_suffix(LISTING_SUFFIX)
        storage.write_bytes(str(listing), "".join(f"{uri}\n" for uri in uris).encode())
        return str(listing), ()
    if storage.is_http(uris[0]):
        return _folder(uris[0]).removesuffix("/dataset"), ()
    shutil.rmtree(folder, ignore_errors=True)
    for uri in uris:
        link = folder / input_name(uri)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(uri)
    return str(folder), ()


class PartVerdict(NamedTuple):
    """How a part of the second manifest stands to the first's.

    ``only_before`` and ``only_now`` count rows by TARGETID; ``columns`` are those in which rows that both
    have differ. They are known where the first manifest's files are at hand.
    """

    part: str
    same_content: bool
    same_bytes: bool
    only_before: int = 0
    only_now: int = 0
    columns: tuple[str, ...] = ()


def compare_manifests(before: Manifest, now: Manifest) -> list[PartVerdict]:
    """Compare two manifests, part by part."""
    verdicts = []
    for part in PARTS:
        old, new = before.record.part(part), now.record.part(part)
        same_content = old.content_sha256 == new.content_sha256
        same_bytes = [f.sha256 for f in old.files] == [f.sha256 for f in new.files]
        details: tuple[int, int, tuple[str, ...]] = (0, 0, ())
        if not same_content:
            with suppress(InputError):  # files that are not at hand cannot be compared row by row
                details = _differing(before.dataset(part).to_table(), now.dataset(part).to_table())
        verdicts.append(PartVerdict(part, same_content, same_bytes, *details))
    return verdicts


def _differing(before: pa.Table, now: pa.Table) -> tuple[int, int, tuple[str, ...]]:
    old, new = before["targetid"].combine_chunks(), now["targetid"].combine_chunks()
    shared_old = before.filter(pc.is_in(old, new)).sort_by("targetid")
    shared_new = now.filter(pc.is_in(new, old)).sort_by("targetid")
    columns = tuple(
        field.name
        for field in before.schema
        if field.name not in NOT_CONTENT
        and field.name in now.column_names
        and not _equal(shared_old[field.name].combine_chunks(), shared_new[field.name].combine_chunks())
    )
    return len(before) - len(shared_old), len(now) - len(shared_new), columns


def _equal(one: pa.Array, other: pa.Array) -> bool:
    """Return whether two columns are the same, NaN included."""
    if pa.types.is_floating(one.type) and one.type == other.type:
        bits = pa.int32() if one.type == pa.float32() else pa.int64()
        one, other = one.view(bits), other.view(bits)
    return bool(one.equals(other))
