"""What the README's first command publishes passes the plan's acceptance scripts: 3.4, 5.2, 7.1 and 7.2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import lensneg
from lensneg.mocksky import write_mock_sky

ROOT = Path(__file__).parents[2]

#: The plan's scripts, and `run-all`, which runs them on a checkout and a folder of negatives.
SCRIPTS = ROOT.parent / "shared" / "plan-scripts"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> lensneg.Manifest:
    """The manifest that `make run` publishes."""
    folder = tmp_path_factory.mktemp("plan")
    write_mock_sky(folder / "sky")
    return lensneg.run(
        config="negative_sampling_v1",
        sweeps=folder / "sky" / "sweeps",
        positives=folder / "sky" / "positives.csv",
        out=folder / "out",
    )


@pytest.mark.skipif(not SCRIPTS.exists(), reason="no ../shared/plan-scripts beside this checkout")
def test_the_scripts_of_the_plan_run_unchanged(published: lensneg.Manifest) -> None:
    [negatives] = {Path(uri).parent for uri in published.files("negatives")}
    command = [str(SCRIPTS / "run-all"), str(ROOT), str(negatives), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed: 13/13" in done.stdout
    assert done.stdout.endswith("plan scripts: all passed\n")


def test_validation_json_says_what_the_scripts_find(published: lensneg.Manifest) -> None:
    out = Path(published.folder).parents[1]
    validation = json.loads((out / "runs" / published.run_id / "validation.json").read_text())
    checks = {check["name"]: check["passed"] for check in validation["acceptance_checks"]}
    assert len(checks) == 13
    assert all(checks.values())
    frame = published.negatives().to_table().to_pandas()
    assert validation["total_rows"] == validation["unique_galaxies"] == len(frame)
    for name, column in (
        ("pool_distribution", "pool"),
        ("split_distribution", "split"),
        ("type_distribution", "type_bin"),
        ("nobs_distribution", "nobs_z_bin"),
    ):
        assert validation[name] == frame[column].value_counts().to_dict()
    assert set(validation["type_distribution"]) == {"SER", "DEV", "REX", "EXP"}
    assert validation["ra_range"] == [frame["ra"].min(), frame["ra"].max()]
    assert validation["dec_range"] == [frame["dec"].min(), frame["dec"].max()]
    assert validation["git_commits"] == frame["git_commit"].unique().tolist()
