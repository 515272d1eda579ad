"""The sample of a lower ratio is the beginning of that of a higher one, in each stratum and pool."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import edited
from pipeline import OPEN_GATES, make_request
from plainrun import run_to_sample

from lensneg.mocksky import write_mock_sky

#: At 40 the pools of some strata are exhausted, so that one fills what the other lacks.
RATIOS = (1, 4, 40)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, plan_dict: dict[str, Any]) -> dict[int, Any]:
    """The TARGETIDs of each ratio's sample, by stratum and pool."""
    folder = tmp_path_factory.mktemp("ratios")
    write_mock_sky(folder / "sky", files=2, rows=8_000, seed=61)
    found = {}
    for ratio in RATIOS:
        config = folder / f"{ratio}.yaml"
        changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": ratio, "version": f"1.0.{ratio}"}
        config.write_text(edited(plan_dict, changes))
        files = run_to_sample(make_request(folder / "sky", config, folder / str(ratio), "one", "test"))
        rows = defaultdict(list)
        for path in sorted(Path(files.sample_folder, "negatives").iterdir()):
            for row in pq.read_table(path).to_pylist():
                rows[row["nobs_z_bin"], row["type_bin"], row["pool"]].append(row["targetid"])
        found[ratio] = rows
    return found


@pytest.mark.parametrize(("lower", "higher"), [(1, 4), (4, 40), (1, 40)])
def test_a_lower_ratio_is_the_beginning_of_a_higher_one(
    samples: dict[int, Any], lower: int, higher: int
) -> None:
    few, many = samples[lower], samples[higher]
    assert set(few) <= set(many)
    for key, ids in few.items():
        assert many[key][: len(ids)] == ids
    assert sum(map(len, few.values())) < sum(map(len, many.values()))


def test_a_pool_is_exhausted_at_the_highest_ratio(samples: dict[int, Any]) -> None:
    """So the statement holds for samples that are filled up, too: their shares are not those asked."""
    sizes = {key: len(ids) for key, ids in samples[40].items()}
    filled = [
        key for key in sizes if key[2] == "N1" and sizes[key] > 17 / 3 * sizes.get((*key[:2], "N2"), 0) + 6
    ]
    assert filled
