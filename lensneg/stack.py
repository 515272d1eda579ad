"""A deployed stack of template.yaml: its outputs, and what its bucket has to hold before a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lensneg import storage
from lensneg.catalogs import CatalogSpec, read_catalog
from lensneg.config import parse_config
from lensneg.datamodel import sweep_cell
from lensneg.errors import InputError

#: The name that samconfig.toml gives a stack.
DEFAULT_STACK: Final = "lensneg"


@dataclass(frozen=True)
class Stack:
    """The outputs of a stack, by the names that template.yaml gives them.

    Attributes
    ----------
    name, region : str
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
OUTPUT_FIELDS: Final = tuple(field for field in Stack.__dataclass_fields__ if field != "name")


def read_stack(name: str) -> Stack:
    """Read the outputs of a deployed stack, in the Region of the environment.

    Raises
    ------
    InputError
        If there is no such stack, it is not finished, or it is none of template.yaml's.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        [stack] = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise InputError(
            f"stack {name}: {error}; deploy it with sam build && sam deploy, or name another stack, "
            "profile (AWS_PROFILE) or Region (AWS_REGION)"
        ) from error
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
    missing = [output_name(field) for field in OUTPUT_FIELDS if output_name(field) not in outputs]
    if missing:
        raise InputError(
            f"stack {name} ({stack['StackStatus']}): no output {', '.join(missing)}; is it a stack of "
            "template.yaml, and has its deployment ended?"
        )
    return Stack(name=name, **{field: outputs[output_name(field)] for field in OUTPUT_FIELDS})


@dataclass(frozen=True)
class Upload:
    """A file to put into a stack's bucket.

    Attributes
    ----------
    source : str
        Local path.
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
    """Return where a config belongs, once it was found to be one.

    Raises
    ------
    InputError
        If it is no valid config.
    """
    try:
        parse_config(Path(path).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
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
    target = storage.join(stack.catalogs_uri, storage.basename(source))
    _, mark, options = text.partition("?")
    return Upload(source, target, f"{target}{mark}{options}")


def sweep_uploads(stack: Stack, folder: str) -> list[Upload]:
    """Return where the sweep files of a local folder belong.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        listed = storage.list_files(storage.normalize(folder))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no such folder") from error
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
