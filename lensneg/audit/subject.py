"""What is audited, and what comes of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import pyarrow as pa

from lensneg import storage
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.check import Check
from lensneg.schema.columns import PARTS
from lensneg.schema.config import Config
from lensneg.schema.listed import ListedSources
from lensneg.schema.manifest import Part, PartFile, Parts
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
        What the list of the files says of each, by URI.
    others : tuple of str
        URIs of files beside these, which the list does not name.
    contents : mapping of str to str
        What the list says of the ``content_sha256`` of each part.
    strata : tuple of StratumQuota
        As in quotas.json.
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees of all lenses to keep clear of.
    is_positive : ndarray of bool, shape (n,), or None
        Which of these are of a catalogue of positives; None where these catalogues are not all there.
    is_spectroscopic : ndarray of bool, shape (n,), or None
        Which of these are of a spectroscopic catalogue; None where these catalogues are not all there.
    suspects : ListedSources or None
        The entries of the catalogues of suspects; None where these catalogues are not all there.
    hard_negatives : tuple of (str, ListedSources) or None
        The category and the entries of each catalogue of hard negatives, in order; None as above.
    stated_radius : ndarray of float64, shape (n,), or None
        The exclusion radius that the catalogues state of each, in arcseconds. NaN, or None, for the config's.
    least_radius : float or None
        The least radius that a positive's lens may have. None for the config's.
    facts : pyarrow.Table or None
        The name of each, and what the catalogues say of it.
    sweeps : mapping of str to FileInfo
        The sweep files at hand, by name.
    pz : mapping of str to FileInfo or None
        The ``-pz`` file of each sweep file that the run read one with, by the sweep file's name. None for one
        that is not at hand.
    all_at_hand : bool
        Whether the sweep files must all be there; if not, one that is missing is a warning.
    missing_catalogs : tuple of str
        Catalogues of the run that are not there, or have other content: a warning.
    """

    config: Config
    run_columns: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    promised: Mapping[str, PartFile]
    strata: tuple[StratumQuota, ...]
    ra: FloatArray
    dec: FloatArray
    sweeps: Mapping[str, FileInfo]
    pz: Mapping[str, FileInfo | None] = field(default_factory=dict)
    all_at_hand: bool = True
    missing_catalogs: tuple[str, ...] = ()
    is_positive: BoolArray | None = None
    is_spectroscopic: BoolArray | None = None
    suspects: ListedSources | None = None
    hard_negatives: tuple[tuple[str, ListedSources], ...] | None = ()
    stated_radius: FloatArray | None = None
    least_radius: float | None = None
    facts: pa.Table | None = None
    others: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def listed(cls, folder: str, parts: Parts, others_allowed: Collection[str], **claims: Any) -> Self:
        """Return the subject that a list of files describes.

        Parameters
        ----------
        folder : str
            The names of the list are below it.
        parts : Parts
            The list.
        others_allowed : collection of str
            Names of files in the folder that are of no part.
        **claims
            The other attributes.
        """
        named = {part: parts.part(part).files for part in PARTS}
        files = {part: tuple(storage.join(folder, file.name) for file in named[part]) for part in PARTS}
        promised = {uri: file for part in PARTS for uri, file in zip(files[part], named[part], strict=True)}
        known = promised.keys() | {storage.join(folder, name) for name in others_allowed}
        found = [info.uri for info in storage.list_files(folder)]
        return cls(
            files=files,
            promised=promised,
            others=tuple(uri for uri in found if uri not in known),
            contents={part: parts.part(part).content_sha256 for part in PARTS},
            **claims,
        )


class Source(Protocol):
    """The rows of a manifest that can be read.

    Attributes
    ----------
    rows : dict of str to int
        The number of rows of each part.
    """

    rows: dict[str, int]

    def column(self, part: Part, name: str) -> Iterator[pa.Array]:
        """Yield the values of a column of a part, in the order of the rows."""


class Content:
    """The rows of a manifest, with what they are to be compared with."""

    def __init__(self, subject: Subject, source: Source) -> None:
        self.subject, self.config = subject, subject.config
        self.rows, self.column = source.rows, source.column

    @property
    def asked(self) -> int:
        """Negatives that the quotas ask for."""
        return sum(stratum.quota for stratum in self.subject.strata)


@dataclass(frozen=True)
class Audit:
    """The checks, and of what bytes they were made."""

    checks: tuple[Check, ...]
    parts: Parts
