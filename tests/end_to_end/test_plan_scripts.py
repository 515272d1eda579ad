"""What the README's first command publishes passes the plan's acceptance scripts (3.4, 5.2, 7.1 and 7.2), and
examples/quickstart.ipynb runs on it."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import lensneg
from lensneg.mocksky import write_mock_sky

ROOT = Path(__file__).parents[2]

#: The plan's scripts, and `run-all`, which runs them on a checkout and a folder of negatives.
SCRIPTS = ROOT.parent / "shared" / "plan-scripts"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> lensneg.Manifest:
    """The manifest that `make run` publishes, of half as large a sky, which needs no mini-test."""
    folder = tmp_path_factory.mktemp("plan")
    write_mock_sky(folder / "sky", files=2)
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


def test_the_notebook_runs_on_it(
    published: lensneg.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step finds what it needs, and the numbers that it prints are those of the manifest."""
    monkeypatch.setenv("LENSNEG_OUT", str(Path(published.folder).parents[1]))
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    counts = published.counts
    assert f"{published.run_id} {counts.negatives} negatives {counts.positives} positives" in printed
    weights = published.negatives(columns=["sampling_weight"]).to_table()["sampling_weight"].to_pylist()
    assert f"{sum(weights):,.0f} candidates" in printed
    assert "AUC" in printed
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not list(tmp_path.iterdir()), "the manifest is there, so no sky is made"
