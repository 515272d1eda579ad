"""The smoke test of an account: a small sky, from its upload to the download of its manifest.

Everything that it writes has a key with its own name in it. Before it starts, there is no such key. So what
has such a key at the end is of this smoke test, and may be removed.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from lensneg import storage
from lensneg.aws import executions
from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack, read_stack, require_complete
from lensneg.aws.download import download
from lensneg.aws.history import Execution, describe
from lensneg.aws.own_stack import OwnStack
from lensneg.aws.progress import Snapshot, take_snapshot
from lensneg.aws.readiness import preflight
from lensneg.aws.removal import put_back_latest, refuse_what_is_there, remove_below
from lensneg.aws.steps import CleanUp, Done, Step
from lensneg.aws.stopping import end_executions
from lensneg.aws.uploads import upload
from lensneg.errors import GateFailedError, InputError
from lensneg.schema.columns import PARTS
from lensneg.schema.config import Config, config_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.request import mini_test_id
from lensneg.schema.resources import config_path

#: Number of sweep files; the mini-test takes one of them.
FILES: Final = 2

#: Seconds that a function may still write which was called before its execution was stopped.
_IN_FLIGHT: Final = 30.0


def new_name() -> str:
    """Return the name of a smoke test, ``smoke-1f2e3d4c`` for example. It is the run's id, too."""
    return f"smoke-{secrets.token_hex(4)}"


def make_config(name: str) -> str:
    """Return the config of a smoke test: the shipped one for a small sky, under the smoke test's name.

    The name keeps it apart from published configs, whose content a run would record.

    Parameters
    ----------
    name : str
        The smoke test.

    Returns
    -------
    str
        The text of the config.
    """
    config = yaml.safe_load(Path(config_path("negative_sampling_v1")).read_text(encoding="utf-8"))
    config["name"] = name
    config["negative_pools"]["neg_pos_ratio"] = 10
    config["execution"]["mini_test_files"] = 1
    return yaml.safe_dump(config, sort_keys=False)


class Inputs(NamedTuple):
    """The local files of a smoke test: its folder, the config, the sweep files and the positives."""

    folder: Path

    @property
    def sky(self) -> Path:
        """The folder of the sky."""
        return self.folder / "sky"

    @property
    def config(self) -> Path:
        """The config."""
        return self.folder / f"{self.folder.name}.yaml"

    @property
    def sweeps(self) -> Path:
        """The folder of the sweep files."""
        return self.sky / "sweeps"

    @property
    def positives(self) -> Path:
        """The catalogue of positives."""
        return self.sky / "positives.csv"

    @property
    def downloaded(self) -> Path:
        """The folder of the manifest that was made on AWS."""
        return self.folder / "from_aws"


@dataclass(frozen=True)
class Keys:
    """The keys that a smoke test writes in a stack's bucket.

    Attributes
    ----------
    inputs, run : tuple of str
        Prefixes of the inputs, and of what the run writes.
    """

    inputs: tuple[str, ...]
    run: tuple[str, ...]

    @classmethod
    def of(cls, name: str, config: str) -> "Keys":
        """Return the keys of a smoke test with a config's text."""
        parsed = Config.parse(config)
        files, mini_test = RunFiles("out", name), RunFiles("out", mini_test_id(name))
        run = (
            f"{files.root}/",
            f"{mini_test.root}/",
            f"{files.manifest_folder}/",
            f"out/minitests/{config_sha256(config)}-",
            files.config_version(parsed.name, parsed.version),
            f"map-results/{name}/",
            f"map-results/{name}-mini-test/",
        )
        return cls((f"configs/{name}/", f"catalogs/{name}/", f"sweeps/{name}/"), run)


