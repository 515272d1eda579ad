"""The file quotas.json: the rows to draw from each stratum and pool, and the pool files to draw them from."""

from collections.abc import Iterator
from typing import NamedTuple

from lensneg.schema.pool import Footer
from lensneg.schema.record import Record


class PoolQuota(Record):
    """The rows to draw from one pool of a stratum.

    Attributes
    ----------
    pool : str
        ``N1`` or ``N2``.
    available : int
        Sources in the pool.
    target : int
        Rows that the ratio of the pools asks for.
    backfill : int
        The part of ``quota`` that replaces rows which the other pool lacks.
    quota : int
        Rows to draw.
    threshold : int
        Upper limit of the sampling priorities to read. With very high probability, at least ``quota`` sources
        are at or below it.
    """

    pool: str
    available: int
    target: int
    backfill: int
    quota: int
    threshold: int


class StratumQuota(Record):
    """The target of a stratum, and the rows to draw. ``reachable`` is false where the cuts leave it empty."""

    nobs_z_bin: str
    type_bin: str
    positives: int
    target: int
    shortfall: int
    reachable: bool
    pools: tuple[PoolQuota, ...]

    @property
    def quota(self) -> int:
        """The number of rows to draw from both pools together."""
        return sum(pool.quota for pool in self.pools)

    @property
    def name(self) -> str:
        """The stratum as messages show it, e.g. ``3-5/SER``."""
        return f"{self.nobs_z_bin}/{self.type_bin}"


class DrawKey(NamedTuple):
    """A stratum and a pool, from which one draw is made."""

    nobs_z_bin: str
    type_bin: str
    pool: str

    def __str__(self) -> str:
        return "/".join(self)


class ManifestRules(Record):
    """What the draw needs to write rows of the manifest.

    Attributes
    ----------
    columns : dict of str to str
        The manifest's columns in order, each with its type in Spark's SQL.
    pool : tuple of str
        Those that the pool files hold.
    run : dict of str to str
        The values of the columns that identify the run.
    splits : tuple of str
        The splits in order.
    split_edges : tuple of float
        The values of u at which all splits but the first begin.
    split_seed : int
        The seed of u.
    rows_per_file : int
        The size of a part.
    """

    columns: dict[str, str]
    pool: tuple[str, ...]
    run: dict[str, str]
    splits: tuple[str, ...]
    split_edges: tuple[float, ...]
    split_seed: int
    rows_per_file: int


class Quotas(Record):
    """The file quotas.json: everything that the draw needs besides the pool files.

    ``row_groups`` gives, for each pool file, the rows of each row group and the lowest priority among them;
    ``footers`` gives the file's footer.
    """

    run_id: str
    manifest: ManifestRules
    pool_files: tuple[str, ...]
    row_groups: dict[str, tuple[tuple[int, int], ...]]
    footers: dict[str, Footer]
    strata: tuple[StratumQuota, ...]


def draws_of(strata: tuple[StratumQuota, ...]) -> Iterator[tuple[DrawKey, PoolQuota]]:
    """Iterate over each pool of each stratum.

    Parameters
    ----------
    strata : tuple of StratumQuota
        The strata, in the manifest's order.

    Yields
    ------
    (DrawKey, PoolQuota)
        The stratum and pool, and what is drawn from it, in the manifest's order.
    """
    for stratum in strata:
        for pool in stratum.pools:
            yield DrawKey(stratum.nobs_z_bin, stratum.type_bin, pool.pool), pool
