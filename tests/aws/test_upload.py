"""lensneg aws upload: a run's inputs reach the bucket, checked; preflight names what is missing."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from conftest import CONFIGS
from hatscase import write_hats
from sweepfile import NAME, table, write_sweep

from lensneg import storage
from lensneg.aws.deployment import OUTPUTS, Stack, read_stack
from lensneg.cli import cli
from lensneg.errors import InputError
from lensneg.schema.config import Config
from lensneg.stages.preflight.gate1 import preflight

CONFIG = CONFIGS / "negative_sampling_v1.yaml"


@pytest.fixture
def outputs(s3: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A deployed stack, as CloudFormation describes it."""
    outputs = dict.fromkeys(OUTPUTS, "x")
    outputs |= {
        "ConfigsUri": f"{s3}/configs",
        "CatalogsUri": f"{s3}/catalogs",
        "SweepsUri": f"{s3}/sweeps",
        "OutUri": f"{s3}/out",
    }

    class CloudFormation:
        def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 (boto3's name)
            listed = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
            return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": listed}]}

    client = boto3.client
    monkeypatch.setattr(
        boto3,
        "client",
        lambda name, **more: CloudFormation() if name == "cloudformation" else client(name, **more),
    )
    return outputs


@pytest.fixture
def lenses(tmp_path: Path) -> Path:
    path = tmp_path / "lenses.csv"
    path.write_text("name,ALPHA,DELTA\na,10.0,-20.0\n")
    return path


def upload(*arguments: str) -> tuple[list[str], dict[str, Any]]:
    result = CliRunner().invoke(cli, ["aws", "upload", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    text, _, rest = result.stdout.partition("\n\n")
    return text.splitlines(), json.loads(rest.split("\n", 1)[1])


def test_the_files_are_there_and_the_input_names_them(outputs: dict[str, str], s3: str, lenses: Path) -> None:
    lines, execution = upload("--config", str(CONFIG), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA")
    assert storage.read_bytes(f"{s3}/configs/{CONFIG.name}") == CONFIG.read_bytes()
    assert storage.read_bytes(f"{s3}/catalogs/lenses.csv") == lenses.read_bytes()
    assert execution["positives"] == [f"{s3}/catalogs/lenses.csv?ra=ALPHA&dec=DELTA"]
    assert execution["out"] == f"{s3}/out"
    assert all(line.startswith("sent") for line in lines)
    again, _ = upload("--config", str(CONFIG), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA")
    assert all(line.startswith("there already") for line in again)
    # And preflight finds them there: only the sweeps are still missing.
    verdict = preflight({"run_id": "one", **execution}).gate
    assert "sweeps_listed" in verdict.cause
    assert "config_valid" not in verdict.cause
    assert "catalog_readable" not in verdict.cause


def test_a_config_is_sent_with_the_files_that_it_extends_and_read_there(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    """But without the shipped config at the end, which the functions have."""
    (tmp_path / "mine.yaml").write_text("name: mine\nextends: base.yaml\n")
    (tmp_path / "base.yaml").write_text("name: base\nextends: v1\nnegative_pools: {neg_pos_ratio: 7}\n")
    positives = f"{lenses}?ra=ALPHA&dec=DELTA"
    _, execution = upload("--config", str(tmp_path / "mine.yaml"), "--positives", positives)
    assert execution["config"] == f"{s3}/configs/mine.yaml"
    sent = {storage.basename(info.uri) for info in storage.list_files(f"{s3}/configs")}
    assert sent == {"mine.yaml", "base.yaml"}
    assert Config.load(execution["config"]).negative_pools.neg_pos_ratio == 7


@pytest.mark.parametrize("change", [b"", b"# changed\n"])
def test_a_bucket_whose_etags_are_no_md5_is_told_apart_by_sha256(
    outputs: dict[str, str], lenses: Path, tmp_path: Path, change: bytes
) -> None:
    """As S3 answers where a key of KMS encrypts the bucket."""

    def encrypted(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ETag"] = '"0123456789abcdef0123456789abcdef"'

    config = tmp_path / "v1.yaml"
    config.write_bytes(CONFIG.read_bytes())
    events = storage.s3_client().meta.events
    events.register("after-call.s3.HeadObject", encrypted)
    try:
        upload("--config", str(config), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA")
        lenses.write_bytes(lenses.read_bytes() + change)
        again, _ = upload("--config", str(config), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA")
        said = {line.split("/")[-1]: line.split()[0] for line in again}
        assert said == {"v1.yaml": "there", "lenses.csv": "sent" if change else "there"}
        config.write_bytes(config.read_bytes() + b"# changed\n")
        with pytest.raises(InputError, match="there already, with other bytes"):
            upload("--config", str(config), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA")
    finally:
        events.unregister("after-call.s3.HeadObject", encrypted)


def test_preflight_says_exactly_what_is_missing(s3: str) -> None:
    request = {
        "run_id": "one",
        "mode": "test",
        "config": f"{s3}/configs/v1.yaml",
        "sweeps": f"{s3}/sweeps",
        "positives": [f"{s3}/catalogs/lenses.csv"],
        "out": f"{s3}/out",
    }
    cause = preflight(request).gate.cause
    assert f"{s3}/configs/v1.yaml: no such file (put it there" in cause
    assert f"{s3}/catalogs/lenses.csv: no such file" in cause
    assert cause.count("lensneg aws upload") == 2
    assert f"below {s3}/sweeps" in cause


def test_a_changed_config_is_refused(outputs: dict[str, str], lenses: Path, tmp_path: Path) -> None:
    arguments = ["--positives", f"{lenses}?ra=ALPHA&dec=DELTA"]
    upload("--config", str(CONFIG), *arguments)
    changed = tmp_path / CONFIG.name
    changed.write_text(CONFIG.read_text() + "# changed\n")
    with pytest.raises(InputError, match="give the changed one a new version"):
        upload("--config", str(changed), *arguments)


def test_nothing_is_sent_if_one_file_is_wrong(outputs: dict[str, str], s3: str, tmp_path: Path) -> None:
    broken = tmp_path / "lenses.csv"
    broken.write_text("name,x,y\na,1,2\n")
    with pytest.raises(InputError, match=r"lenses\.csv"):
        upload("--config", str(CONFIG), "--positives", str(broken))
    assert storage.list_files(s3) == []


def test_an_input_of_a_wrong_kind_is_refused(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    """As lensneg run refuses it: a catalogue as sweeps, a sweep as catalogue, no positive in the sweeps."""
    named = f"{lenses}?ra=ALPHA&dec=DELTA"
    with pytest.raises(InputError, match=r"lenses\.csv is no table of sweep sources.*a catalogue"):
        upload("--positives", named, "--sweeps", str(lenses))
    (tmp_path / "sky").mkdir()
    sweep = tmp_path / "sky" / NAME
    write_sweep(sweep, [{}])
    with pytest.raises(InputError, match="this is a sweep file, not a lens catalogue"):
        upload("--positives", str(sweep))
    with pytest.raises(InputError, match="no positive lies inside the sweep files"):
        upload("--positives", named, "--sweeps", str(sweep.parent))
    assert storage.list_files(s3) == []


@pytest.mark.parametrize("place", ["another folder", "the bucket"])
def test_two_catalogues_of_one_file_name_are_refused(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "others").mkdir()
    others = tmp_path / "others" / "lenses.csv"
    others.write_text("name,ra,dec\nb,11.0,-21.0\n")
    second = str(others) if place == "another folder" else f"{s3}/catalogs/lenses.csv"
    if place == "the bucket":
        storage.put_file(str(others), second)
    before = storage.list_files(s3)
    with pytest.raises(InputError) as refused:
        upload("--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--exclude", second)
    assert refused.value.where == second
    assert refused.value.what == f"{lenses} would be uploaded to the same place, {s3}/catalogs/lenses.csv"
    assert storage.list_files(s3) == before, "nothing was sent"
    # One file in two roles, with two selections of its rows, is one object.
    both = ("--positives", f"{others}?where.name=b", "--exclude", f"{tmp_path}/others/../others/lenses.csv")
    _, execution = upload(*both)
    assert execution["positives"] == [f"{s3}/catalogs/lenses.csv?where.name=b"]
    assert execution["exclude"] == [f"{s3}/catalogs/lenses.csv"]
    assert "spectroscopic" not in execution


def test_a_spectroscopic_catalogue_is_uploaded_too(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    spectra = tmp_path / "desi.csv"
    spectra.write_text("TARGETID,TARGET_RA,TARGET_DEC\n1,11.0,-21.0\n")
    _, execution = upload("--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--spectroscopic", str(spectra))
    assert execution["spectroscopic"] == [f"{s3}/catalogs/desi.csv"]
    assert f"{s3}/catalogs/desi.csv" in [info.uri for info in storage.list_files(s3)]


def test_suspects_hard_negatives_and_pz_files_are_uploaded_too(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    suspects, rings, folder = tmp_path / "suspects.csv", tmp_path / "rings.csv", tmp_path / "pz"
    suspects.write_text("TARGETID,p\n43990670490206209,0.9\n")
    rings.write_text("ra,dec\n11,-21\n")
    folder.mkdir()
    for name in (
        "sweep-000m005-005p000-pz.fits",
        "sweep-000m005-005p000-ex.fits",
        "sweep-000m005-005p000.fits",
    ):
        (folder / name).write_bytes(b"x")
    options = [
        "--positives",
        f"{lenses}?ra=ALPHA&dec=DELTA",
        "--suspects",
        f"{suspects}?score=p&score_min=0.5",
    ]
    _, execution = upload(*options, "--hard-negatives", f"{rings}?name=zoo", "--pz", str(folder))
    assert execution["suspects"] == [f"{s3}/catalogs/suspects.csv?score=p&score_min=0.5"]
    assert execution["hard_negatives"] == [f"{s3}/catalogs/rings.csv?name=zoo"]
    assert execution["pz"] == f"{s3}/sweeps"
    sent = {info.uri.removeprefix(f"{s3}/") for info in storage.list_files(s3)}
    assert {name for name in sent if name.startswith("sweeps/")} == {"sweeps/sweep-000m005-005p000-pz.fits"}
    assert {"catalogs/suspects.csv", "catalogs/rings.csv"} <= sent


def test_a_folder_without_pz_files_is_refused(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    (tmp_path / "pz").mkdir()
    with pytest.raises(InputError, match="no -pz file"):
        upload("--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--pz", str(tmp_path / "pz"))


def test_two_sweep_files_of_one_name_are_refused(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / "sweeps" / folder).mkdir(parents=True)
        (tmp_path / "sweeps" / folder / "sweep-000m005-005p000.fits").write_bytes(folder.encode())
    with pytest.raises(InputError, match="would be uploaded to the same place"):
        upload("--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--sweeps", str(tmp_path / "sweeps"))
    assert storage.list_files(s3) == []


def test_sweeps_are_sent_and_nothing_else_of_their_folder(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    for name in ("sweep-010m020-015m015.fits", "sweep-010m020-015m015-pz.fits", "notes.txt"):
        (folder / name).write_bytes(b"x")
    upload("--config", str(CONFIG), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--sweeps", str(folder))
    sent = [storage.basename(info.uri) for info in storage.list_files(f"{s3}/sweeps")]
    assert sent == ["sweep-010m020-015m015.fits"]


def test_sweeps_that_would_be_left_behind_are_named(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    for name in ("sweep-010m020-015m015.fits", "sweep-015m020-020m015.fits.fz"):
        (folder / name).write_bytes(b"x")
    catalog = f"{lenses}?ra=ALPHA&dec=DELTA"
    arguments = ("--config", str(CONFIG), "--positives", catalog, "--sweeps", str(folder))
    with pytest.raises(InputError, match=r"not read: sweep-015m020-020m015\.fits\.fz; unpack"):
        upload(*arguments)
    assert storage.list_files(s3) == []
    upload(*arguments, "--leave-out", "*.fz")
    sent = [storage.basename(info.uri) for info in storage.list_files(f"{s3}/sweeps")]
    assert sent == ["sweep-010m020-015m015.fits"]


def test_a_table_is_sent_and_named_in_the_input(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    for name in ("a.csv", "b.parquet"):
        (folder / name).write_bytes(b"x")
    arguments = ("--config", str(CONFIG), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--sweeps")
    target = f"{s3}/sweeps/a.csv"
    for given in (str(folder / "a.csv"), target):
        assert upload(*arguments, given)[1]["sweeps"] == target
    assert [info.uri for info in storage.list_files(f"{s3}/sweeps")] == [target]
    assert upload(*arguments, str(folder))[1]["sweeps"] == f"{s3}/sweeps/tables"
    sent = [info.uri.removeprefix(f"{s3}/sweeps/") for info in storage.list_files(f"{s3}/sweeps")]
    assert sent == ["a.csv", "tables/a.csv", "tables/b.parquet"]


def test_a_hats_catalogue_is_sent_whole(
    outputs: dict[str, str], s3: str, lenses: Path, tmp_path: Path
) -> None:
    arguments = ("--config", str(CONFIG), "--positives", f"{lenses}?ra=ALPHA&dec=DELTA", "--sweeps")
    lenses.write_text("name,ALPHA,DELTA\na,151.2,2.5\n")
    root = write_hats(tmp_path / "dr10", table([{}]))
    assert upload(*arguments, str(root))[1]["sweeps"] == f"{s3}/sweeps/dr10"
    sent = [info.uri.removeprefix(f"{s3}/sweeps/") for info in storage.list_files(f"{s3}/sweeps")]
    assert sent == [
        "dr10/dataset/Norder=5/Dir=0/Npix=6814.parquet",
        "dr10/hats.properties",
        "dr10/partition_info.csv",
        "dr10/properties",
    ]
    assert upload(*arguments, f"{s3}/sweeps/dr10")[1]["sweeps"] == f"{s3}/sweeps/dr10"


def test_a_stack_that_is_not_finished_is_named(outputs: dict[str, str]) -> None:
    assert isinstance(read_stack("lensneg"), Stack)
    del outputs["OutUri"]
    with pytest.raises(InputError, match=r"no output OutUri.*has its deployment ended"):
        read_stack("lensneg")
