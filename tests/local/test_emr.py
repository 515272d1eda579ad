"""A job that ends before Spark starts: the telling lines of its log, and what to do."""

from pathlib import Path

import pytest

from lensneg.local.emr import JobRun, LocalEmrServerless

#: What Java and the shell print, as found with a limit on addresses, on open files and on processes.
LOGS = {
    "#\\n# There is insufficient memory for the Java Runtime Environment to continue.": "ulimit -v",
    "Error occurred during initialization of VM\\nCould not reserve enough space": "ulimit -v",
    "spark-class: line 97: Cannot allocate memory": "ulimit -v",
    'Exception in thread "main" java.lang.InternalError: Error loading java.security file': "ulimit -n 1024",
    "java.io.IOException: Failed to create local dir in /tmp. Read-only file system": "in TMPDIR",
}


def failed(folder: Path, command: list[str]) -> str:
    run = JobRun("job", "local", "")
    LocalEmrServerless(folder)._run(run, command)
    assert run.state == "FAILED"
    return run.state_details


@pytest.mark.parametrize("log", LOGS)
def test_the_telling_line_of_a_jobs_log_and_the_remedy_are_told(tmp_path: Path, log: str) -> None:
    told = failed(tmp_path, ["sh", "-c", f"printf '26/11/28 10:00:00 INFO X: y\\n{log}\\n'; exit 1"])
    assert log.split("\\n")[-1] in told
    assert LOGS[log] in told.splitlines()[-1]
    assert "INFO" not in told


def test_a_job_without_a_folder_for_scratch_files_is_told_of_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", none)
    assert "in TMPDIR" in failed(tmp_path, ["true"])


def test_a_core_or_crash_file_is_written_beside_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.chdir(mine)
    failed(tmp_path / "logs", ["sh", "-c", "echo x > hs_err_pid1.log; exit 1"])
    assert list(mine.iterdir()) == []
    assert (tmp_path / "logs" / "hs_err_pid1.log").exists()
