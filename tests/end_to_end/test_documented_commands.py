"""Every command line of the documents is run, in a place where what it names is there.

A command line is each line of a ``sh`` block, and of an indented block that is no formula. In a ``console``
block it is the first line, and its output is compared with the lines below it. It is cut as a shell would cut
it (``&&``, ``|``, ``>``), and ``lensneg`` runs in this process: on a small sky, with a published run,
catalogues of the names that the documents use, a web server with a release of a few small files, and an
account with the stack deployed. A line that stands in two documents runs once. The Spark job has a stand-in,
and the handlers run in this process, too: ``test_pipeline.py`` has the job and the processes.

What cannot run here stands in ``NOT_RUN``, with its reason and what is looked at instead. A command line that
neither runs here nor has an entry there fails. ``pytest -rP`` prints each line and what became of it.
"""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore.session
import click
import fitsio
import pytest
import yaml
from botocore import xform_name
from botocore.validate import validate_parameters
from cloud import Cloud, InOrder, deployed_account
from conftest import config_text, edited
from nearrun import draw_no_figures, ended, run_here
from pipeline import OPEN_GATES
from prototype import write_table
from published import publish
from surveyserver import Survey, serving, with_checksums
from usage import parses

from lensneg import storage
from lensneg.cli import cli
from lensneg.mocksky import write_mock_sky
from lensneg.survey import choose
from lensneg.survey.releases import BASE_URL, CHECKSUM_FILE, release_cells

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
]

#: Programs whose command lines in running text are looked at, too.
PROGRAMS = ("lensneg", "make", "sam")

#: What stands in a document for something that each reader has of their own, and what it is here.
#: ``{place}`` is the folder that a command runs in.
PLACEHOLDERS = {
    "<run_id>": "{run_id}",
    "s3://bucket/out/manifests": "s3://bucket/out/manifests",
    "/data/sweeps": "{place}/build/sky/sweeps",
    "/other/disk": "{place}/other/disk",
    "/fast/disk": "{place}/fast/disk",
    "${fpath[1]}": "{place}/zsh",
    "~": "{place}/home",
    "ARN": "{machine}",
    "…": '"config": "s3://sky/configs/c.yaml", "sweeps": "s3://sky/sweeps", "positives": ["s3://sky/l.csv"], '
    '"out": "s3://sky/out"',
}


class Line(NamedTuple):
    """A command line of a document."""

    document: str
    number: int
    text: str
    output: str | None = None

    @property
    def where(self) -> str:
        return f"{self.document}:{self.number} {self.text}"


# Finding them.


def blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """All code blocks: number of the first line, language ("" of an indented block), lines."""
    language, block, start, before = None, [], 0, ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.startswith("```"):
            if language is None:
                language, block, start = line[3:].strip() or "text", [], number + 1
            else:
                yield start, language, block
                language, block = None, []
        elif language is not None or (line.startswith("    ") and (block or not before.strip())):
            start = start if block else number
            block.append(line if language is not None else line[4:])
        elif block:
            yield start, "", block
            block = []
        before = line


def command_lines(document: Path) -> Iterator[Line]:
    """The command lines of a document's blocks, continued lines joined."""
    for start, language, block in blocks(document.read_text()):
        if language == "console":
            [text], output = [line[2:] for line in block if line.startswith("$ ")], "\n".join(block[1:])
            yield Line(str(document.relative_to(ROOT)), start, text, output)
        if language not in ("", "sh", "bash"):
            continue
        if language == "" and any(" = " in line for line in block):
            continue  # a formula
        joined, first = "", start
        for number, line in enumerate(block, start=start):
            first = first if joined else number
            if line.endswith("\\"):
                joined += line[:-1].rstrip() + " "
                continue
            text = re.sub(r"\s+#\s.*$", "", joined + line.lstrip() if joined else line).strip()
            joined = ""
            if text:
                yield Line(str(document.relative_to(ROOT)), first, text)


