"""Gate 2's checks of the matching: whether negatives can be distributed as the positives are."""

from collections.abc import Iterator, Sequence

from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.quotas import StratumQuota


def cell_checks(config: Config, strata: Sequence[StratumQuota]) -> Iterator[Check]:
    """Check that strata have cells, and that the cells hold enough sources.

    Parameters
    ----------
    config : Config
        Its matching and the largest share of negatives that may be unmatched.
    strata : sequence of StratumQuota
        The quotas.

    Yields
    ------
    Check
        Two warnings, if the config has matching.
    """
    if config.matching is None:
        return
    most, enough = config.gates.unmatched_max, config.matching.positives_per_cell
    positives = sum(stratum.positives for stratum in strata)
    whole = [s for s in strata if s.positives and not any(s.edges)]
    unmatched = sum(s.positives for s in whole)
    yield Check(
        name="strata_matched",
        passed=unmatched <= most * positives,
        expected=f"at most {most:.0%} of the positives in strata of one cell (gates.unmatched_max): there "
        f"negatives are not matched to them. Two cells need {2 * enough} positives",
        actual=f"{unmatched:,} of {positives:,}"
        + (f": {', '.join(f'{s.name} {s.positives:,}' for s in whole)}" if whole else ""),
        remedy="lower matching.positives_per_cell (2 makes two cells of 4 positives), or merge the bins of "
        "strata, in a new config; or give more positives",
        critical=False,
    )
    drawn, moved = sum(s.quota for s in strata), sum(s.from_other_cells for s in strata)
    lower = ratio_with_enough(config, strata)
    enough_at = f"with a neg_pos_ratio of about {lower} there are enough; or use" if lower else "use"
    yield Check(
        name="cells_available",
        passed=moved <= most * drawn,
        expected=f"at most {most:.0%} of the negatives from other cells than their positives' "
        "(gates.unmatched_max)",
        actual=f"{moved:,} of {drawn:,} ({moved / drawn if drawn else 0:.1%})",
        remedy="the pool has too few galaxies that are like the positives, so others take their place and a "
        f"network can tell them apart: {enough_at} fewer bins in matching.bins, in a new config. More sweep "
        "files help if they hold more galaxies for each positive",
        critical=False,
    )


def ratio_with_enough(config: Config, strata: Sequence[StratumQuota]) -> int:
    """Return the highest ratio at which nearly all negatives are of their positives' cells.

    Parameters
    ----------
    config : Config
        Its ratio, which is the most, and the largest share of negatives that may be of other cells.
    strata : sequence of StratumQuota
        With the sources of their cells.

    Returns
    -------
    int
        0 if there is none. The pools of a cell are taken together, and what is drawn without regard to cells
        as its mean.
    """
    pools = config.negative_pools
    share = pools.pool_n1.unmatched_share * pools.n1_n2_ratio[0] / sum(pools.n1_n2_ratio)

    def is_enough(ratio: int) -> bool:
        lacking = 0.0
        for stratum in strata:
            of = [(c.positives, c.ordinary + c.confusers + c.external) for c in stratum.cells]
            anywhere = ratio * stratum.positives * share / max(1, sum(sources for _, sources in of))
            for positives, sources in of:
                lacking += max(0.0, ratio * positives * (1 - share) - sources * max(0.0, 1 - anywhere))
        return lacking <= config.gates.unmatched_max * ratio * sum(s.positives for s in strata)

    ratios = range(1, pools.neg_pos_ratio + 1)
    return max((ratio for ratio in ratios if is_enough(ratio)), default=0)
