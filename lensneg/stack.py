"""A deployed stack of template.yaml: its outputs, and what its bucket has to hold before a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lensneg import storage
from lensneg.awscall import Aws, error_code
from lensneg.catalogs import CatalogSpec, read_catalog
from lensneg.config import parse_config
from lensneg.datamodel import sweep_cell
from lensneg.errors import InputError


@dataclass(frozen=True)
class Stack:
    """The outputs of a stack, by the names that template.yaml gives them.

    Attributes
    ----------
    name, region : str
    status : str
        CloudFormation's word for how its last deployment ended, or that one goes on.
    data_bucket_name : str
        The bucket of configs, catalogues, sweeps, runs and manifests.
    configs_uri, catalogs_uri, sweeps_uri : str
        Where each kind of input belongs.
    out_uri : str
        The output prefix of all runs.
    state_machine_arn, emr_application_id, verdict_topic_arn, log_group_name, dashboard_url : str
    spark_code_uri : str
        The entry point of this deployment's job runs.
    """

    name: str
    status: str
    region: str
    data_bucket_name: str
    configs_uri: str
    catalogs_uri: str
    sweeps_uri: str
    out_uri: str
    state_machine_arn: str
    emr_application_id: str
    spark_code_uri: str
    verdict_topic_arn: str
    log_group_name: str
    dashboard_url: str


def output_name(field: str) -> str:
    """Return the template's name of a field of :class:`Stack`.

    Examples
    --------
    >>> output_name("state_machine_arn")
    'StateMachineArn'
    """
    return "".join(word.capitalize() for word in field.split("_"))


#: The fields of :class:`Stack` that are outputs.
OUTPUT_FIELDS: Final = tuple(f for f in Stack.__dataclass_fields__ if f not in ("name", "status"))

#: What CloudFormation says of a stack that is whole: as deployed, or back as it was before.
COMPLETE: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
    }
)


def read_stack(name: str, aws: Aws | None = None) -> Stack:
    """Read the outputs of a deployed stack, in the Region of the environment.

    Raises
    ------
    InputError
        If there is no such stack, it is not finished, or it is none of template.yaml's.
    """
    try:
        [stack] = (aws or Aws()).read("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    except InputError as error:
        if error_code(error.__cause__) != "ValidationError":
            raise
        raise InputError(
            f"stack {name}: no such stack in this account and Region; deploy it with sam build && sam "
            "deploy, or name another stack (--stack), profile (AWS_PROFILE) or Region (AWS_DEFAULT_REGION)"
        ) from error
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
    missing = [output_name(field) for field in OUTPUT_FIELDS if output_name(field) not in outputs]
    if missing:
        raise InputError(
            f"stack {name} ({stack['StackStatus']}): no output {', '.join(missing)}; is it a stack of "
            "template.yaml, and has its deployment ended?"
        )
    found = {field: outputs[output_name(field)] for field in OUTPUT_FIELDS}
    return Stack(name=name, status=stack["StackStatus"], **found)


def require_complete(stack: Stack) -> None:
    """Refuse a stack whose deployment goes on, or broke: a run would meet functions old and new.

    Raises
    ------
    InputError
    """
    if stack.status not in COMPLETE:
        ended = "wait until it has ended" if stack.status.endswith("_IN_PROGRESS") else "deploy it again"
        raise InputError(
            f"stack {stack.name} is {stack.status}: {ended} (aws cloudformation describe-stack-events "
            f"--stack-name {stack.name} says what happened)"
        )


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
        parse_config(data.decode("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
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
        raise InputError(f"{uri}: the functions may read only below {folder}/; copy it there (aws s3 cp)")
    return Upload(uri, uri, option)


def sweep_uploads(stack: Stack, folder: str) -> list[Upload]:
    """Return where the sweep files of a local folder belong.

    Raises
    ------
    InputError
        If there is none.
    """
    listed = storage.list_sweep_folder(folder)
    sources = [info.uri for info in listed if sweep_cell(storage.basename(info.uri))]
    if not sources:
        raise InputError(f"{folder}: no sweep files (sweep-AAAcBBB-DDDcEEE.fits or .fits.gz) in it")
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
            f"{entry.target}: there already, with other bytes than {entry.source}; a config never changes: "
            "give the changed one a new version and a new file name"
        )
    storage.put_file(entry.source, entry.target)
    return True