def commands_in_text(document: Path) -> Iterator[str]:
    """The command lines that stand in running text, as code."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for span in re.findall(r"`([^`]+)`", text):
        words = " ".join(span.split())
        if words.split()[0] in PROGRAMS and len(words.split()) > 1:
            yield words


LINES = [line for document in DOCUMENTS for line in command_lines(document)]
[README_RUN] = [line for line in LINES if line.document == "README.md" and " run --config" in line.text]
SPANS = sorted({span for document in DOCUMENTS for span in commands_in_text(document)})

PYTHON = [
    "\n".join(block)
    for page in ("README.md", "docs/api.md")
    for _, language, block in blocks((ROOT / page).read_text())
    if language == "python"
]
[PYTHON_RUN] = [code for code in PYTHON if "lensneg.run(" in code]


# What cannot run here, and what is looked at instead.


def make_knows(text: str) -> None:
    """Make can tell what it would do, and every script and lensneg command that it would run is there."""
    done = subprocess.run(
        [text.split()[0], "--dry-run", "--always-make", *shlex.split(text)[1:]],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recipe = done.stdout.replace("\\\n", " ")
    for script in re.findall(
        r"(?:python |^)((?:\.ci|tests|benchmarks)/\S+\.(?:py|sh))", recipe, re.MULTILINE
    ):
        assert (ROOT / script).exists(), script
    for line in re.findall(r"\.venv/bin/lensneg ([^&\n]*)", recipe):
        parses(shlex.split(line))


SAM_TOOL = ROOT / ".venv-stack" / "bin" / "sam"


def sam_knows(text: str) -> None:
    """Stack name, function and event are there; sam has the options, where it is installed."""
    for part in text.split("&&"):
        words = [word for word in shlex.split(part) if "…" not in word]
        assert words[:1] == ["sam"], part
        template = (ROOT / "template.yaml").read_text()
        if words[1:3] == ["local", "invoke"]:
            assert f"  {words[3]}:\n" in template
            event = json.loads((ROOT / words[words.index("-e") + 1]).read_text())
            assert event
        config = (ROOT / "samconfig.toml").read_text()
        assert 'stack_name = "lensneg"' in config, "sam deploy asks for a name"
        options = [word for word in words if word.startswith("-")]
        if options and SAM_TOOL.exists():
            shown = sam_help(*(words[1:3] if words[1] == "local" else words[1:2]))
            for option in options:
                assert re.search(rf"(?<!\S){re.escape(option)}\b", shown), option


@functools.cache
def sam_help(*command: str) -> str:
    return subprocess.run([SAM_TOOL, *command, "--help"], capture_output=True, text=True, check=True).stdout


def stack_takes_the_parameters(text: str) -> None:
    """Make has the target, and the template the parameters."""
    command, parameters = text.split(" PARAMETERS=")
    make_knows(command)
    given = [word.split("=")[0] for word in shlex.split(parameters)[0].split()]
    template = (ROOT / "template.yaml").read_text()
    assert given
    assert not [name for name in given if f"\n  {name}:\n    Type:" not in template]


def script_explains_itself(text: str) -> None:
    """The script is there and parses, and knows the options."""
    script, *options = shlex.split(text)[1:]
    source = (ROOT / script).read_text()
    compile(source, script, "exec")
    for option in options:
        assert f'"{option}"' in source, option


class Instead(NamedTuple):
    """Why a command line does not run here, and the check that is made instead."""

    reason: str
    check: Callable[[str], None]


SAM = Instead("needs Docker and an AWS account; tests/stack validates the template", sam_knows)
SMOKE = Instead("tests/aws/test_smoke.py runs it", lambda text: parses(shlex.split(text)[1:]))
STREAM = Instead("reads the survey's server; tests/local/test_stream.py reads another", SMOKE.check)
BENCH = Instead("takes half an hour and a machine of its own", script_explains_itself)
NOT_RUN = {
    "make run": Instead("takes a minute or two; its commands run here, on a smaller sky", make_knows),
    "make test": Instead("would run this test", make_knows),
    "make faults": Instead("takes half an hour; tests/faults has a short form", make_knows),
    "make mutants": Instead("takes half an hour", make_knows),
    "make check": Instead("asks the network; CI runs it", make_knows),
    "make format": Instead("rewrites the sources", make_knows),
    "pip install .": Instead("tests/install installs the wheel", lambda _: None),
    "make bench": Instead(BENCH.reason, make_knows),
    ".venv/bin/python benchmarks/run_all.py --quick": BENCH,
    ".venv/bin/python benchmarks/draw.py": BENCH,
    'make deploy PARAMETERS="RolePath=/science/ SubnetIds=subnet-0a SecurityGroupIds=sg-0c"': Instead(
        SAM.reason, stack_takes_the_parameters
    ),
    "make deploy": Instead(SAM.reason, make_knows),
    "sam deploy --config-env github --parameter-overrides GitHubRepository=OWNER/NAME": SAM,
    "lensneg aws smoke": SMOKE,
    "lensneg aws smoke --stack lensneg": SMOKE,
    "sam local invoke FilterSweepFunction -e functions/events/FilterSweep.json": SAM,
    "lensneg run --stream --config negative_sampling_v1 --sweeps best.txt --positives lenses.csv "
    "--out build/out": STREAM,
    "lensneg run --stream --config negative_sampling_v1 --sweeps https://survey.example/sweep/10.1 "
    "--positives lenses.csv --out build/out --stream-disk 20": STREAM,
}


# Where they run.


class Place(NamedTuple):
    """A folder with all that the documents name, and the run that was published there."""

    folder: Path
    run_id: str


@pytest.fixture(scope="module")
def survey(place: Place) -> Iterator[Survey]:
    folder = place.folder / "build" / "sky" / "sweeps"
    with serving(with_checksums({path.name: path.read_bytes() for path in folder.iterdir()})) as survey:
        yield survey


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The README's own run, on a small sky, with gates that a small sky can pass."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "configs").mkdir()
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5}
    text = edited(yaml.safe_load(config_text("negative_sampling_v1")), changes)
    (folder / "configs" / "negative_sampling_v1.yaml").write_text(text)
    sky = folder / "build" / "sky"
    write_mock_sky(sky, files=3, rows=6_000, seed=31)
    write_table(folder / "field.csv", fitsio.read(sorted((sky / "sweeps").iterdir())[0]))
    lenses = "name,ra,dec,grade\na,1.5,6.5,A\nb,359,7,B\n"
    names = ("lenses", "others", "more_lenses", "desi_lenses", "rings", "false_positives")
    for name in names:
        (folder / f"{name}.csv").write_text(lenses)
    (folder / "scores.csv").write_text("TARGETID,p_lens\n43990670490206209,0.9\n")
    (sky / "sweeps-pz").mkdir()
    (sky / "sweeps-pz" / "sweep-000p005-005p010-pz.fits").write_bytes(b"")
    (folder / "sweeps.txt").write_text("sweep-000p005-005p010.fits 1000000\nsweep-355p005-360p010.fits\n")
    shutil.copytree(sky / "sweeps", folder / "other" / "disk" / "sweeps")
    shutil.copy(sky / "positives.csv", folder / "other" / "disk" / "lenses.csv")
    for shell in ("home/.local/share/bash-completion/completions", "home/.config/fish/completions", "zsh"):
        (folder / shell).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_words(patch, shlex.split(README_RUN.text)[1:])
    latest = json.loads((folder / "build" / "out" / "latest.json").read_text())
    place = Place(folder, latest["run_id"])
    # A record whose catalogue has the name that docs/cli.md gives, and is somewhere else now, like the files.
    manifest = json.loads((folder / f"build/out/manifests/{place.run_id}/manifest.json").read_text())
    record = manifest["run"]
    record["catalogs"][0]["spec"]["uri"] = str(folder / "gone" / "lenses.csv")
    for sweep in record["sweeps"]:
        sweep["uri"] = str(folder / "gone" / storage.basename(sweep["uri"]))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return place


def run_words(patch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Run lensneg's command line in this process."""
    run_here(patch)
    if words[0] in ("run", "reproduce"):
        draw_no_figures(patch)
    code = ended(patch, *words)
    assert not code, f"exit code {code}: lensneg {shlex.join(words)}"


