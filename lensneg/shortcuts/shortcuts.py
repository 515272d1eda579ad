"""How well columns tell positives from negatives, one by one and together."""

from typing import Final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.columns import POSITIVE
from lensneg.schema.shortcuts import Auc, ColumnAuc, CombinedAuc, Kind, ShortcutColumn, Shortcuts
from lensneg.shortcuts.classifier import FOLDS, LEAST_POSITIVES, folds_of, scores_of
from lensneg.shortcuts.columns import COLUMNS
from lensneg.shortcuts.ranks import Measured, measure

#: A pixel of nside 32 holds four of nside 64 (NESTED). It is 1.8 degrees wide, as a field of the camera is.
_PIXELS_64: Final = 4


class _Rows:
    """Rows as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.is_positive: BoolArray = np.asarray(pc.equal(table["pool"], POSITIVE), dtype=bool)
        names = pc.binary_join_element_wise(table["nobs_z_bin"], table["type_bin"], "/").combine_chunks()
        self.strata: list[str] = names.unique().to_pylist()
        self.stratum: IntArray = np.asarray(pc.index_in(names, pa.array(self.strata, pa.string()))).astype(
            np.int64
        )
        self.whole = np.zeros(len(table), dtype=np.int64)

    def column(self, values: FloatArray, group: IntArray) -> ColumnAuc | None:
        """Return how well values tell positives from negatives within groups."""
        found = measure(values, self.is_positive, group)
        if found is None:
            return None
        return ColumnAuc(
            auc=round(max(found.auc, 1 - found.auc), 4),
            error=round(found.error, 4),
            higher="positives" if found.auc >= 0.5 else "negatives",
        )

    def of_strata(self, values: FloatArray) -> dict[str, ColumnAuc]:
        """Return how well values tell positives from negatives in each stratum that has both."""
        found = {}
        for number, name in enumerate(self.strata):
            one = self.column(np.where(self.stratum == number, values, np.nan), self.whole)
            if one is not None:
                found[name] = one
        return dict(sorted(found.items()))


def find_shortcuts(table: pa.Table, limit: float | None) -> Shortcuts:
    """Return how well columns tell positives from negatives.

    Parameters
    ----------
    table : pyarrow.Table
        The rows of a :class:`lensneg.shortcuts.columns.Sample`.
    limit : float or None
        The config's limit of the combined AUC of the nuisance columns.

    Returns
    -------
    Shortcuts
        Each column, and all columns of a kind together.
    """
    rows = _Rows(table)
    columns = []
    for column in COLUMNS:
        values = column.numbers(table)
        columns.append(
            ShortcutColumn(
                name=column.name,
                label=column.label,
                kind=column.kind,
                overall=rows.column(values, rows.whole),
                within_strata=rows.column(values, rows.stratum),
                strata=rows.of_strata(values),
            )
        )
    positives = int(rows.is_positive.sum())
    return Shortcuts(
        positives=positives,
        negatives=len(table) - positives,
        limit=limit,
        columns=tuple(columns),
        combined=tuple(_combined(rows, kind) for kind in get_args(Kind)),
    )


def nuisance_auc(table: pa.Table) -> CombinedAuc:
    """Return how well all nuisance columns together tell positives from negatives.

    Parameters
    ----------
    table : pyarrow.Table
        The rows of a :class:`lensneg.shortcuts.columns.Sample`.

    Returns
    -------
    CombinedAuc
        The same as in :func:`find_shortcuts`.
    """
    return _combined(_Rows(table), "nuisance")


def _combined(rows: _Rows, kind: Kind) -> CombinedAuc:
    columns = [column for column in COLUMNS if column.kind == kind]
    label = "all nuisance columns" if kind == "nuisance" else "all colours and shapes"
    names = tuple(column.name for column in columns)
    positives = int(rows.is_positive.sum())
    if positives < LEAST_POSITIVES:
        missing = f"{positives} positives are too few: a classifier needs {LEAST_POSITIVES}"
        return CombinedAuc(
            label=label, kind=kind, columns=names, overall=None, within_strata=None, missing=missing
        )
    features = [column.numbers(rows.table) for column in columns]
    if "maskbits" in names:  # Which bits are set has no order, but a tree can use it.
        features.append(np.asarray(rows.table["maskbits"].to_numpy(), dtype=np.float64))
    fold = folds_of(np.asarray(rows.table["healpix_64"].to_numpy()) // _PIXELS_64)
    scores = scores_of(np.column_stack(features), rows.is_positive, fold)
    overall = measure(scores, rows.is_positive, fold)
    within = measure(scores, rows.is_positive, fold + FOLDS * rows.stratum)
    missing = "" if overall else "no part of the sky has positives and negatives, besides another that has"
    return CombinedAuc(
        label=label,
        kind=kind,
        columns=names,
        overall=_auc(overall),
        within_strata=_auc(within),
        missing=missing,
    )


def _auc(found: Measured | None) -> Auc | None:
    return None if found is None else Auc(auc=round(found.auc, 4), error=round(found.error, 4))
