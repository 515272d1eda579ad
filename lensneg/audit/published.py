"""The audit of a published manifest, wherever it is."""

from collections.abc import Mapping

import numpy as np

from lensneg import storage
from lensneg.audit.audit import audit
from lensneg.audit.subject import Audit, Subject
from lensneg.catalogs.catalog import Positions, read_catalog
from lensneg.schema.arrays import FloatArray
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.columns import PARTS
from lensneg.schema.manifest import Manifest
from lensneg.schema.run import RunRecord
from lensneg.survey.listing import list_sweep_folder


def audit_published(
    manifest: Manifest, sweeps: str | None = None, exclude: tuple[CatalogSpec, ...] = ()
) -> Audit:
    """Audit a published manifest.

    Parameters
    ----------
    manifest : Manifest
    sweeps : str, optional
        Folder or prefix of the sweep files; by default where the run found them.
    exclude : tuple of CatalogSpec
        Catalogues to keep clear of, besides those of the run.

    Returns
    -------
    Audit
        Where catalogues or sweep files of the run are not at hand, their checks are warnings, and the
        manifest's own positives are kept clear of in any case.

    Raises
    ------
    InputError
        If a catalogue or folder that was named cannot be read.
    """
    record = manifest.record.run
    ra, dec, missing = _positions(record, exclude)
    listed = {part: manifest.record.part(part).files for part in PARTS}
    files = {part: tuple(manifest.files(part)) for part in PARTS}
    return audit(
        Subject(
            config=manifest.config,
            run_columns=record.columns,
            files=files,
            promised={
                uri: file for part in PARTS for uri, file in zip(files[part], listed[part], strict=True)
            },
            strata=manifest.record.strata,
            ra=ra,
            dec=dec,
            sweeps=_sweeps_at_hand(record, sweeps),
            all_at_hand=False,
            missing_catalogs=missing,
        )
    )


def _positions(
    record: RunRecord, exclude: tuple[CatalogSpec, ...]
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Return all lens positions at hand, and the run's catalogues that are not there."""
    lenses: list[Positions] = [read_catalog(spec) for spec in exclude]
    missing = []
    given = {storage.basename(spec.uri) for spec in exclude}
    for source in record.catalogs:
        if storage.exists(source.spec.uri):
            catalog = read_catalog(source.spec, with_others=source.role == "positives")
            lenses += [catalog, catalog.others]
        elif source.name not in given:
            missing.append(source.name)
    empty = np.empty(0)
    ra = np.concatenate([empty, *[part.ra for part in lenses]])
    return ra, np.concatenate([empty, *[part.dec for part in lenses]]), tuple(missing)


def _sweeps_at_hand(record: RunRecord, sweeps: str | None) -> Mapping[str, storage.FileInfo]:
    if sweeps is not None:
        return {storage.basename(info.uri): info for info in list_sweep_folder(sweeps, "--sweeps")}
    # One look tells whether the run's folder is there at all; a thousand would take a while.
    if not all(storage.exists(sweep.uri) for sweep in record.sweeps[:1]):
        return {}
    return {sweep.name: sweep.info for sweep in record.sweeps}