# Running them.


def pieces(text: str) -> list[tuple[list[str], str]]:
    """Cut a command line as a shell would: words, and the ``&&``, ``|`` or ``>`` after them."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&>;<")
    lexer.whitespace_split = True
    cut: list[tuple[list[str], str]] = [([], "")]
    for word in lexer:
        if set(word) <= set("|&>;<"):
            cut[-1] = (cut[-1][0], word)
            cut.append(([], ""))
        else:
            cut[-1][0].append(word)
    return cut


def aws_call(words: list[str]) -> None:
    """Make the call that an ``aws`` command line stands for, once its parameters were checked."""
    service, operation, *rest = words
    model = botocore.session.get_session().get_service_model(service)
    [name] = [name for name in model.operation_names if xform_name(name, "-") == operation]
    shape = model.operation_model(name).input_shape
    assert shape is not None
    members = {f"--{xform_name(member, '-')}": member for member in shape.members}
    parameters = {members[option]: value for option, value in zip(rest[::2], rest[1::2], strict=True)}
    validate_parameters(parameters, shape)
    getattr(boto3.client(service), xform_name(name))(**parameters)


def select(path: str, text: str) -> str:
    """``jq`` where there is one; else the value of a path."""
    if shutil.which("jq"):
        return subprocess.run(["jq", path], input=text, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"(\.\w+)+", path), path
    return json.dumps(functools.reduce(lambda value, key: value[key], path.split(".")[1:], json.loads(text)))


@pytest.fixture
def survey_first(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release is what the web server has, and its address the one that commands ask by themselves."""
    cells = {name: release_cells()[name] for name in survey.files if name != CHECKSUM_FILE}
    monkeypatch.setattr(choose, "release_cells", lambda: cells)
    for group, name in (("sweeps", "list"), ("sweeps", "fetch"), ("aws", "fetch")):
        [option] = [p for p in cli.commands[group].commands[name].params if p.name == "base_url"]  # type: ignore[attr-defined]
        assert option.default == BASE_URL
        monkeypatch.setattr(option, "default", survey.url)
    [every] = [p for p in cli.commands["aws"].commands["fetch"].params if p.name == "every"]  # type: ignore[attr-defined]
    monkeypatch.setattr(every, "default", 0.2)


