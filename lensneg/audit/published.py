"""The audit of a published manifest, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from lensneg import storage
from lensneg.audit.audit import audit
from lensneg.audit.subject import Audit, Promised, Subject
from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.columns import PARTS
from lensneg.schema.config_file import parse_config
from lensneg.schema.run import RunRecord

#: The file that a published manifest's folder is known by.
MANIFEST_NAME: Final = "manifest.json"


def audit_published(
    manifest: str, sweeps: str | None = None, exclude: tuple[CatalogSpec, ...] = ()
) -> tuple[dict[str, Any], Audit]:
    """Audit a published manifest, wherever it is.

    Parameters
    ----------
    manifest : str
        URI of a manifest's folder, or of its manifest.json.
    sweeps : str, optional
        Folder or prefix of the sweep files; by default where the run found them.
    exclude : tuple of CatalogSpec
        Catalogues to keep clear of, besides those of the run.

    Returns
    -------
    manifest : dict
        The value of manifest.json.
    audit : Audit
        Where catalogues or sweep files of the run are not at hand, their checks are warnings, and the
        manifest's own positives are kept clear of in any case.

    Raises
    ------
    InputError
        If there is no manifest, or a catalogue or folder that was named cannot be read.
    """
    folder = manifest.removesuffix(f"/{MANIFEST_NAME}")
    described = read_manifest(folder)
    try:
        record = RunRecord.model_validate(described["run"])
        strata = described["strata"]
        files = {part: [storage.join(folder, f["name"]) for f in described[part]["files"]] for part in PARTS}
        promised = {
            storage.join(folder, f["name"]): Promised(f["bytes"], f["sha256"], f["rows"])
            for part in PARTS
            for f in described[part]["files"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not a manifest of this version of lensneg ({error})",
            where=storage.join(folder, MANIFEST_NAME),
            remedy="fetch it again, or audit it with the version that it names",
        ) from error
    lenses, missing = _positions(record, exclude)
    at_hand = _sweeps_at_hand(record, sweeps)
    subject = Subject(
        config=parse_config(record.config.text, record.config.uri),
        run_columns=record.columns,
        files={part: tuple(uris) for part, uris in files.items()},
        promised=promised,
        strata=strata,
        ra=lenses[0],
        dec=lenses[1],
        sweeps=at_hand,
        all_at_hand=False,
        missing_catalogs=tuple(missing),
    )
    return described, audit(subject)


def read_manifest(folder: str) -> dict[str, Any]:
    """Read a published folder's manifest.json.

    Raises
    ------
    InputError
        If there is none, or it is not JSON.
    """
    uri = storage.join(folder, MANIFEST_NAME)
    try:
        described = storage.read_json(uri)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            "no such file", where=uri, remedy="name a manifest's folder, e.g. OUT/manifests/RUN"
        ) from error
    except ValueError as error:
        raise InputError(f"not a JSON file ({error})", where=uri, remedy="fetch it again") from error
    if not isinstance(described, dict):
        raise InputError("not a manifest", where=uri, remedy="fetch it again")
    return described


def _positions(
    record: RunRecord, exclude: tuple[CatalogSpec, ...]
) -> tuple[tuple[np.ndarray, np.ndarray], list[str]]:
    """Return all lens positions at hand, and the run's catalogues that are not there."""
    catalogs, missing = [read_catalog(spec) for spec in exclude], []
    given = {storage.basename(spec.uri) for spec in exclude}
    for source in record.catalogs:
        name = storage.basename(source.spec.uri)
        if storage.exists(source.spec.uri):
            catalogs.append(read_catalog(source.spec))
        elif name not in given:
            missing.append(name)
    empty = np.empty(0)
    ra = np.concatenate([empty, *[catalog.ra for catalog in catalogs]])
    return (ra, np.concatenate([empty, *[catalog.dec for catalog in catalogs]])), missing


def _sweeps_at_hand(record: RunRecord, sweeps: str | None) -> Mapping[str, storage.FileInfo]:
    if sweeps is not None:
        listed = storage.list_sweep_folder(sweeps, "--sweeps")
        return {storage.basename(info.uri): info for info in listed}
    found = {}
    for sweep in record.sweeps[:1]:
        # One look tells whether the run's folder is there at all; a thousand would take a while.
        if not storage.exists(sweep.uri):
            return {}
    for sweep in record.sweeps:
        found[storage.basename(sweep.uri)] = storage.FileInfo(sweep.uri, sweep.size, sweep.etag)
    return found
