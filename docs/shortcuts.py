"""Measure shortcuts of configs on one made-up sky: the table and the figure in docs/science.md.

    python docs/shortcuts.py [CONFIG ...]

Without arguments: negative_sampling_v1 and negative_sampling_v2. It makes 20 sweep files with 10 lenses each,
draws negatives for them with each config, and reads the shortcut audit of validation.json. It takes some
minutes.
"""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parents[1]))

import lensneg
from lensneg.mocksky import write_mock_sky
from lensneg.schema.shortcuts import Auc, Shortcuts
from lensneg.schema.validation import ValidationRecord

DOCS = Path(__file__).parent
PAGE, FIGURE = DOCS / "science.md", DOCS / "shortcuts.png"
BLOCK = re.compile(r"(<!-- shortcuts -->\n).*?(<!-- /shortcuts -->\n)", re.DOTALL)
CONFIGS = ("negative_sampling_v1", "negative_sampling_v2")

#: The sky is of cells of 5 degrees: from this RA on, at these Dec.
FIRST_RA, DECS = 150, (-10, -5, 0, 5, 10)
FILES, LENSES_IN_A_FILE = 20, 10

#: Negatives for each positive: 1.4 % of the pool, as 100 for each known lens are of the survey's. With 100 on
#: this sky, which has few galaxies for its lenses, bright ones would run out.
RATIO = 5

#: Colours that differ for the colour-blind, and in grey.
COLOURS = ("#e08a1e", "#1f4e79", "#7a7a7a")


def make_sky(folder: Path, files: int = FILES, rows: int = 250_000, pz: bool = False) -> None:
    """Write a made-up sky with as many lenses in each file, at random places."""
    rng = np.random.default_rng(1)
    lines = ["name,ra,dec"]
    for number in range(files):
        ra, dec = FIRST_RA + 5 * (number // len(DECS)), DECS[number % len(DECS)]
        for place in rng.uniform(0.1, 4.9, (LENSES_IN_A_FILE, 2)):
            lines.append(f"lens {len(lines)},{ra + place[0]:.6f},{dec + place[1]:.6f}")
    catalog = folder / "catalog.csv"
    catalog.write_text("\n".join(lines) + "\n")
    write_mock_sky(folder, files=files, rows=rows, positives=catalog, pz=pz)


def measure(config: str, sky: Path, out: Path) -> Shortcuts:
    """Run a config, and return its shortcut audit."""
    changed = out.with_suffix(".yaml")
    pools = f"negative_pools: {{neg_pos_ratio: {RATIO}}}"
    changed.write_text(f"extends: {config}\nname: {config}_shortcuts\nversion: 1.0.0\n{pools}\n")
    lensneg.run(config=changed, sweeps=sky / "sweeps", positives=sky / "positives.csv", out=out, run_id="one")
    found = ValidationRecord.read(str(out / "runs" / "one" / "validation.json")).shortcuts
    assert found is not None
    return found


def lines_of(found: Shortcuts) -> dict[str, tuple[Auc | None, Auc | None]]:
    """Return the AUCs over all and within strata, by label."""
    return {
        one.label: (one.overall, one.within_strata)
        for together in found.combined
        for one in (together, *(column for column in found.columns if column.kind == together.kind))
    }


def table(found: dict[str, Shortcuts]) -> str:
    """Return the AUCs as a Markdown table."""
    lines = {config: lines_of(one) for config, one in found.items()}
    head = [f"{config}, {where}" for config in found for where in ("over all", "within strata")]
    text = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for label in next(iter(lines.values())):
        cells = [one for of_config in lines.values() for one in of_config[label]]
        shown = [f"{one.auc:.3f} ± {one.error:.3f}" if one else "–" for one in cells]
        text.append(f"| {label} | " + " | ".join(shown) + " |")
    return "\n".join(text) + "\n"


def draw(found: dict[str, Shortcuts]) -> Figure:
    """Draw the AUCs over all of each config, side by side."""
    labels = list(lines_of(next(iter(found.values()))))
    height = 0.28 * len(labels) + 1
    figure = Figure(figsize=(8, height))
    axes = figure.add_axes((0.27, 0.6 / height, 0.7, 1 - 0.75 / height))
    thick = 0.8 / len(found)
    for i, ((config, one), colour) in enumerate(zip(found.items(), COLOURS, strict=False)):
        drawn = [(row, overall) for row, (overall, _) in enumerate(lines_of(one).values()) if overall]
        axes.barh(
            [row + (i + 0.5) * thick - 0.4 for row, _ in drawn],
            [overall.auc - 0.5 for _, overall in drawn],
            xerr=[overall.error for _, overall in drawn],
            left=0.5, height=thick, color=colour, label=config, error_kw={"linewidth": 0.8, "capsize": 2},
        )  # fmt: skip
    axes.axvline(0.5, color="black", linewidth=0.8)
    for limit in {one.limit for one in found.values()} - {None}:
        axes.axvline(
            limit, color="black", linewidth=0.8, linestyle="--", label="limit of all nuisance columns"
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0.44, 1)
    axes.set_xlabel("AUC over all: 0.5 is chance")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def main() -> None:
    """Write the table and the figure."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        make_sky(Path(folder))
        for config in sys.argv[1:] or CONFIGS:
            found[config] = measure(config, Path(folder), Path(folder) / config)
    draw(found).savefig(FIGURE, dpi=110, metadata={"Software": None})
    PAGE.write_text(BLOCK.sub(lambda m: m[1] + table(found) + m[2], PAGE.read_text()))
    print(table(found))


if __name__ == "__main__":
    main()