@pytest.fixture(scope="module")
def account() -> Iterator[Cloud]:
    """An account in order: sweep files and Spark code are in its bucket, and the docs' own is there, too."""
    with deployed_account() as cloud, pytest.MonkeyPatch.context() as patch:
        make = boto3.client
        in_order = ("lambda", "iam", "service-quotas")
        patch.setattr(
            boto3, "client", lambda *a, **k: InOrder() if a[:1] and a[0] in in_order else make(*a, **k)
        )
        patch.setattr(cloud.emr, "get_application", InOrder().get_application, raising=False)
        storage.s3_client().create_bucket(Bucket="bucket")
        storage.write_bytes("s3://sky/sweeps/sweep-000p005-005p010.fits", b"x")
        storage.write_bytes("s3://bucket/dr10.1/sweep-000p005-005p010.fits", b"x" * 10_000)
        storage.write_bytes("s3://sky/code/job.py", b"x")
        cloud.emr.go_on.set()
        yield cloud


def put_manifest(folder: Path, uri: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            storage.put_file(str(path), f"{uri}/{path.relative_to(folder)}")


def make_folders_ready(text: str, place: Place) -> None:
    """Nothing is there that the command is to bring, and the folder that it is to look at."""
    for fetched in ("sweeps", "manifests", ".lensneg-sweeps", "build/reproduce", "my_lenses"):
        shutil.rmtree(place.folder / fetched, ignore_errors=True)
    if "sweeps verify" in text:
        shutil.copytree(place.folder / "build" / "sky" / "sweeps", place.folder / "sweeps")


def make_account_ready(
    words: list[str], cloud: Cloud, place: Place, patch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Bring the account to where the command makes sense: a run to watch, to stop, to resume, to download."""
    verb = words[1] if words[0] == "aws" and len(words) > 1 else words[0]
    if verb in ("watch", "status", "stop", "resume"):
        if verb in ("stop", "resume"):
            cloud.emr.go_on.clear()
        run_words(patch, ["aws", "start", "--positives", "lenses.csv", "--run-id", "first", "--mode", "test"])
        if verb in ("stop", "resume"):
            cloud.job_runs()
        if verb == "resume":
            run_words(patch, ["aws", "stop", "first"])
            cloud.ended("first")
            cloud.emr.go_on.set()
    if verb in ("upload", "start"):
        sent = [
            info
            for name in ("configs", "catalogs")
            for info in storage.list_files(f"s3://sky/{name}", missing_ok=True)
        ]
        for info in sent:
            storage.delete(info.uri)
    if verb == "download":
        put_manifest(Path(publish(tmp_path, "first").manifest_folder), "s3://sky/out/manifests/first")
    if verb == "validate":
        folder = place.folder / f"build/out/manifests/{place.run_id}"
        put_manifest(folder, f"s3://bucket/out/manifests/{place.run_id}")


def needs_account(line: Line) -> bool:
    return " aws " in f" {line.text}" or "s3://" in line.text


def once(lines: list[Line]) -> list[Line]:
    """Lines of which no two have the same text: of those that do, the one whose output is on a page."""
    from_the_last = lines[::-1]
    kept = {line.text: line for line in sorted(from_the_last, key=lambda line: line.output is not None)}
    return [line for line in lines if line is kept[line.text]]


RUNNABLE = once([line for line in LINES if line.text not in NOT_RUN])


@pytest.fixture
def folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place, as the folder that a command runs in."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("HOME", str(place.folder / "home"))
    return place.folder


@pytest.mark.parametrize(
    "line",
    [line for line in RUNNABLE if line != README_RUN and not needs_account(line)],
    ids=lambda line: line.where,
)
def test_it_runs(
    line: Line,
    place: Place,
    folder: Path,
    survey_first: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_folders_ready(line.text, place)
    run_line(line, {"place": str(folder), "run_id": place.run_id}, monkeypatch, capsys)


def test_the_readmes_run_from_python_returns_a_published_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_here(monkeypatch)
    draw_no_figures(monkeypatch)
    names: dict[str, Any] = {}
    exec(PYTHON_RUN, names)
    manifest = names["manifest"]
    latest = json.loads((folder / "build" / "out" / "latest.json").read_text())
    assert latest["run_id"] == manifest.run_id
    assert manifest.counts.negatives == manifest.negatives().count_rows() > 0


# Below the tests that run the pipeline here: two mocked accounts would be in each other's way.
@pytest.mark.parametrize(
    "line", [line for line in RUNNABLE if needs_account(line)], ids=lambda line: line.where
)
def test_it_runs_in_an_account(
    line: Line,
    place: Place,
    folder: Path,
    survey_first: None,
    account: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    account.forget_runs()
    make_folders_ready(line.text, place)
    make_account_ready(pieces(line.text)[0][0][1:], account, place, monkeypatch, tmp_path)
    capsys.readouterr()
    machines = {m["name"]: m for m in boto3.client("stepfunctions").list_state_machines()["stateMachines"]}
    arn = machines["lensneg"]["stateMachineArn"]
    known = {"place": str(folder), "run_id": place.run_id, "machine": arn}
    run_line(line, known, monkeypatch, capsys)


def run_line(
    line: Line, known: dict[str, str], patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run all that a command line says, as a shell would."""
    out = before = ""
    for words, after in pieces(filled(line.text, known)):
        if before == ">":
            assert out, "nothing was printed"
            Path(words[0]).write_text(out)
        elif before == "|":
            assert words[0] == "jq", f"{line.where}: teach this test what {words[0]} does in a pipe"
            assert select(words[1], out).strip()
        else:
            run_program(words, line, patch)
            printed = capsys.readouterr()
            out = printed.out
        before = after
    if line.output is not None:
        output_is_that_of_the_page(line, shown(printed.out or printed.err, known))
    print(f"ran: {line.where}")


def shown(output: str, known: dict[str, str]) -> str:
    """An output as a page shows it: with the places and names of the documents."""
    places = ((known["place"], "."), (known["run_id"], "<run_id>"), (f"{ROOT}/", "/home/me/lensneg/"))
    for value, name in (*places, ("LENSNEG_RECORD, ", "")):
        output = output.replace(value, name)
    # The first is of code that is not committed, the second are metrics of the handlers in this process.
    output = output.replace("code_version_known (warning)", "")
    lines = [line.rstrip() for line in output.strip("\n").splitlines() if not line.startswith('{"_aws"')]
    return "\n".join(lines)


#: What these print depends on how far a run is, or on the machine.
OF_THE_MOMENT = ("lensneg aws status", "lensneg aws watch", "lensneg aws fetch", "lensneg doctor")


def words_of(output: str) -> str:
    """What two runs of a command have in common: no numbers, hashes, bars and blanks."""
    return re.sub(r"\b(?=\w*\d)\w[\w.,:+-]*|[^\w<>/]+", "", output)


def output_is_that_of_the_page(line: Line, output: str) -> None:
    assert line.output is not None
    if os.environ.get("LENSNEG_RECORD"):
        page = ROOT / line.document
        page.write_text(
            re.sub(
                rf"(```console\n\$ {re.escape(line.text)}\n).*?(```\n)",
                lambda match: f"{match[1]}{output}\n{match[2]}",
                page.read_text(),
                flags=re.DOTALL,
            )
        )
    elif not line.text.startswith(OF_THE_MOMENT):
        assert words_of(output) == words_of(line.output), f"it prints now:\n{output}"


def test_outputs_are_compared_but_for_their_numbers() -> None:
    one, other = "gate1 ━━ passed 12.5 s", "gate1 ━━━ passed  7 s"
    assert words_of(one) == words_of(other) != words_of("gate1 failed 7 s")


def test_the_page_of_outputs_has_every_command() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    shown_there = re.findall(r"^<!-- help: (.*) -->$", page, re.MULTILINE)
    assert sorted(shown_there) == sorted(" ".join(path) for path in leaves(cli))
    printed = {line.text for line in LINES if line.output is not None}
    lacking = [name for name in shown_there if not any(f"lensneg {name} " in f"{text} " for text in printed)]
    assert lacking == ["completion", "aws smoke"]  # a long script, and what NOT_RUN says


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*path, name))


