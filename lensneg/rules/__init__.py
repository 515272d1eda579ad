"""The science: pure functions on arrays.

They work on their own, on any table with columns of a sweep: :func:`describe` tells all that the rules say
of each row. What needs more than a row (lens catalogues, quotas) is a function of its own.
"""

from lensneg.rules.describe import describe
from lensneg.rules.photometry import ellipticity, magnitude
from lensneg.rules.pools import POOLS, classify, confuser_criteria
from lensneg.rules.priority import sampling_priority, targetid
from lensneg.rules.rates import population_rate
from lensneg.rules.rows import Rows
from lensneg.rules.selection import first_failed_rule, select
from lensneg.rules.sky import healpix_pixel
from lensneg.rules.split import split_of_pixel
from lensneg.rules.strata import nobs_z_bin

__all__ = [
    "POOLS",
    "Rows",
    "classify",
    "confuser_criteria",
    "describe",
    "ellipticity",
    "first_failed_rule",
    "healpix_pixel",
    "magnitude",
    "nobs_z_bin",
    "population_rate",
    "sampling_priority",
    "select",
    "split_of_pixel",
    "targetid",
]
