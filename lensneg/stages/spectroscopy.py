"""Compare the spectroscopic lenses of a run with its positives, for PlanFanOut."""

from collections import Counter

import numpy as np

from lensneg.catalogs.catalog import Catalog
from lensneg.catalogs.footprint import inside_cells
from lensneg.rules.systems import near_any, systems
from lensneg.schema.arrays import FloatArray
from lensneg.schema.catalog_spec import Role
from lensneg.schema.run import RunRecord
from lensneg.schema.spectroscopy import GradeResult, SpectroscopicLenses, SpectroscopicSystem
from lensneg.survey.pixels import area_of_input


def compare_with_positives(record: RunRecord, catalogs: list[Catalog]) -> SpectroscopicLenses | None:
    """Compare the spectroscopic lenses of a run with its positives.

    Parameters
    ----------
    record : RunRecord
        The run. Its sweep files say what is inside.
    catalogs : list of Catalog
        The run's catalogues of lenses, in the order of the record, in which they come first.

    Returns
    -------
    SpectroscopicLenses or None
        None if the run has no spectroscopic catalogue, or its config no radius.
    """
    section = record.parsed_config().spectroscopic
    ra, dec, names, _ = _entries(record, catalogs, "spectroscopic")
    if section is None or not len(ra):
        return None
    radius, cells = section.radius_arcsec, [area_of_input(sweep) for sweep in record.sweeps]
    positive_ra, positive_dec, _, grades = _entries(record, catalogs, "positives")

    first = systems(ra, dec, radius)
    every = np.unique(first)
    inside = np.isin(every, first[inside_cells(ra, dec, cells)])
    among = np.isin(every, first[near_any(ra, dec, positive_ra, positive_dec, radius)])
    spectra = Counter(first.tolist())

    is_inside = inside_cells(positive_ra, positive_dec, cells)
    is_confirmed = is_inside & near_any(positive_ra, positive_dec, ra, dec, radius)
    positives = Counter(grades[i] for i in np.flatnonzero(is_inside).tolist())
    confirmed = Counter(grades[i] for i in np.flatnonzero(is_confirmed).tolist())
    return SpectroscopicLenses(
        systems=len(every),
        inside=int(inside.sum()),
        among_positives=int((inside & among).sum()),
        grades=tuple(
            GradeResult(grade=grade, positives=positives[grade], confirmed=confirmed[grade])
            for grade in sorted(positives)
        ),
        not_among_positives=tuple(
            SpectroscopicSystem(name=names[i], ra=ra[i], dec=dec[i], spectra=spectra[i])
            for i in every[inside & ~among].tolist()
        ),
    )


def _entries(
    record: RunRecord, catalogs: list[Catalog], role: Role
) -> tuple[FloatArray, FloatArray, list[str], list[str]]:
    """Return RA, Dec, names and grades of all catalogues of a role."""
    chosen = [c for source, c in zip(record.catalogs, catalogs, strict=False) if source.role == role]
    return (
        np.concatenate([np.empty(0), *(c.ra for c in chosen)]),
        np.concatenate([np.empty(0), *(c.dec for c in chosen)]),
        [name for c in chosen for name in c.names],
        [grade for c in chosen for grade in c.grades],
    )