class Smoke:
    """A smoke test of an account.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    name : str
        Name of the smoke test, and id of its run.
    inputs : Inputs
        Its local files.
    stack : str or OwnStack
        Name of a stack that is taken, or the stack to deploy.
    follow : callable
        Shows the run until it has ended: is given what takes a snapshot, and returns the last one.
    pause : callable
        Waits for a number of seconds.
    """

    def __init__(
        self,
        aws: Aws,
        name: str,
        inputs: Inputs,
        stack: str | OwnStack,
        follow: Callable[[Callable[[], Snapshot]], Snapshot],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._aws, self.name, self._inputs, self._chosen = aws, name, inputs, stack
        self._follow, self._pause = follow, pause
        self.stack: Stack | None = None if isinstance(stack, OwnStack) else self._take(stack)
        self._latest: bytes | None = None
        #: Whether all keys were free when the upload began.
        self._may_remove = False

    def steps(self) -> Iterator[Step]:
        """Yield the steps that use the account, in order."""
        if isinstance(self._chosen, OwnStack):
            clean_ups = (
                CleanUp("delete the stack", self._chosen.delete),
                CleanUp("delete its bucket", self._chosen.delete_bucket),
            )
            yield Step("deploy", self._deploy, clean_ups)
        yield Step("upload", self._upload, (CleanUp("remove the inputs", self._remove_inputs),))
        yield Step("preflight", self._preflight)
        clean_ups = (
            CleanUp("end the run", self._end_run),
            CleanUp("remove the run", self._remove_run),
        )
        yield Step("run on AWS", self._run, clean_ups)
        yield Step("download", self._download)

    def kept(self) -> list[str]:
        """Return what ``--keep`` leaves in the account."""
        if isinstance(self._chosen, OwnStack):
            return [f"stack {self._chosen.name}", *([f"s3://{self._bucket}"] if self.stack else [])]
        keys = self._keys()
        return [f"s3://{self._bucket}/{key}" for key in (*keys.inputs, *keys.run)]

    def _take(self, name: str) -> Stack:
        """Read a stack that is there. A run that starts now would read the smoke test's sweep files."""
        stack = read_stack(name, self._aws)
        require_complete(stack)
        running = [e.name for e in executions.list_executions(self._aws, stack) if e.status == "RUNNING"]
        if running:
            remedy = f"wait until it has ended: lensneg aws watch --stack {name} follows it"
            raise InputError(f"execution {running[0]} is under way", where=f"stack {name}", remedy=remedy)
        return stack

    def _deploy(self) -> Done:
        assert isinstance(self._chosen, OwnStack)
        self.stack = self._chosen.deploy()
        require_complete(self.stack)
        return Done(f"stack {self.stack.name} in {self.stack.region}")

    def _there(self) -> Stack:
        """Return the stack with folders of the smoke test's own in the places that the roles may read."""
        assert self.stack is not None
        bucket = f"s3://{self.stack.data_bucket_name}"
        own = {f"{kind}_uri": f"{bucket}/{kind}/{self.name}" for kind in ("configs", "catalogs", "sweeps")}
        return replace(self.stack, **own)

    def _keys(self) -> Keys:
        return Keys.of(self.name, make_config(self.name))

    @property
    def _bucket(self) -> str:
        assert self.stack is not None
        return self.stack.data_bucket_name

    def _upload(self) -> Done:
        stack, keys = self._there(), self._keys()
        refuse_what_is_there(self._aws, self._bucket, (*keys.inputs, *keys.run))
        self._may_remove = True
        latest = RunFiles(stack.out_uri, self.name).latest
        self._latest = storage.read_bytes(latest) if storage.exists(latest) else None
        self._request, uploads = executions.gather_inputs(
            stack,
            self.name,
            config=str(self._inputs.config),
            positives=[str(self._inputs.positives)],
            sweeps=str(self._inputs.sweeps),
            max_concurrency=FILES,
        )
        upload(self._aws, uploads, lambda _entry, _sent: None)
        size = sum(Path(entry.source).stat().st_size for entry in uploads)
        return Done(f"{len(uploads)} files, {size / 1e6:,.0f} MB")

    def _preflight(self) -> Done:
        assert self.stack is not None
        checks = list(preflight(self._aws, self.stack.name, FILES))
        failed = [check.sentence for check in checks if not check.passed and check.critical]
        warnings = [check.sentence for check in checks if not check.passed and not check.critical]
        if failed:
            remedy = f"lensneg aws preflight --stack {self.stack.name} shows all checks"
            raise GateFailedError("; ".join(failed), where=f"stack {self.stack.name}", remedy=remedy)
        return Done("; ".join([f"{len(checks) - len(warnings)} of {len(checks)} checks passed", *warnings]))

    def _run(self) -> Done:
        stack = self._there()
        arn = executions.start(self._aws, stack, self.name, self._request)
        last = self._follow(lambda: take_snapshot(self._aws, arn, stack.out_uri))
        error = None
        if last.execution.status != "SUCCEEDED":
            what = f"{last.execution.status} {last.execution.error}: {last.execution.cause}"
            remedy = "docs/operate.md says what each failure means; --keep leaves all files to look at"
            error = GateFailedError(what, where=f"execution {self.name}", remedy=remedy)
        mini = f", the mini-test {last.mini_test.total_cost.total:.4f} USD of it" if last.mini_test else ""
        return Done(f"{last.execution.status}{mini}", last.total_cost.total, error)

    def _download(self) -> Done:
        assert self.stack is not None
        fetched = download(self.stack.out_uri, self.name, self._inputs.downloaded, lambda _: None)
        wrong = [file.name for file in fetched if file.outcome == "WRONG"]
        if wrong:
            uri = RunFiles(self.stack.out_uri, self.name).manifest
            what = f"{', '.join(wrong)}: missing, or not of the SHA-256 that it lists"
            raise GateFailedError(what, where=uri, remedy="run the smoke test again: S3 returned other bytes")
        return Done(f"{len(fetched)} files, {sum(file.size for file in fetched):,} bytes")

    # What removes it again.

    def _executions(self) -> list[Execution]:
        """Return the execution and that of its mini-test, as far as there are any."""
        assert self.stack is not None
        own = executions.executions_of(self._aws, self.stack, self.name)
        return own + [describe(self._aws, arn) for e in own for arn in e.history(self._aws).mini_tests]

    def _end_run(self) -> str:
        if not self._may_remove:
            return "there was none"
        assert self.stack is not None
        if not any(execution.status == "RUNNING" for execution in self._executions()):
            return "it has ended"
        stack, where = self.stack, f"run {self.name} of stack {self.stack.name}"
        stopped = end_executions(
            self._aws, lambda: executions.executions_of(self._aws, stack, self.name), where, self._pause
        )
        self._pause(_IN_FLIGHT)
        return "stopped " + ", ".join(stopped)

    def _remove_run(self) -> str:
        if not self._may_remove:
            return "there was none"
        assert self.stack is not None
        family = self._executions()
        jobs = [job for execution in family for job in execution.history(self._aws).jobs]
        logs = [f"emr-logs/applications/{application}/jobs/{job}/" for application, job in jobs]
        words = []
        if family:
            latest = storage.bucket_and_key(RunFiles(self.stack.out_uri, self.name).latest)
            # S3 states the second in which an object was written.
            since = min(execution.started for execution in family) - timedelta(minutes=1)
            words.append(put_back_latest(self._aws, *latest, self.name, self._latest, since))
        removed = remove_below(self._aws, self._bucket, [*self._keys().run, *logs])
        return "; ".join([f"{removed:,} objects", *words])

    def _remove_inputs(self) -> str:
        if not self._may_remove:
            return "there were none"
        return f"{remove_below(self._aws, self._bucket, self._keys().inputs):,} objects"


def compare(here: Manifest, there: Manifest) -> str:
    """Compare the rows of the manifest that AWS made with those of the local run.

    Parameters
    ----------
    here : Manifest
        The local one.
    there : Manifest
        That of AWS, downloaded.

    Returns
    -------
    str
        What is the same, in words.

    Raises
    ------
    GateFailedError
        If the content differs.
    InputError
        If the files are not those of their manifest.json.
    """
    there.verify()
    words = []
    for part in PARTS:
        ours, theirs = here.record.part(part), there.record.part(part)
        if ours.content_sha256 != theirs.content_sha256:
            codes = [manifest.record.run.code.code_version for manifest in (here, there)]
            remedy = "compare the two folders with lensneg reproduce --inputs-only"
            if codes[0] != codes[1]:
                remedy = f"the stack runs code {codes[1]}, this machine {codes[0]}: deploy this checkout"
            what = f"the content of {part} is {theirs.content_sha256} on AWS and {ours.content_sha256} here"
            raise GateFailedError(what, where=there.uri, remedy=remedy)
        words.append(f"{theirs.rows:,} {part} {theirs.content_sha256[:12]}")
    return "the same content: " + ", ".join(words)
