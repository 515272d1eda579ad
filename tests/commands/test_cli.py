"""The command line: what it refuses at the door, its exit codes, and what it prints."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONFIGS
from nearrun import ended, run_here
from pipeline import JobStandIn
from usage import told

from lensneg.local import runner
from lensneg.mocksky import write_mock_sky

PLAN = CONFIGS / "negative_sampling_v1.yaml"


class Door:
    """The command line within this process, and what it runs, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        code = ended(self.monkeypatch, *arguments)
        return code, *self.capsys.readouterr()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    monkeypatch.setenv("COLUMNS", "80")
    run_here(monkeypatch)
    return Door(monkeypatch, capsys)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    write_mock_sky(folder, files=2, rows=3_000, seed=31)
    return folder


def with_a_mini_test(folder: Path) -> Path:
    """The plan's config, whose mini-test takes one of the sky's two files."""
    config = folder / "config.yaml"
    config.write_text(f"name: mine\nextends: {PLAN.stem}\nexecution: {{mini_test_files: 1}}\n")
    return config


def test_help_names_the_commands_and_has_examples(door: Door) -> None:
    assert "mock-sky" in door("--help")[1]
    for command in ("run", "mock-sky"):
        code, out, _ = door(command, "--help")
        assert code == 0
        assert "Example: lensneg" in " ".join(out.split())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--config": "nowhere.yaml"}, "nowhere.yaml: no such file"),
        ({"--sweeps": "nowhere"}, "nowhere: no such folder"),
        ({"--positives": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"--exclude": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"--spectroscopic": "nowhere.fits"}, "nowhere.fits: no such file"),
        ({"--sweeps": str(PLAN)}, "this is a file, and neither a folder of sweep files nor a table"),
        ({"--positives": str(PLAN)}, "cannot be read as CSV"),
        ({"--positives": "x.csv?alpha=RA"}, "'alpha' is not an option of a catalogue"),
        ({"--run-id": "../../etc"}, "Invalid value for '--run-id': '../../etc'"),
        ({"--mode": "half"}, "'half' is not one of"),
        ({"--workers": "0"}, "0 is not in the range"),
        ({"--out": "s3://bucket/prefix"}, "writes to a local folder"),
        ({"--out": str(PLAN)}, "a file; name a folder"),
        ({"--out": "ftp://host/x"}, "expected a local path or s3://"),
    ],
)
def test_bad_usage_and_input_are_refused_at_the_door(
    door: Door, sky: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    arguments = {
        "--config": str(PLAN),
        "--sweeps": str(sky / "sweeps"),
        "--positives": str(sky / "positives.csv"),
        "--out": str(tmp_path / "out"),
        **change,
    }
    code, _, err = door("run", *[word for pair in arguments.items() for word in pair])
    assert code == 2
    assert message in told(err)
    assert not (tmp_path / "out").exists()


def test_a_config_with_faults_is_refused_with_every_fault(door: Door, sky: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(PLAN.read_text().replace("z_mag_limit: 20.0", "mag_z_limit: 20.0"))
    code, _, err = door(
        "run",
        "--config",
        config,
        "--sweeps",
        sky,
        "--positives",
        sky / "positives.csv",
        "--out",
        tmp_path / "out",
    )
    assert code == 2
    assert "selection.mag_z_limit: unknown key" in err
    assert "selection.z_mag_limit: missing" in err


def test_a_gate_that_fails_ends_with_1_and_the_gate_table(door: Door, sky: Path, tmp_path: Path) -> None:
    code, out, err = door(
        "run", "--config", with_a_mini_test(tmp_path), "--sweeps", sky / "sweeps", "--positives",
        sky / "positives.csv", "--out", tmp_path / "out", "--mode", "full", "--run-id", "lonely",
    )  # fmt: skip
    assert code == 1
    assert "Gate1PreSubmission │ failed" in out
    assert "FAILED   Gate1PreSubmission of run lonely\n" in err
    assert "mini_test_passed: expected a passed mini-test" in told(err)
    assert "Traceback" not in out + err


def test_the_real_dr8_sweep_file_is_refused(
    shared_data: Callable[[str], Path], door: Door, tmp_path: Path
) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "sweep-310m005-320p000.fits").symlink_to(shared_data("dr8-sweep-310m005-320p000.fits"))
    lenses = tmp_path / "lenses.csv"
    lenses.write_text("ra,dec\n315,-2\n")
    code, _, err = door(
        "run", "--config", PLAN, "--sweeps", folder, "--positives", lenses,
        "--out", tmp_path / "out", "--mode", "test", "--workers", 1,
    )  # fmt: skip
    assert code == 1
    why = told(err)
    assert "sweep-310m005-320p000.fits" in why
    assert "SHAPE_R" in why
    assert "It is laid out as in DR8 or before." in why
    assert "fetch those of the config's release, as from the survey's south/sweep/10.1 folder" in why


def test_companion_files_are_not_inputs(door: Door, sky: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    for sweep in (sky / "sweeps").iterdir():
        for companion in ("-lc", "-ex", "-pz"):
            (folder / sweep.name.replace(".fits", f"{companion}.fits")).symlink_to(sweep)
    lenses = tmp_path / "lenses.csv"
    lenses.write_text("ra,dec\n315,-2\n")
    code, _, err = door(
        "run", "--config", PLAN, "--sweeps", folder, "--positives", lenses,
        "--out", tmp_path / "out", "--mode", "test", "--workers", 1,
    )  # fmt: skip
    assert code == 1
    assert "0 sweep files, 6 other files (ignored)" in told(err)


def test_mock_sky_refuses_a_folder_with_another_sky(door: Door, sky: Path) -> None:
    code, _, err = door("mock-sky", sky)
    assert code == 2
    assert str(sky) in err.replace("\n", "")


def test_the_gate_at_which_a_mini_test_failed_is_named(
    door: Door, sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gate 1 of the run fails because of it, and is not at fault."""

    def job(_: Path) -> None:
        raise RuntimeError("Error loading java.security file")

    monkeypatch.setattr(runner, "LocalEmrServerless", lambda *_: JobStandIn(job))
    code, _, err = door(
        "run", "--config", with_a_mini_test(tmp_path), "--sweeps", sky / "sweeps", "--positives",
        sky / "positives.csv", "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 1
    assert "FAILED   Gate3SampleComplete of the mini-test run-" in err
    assert "Error loading java.security file" in told(err)
