"""quotas.json: what each stratum asks for and takes from each pool, and the pool files to draw it from."""

from collections.abc import Iterator
from typing import NamedTuple

from lensneg.schema.record import Record


class PoolQuota(Record):
    """What a stratum takes from one pool.

    Attributes
    ----------
    pool : str
    available : int
        Sources in the pool.
    target : int
        What the ratio of the pools asks for.
    backfill : int
        Of ``quota``, how many stand in for rows that the other pool lacks.
    quota : int
        Rows to draw.
    threshold : int
        A sampling priority at or below which the quota lies, as good as certainly.
    """

    pool: str
    available: int
    target: int
    backfill: int
    quota: int
    threshold: int


class StratumQuota(Record):
    """What a stratum asks for and gets. ``reachable`` is false where the cuts leave it empty."""

    nobs_z_bin: str
    type_bin: str
    positives: int
    target: int
    shortfall: int
    reachable: bool
    pools: tuple[PoolQuota, ...]

    @property
    def quota(self) -> int:
        """Rows to draw from both pools together."""
        return sum(pool.quota for pool in self.pools)

    @property
    def name(self) -> str:
        """The stratum as people read it, e.g. ``3-5/SER``."""
        return f"{self.nobs_z_bin}/{self.type_bin}"


class DrawKey(NamedTuple):
    """A stratum and a pool: what one draw is made from."""

    nobs_z_bin: str
    type_bin: str
    pool: str

    def __str__(self) -> str:
        return "/".join(self)


class Quotas(Record):
    """quotas.json: all that the draw needs to know beside the pool itself.

    ``row_groups`` gives, for each pool file, the rows of each row group and the lowest priority among them.
    """

    run_id: str
    pool_files: tuple[str, ...]
    row_groups: dict[str, tuple[tuple[int, int], ...]]
    strata: tuple[StratumQuota, ...]


def draws_of(strata: tuple[StratumQuota, ...]) -> Iterator[tuple[DrawKey, PoolQuota]]:
    """Yield each stratum and pool with what is drawn from it, in the manifest's order."""
    for stratum in strata:
        for pool in stratum.pools:
            yield DrawKey(stratum.nobs_z_bin, stratum.type_bin, pool.pool), pool
