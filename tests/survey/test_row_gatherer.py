"""Rows gathered from chunks."""

import numpy as np
import pytest
from sweepfile import table

from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.survey import row_gatherer
from lensneg.survey.row_gatherer import RowGatherer


@pytest.mark.parametrize("room", [1, 3000, 100_000])
def test_gathered_rows_are_those_that_were_appended(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Whatever room there was: in pieces from none to more than are moved at once."""
    monkeypatch.setattr(row_gatherer, "_ROOM", room)
    rows = np.repeat(table([{}]), 9000)
    random = np.random.default_rng(7)
    for name in ("RA", "FLUX_Z", "OBJID"):
        rows[name] = random.integers(0, 1 << 20, 9000)
    rows["TYPE"] = random.choice([b"PSF", b"SER", b"rex"], 9000)
    gatherer, kept = RowGatherer(sweep_dtype()), []
    for first, last in ((0, 0), (0, 1), (1, 5000), (5000, 5001), (5001, 8900), (8900, 9000)):
        chunk = rows[first:last].copy()
        index = np.flatnonzero(random.random(last - first) < 0.7)
        if first == 5001:
            index = np.arange(last - first)
        gatherer.append(chunk, first, index)
        chunk.view(np.uint8)[:] = 0xFF  # as a chunk's buffer is used again
        kept += (first + index).tolist()
    assert len(gatherer) == len(kept)
    gathered = gatherer.gathered()
    assert len(gathered) == len(kept)
    assert gathered.row_index.tolist() == kept
    some_of = random.permutation(len(kept))[:500]
    for name in ("RA", "FLUX_Z", "OBJID", "TYPE"):
        assert gathered[name].dtype.isnative
        assert gathered[name].tolist() == rows[name][kept].tolist()
        assert gathered.take(some_of)[name].tolist() == rows[name][kept][some_of].tolist()
    assert gathered.take(some_of).take(np.array([3, 1])).row_index.tolist() == [
        kept[some_of[3]],
        kept[some_of[1]],
    ]


def test_nothing_gathered() -> None:
    nothing = RowGatherer(sweep_dtype()).gathered()
    assert (len(nothing), nothing["RA"].tolist(), nothing.source_type().tolist()) == (0, [], [])
