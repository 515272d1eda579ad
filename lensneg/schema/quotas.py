"""Quotas: what each stratum asks for and takes from each pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolQuota:
    """What a stratum takes from one pool.

    Attributes
    ----------
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


@dataclass(frozen=True)
class StratumQuota:
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
