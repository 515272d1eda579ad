"""The file quotas.json: the rows to draw from each stratum, and the pool files to draw them from."""

from collections.abc import Iterator
from typing import NamedTuple

from lensneg.schema.pool import Footer
from lensneg.schema.record import Record


class Range(Record):
    """Some of a stratum's rows in the pool files, by what they are and by sampling priority.

    Attributes
    ----------
    classes : tuple of str
        The values of the column ``pool`` in the pool files.
    categories : tuple of str
        The confuser categories; any, and none, if it is empty.
    cell : int or None
        The cell of the matched columns; None for all of them.
    lowest, highest : int
        The sampling priorities, both included.
    """

    classes: tuple[str, ...]
    categories: tuple[str, ...] = ()
    cell: int | None = None
    lowest: int
    highest: int


class Draw(Record):
    """A draw from a stratum: the rows of lowest sampling priority in a population, past the draws before.

    Attributes
    ----------
    draw : str
        Its name, which stands in the rows, e.g. ``n1`` or ``n2:17``, the latter from cell 17.
    pool : str
        ``N1`` or ``N2``: the pool that the rows count for.
    available : int
        Sources of its population.
    left : int
        Those of them that the draws before it leave, in the cells and categories of its ranges.
    quota : int
        Rows to draw.
    is_exact : bool
        Whether the ranges hold the drawn rows alone. If not, they hold at least ``quota`` sources with very
        high probability, and the ``quota`` lowest are drawn.
    ranges : tuple of Range
        Where the rows are. Each row of the pool is in at most one range of all draws.
    """

    draw: str
    pool: str
    available: int
    left: int
    quota: int
    is_exact: bool
    ranges: tuple[Range, ...]

    @property
    def weight(self) -> float:
        """The sampling weight of its rows: the sources that each stands for."""
        return self.available / self.quota

    @property
    def lowest(self) -> int:
        """The lowest priority that a row may have."""
        return min(r.lowest for r in self.ranges)

    @property
    def highest(self) -> int:
        """The highest priority that a row may have."""
        return max(r.highest for r in self.ranges)


class Piece(NamedTuple):
    """A part of a range of a draw, as the job looks up rows.

    Attributes
    ----------
    draw : int
        The number of the draw, as :func:`draws_of` yields them.
    part : int
        The file that its rows are written to.
    nobs_z_bin, type_bin, source_pool : str
        The stratum, and the value of ``pool`` in the pool files.
    category : str
        The confuser category; empty for any, and none.
    cell : int
        The cell of the matched columns; -1 without matching.
    lowest, highest : int
        The sampling priorities, both included.
    """

    draw: int
    part: int
    nobs_z_bin: str
    type_bin: str
    source_pool: str
    category: str
    cell: int
    lowest: int
    highest: int


class PoolQuota(Record):
    """The rows to draw from one pool of a stratum.

    Attributes
    ----------
    pool : str
        ``N1`` or ``N2``.
    available : int
        Sources that may be drawn for it.
    target : int
        Rows that the ratio of the pools asks for.
    backfill : int
        The part of ``quota`` that replaces rows which are lacking elsewhere in the stratum.
    quota : int
        Rows to draw.
    """

    pool: str
    available: int
    target: int
    backfill: int
    quota: int

    @property
    def in_place_of_other(self) -> int:
        """The rows above its target, which replace rows of the other pool.

        Returns
        -------
        int
        """
        return max(0, self.quota - self.target)


class CellCount(Record):
    """What a cell of the matched columns holds. Without matching a stratum is one cell.

    Attributes
    ----------
    cell : int
    positives : int
    ordinary, confusers, external : int
        Sources of the pool that meet no criterion of N2; that meet one; and hard negatives from catalogues.
    """

    cell: int
    positives: int
    ordinary: int
    confusers: int
    external: int


class StratumQuota(Record):
    """The target of a stratum, and the rows to draw.

    Attributes
    ----------
    positives : int
    target, shortfall : int
        Rows that the ratio asks for, and those of them that there are no sources for.
    reachable : bool
        False where the cuts leave the stratum empty.
    pools : tuple of PoolQuota
        By pool.
    draws : tuple of Draw
        Those that take any rows, in their order.
    edges : tuple of tuple of float
        For each matched column the values at which a bin ends; see :mod:`lensneg.rules.cells`.
    cells : tuple of CellCount
        The cells that hold anything, where draws depend on each other.
    from_other_cells : int
        The part of ``backfill`` of both pools that comes from another cell than the one that lacks it.
    """

    nobs_z_bin: str
    type_bin: str
    positives: int
    target: int
    shortfall: int
    reachable: bool
    pools: tuple[PoolQuota, ...]
    draws: tuple[Draw, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()
    cells: tuple[CellCount, ...] = ()
    from_other_cells: int = 0

    @property
    def quota(self) -> int:
        """The number of rows to draw from both pools together."""
        return sum(pool.quota for pool in self.pools)

    @property
    def name(self) -> str:
        """The stratum as messages show it, e.g. ``3-5/SER``."""
        return f"{self.nobs_z_bin}/{self.type_bin}"


class DrawKey(NamedTuple):
    """A stratum, and one of its draws."""

    nobs_z_bin: str
    type_bin: str
    draw: str

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
        The seed of u, and of the folds.
    folds : int or None
        The number of folds.
    """

    columns: dict[str, str]
    pool: tuple[str, ...]
    run: dict[str, str]
    splits: tuple[str, ...]
    split_edges: tuple[float, ...]
    split_seed: int
    folds: int | None = None


class Quotas(Record):
    """The file quotas.json: everything that the draw needs besides the pool files.

    ``row_groups`` gives, for each pool file, the rows of each row group and the lowest priority among them;
    ``footers`` gives the file's footer. ``repeated_rows`` counts the rows of the pool that repeat a source.
    ``matched`` names the matched columns. ``pieces`` say which rows are drawn, and into which part.
    """

    run_id: str
    manifest: ManifestRules
    pool_files: tuple[str, ...]
    row_groups: dict[str, tuple[tuple[int, int], ...]]
    footers: dict[str, Footer]
    repeated_rows: int
    matched: tuple[str, ...] = ()
    strata: tuple[StratumQuota, ...]
    pieces: tuple[Piece, ...]


def draws_of(strata: tuple[StratumQuota, ...]) -> Iterator[tuple[DrawKey, Draw]]:
    """Iterate over the draws of all strata.

    Parameters
    ----------
    strata : tuple of StratumQuota
        The strata, in the manifest's order.

    Yields
    ------
    (DrawKey, Draw)
        The stratum and the draw.
    """
    for stratum in strata:
        for draw in stratum.draws:
            yield DrawKey(stratum.nobs_z_bin, stratum.type_bin, draw.draw), draw
