"""A comparison of negatives and positives, column by column: the shortcuts that a network could learn.

If the negatives are fainter, redder or observed deeper than the positives, a network can score well by that
alone. Two statistics measure such differences. One is the largest distance between the two distribution
functions (Kolmogorov and Smirnov's D). The other is the area under the ROC curve of a classifier that uses
this column alone. It is the probability that a random row of one sample has a larger value than a random row
of the other (Mann and Whitney).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.arrays import FloatArray
from lensneg.schema.columns import POSITIVE
from lensneg.schema.validation import PairStatistics, QuantityResult, SampleStatistics
from lensneg.shortcuts.ranks import auc

Columns = Mapping[str, FloatArray]

_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")

#: The values of each quantity in each sample.
Samples = Mapping[str, Mapping[str, FloatArray]]

#: The three samples, by their values in the manifest's column ``pool``, and the pairs that are compared.
SAMPLES: Final = ("N1", "N2", POSITIVE)

PAIRS: Final = ((POSITIVE, "N1"), (POSITIVE, "N2"), ("N2", "N1"))

#: The 1 % point of Kolmogorov's distribution: by chance, sqrt(n m / (n + m)) D is above it once in a hundred.
_KOLMOGOROV_1_PERCENT: Final = 1.628


class Quantity(NamedTuple):
    """A quantity that is compared: its name, label and unit, and its value as a function of columns."""

    name: str
    label: str
    unit: str
    columns: tuple[str, ...]
    value: Callable[[Columns], FloatArray]


def _copied(name: str, label: str, unit: str = "") -> Quantity:
    return Quantity(name, label, unit, (name,), lambda columns: columns[name])


def _depth(columns: Columns) -> FloatArray:
    """Return the 5-sigma depth from the inverse variance of the flux (DR10's catalogs page)."""
    ivar = columns["galdepth_z"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ivar > 0, -2.5 * (np.log10(5 / np.sqrt(ivar)) - 9), np.nan)


def _ellipticity(columns: Columns) -> FloatArray:
    """Return |e| where it was fitted. Every REX is round by definition, which would hide the rest."""
    e = np.hypot(columns["shape_e1"], columns["shape_e2"])
    return np.where(e > 0, e, np.nan)


def _fitted_sersic(columns: Columns) -> FloatArray:
    """Return the Sérsic index where it was fitted. It is 4 for every DEV, and 1 for every EXP and REX."""
    index = columns["sersic"]
    return np.where((index == 1) | (index == 4), np.nan, index)


#: All quantities, in the order of the report.
QUANTITIES: Final[tuple[Quantity, ...]] = (
    _copied("mag_g", "g", "mag"),
    _copied("mag_r", "r", "mag"),
    _copied("mag_z", "z", "mag"),
    _copied("g_minus_r", "g − r", "mag"),
    _copied("r_minus_z", "r − z", "mag"),
    _copied("z_minus_w1", "z − W1", "mag"),
    _copied("shape_r", "half-light radius", "arcsec"),
    Quantity("ellipticity", "ellipticity |e|, without REX", "", ("shape_e1", "shape_e2"), _ellipticity),
    Quantity("sersic", "Sérsic index of SER", "", ("sersic",), _fitted_sersic),
    _copied("psfsize_z", "seeing in z (FWHM)", "arcsec"),
    Quantity("depth_z", "galaxy depth in z (5σ)", "mag", ("galdepth_z",), _depth),
    _copied("ebv", "extinction E(B−V)", "mag"),
)

_BY_NAME: Final = {quantity.name: quantity for quantity in QUANTITIES}

#: The columns of the manifest that they need.
NEEDED: Final = tuple(dict.fromkeys(name for quantity in QUANTITIES for name in quantity.columns))


class _Samples(Mapping[str, Mapping[str, FloatArray]]):
    """Samples whose values are read when they are asked for, so that those of one quantity are in memory."""

    def __init__(self, read: Callable[[Sequence[str]], Iterable[pa.Table]]) -> None:
        self._read = read

    def __getitem__(self, name: str) -> dict[str, FloatArray]:
        quantity = _BY_NAME[name]
        found: dict[str, list[FloatArray]] = {sample: [np.empty(0)] for sample in SAMPLES}
        for table in self._read(("pool", *quantity.columns)):
            columns = {n: np.asarray(table[n].to_numpy(), dtype=np.float64) for n in quantity.columns}
            values = quantity.value(columns)
            finite = np.isfinite(values)
            for sample, arrays in found.items():
                arrays.append(values[finite & np.asarray(pc.equal(table["pool"], sample))])
        return {sample: np.concatenate(arrays) for sample, arrays in found.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(_BY_NAME)

    def __len__(self) -> int:
        return len(_BY_NAME)


def samples_of(read: Callable[[Sequence[str]], Iterable[pa.Table]]) -> Samples:
    """Return the finite values of each quantity in each sample. They are read when they are asked for.

    Parameters
    ----------
    read : callable
        Takes names of columns, ``pool`` and some of :data:`NEEDED`, and returns these columns of a manifest,
        negatives and positives, in batches.

    Returns
    -------
    mapping of str to mapping of str to ndarray of float64
        By quantity, then sample. Each access reads the rows again.
    """
    return _Samples(read)


def ks_distance(a: FloatArray, b: FloatArray) -> float:
    """Return the largest distance between two samples' distribution functions.

    One function is a constant between two neighbours of the smaller sample, and the other one grows. So the
    distance is largest at such a value, or just below it, and the larger sample is only searched.

    Parameters
    ----------
    a, b : ndarray of float64, shapes (n,) and (m,)
        The samples, in ascending order. Neither may be empty.

    Returns
    -------
    float
        Kolmogorov and Smirnov's D, 0 to 1.

    Examples
    --------
    >>> ks_distance(np.array([1.0, 2.0]), np.array([1.5, 3.0, 4.0]))
    0.6666666666666667
    """
    few, many = (a, b) if len(a) < len(b) else (b, a)
    return max(
        float(np.abs(few.searchsorted(few, side) / len(few) - many.searchsorted(few, side) / len(many)).max())
        for side in _SIDES
    )


def compare(samples: Samples) -> tuple[QuantityResult, ...]:
    """Return the statistics of each quantity.

    Parameters
    ----------
    samples : mapping
        The result of :func:`samples_of`.

    Returns
    -------
    tuple of QuantityResult
        The rows and the median of each sample, and for each of :data:`PAIRS` ``ks``, ``ks_chance`` (the value
        that ``ks`` exceeds by chance once in a hundred) and ``auc``. A pair with an empty sample is left out.
    """
    return tuple(_result(quantity, samples[quantity.name]) for quantity in QUANTITIES)


def _result(quantity: Quantity, of_sample: Mapping[str, FloatArray]) -> QuantityResult:
    filled = {sample: np.sort(values) for sample, values in of_sample.items() if len(values)}
    median = {sample: round(float(np.median(values)), 4) for sample, values in filled.items()}
    return QuantityResult(
        name=quantity.name,
        label=quantity.label,
        unit=quantity.unit,
        samples={s: SampleStatistics(rows=len(v), median=median.get(s)) for s, v in of_sample.items()},
        pairs=tuple(_pair(a, b, filled[a], filled[b]) for a, b in PAIRS if a in filled and b in filled),
    )


def _pair(a: str, b: str, values_a: FloatArray, values_b: FloatArray) -> PairStatistics:
    n, m = len(values_a), len(values_b)
    return PairStatistics(
        a=a,
        b=b,
        ks=round(ks_distance(values_a, values_b), 4),
        ks_chance=round(_KOLMOGOROV_1_PERCENT * math.sqrt((n + m) / (n * m)), 4),
        auc=round(auc(values_a, values_b), 4),
    )
