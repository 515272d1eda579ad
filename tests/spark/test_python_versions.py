"""The Spark job runs on the oldest Python that EMR Serverless may give it. Others run it on theirs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from lensneg.local.emr import local_submit_parameters
from lensneg.local.environment import job_environment
from lensneg.schema.layout import RunFiles
from lensneg.schema.resources import SPARK_JOB
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out


def interpreter(version: str) -> str:
    """The path of a Python of this version, of pyenv or of the system."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
    for python in [sys.executable, *found, *filter(None, [shutil.which(f"python{version}")])]:
        script = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return python
    missing = f"no Python {version}: install it, with pyenv or on the PATH"
    if os.environ.get("LENSNEG_ALL_TOOLS"):
        pytest.fail(missing)
    pytest.skip(missing)


def test_the_job_draws_a_sample_that_passes_gate_3_on_python_3_9(mapped: RunFiles, tmp_path: Path) -> None:
    python, root = interpreter("3.9"), tmp_path / "runs" / mapped.run_id
    shutil.copytree(mapped.root, root)
    assert summarize_fan_out(str(root)).gate.passed
    command = [python, str(SPARK_JOB), "--run", str(root)]
    # PySpark is pure Python: any interpreter runs the one that is installed.
    environment = {
        **job_environment(os.environ),
        "PYSPARK_PYTHON": python,
        "PYSPARK_SUBMIT_ARGS": f"{local_submit_parameters(2)} pyspark-shell",
        "PYTHONPATH": str(Path(pyspark.__file__).parents[1]),
    }
    job = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert job.returncode == 0, re.sub(r"(?m)^\d\d/\d\d/\d\d .*\n", "", job.stderr)
    verdict = check_sample(str(root)).gate
    assert verdict.passed, verdict.cause
