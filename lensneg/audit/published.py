"""The audit of a published manifest, wherever it is."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lensneg import storage
from lensneg.audit.audit import audit
from lensneg.audit.subject import Audit, Subject
from lensneg.catalogs.catalog import Catalog, Positions, read_catalog
from lensneg.catalogs.formats import read_file
from lensneg.catalogs.sources import SourceCatalog, read_sources
from lensneg.errors import TransientError
from lensneg.schema.arrays import BoolArray
from lensneg.schema.catalog_spec import LENS_ROLES, SOURCE_ROLES, CatalogSpec, Role
from lensneg.schema.check import Check
from lensneg.schema.config import config_sha256
from lensneg.schema.input_name import input_name
from lensneg.schema.layout import CARD_NAME
from lensneg.schema.lens_facts import facts_schema
from lensneg.schema.listed import ListedSources
from lensneg.schema.manifest import Manifest, ManifestRecord
from lensneg.schema.manifest_places import MANIFEST_NAME
from lensneg.schema.progress import Tell, tell_nobody
from lensneg.schema.run import CatalogInput, RunRecord
from lensneg.survey.listing import list_sweep_folder


def audit_published(
    manifest: Manifest,
    sweeps: str | None = None,
    exclude: tuple[CatalogSpec, ...] = (),
    tell: Tell = tell_nobody,
) -> Audit:
    """Audit a published manifest.

    Parameters
    ----------
    manifest : Manifest
    sweeps : str, optional
        Folder or prefix of the sweep files; by default where the run found them.
    exclude : tuple of CatalogSpec
        Catalogues to keep clear of, besides those of the run.
    tell : callable, optional
        Is told how many rows, columns and checks are done.

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
    found = audit(published_subject(manifest, sweeps, exclude), tell)
    return replace(found, checks=(_consistent(manifest.record), *found.checks))


def published_subject(manifest: Manifest, sweeps: str | None, exclude: tuple[CatalogSpec, ...]) -> Subject:
    """Return what a published manifest claims, and the inputs of its run that are at hand."""
    record = manifest.record.run
    listed, of_listed, exclude = _listed(record, exclude)
    lenses, roles, missing = _positions(record, exclude)
    return Subject.listed(
        manifest.folder,
        manifest.record,
        (MANIFEST_NAME, CARD_NAME),
        config=manifest.config,
        run_columns=record.columns,
        strata=manifest.record.strata,
        ra=lenses.ra,
        dec=lenses.dec,
        stated_radius=lenses.radius_arcsec,
        least_radius=_least_radius(record),
        facts=lenses.facts.add_column(0, "name", [lenses.names]) if lenses.names else None,
        is_positive=roles["positives"],
        is_spectroscopic=roles["spectroscopic"],
        **listed,
        sweeps=_sweeps_at_hand(record, sweeps),
        pz=_pz_at_hand(record),
        all_at_hand=False,
        missing_catalogs=(*missing, *of_listed),
    )


def _consistent(record: ManifestRecord) -> Check:
    """Check what manifest.json states besides its files and their rows."""
    again = ManifestRecord.of(record.run, record, record.strata)
    faults = [name for name in ManifestRecord.model_fields if getattr(record, name) != getattr(again, name)]
    if config_sha256(record.run.config.text) != record.run.config.sha256:
        faults.append("run.config.sha256")
    return Check.of_faults(
        "manifest_consistent",
        faults,
        expected="a manifest.json whose entries agree with each other and with this version's columns",
        found=f"{record.rows.total:,} rows of {len(record.columns)} columns",
        saying="not so: ",
        remedy="it was changed by hand, or is of another version of lensneg: fetch it again",
    )


def _least_radius(record: RunRecord) -> float:
    """Return the least exclusion radius that a positive's lens may have, from what the record says."""
    config = record.parsed_config()
    radii = [config.exclusion.known_lens_radius_arcsec]
    for spec in record.specs("positives"):
        radii += [spec.radius_arcsec] if spec.radius_arcsec else []
        radii += [config.positives.match_radius_arcsec] if spec.radius else []
    return min(radii)


