"""Measure what negative_sampling_v2 does on a made-up sky: the tables in docs/science.md.

    python docs/training.py

It makes the sky of docs/shortcuts.py with photometric redshifts, and one run of it. The other numbers come
from the run's pool by lensneg.rules. It writes each table between two marks of the page, and calibration.png.
It takes some minutes.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from shortcuts import make_sky

import lensneg
from lensneg.page.calibration import PoolRates
from lensneg.page.calibration_figure import rates_png
from lensneg.page.cutouts import cutouts
from lensneg.rules.cells import bins_for, cell_edges, cells_in_strata, matched_values, stratum_numbers
from lensneg.rules.draws import StratumPool, plan_stratum
from lensneg.rules.listed import expected_lenses
from lensneg.rules.strata import strata_of
from lensneg.schema.columns import POSITIVE
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.quotas import StratumQuota
from lensneg.shortcuts.columns import NEEDED, Sample
from lensneg.shortcuts.ranks import measure
from lensneg.shortcuts.shortcuts import nuisance_auc
from lensneg.stages.summarize_fan_out.cell_checks import ratio_with_enough

DOCS = Path(__file__).parent
PAGE = DOCS / "science.md"
RATIO = 5

#: The sources of a pool in the brick's image: 3,600 pixels to a side.
IMAGE_PIXELS = 3600


def config_with(ratio: int = RATIO, **changes: Any) -> Config:
    """negative_sampling_v2 with another ratio and other sections."""
    config = Config.load("negative_sampling_v2")
    pools = config.negative_pools.model_copy(update={"neg_pos_ratio": ratio} | changes.pop("pools", {}))
    return config.model_copy(update={"negative_pools": pools, **changes})


def draw(pool: pa.Table, positives: pa.Table, config: Config) -> tuple[pa.Table, list[StratumQuota]]:
    """Draw negatives by lensneg.rules: the rows with draw, weight and stratum, and the quotas."""
    strata = strata_of(config.strata)
    names, matched = list(map(str, strata)), tuple(config.matching.bins) if config.matching else ()
    of_lens, of_pool = stratum_numbers(positives, names), stratum_numbers(pool, names)
    lenses, values = matched_values(positives, matched), matched_values(pool, matched)
    edges = [
        cell_edges(lenses[of_lens == i], bins_for(int((of_lens == i).sum()), config.matching))
        if config.matching
        else ()
        for i in range(len(strata))
    ]
    cells, lens_cells = cells_in_strata(values, of_pool, edges), cells_in_strata(lenses, of_lens, edges)
    categories = (*CONFUSER_CATEGORIES, "external:listed")
    group = np.asarray(
        pc.fill_null(pc.index_in(pool["confuser_category"], pa.array(categories)), -1)
    ).astype(int) + 1  # fmt: skip
    priority = pool["sampling_priority"].to_numpy()
    taken, drawn, weight, place = [], [], [], []
    quotas = []
    for i, stratum in enumerate(strata):
        own = np.flatnonzero(of_pool == i)
        own = own[np.lexsort((priority[own], cells[own]))]
        quota = plan_stratum(
            stratum,
            Counter(lens_cells[of_lens == i].tolist()),
            StratumPool(cells[own], group[own], priority[own], categories),
            edges[i],
            config,
        )
        quotas.append(quota)
        for one in quota.draws:
            for r in one.ranges:
                allowed = np.array(
                    [
                        ("N2" if g else "N1") in r.classes
                        and (not r.categories or not g or categories[g - 1] in r.categories)
                        for g in range(len(categories) + 1)
                    ]
                )
                found = own[
                    allowed[group[own]]
                    & (priority[own] >= r.lowest)
                    & (priority[own] <= r.highest)
                    & ((cells[own] == r.cell) if r.cell is not None else True)
                ]
                taken.append(found)
                drawn += [one.draw] * len(found)
                weight += [one.weight] * len(found)
                place += [one.pool] * len(found)
    rows = pool.take(np.concatenate(taken or [np.empty(0, int)])).drop_columns(["pool"])
    for name, column in (("pool", place), ("draw", drawn), ("sampling_weight", weight)):
        rows = rows.append_column(name, pa.array(column))
    return rows, quotas


def r_auc(negatives: pa.Table, positives: pa.Table) -> float:
    """Return how well r magnitude alone tells positives from negatives."""
    values = np.concatenate([t["mag_r"].to_numpy().astype(float) for t in (positives, negatives)])
    is_positive = np.arange(len(values)) < len(positives)
    found = measure(values, is_positive, np.zeros(len(values), int))
    assert found is not None
    return max(found.auc, 1 - found.auc)


def combined(negatives: pa.Table, positives: pa.Table) -> str:
    """Return the AUC of all nuisance columns together, with its error."""
    sample = Sample(len(negatives))
    for rows in (positives.select(NEEDED), negatives.select(NEEDED)):
        sample.add(pa.table(dict(zip(NEEDED, rows.columns, strict=True))))
    auc = nuisance_auc(sample.table).overall
    return f"{auc.auc:.2f} ± {auc.error:.2f}" if auc else "–"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"


class Made:
    """The run: its pool, its positives, its manifest."""

    def __init__(self, folder: Path) -> None:
        make_sky(folder, pz=True)
        config = folder / "config.yaml"
        config.write_text(
            "extends: negative_sampling_v2\nname: training\nversion: 1.0.0\n"
            f"negative_pools: {{neg_pos_ratio: {RATIO}}}\n"
        )
        self.manifest = lensneg.run(
            config=config, sweeps=folder / "sweeps", positives=folder / "positives.csv", pz=folder / "pz",
            out=folder / "out", run_id="one",
        )  # fmt: skip
        self.files = RunFiles(str(folder / "out"), "one")
        self.pool = pq.read_table(self.files.pool_folder)
        self.positives = pq.read_table(self.files.matched_positives)
        if "pool" not in self.positives.column_names:
            self.positives = self.positives.append_column("pool", pa.repeat(POSITIVE, len(self.positives)))


def deployment(made: Made) -> str:
    """N1 as deployment sees it: how many DEV of each sample are as bright as lenses."""

    def bright(rows: pa.Table) -> str:
        dev = rows.filter(pc.equal(rows["type_bin"], "DEV"))
        flux = dev["flux_r"].to_numpy().astype(float) / dev["mw_transmission_r"].to_numpy()
        return f"{(flux >= 5).mean():.0%}"

    rows = [["positives", bright(made.positives)]]
    for name, config in (
        ("N1 that is what is not N2", "not_n2"),
        ("N1 from all galaxies", "all"),
    ):
        n1 = config_with().negative_pools.pool_n1.model_copy(update={"population": config})
        found, _ = draw(made.pool, made.positives, config_with(matching=None, pools={"pool_n1": n1}))
        rows.append([name, bright(found.filter(pc.equal(found["pool"], "N1")))])
    found, _ = draw(made.pool, made.positives, config_with())
    matched = pc.starts_with(found["draw"], "n1_matched")
    return table(
        ["of type DEV", "FLUX_R >= 5"],
        [*rows, ["N1 from all galaxies, matched", bright(found.filter(matched))]],
    )


def rate(made: Made) -> str:
    """Estimate the rate of a finder whose decisions are known for all galaxies."""

    def flagged(rows: pa.Table) -> Any:
        flags = rows["confuser_flags"].to_numpy()
        return (flags >> CONFUSER_CATEGORIES.index("blend_proxy") & 1 == 1) & (
            rows["mag_r"].to_numpy() < 20.5
        )

    lenses = set(stratum_numbers(made.positives, names := list(map(str, strata_of(config_with().strata)))))
    inside = made.pool.filter(pa.array([n in lenses for n in stratum_numbers(made.pool, names)]))
    rows = []
    for ratio in (5, 20, 100):
        found, _ = draw(made.pool, made.positives, config_with(ratio))
        n1 = found.filter(pc.equal(found["draw"], "n1"))
        labels = pc.binary_join_element_wise(n1["nobs_z_bin"], n1["type_bin"], "/").to_pylist()
        estimate = lensneg.population_rate(flagged(n1), labels, n1["sampling_weight"].to_numpy())
        naive = flagged(found).mean()
        rows.append([ratio, f"{len(n1):,}", f"{estimate.rate:.2%} ± {estimate.error:.2%}", f"{naive:.2%}"])
    return table(
        [
            "negatives for each positive",
            "rows of `n1`",
            "estimated rate",
            "share of all negatives, not weighted",
        ],
        [*rows, ["all galaxies of these strata", f"{len(inside):,}", f"{flagged(inside).mean():.2%}", ""]],
    )


def ratios(made: Made) -> str:
    """Measure matching at higher ratios, where the pool runs out of galaxies."""
    rows = []
    for ratio in (5, 10, 20, 50, 100):
        found, quotas = draw(made.pool, made.positives, config_with(ratio))
        moved = sum(q.from_other_cells for q in quotas) / len(found)
        of_pool, alone = len(found) / len(made.pool), r_auc(found, made.positives)
        together = combined(found, made.positives)
        named = ratio_with_enough(config_with(ratio), quotas)
        rows.append([ratio, f"{of_pool:.0%}", f"{moved:.1%}", f"{alone:.2f}", together, named])
    head = ["negatives for each positive", "of the pool", "from other cells", "AUC of r alone"]
    return table([*head, "AUC of all nuisance columns", "ratio that gate 2 names"], rows)


def few(made: Made) -> str:
    """Measure matching with few positives: the mean over random choices of them."""
    rng, rows = np.random.default_rng(1), []
    for count in (10, 20, 50, 100, len(made.positives)):
        choices = [
            made.positives.take(np.sort(rng.permutation(len(made.positives))[:count])) for _ in range(10)
        ]
        aucs = []
        for least in (5, 2, 1, None):
            rule = config_with().matching
            assert rule is not None
            matching = rule.model_copy(update={"positives_per_cell": least}) if least else None
            found = [
                (r_auc(rows_, some), quotas)
                for some in choices
                for rows_, quotas in [draw(made.pool, some, config_with(matching=matching))]
            ]
            aucs.append(f"{np.mean([auc for auc, _ in found]):.2f}")
            if least == 5:
                whole = [sum(q.positives for q in quotas if not any(q.edges)) / count for _, quotas in found]
        rows.append([count, f"{np.mean(whole):.0%}", *aucs])
    head = ["positives", "in strata of one cell", "5 for each cell", "2 for each cell", "1 for each cell"]
    return table([*head, "not matched"], rows)


def suspects(made: Made) -> str:
    """Unknown lenses among the negatives, counted where they are known, and as the report expects them."""
    rng, rows = np.random.default_rng(2), []
    truth, pool = 0.02, made.pool
    for listed in (0.0, 0.5, 0.9):
        counted, expected = [], []
        for _ in range(5):
            is_lens = rng.random(len(pool)) < truth
            is_suspect = is_lens & (rng.random(len(pool)) < listed)
            left = pool.append_column("is_lens", pa.array(is_lens)).filter(pa.array(~is_suspect))
            found, _ = draw(left, made.positives, config_with(20))
            counted.append(float(np.sum(found["is_lens"].to_numpy(zero_copy_only=False))))
            expected.append(expected_lenses(truth, len(found), len(left), int(is_suspect.sum())))
        before, after = np.mean(expected, axis=0)
        rows.append([f"{listed:.0%}", f"{before:.0f}", f"{after:.0f}", f"{np.mean(counted):.0f}"])
    return table(["lenses that the suspects name", "expected in all", "after removal", "counted"], rows)


def hard(made: Made) -> str:
    """Hard negatives of a catalogue in N2: listed are random galaxies of the pool."""
    rng, rows = np.random.default_rng(3), []
    for listed in (20, 100, 1000):
        chosen = np.zeros(len(made.pool), bool)
        chosen[rng.permutation(len(made.pool))[:listed]] = True
        category = np.where(
            chosen, "external:listed", np.array(made.pool["confuser_category"].to_pylist(), object)
        )
        place = made.pool.column_names.index("confuser_category")
        pool = made.pool.set_column(place, "confuser_category", pa.array(category.tolist(), pa.string()))
        found, _ = draw(pool, made.positives, config_with())
        n2 = found.filter(pc.equal(found["pool"], "N2"))
        external = int(pc.sum(pc.equal(n2["confuser_category"], "external:listed")).as_py())
        rows.append([f"{listed:,}", f"{external:,}", f"{external / len(n2):.0%}"])
    return table(["entries in the pool", "drawn for N2", "of N2"], rows)


def folds(made: Made) -> str:
    """Rows and pixels of each fold, and of what is kept for tests."""
    columns = ["fold", "healpix_128"]
    negatives, positives = (
        part(columns=columns).to_table() for part in (made.manifest.negatives, made.manifest.positives)
    )
    rows = []
    for fold in (*range(5), None):
        one, other = (
            t.filter(pc.is_null(t["fold"]) if fold is None else pc.equal(t["fold"], fold))
            for t in (negatives, positives)
        )
        pixels = len(pc.unique(pa.concat_tables([one, other])["healpix_128"]))
        rows.append(
            ["test, in no fold" if fold is None else fold, pixels, f"{len(one):,}", f"{len(other):,}"]
        )
    return table(["fold", "pixels with rows", "negatives", "positives"], rows)


def sizes(made: Made) -> str:
    """Cutouts that reach beyond the image of their source's brick."""
    rows = made.manifest.negatives().to_table()
    found = cutouts(rows.append_column("viewer", pa.repeat("", len(rows))), 101, "grz")
    x, y = (found[name].to_numpy() for name in ("bx", "by"))
    lines = []
    for size in (101, 256, 512):
        half = size / 2
        beyond = (np.minimum(x, y) < half) | (np.maximum(x, y) > IMAGE_PIXELS - half)
        lines.append([size, f'{size * 0.262:.1f}"', f"{beyond.mean():.1%}"])
    return table(["pixels to a side", "side", "beyond the brick's image"], lines)


