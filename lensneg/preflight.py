"""Gate 1: everything that can be known to be wrong before any work is done.

A check that depends on one that failed is left out: the one that failed says what to do.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np

from lensneg import storage
from lensneg.catalogs import Catalog, CatalogSpec, read_catalog
from lensneg.config import Config, config_sha256, parse_config
from lensneg.datamodel import Cell, sweep_cell
from lensneg.errors import ConfigError, InputError, LensnegError
from lensneg.gates import Check, Gate, brief
from lensneg.provenance import code_version
from lensneg.run import (
    CatalogInput,
    CodeInput,
    ConfigInput,
    RunFiles,
    RunRecord,
    RunRequest,
    SweepInput,
    mini_test_id,
)
from lensneg.sweep import probe_sweep

#: Sweep headers are read by this many threads: on S3 each costs a round trip, and no work.
_PROBE_THREADS = 32


def preflight(data: Any) -> dict[str, Any]:
    """Check a run before it starts.

    Parameters
    ----------
    data : dict
        The execution's input; see :class:`lensneg.run.RunRequest`.

    Returns
    -------
    dict
        ``root`` of the run's files, ``mode`` (test or full), ``max_concurrency`` and the ``gate``'s
        verdict. Where the gate passes, ``inventory.json`` holds all that was found.
    """
    try:
        request = RunRequest.parse(data)
    except InputError as error:
        check = Check(
            name="request",
            passed=False,
            expected="an input with run_id, mode, config, sweeps, positives, out",
            actual=str(error),
            hint="correct the input and start again",
        )
        return {"root": "", "mode": "", "max_concurrency": 1, "gate": Gate.of(1, [check]).verdict()}
    files = RunFiles(request.out, request.run_id)
    inspection = _Inspection(request, files, data.get("mini_test") or {})
    inspection.run()
    gate = Gate.of(1, inspection.checks)
    if gate.passed:
        assert inspection.record is not None
        storage.write_json(files.inventory, inspection.record.model_dump(mode="json"), if_absent=True)
    verdict = gate.write(files.gate(1)) if inspection.writable else gate.verdict()
    return {
        "root": files.root,
        "mode": "test" if request.mode == "test" else "full",
        "max_concurrency": request.max_concurrency,
        "gate": verdict,
    }


class _Inspection:
    """The checks of gate 1, one method a subject, in the order in which they depend on each other."""

    def __init__(self, request: RunRequest, files: RunFiles, mini_test: Mapping[str, Any]) -> None:
        self.request, self.files, self.mini_test = request, files, mini_test
        self.checks: list[Check] = []
        self.writable = False
        self.ignored_files = 0
        self.record: RunRecord | None = None

    def check(
        self, name: str, passed: bool, expected: str, actual: str, hint: str, *, critical: bool = True
    ) -> bool:
        self.checks.append(
            Check(name=name, passed=passed, expected=expected, actual=actual, hint=hint, critical=critical)
        )
        return passed

    def run(self) -> None:
        config = self._config()
        self._code()
        sweeps = self._sweeps(config)
        catalogs = self._catalogs([cell for _, cell in sweeps])
        self._output()
        if config is None or not all(check.passed for check in self.checks if check.critical):
            return
        parsed, text = config
        self._config_version(parsed, text)
        self.record = self._make_record(text, [info for info, _ in sweeps], catalogs)
        self._same_inputs(self.record)
        if self.request.mode != "test":
            self._mini_test(self.record)

    def _config(self) -> tuple[Config, str] | None:
        uri = self.request.config
        parsed = None
        hint = "correct the file; configs/negative_sampling_v1.yaml explains every key"
        try:
            text = storage.read_bytes(uri).decode()
            parsed = parse_config(text, uri)
            actual = f"{parsed.name} {parsed.version}"
        except FileNotFoundError:
            actual = f"{uri}: no such file"
            hint = "put it there (into a stack's bucket with lensneg aws upload), or correct its address"
        except IsADirectoryError:
            actual = f"{uri}: a folder"
        except UnicodeDecodeError:
            actual = f"{uri}: not a text file"
        except ConfigError as error:
            actual = str(error)
        self.check(
            "config_valid",
            parsed is not None,
            "a config that fits its schema",
            actual,
            hint,
        )
        return (parsed, text) if parsed is not None else None

    def _code(self) -> None:
        commit = code_version().git_commit
        self.check(
            "code_version_known",
            commit != "unknown" and not commit.endswith("-dirty"),
            "a clean git commit",
            commit,
            "commit your changes before a run that is meant to be published, so that it can be repeated",
            critical=False,
        )

    def _sweeps(self, config: tuple[Config, str] | None) -> list[tuple[SweepInput, Cell]]:
        uri = self.request.sweeps
        try:
            listed = storage.list_files(uri)
        except FileNotFoundError:
            listed = []
        named = [(info, cell) for info in listed if (cell := sweep_cell(storage.basename(info.uri)))]
        self.ignored_files = len(listed) - len(named)
        if not self.check(
            "sweeps_listed",
            bool(named),
            "sweep-AAAcBBB-DDDcEEE.fits or .fits.gz files",
            f"{len(named):,} sweep files, {self.ignored_files:,} other files (ignored) below {uri}",
            "give the folder or prefix that holds the sweep files",
        ):
            return []
        cells = Counter(cell for _, cell in named)
        twice = [storage.basename(info.uri) for info, cell in named if cells[cell] > 1]
        self.check(
            "sweeps_disjoint",
            not twice,
            "each cell of the sky in one file",
            f"in more than one: {brief(twice)}" if twice else f"{len(cells):,} cells",
            "remove the copies: both .fits and .fits.gz, or two releases, would double every object",
        )
        with ThreadPoolExecutor(_PROBE_THREADS) as threads:
            probed = list(threads.map(_probe, [info for info, _ in named]))
        broken = [result for result in probed if isinstance(result, str)]
        inputs = [
            (result, cell)
            for result, (_, cell) in zip(probed, named, strict=True)
            if not isinstance(result, str)
        ]
        self.check(
            "sweeps_readable",
            not broken,
            "the headers and size of a DR10 sweep file in each",
            f"{len(broken)} of {len(named)}: {brief(broken, 3)}" if broken else f"{len(inputs):,} files",
            "fetch the named files again, or remove what is not a sweep file of DR10",
        )
        if not inputs:
            return []
        releases = sorted({info.release for info, _ in inputs if info.rows})
        allowed = set(config[0].sweeps.releases) if config else set(releases)
        self.check(
            "one_release",
            len(releases) == 1 and set(releases) <= allowed,
            f"one RELEASE out of {', '.join(map(str, sorted(allowed)))}",
            ", ".join(map(str, releases)) or "no rows at all",
            "use files of one release, or allow it in the config (sweeps.releases)",
        )
        return inputs

    def _catalogs(self, cells: list[Cell]) -> list[tuple[CatalogInput, Catalog]]:
        found = []
        specs = [("positives", spec) for spec in self.request.positives]
        specs += [("exclude", spec) for spec in self.request.exclude]
        for role, spec in specs:
            try:
                catalog = read_catalog(spec)
            except LensnegError as error:
                passed, actual = False, str(error)
            else:
                passed = len(catalog.ra) > 0
                actual = f"{spec.uri}: {len(catalog.ra):,} positions in {catalog.rows:,} rows"
                found.append((_catalog_input(spec, role, catalog), catalog))
            self.check(
                f"catalog_readable:{storage.basename(spec.uri)}",
                passed,
                "positions in degrees",
                actual,
                "name the columns with FILE?ra=COLUMN&dec=COLUMN; RA and Dec must be in degrees",
            )
        if cells:
            positives = [catalog for source, catalog in found if source.role == "positives"]
            inside = sum(int(inside_cells(catalog, cells).sum()) for catalog in positives)
            self.check(
                "positives_in_sweeps",
                inside > 0,
                "at least one positive inside the cells of the sweep files",
                f"{inside:,} of {sum(len(catalog.ra) for catalog in positives):,}",
                "give sweep files of the sky that the catalogue covers; are the coordinates degrees?",
            )
        return found

    def _output(self) -> None:
        probe = storage.join(self.files.root, "preflight.txt")
        try:
            storage.write_bytes(probe, b"gate 1 can write here\n")
            storage.delete(probe)
            self.writable, actual = True, self.files.root
        except (OSError, LensnegError) as error:
            actual = f"{self.files.root}: {error}"
        self.check(
            "output_writable",
            self.writable,
            "an output prefix that can be written to",
            actual,
            "create the folder or bucket, or grant this role s3:PutObject on it",
        )
        if self.writable:
            published = storage.exists(self.files.manifest)
            self.check(
                "run_not_published",
                not published,
                "a run id that has not been published",
                f"{self.files.manifest} is there" if published else self.request.run_id,
                "a published run never changes: choose another run id",
            )

    def _config_version(self, config: Config, text: str) -> None:
        """Compare with every published run: a version that was used stands for its bytes for ever."""
        other = [
            record.run_id
            for record in published_records(self.request.out)
            if record.config.sha256 != config_sha256(text)
            and (known := parse_config(record.config.text)).name == config.name
            and known.version == config.version
        ]
        self.check(
            "config_version_immutable",
            not other,
            f"{config.name} {config.version} with the content that it was first published with",
            f"published with other content by {brief(other)}" if other else "no conflict",
            "give the changed config a new version",
        )

    def _make_record(
        self,
        config_text: str,
        sweeps: list[SweepInput],
        catalogs: list[tuple[CatalogInput, Catalog]],
    ) -> RunRecord:
        code = code_version()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return RunRecord(
            run_id=self.request.run_id,
            mode="test" if self.request.mode == "test" else "full",
            started_at=self.request.started_at or now,
            out=self.request.out,
            config=ConfigInput(uri=self.request.config, sha256=config_sha256(config_text), text=config_text),
            code=CodeInput(
                pipeline_version=code.pipeline_version,
                git_commit=code.git_commit,
                code_version=code.code_version,
            ),
            sweeps=tuple(sorted(sweeps, key=lambda sweep: storage.basename(sweep.uri))),
            ignored_files=self.ignored_files,
            catalogs=tuple(catalog for catalog, _ in catalogs),
        )

    def _same_inputs(self, record: RunRecord) -> None:
        """Compare with the run of this id, if there is one: it continues, with the same inputs only."""
        try:
            before = RunRecord.model_validate_json(storage.read_bytes(self.files.inventory))
        except FileNotFoundError:
            return
        differences = _differences(before, record)
        self.check(
            "run_inputs_unchanged",
            not differences,
            f"the inputs that run {record.run_id} was started with",
            f"changed: {brief(differences)}" if differences else "the same: the run continues",
            "restore the inputs, or choose another run id",
        )

    def _mini_test(self, record: RunRecord) -> None:
        uri = self.files.mini_test(record.config.sha256, record.code.code_version)
        passed = storage.exists(uri)
        self.check(
            "mini_test_passed",
            passed,
            "a passed mini-test of this config and this code",
            uri if passed else f"none ({uri} is missing){self._why_the_mini_test_failed()}",
            "run with mode test first, or with test-then-full",
        )

    def _why_the_mini_test_failed(self) -> str:
        files = RunFiles(self.request.out, mini_test_id(self.request.run_id))
        for number in (1, 2, 3, 4):
            try:
                gate = storage.read_json(files.gate(number))
            except FileNotFoundError:
                break
            failed = [c for c in gate["checks"] if c["critical"] and not c["passed"]]
            if failed:
                first = failed[0]
                return (
                    f"; mini-test {files.run_id} failed {gate['gate']}: {first['name']}: expected "
                    f"{first['expected']}, got {first['actual']}"
                )
        error, cause = self.mini_test.get("Error"), str(self.mini_test.get("Cause"))
        try:
            nested = json.loads(cause)  # the description of the nested execution
            error, cause = nested.get("Error"), nested.get("Cause")
        except ValueError:
            pass
        return f"; mini-test {files.run_id} ended with {error}: {cause}" if error else ""


def _probe(info: storage.FileInfo) -> SweepInput | str:
    """Return what a sweep file's headers say, or what is wrong with it."""
    try:
        probe = probe_sweep(info)
    except LensnegError as error:
        return str(error)
    return SweepInput(
        uri=info.uri,
        size=info.size,
        etag=info.etag,
        rows=probe.file.n_rows,
        release=probe.release,
        row_bytes=probe.file.dtype.itemsize,
    )