def _positions(
    record: RunRecord, exclude: tuple[CatalogSpec, ...]
) -> tuple[Positions, dict[Role, BoolArray | None], tuple[str, ...]]:
    """Return all lens positions at hand, those of each role, and the run's catalogues that are not there.

    A file stands for a catalogue of the run if it has its SHA-256, whatever its name and place. The positions
    of a role are not known if one of its catalogues is not there.
    """
    extra = record.parsed_config().positives.columns
    by_sha256 = {source.sha256: source.spec for source in record.catalogs}
    given, missing = [_as_in_run(spec, by_sha256, extra) for spec in exclude], []
    lenses: list[tuple[Positions, str]] = [(catalog, catalog.sha256) for catalog in given]
    at_hand = {catalog.sha256 for catalog in given}
    for source in record.catalogs:
        if source.role in SOURCE_ROLES:
            continue
        name = source.name
        if storage.exists(source.spec.uri):
            name += " (with other content)"
            catalog = read_catalog(source.spec, source.role == "positives", extra)
            lenses += [(catalog, catalog.sha256), (catalog.others, "")]
            at_hand.add(catalog.sha256)
        if source.sha256 not in at_hand:
            missing.append((source, name))
    parts = [Positions(np.empty(0), np.empty(0), [], np.empty(0), facts_schema(extra).empty_table())]
    parts += [part for part, _ in lenses]
    positions = Positions(
        np.concatenate([part.ra for part in parts]),
        np.concatenate([part.dec for part in parts]),
        [name for part in parts for name in part.names],
        np.concatenate([part.radius_arcsec for part in parts]),
        pa.concat_tables([part.facts for part in parts]),
    )
    sha256 = np.repeat([of for _, of in lenses] or [""], [len(part.ra) for part, _ in lenses] or [0])
    roles: dict[Role, BoolArray | None] = dict.fromkeys(LENS_ROLES)
    for role in set(LENS_ROLES) - {source.role for source, _ in missing}:
        roles[role] = np.isin(sha256, [source.sha256 for source in record.catalogs if source.role == role])
    return positions, roles, tuple(name for _, name in missing)


def _listed(
    record: RunRecord, given: tuple[CatalogSpec, ...]
) -> tuple[dict[str, Any], list[str], tuple[CatalogSpec, ...]]:
    """Return the suspects and the hard negatives at hand, the catalogues not there, and what else was given.

    A file that was given stands for a catalogue of the run if it has its SHA-256.
    """
    sources = [source for source in record.catalogs if source.role in SOURCE_ROLES]
    copies = {hashlib.sha256(read_file(spec.uri)).hexdigest(): spec for spec in given} if sources else {}
    read, missing = list[tuple[CatalogInput, SourceCatalog]](), list[CatalogInput]()
    for source in sources:
        uri = copies[source.sha256].uri if source.sha256 in copies else source.spec.uri
        found = None
        if storage.exists(uri):
            found = read_sources(source.spec.model_copy(update={"uri": uri}), source.role)
        if found is None or found.sha256 != source.sha256:
            missing.append(source)
        else:
            read.append((source, found))
    without = {source.role for source in missing}
    entries = [
        (source, ListedSources(c.ra, c.dec, c.targetid, c.names, np.zeros(len(c.ra), np.int32)))
        for source, c in read
    ]
    suspects = [listed for source, listed in entries if source.role == "suspects"]
    hard = tuple((source.category, listed) for source, listed in entries if source.role == "hard_negatives")
    claims = {
        "suspects": None if "suspects" in without else ListedSources.joined(suspects),
        "hard_negatives": None if "hard_negatives" in without else hard,
    }
    known = {source.sha256 for source in sources}
    others = tuple(spec for sha256, spec in copies.items() if sha256 not in known) if sources else given
    return claims, [source.name for source in missing], others


def _as_in_run(spec: CatalogSpec, by_sha256: dict[str, CatalogSpec], extra: tuple[str, ...]) -> Catalog:
    """Read a catalogue that was named; a copy of one of the run as the run read it."""
    catalog = read_catalog(spec, extra=extra)
    if catalog.sha256 in by_sha256 and spec == CatalogSpec(uri=spec.uri):
        return read_catalog(by_sha256[catalog.sha256].model_copy(update={"uri": spec.uri}), extra=extra)
    return catalog


def _pz_at_hand(record: RunRecord) -> dict[str, storage.FileInfo | None]:
    """Return the ``-pz`` files of the run. None for those that are not where they were, or changed."""
    files = {sweep.name: sweep.pz.info for sweep in record.sweeps if sweep.pz}
    there = storage.stat_all(info.uri for info in files.values())
    return {
        name: info if info.uri in there and there[info.uri].size == info.size else None
        for name, info in files.items()
    }


def _sweeps_at_hand(record: RunRecord, sweeps: str | None) -> Mapping[str, storage.FileInfo]:
    if sweeps is not None:
        sizes = {sweep.name: sweep.size for sweep in record.sweeps}
        listed = {input_name(info.uri): info for info in list_sweep_folder(sweeps, "--sweeps")}
        return {name: info for name, info in listed.items() if sizes.get(name) == info.size}
    # One look tells whether the run's folder is there at all; a thousand would take a while.
    try:
        there = all(storage.exists(sweep.uri) for sweep in record.sweeps[:1])
    except TransientError:  # a web server that is not reached from here
        there = False
    if not there:
        return {}
    return {sweep.name: sweep.info for sweep in record.sweeps}
