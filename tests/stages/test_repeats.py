"""A run whose sweep files hold sources twice: the same sample, weights and shares as without the copies."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits
from conftest import edited
from pipeline import make_request, read_parts
from plainrun import edit_json, failing, run_map, run_to_sample

from lensneg.schema.layout import RunFiles
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out

#: Differs between two runs, or says where a file is.
OF_THE_RUN = {"extraction_timestamp", "row_index"}


def sky_with(gate_sky: Path, folder: Path, change: Any) -> Path:
    """A copy of a sky with other rows in its first file, cut into items of 2,000 rows."""
    (folder / "sweeps").mkdir(parents=True)
    for number, path in enumerate(sorted((gate_sky / "sweeps").iterdir())):
        rows = fits.getdata(path)
        rows = change(rows) if number == 0 else rows
        fits.BinTableHDU(rows, name="SWEEP").writeto(folder / "sweeps" / path.name)
    (folder / "positives.csv").write_bytes((gate_sky / "positives.csv").read_bytes())
    config = yaml.safe_load((gate_sky / "config.yaml").read_text())
    (folder / "config.yaml").write_text(edited(config, {"execution.target_item_bytes": 1 << 20}))
    return folder


def run_of(sky: Path) -> RunFiles:
    return run_to_sample(make_request(sky, sky / "config.yaml", sky / "out", "one", "test"))


def sample(files: RunFiles) -> list[dict[str, Any]]:
    rows = read_parts(f"{files.sample_folder}/negatives") + read_parts(f"{files.sample_folder}/positives")
    return [{name: value for name, value in row.items() if name not in OF_THE_RUN} for row in rows]


COPIES = {
    "each row twice in one item": lambda rows: np.repeat(rows, 2),
    "each row again in another item": lambda rows: np.concatenate([rows, rows]),
    "some rows three times": lambda rows: np.concatenate([rows, rows[::3], rows[::-3]]),
}


@pytest.fixture(scope="module")
def once(gate_sky: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return run_of(sky_with(gate_sky, tmp_path_factory.mktemp("once") / "sky", lambda rows: rows))


@pytest.mark.parametrize("how", COPIES)
def test_copies_change_no_count_and_no_weight(
    gate_sky: Path, once: RunFiles, tmp_path: Path, how: str
) -> None:
    files = run_of(sky_with(gate_sky, tmp_path / "sky", COPIES[how]))
    assert failing(files.gate(2)) == {"pool_unique"}  # a warning
    before, now = (json.loads(Path(f.quotas).read_text()) for f in (once, files))
    assert now["strata"] == before["strata"]
    before, now = (json.loads(Path(f.summary).read_text()) for f in (once, files))
    assert (now["n2_fraction"], now["confusers"]) == (before["n2_fraction"], before["confusers"])
    assert repr(sample(files)) == repr(sample(once))  # as text, since NaN is not equal to itself


def test_a_source_in_two_strata_is_refused(gate_sky: Path, tmp_path: Path) -> None:
    def deeper(rows: Any) -> Any:
        again = rows[rows["NOBS_Z"] == 2][:200].copy()
        again["NOBS_Z"] = 20
        return np.concatenate([rows, again])

    sky = sky_with(gate_sky, tmp_path / "sky", deeper)
    files = run_map(make_request(sky, sky / "config.yaml", sky / "out", "one", "test"))
    verdict = summarize_fan_out(files.root).gate
    assert failing(files.gate(2)) == {"pool_unique"}
    assert "TARGETIDs are in two strata or pools" in verdict.cause


def test_the_usual_run_reads_no_pool_file_for_this(mapped: RunFiles, tmp_path: Path) -> None:
    """Rows are in the order of TARGETID, or at least of bricks: no ranges overlap."""
    shutil.copytree(mapped.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    edit_json(files.run, lambda record: record.update(out=files.out))
    for path in Path(files.pool_folder).iterdir():
        path.write_bytes(bytes(path.stat().st_size))  # as many bytes, so the item counts as done
    assert summarize_fan_out(files.root).gate.passed