def test_the_readmes_run_published_a_manifest(place: Place) -> None:
    """It ran when the place was made."""
    manifest = json.loads((place.folder / f"build/out/manifests/{place.run_id}/manifest.json").read_text())
    assert manifest["rows"]["negatives"] > 0
    print(f"ran: {README_RUN.where}")


def filled(text: str, known: dict[str, str]) -> str:
    """A command line with what each placeholder stands for here."""
    for placeholder, value in PLACEHOLDERS.items():
        for name, known_value in known.items():
            value = value.replace(f"{{{name}}}", known_value)
        text = text.replace(placeholder, value)
    assert not re.search(r"<\w+>|…", text), f"{text}: a placeholder that PLACEHOLDERS does not have"
    return text


def run_program(words: list[str], line: Line, patch: pytest.MonkeyPatch) -> None:
    if words[0] in ("lensneg", ".venv/bin/lensneg"):
        run_words(patch, words[1:])
    elif words[0] == "aws":
        aws_call(words[1:])
    else:
        pytest.fail(f"{line.where}: {words[0]} neither runs here nor has an entry in NOT_RUN")


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.text in NOT_RUN], ids=lambda line: line.where
)
def test_what_cannot_run_is_looked_at(line: Line) -> None:
    NOT_RUN[line.text].check(line.text)
    print(f"looked at: {line.where} ({NOT_RUN[line.text].reason})")


