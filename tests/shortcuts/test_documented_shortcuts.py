"""The table of shortcuts in docs/science.md, and the script that makes it."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from test_shortcuts import rows

from lensneg.shortcuts.columns import COLUMNS
from lensneg.shortcuts.shortcuts import find_shortcuts

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import shortcuts as script  # noqa: E402


def cells(text: str) -> dict[str, list[str]]:
    """The lines of a Markdown table by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in lines}


def test_the_document_has_a_line_for_each_column() -> None:
    """With v1, r alone tells positives from negatives as on the real sky: AUC 0.78 to 0.85."""
    [block] = script.BLOCK.finditer(script.PAGE.read_text(encoding="utf-8"))
    found = cells(block[0])
    labels = {column.label for column in COLUMNS} | {"all nuisance columns", "all colours and shapes"}
    assert labels == set(found) - {"negative_sampling_v1, over all"}
    assert 0.78 <= float(found["r magnitude"][0].split(" ± ")[0]) <= 0.85


def test_configs_stand_next_to_each_other_in_table_and_figure() -> None:
    bright = rows(30, 300, mag_r=lambda v, p: v - 9 * p)
    found = {
        "one": find_shortcuts(bright, None),
        "two": find_shortcuts(pa.concat_tables([rows(5, 10), rows(5, 10, 2)]), 0.6),
    }
    lines = cells(script.table(found))
    assert lines["r magnitude"][:2] == ["1.000 ± 0.000", "1.000 ± 0.000"]
    assert len(lines["r magnitude"]) == 4
    assert lines["all nuisance columns"][2:] == ["–", "–"]
    [axes] = script.draw(found).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["limit of all nuisance columns", "one", "two"]
    assert [bar.get_width() for bar in axes.containers[1].patches][1] == np.float64(0.5)