def _catalog_input(spec: CatalogSpec, role: Any, catalog: Catalog) -> CatalogInput:
    info = storage.stat(spec.uri)
    return CatalogInput(
        spec=spec,
        role=role,
        size=info.size,
        etag=info.etag,
        sha256=hashlib.sha256(storage.read_bytes(spec.uri)).hexdigest(),
        rows=catalog.rows,
        positions=len(catalog.ra),
    )


def inside_cells(catalog: Catalog, cells: list[Cell]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which of a catalogue's positions lie inside the cells of sweep files."""
    inside = np.zeros(len(catalog.ra), dtype=bool)
    for cell in set(cells):
        inside |= cell.holds(catalog.ra, catalog.dec)
    return inside


def published_records(out: str) -> list[RunRecord]:
    """Return the records of all published runs below an output prefix."""
    folder = storage.join(out, "manifests")
    try:
        manifests = [f.uri for f in storage.list_files(folder) if f.uri.endswith("/manifest.json")]
    except FileNotFoundError:
        return []
    return [RunRecord.model_validate(storage.read_json(uri)["run"]) for uri in manifests]


def _differences(before: RunRecord, now: RunRecord) -> list[str]:
    """Name what differs between a run's first record and what it is asked for now."""
    found = []
    if before.mode != now.mode:
        found.append(f"mode was {before.mode}")
    if before.config.sha256 != now.config.sha256:
        found.append(f"config {storage.basename(now.config.uri)}")
    if before.code.code_version != now.code.code_version:
        found.append(f"code was {before.code.code_version}")
    found += _changed("sweep", _by_name(before.sweeps), _by_name(now.sweeps))
    old, new = (
        {f"{c.role} {c.spec.model_dump_json()}": c.sha256 for c in record.catalogs}
        for record in (before, now)
    )
    return found + _changed("catalogue", old, new)


def _by_name(sweeps: tuple[SweepInput, ...]) -> dict[str, tuple[int, str]]:
    return {storage.basename(sweep.uri): (sweep.size, sweep.etag) for sweep in sweeps}


def _changed(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return (
        [f"{what} {name} is missing" for name in before if name not in now]
        + [f"{what} {name} is new" for name in now if name not in before]
        + [f"{what} {name} has other bytes" for name in now if name in before and before[name] != now[name]]
    )