@pytest.mark.parametrize("span", SPANS)
def test_a_command_in_running_text_exists(span: str) -> None:
    """Its command and options are there; a word in capitals, or in angle brackets, is the reader's."""
    program = span.split()[0]
    if program == "lensneg":
        parses(shlex.split(span)[1:])
    elif program == "make":
        make_knows(re.sub(r'"…"', '""', span))
    else:
        sam_knows(span)


def test_nothing_is_excused_that_no_document_has() -> None:
    assert NOT_RUN.keys() <= {line.text for line in LINES}
    assert len(RUNNABLE) > len(LINES) / 2
    assert {line.document for line in LINES} >= {
        "README.md",
        "docs/cli.md",
        "docs/operate.md",
        "CONTRIBUTING.md",
    }


HIDE_PANDAS = """
import importlib.machinery
import importlib.util
find = importlib.machinery.PathFinder.find_spec
def find_all_but_pandas(name, path=None, target=None):
    return None if name.partition(".")[0] == "pandas" else find(name, path, target)
importlib.machinery.PathFinder.find_spec = find_all_but_pandas
assert importlib.util.find_spec("pandas") is None
"""


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[-1])
def test_the_readmes_python_imports_what_the_package_installs(code: str) -> None:
    declared = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[0]
    for module in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        assert module in sys.stdlib_module_names or f'"{module}' in declared, (
            f"{module}: not installed by make run"
        )


@pytest.mark.parametrize(
    "code", [code for code in PYTHON if code != PYTHON_RUN], ids=lambda code: code.splitlines()[-1]
)
def test_the_readmes_python_runs_with_what_the_package_installs(code: str, place: Place) -> None:
    """Without pandas and the other tools of the tests, as a newcomer has them not."""
    done = subprocess.run(
        [sys.executable, "-c", HIDE_PANDAS + code],
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_line_of_two_documents_runs_once_and_its_output_is_compared() -> None:
    one, shown_there, other = Line("a", 1, "x"), Line("b", 2, "x", "out"), Line("c", 3, "y")
    assert once([one, shown_there, other, Line("d", 4, "x")]) == [shown_there, other]


def test_blocks_by_hand() -> None:
    text = "a\n\n    one\n    two = 2\n\n- item\n    not code\n"
    text += "```sh\nthree \\\n  four  # five\n```\n\n    six 7\n"
    assert list(blocks(text)) == [
        (3, "", ["one", "two = 2"]), (9, "sh", ["three \\", "  four  # five"]), (13, "", ["six 7"]),
    ]  # fmt: skip
    assert pieces("a 'b c' && d -x | e > f") == [
        (["a", "b c"], "&&"), (["d", "-x"], "|"), (["e"], ">"), (["f"], ""),
    ]  # fmt: skip