def redshifts(made: Made) -> str:
    """Photometric redshifts of both samples."""
    rows = []
    for name, part in (("negatives", made.manifest.negatives), ("positives", made.manifest.positives)):
        z = part(columns=["z_phot_median"]).to_table()["z_phot_median"]
        known = z.drop_null().to_numpy()
        low, middle, high = np.percentile(known, [16, 50, 84])
        rows.append(
            [name, f"{len(z):,}", f"{len(known) / len(z):.1%}", f"{low:.2f}", f"{middle:.2f}", f"{high:.2f}"]
        )
    return table(["", "rows", "with a redshift", "16 %", "median", "84 %"], rows)


TABLES: dict[str, Callable[[Made], str]] = {
    "deployment": deployment,
    "rate": rate,
    "ratios": ratios,
    "few": few,
    "suspects": suspects,
    "hard": hard,
    "folds": folds,
    "cutouts": sizes,
    "redshifts": redshifts,
}


def fill(page: str, tables: dict[str, str]) -> str:
    """Return the page with each table between its marks."""
    for name, text in tables.items():
        block = re.compile(rf"(<!-- training: {name} -->\n).*?(<!-- /training -->\n)", re.DOTALL)
        page, found = block.subn(lambda m: m[1] + text + m[2], page)  # noqa: B023
        assert found == 1, name
    return page


def measured(made: Made) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each table."""
    for name, of in TABLES.items():
        yield name, of(made)
        print(f"{name}\n", flush=True)


def main() -> None:
    """Write the tables and the figure of the rates."""
    with tempfile.TemporaryDirectory() as folder:
        made = Made(Path(folder))
        tables = dict(measured(made))
        files = sorted(str(path) for path in Path(made.files.pool_folder).iterdir())
        rates = PoolRates(config_with(), files).table()
        (DOCS / "calibration.png").write_bytes(rates_png(rates, "the made-up sky, negative_sampling_v2"))
    PAGE.write_text(fill(PAGE.read_text(), tables))
    print("\n".join(tables.values()))


if __name__ == "__main__":
    main()
