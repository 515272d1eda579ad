"""Sources in two rows, against a count of every TARGETID."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensneg.rules.sources import brick_ranges, shared_bricks

#: Few bricks and objects, so that they meet often; the highest fills a TARGETID.
IDS = st.builds(
    lambda brick, objid: brick << 22 | objid, st.sampled_from([0, 1, 2**41 - 1]), st.integers(0, 9)
)


@given(st.lists(st.lists(IDS, max_size=12), max_size=4))
def test_no_brick_of_a_repeated_source_is_left_out(files: list[list[int]]) -> None:
    ranges = [pair for ids in files for pair in brick_ranges(np.array(ids, np.int64))]
    rows = Counter(targetid for ids in files for targetid in ids)
    repeated = {targetid >> 22 for targetid, count in rows.items() if count > 1}
    assert repeated <= set(shared_bricks(ranges).tolist())


@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_files_cut_anywhere_in_order_share_no_brick(cut: int) -> None:
    ids = np.array([7 << 22 | objid for objid in range(10)])
    assert not len(shared_bricks([*brick_ranges(ids[:cut]), *brick_ranges(ids[cut:])]))
