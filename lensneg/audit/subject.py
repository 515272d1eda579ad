"""What is audited, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from lensneg.audit.columns import Rows
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.manifest import PartFile, Parts
from lensneg.schema.quotas import StratumQuota
from lensneg.storage import FileInfo


@dataclass(frozen=True)
class Subject:
    """A manifest to audit, and what it claims to be.

    Attributes
    ----------
    config : Config
    run_columns : mapping of str to str
        What stands in each of the columns that name the run.
    files : mapping of str to tuple of str
        URIs of the Parquet files of each of ``PARTS``, in order.
    promised : mapping of str to PartFile
        What manifest.json says of each file, by URI; empty where nothing was promised yet.
    strata : tuple of StratumQuota
        As in quotas.json.
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees of all lenses to keep clear of.
    sweeps : mapping of str to FileInfo
        The sweep files at hand, by name.
    all_at_hand : bool
        Whether the sweep files must all be there; if not, one that is missing is a warning.
    missing_catalogs : tuple of str
        Catalogues of the run that are not there: a warning.
    """

    config: Config
    run_columns: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    promised: Mapping[str, PartFile]
    strata: tuple[StratumQuota, ...]
    ra: FloatArray
    dec: FloatArray
    sweeps: Mapping[str, FileInfo]
    all_at_hand: bool = True
    missing_catalogs: tuple[str, ...] = ()


class Content:
    """The rows of a manifest, with what they are to be compared with."""

    def __init__(self, subject: Subject, negatives: pa.Table, positives: pa.Table) -> None:
        self.subject, self.config = subject, subject.config
        self.negatives, self.positives = Rows(negatives), Rows(positives)
        self.both = Rows(pa.concat_tables([negatives, positives]).combine_chunks())

    @property
    def asked(self) -> int:
        """Negatives that the quotas ask for."""
        return sum(stratum.quota for stratum in self.subject.strata)

    @cached_property
    def off_sphere(self) -> BoolArray:
        """Which rows, negatives first, have impossible coordinates."""
        ra, dec = self.both["ra"], self.both["dec"]
        return np.asarray(~((ra >= 0) & (ra <= 360) & (dec >= -90) & (dec <= 90)))


@dataclass(frozen=True)
class Audit:
    """The checks, and of what bytes they were made."""

    checks: tuple[Check, ...]
    parts: Parts
