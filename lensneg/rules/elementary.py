"""Logarithm, exponential, sine and cosine that are the same on every processor.

IEEE 754 fixes the result of +, -, x, / and the square root to the last bit. It does not fix those of the
functions in a processor's or a system's library: NumPy's log10 differs in the last bit between processors.
The functions here use only those five operations, one at a time. Their errors are below 1e-15 of the result,
or for sine and cosine of 1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lensneg.schema.arrays import FloatArray

#: Natural logarithm of 10, and the logarithms of 2, each in two parts. The first part times a whole number of
#: up to 11 bits is exact (fdlibm's e_log10.c and e_exp.c).
LN_10: Final = 2.302585092994046
_LOG10_2: Final = (3.01029995663611771306e-01, 3.69423907715893078616e-13)
_LN_2: Final = (6.93147180369123816490e-01, 1.90821492927058770002e-10)

_SQRT_HALF: Final = 0.7071067811865476

_RADIAN: Final = np.pi / 180

#: Taylor series: of the inverse hyperbolic tangent of s by s, and of sin(t) by t, in powers of the square; of
#: the exponential; of cos(t) in powers of the square.
_ARTANH: Final = [1 / n for n in range(1, 26, 2)]
_EXP: Final = [1.0]
_SIN: Final = [1.0]
_COS: Final = [1.0]
for _n in range(1, 15):
    _EXP.append(_EXP[-1] / _n)
for _n in range(1, 9):
    _SIN.append(-_SIN[-1] / (2 * _n * (2 * _n + 1)))
    _COS.append(-_COS[-1] / (2 * _n * (2 * _n - 1)))


def _polynomial(coefficients: Sequence[float], x: FloatArray) -> FloatArray:
    """Return a polynomial's value by Horner's rule, lowest coefficient first."""
    value = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value *= x
        value += coefficient
    return value


def log10(x: npt.ArrayLike) -> FloatArray:
    """Return the decimal logarithm.

    Parameters
    ----------
    x : array_like of float, shape (n,)
        Any numbers.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where ``x`` is not positive. Of a whole power of 10 the exact whole number.

    Examples
    --------
    >>> log10([0.001, 1.0, 1e22, 0.0])
    array([-3.,  0., 22., nan])
    """
    values = np.asarray(x, dtype=np.float64)
    mantissa, exponent = np.frexp(np.where((values > 0) & (values < np.inf), values, np.nan))
    small = mantissa < _SQRT_HALF
    mantissa = np.where(small, 2 * mantissa, mantissa)
    power = exponent - small.astype(np.float64)
    s = (mantissa - 1) / (mantissa + 1)
    of_mantissa = 2 / LN_10 * (s * _polynomial(_ARTANH, s * s))
    finite = power * _LOG10_2[0] + (power * _LOG10_2[1] + of_mantissa)
    return np.where(values == np.inf, np.inf, finite)


def exp(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the exponential.

    Parameters
    ----------
    x : ndarray of float, shape (n,)
        From -700 to 700.

    Returns
    -------
    ndarray of the same dtype, shape (n,)

    Examples
    --------
    >>> exp(np.array([0.0, 1.0]))
    array([1.        , 2.71828183])
    """
    values = np.asarray(x, dtype=np.float64)
    power = np.rint(values * (1 / (_LN_2[0] + _LN_2[1])))
    rest = values - power * _LN_2[0] - power * _LN_2[1]
    return np.ldexp(_polynomial(_EXP, rest), power.astype(np.int32)).astype(np.asarray(x).dtype)


def sin_cos(degrees: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the sine and the cosine of angles.

    Parameters
    ----------
    degrees : array_like of float, shape (n,)
        Angles up to 10^6 degrees.

    Returns
    -------
    (ndarray of float64, ndarray of float64)
        NaN where an angle is not finite. Of multiples of 90 degrees the exact whole numbers.

    Examples
    --------
    >>> sin_cos([0.0, 90.0, 180.0, 270.0])
    (array([ 0.,  1.,  0., -1.]), array([ 1.,  0., -1.,  0.]))
    """
    angle = np.asarray(degrees, dtype=np.float64)
    angle = np.where(np.isfinite(angle), angle, np.nan)
    quarters = np.rint(angle / 90)
    t = (angle - 90 * quarters) * _RADIAN  # the difference is exact
    square = t * t
    sine, cosine = t * _polynomial(_SIN, square), _polynomial(_COS, square)
    turned, back = quarters % 2 == 1, quarters % 4
    sin = np.where(turned, cosine, sine) * np.where(back >= 2, -1.0, 1.0)
    cos = np.where(turned, sine, cosine) * np.where((back == 1) | (back == 2), -1.0, 1.0)
    return sin + 0.0, cos + 0.0  # + 0.0 turns -0 into 0
