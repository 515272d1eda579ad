"""Gate 1: everything that can be known to be wrong before any work is done.

A check that depends on one that failed is left out: the one that failed says what to do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from lensneg import storage
from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.catalogs.footprint import inside_cells, mistaken_unit
from lensneg.errors import ConfigError, InputError, LensnegError, RunStateError, TransientError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.check import Check, brief
from lensneg.schema.code_version import code_version
from lensneg.schema.config import Config
from lensneg.schema.config_file import config_sha256, config_version, parse_config
from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest, mini_test_id
from lensneg.schema.rerun_command import run_command
from lensneg.schema.run import CatalogInput, CodeInput, ConfigInput, RunRecord, SweepInput, read_record
from lensneg.stages.preflight.account import account_checks
from lensneg.survey.fits_rows import probe_sweep
from lensneg.survey.names import Cell, sweep_cell

#: FITS files come in blocks of this many bytes.
_FITS_BLOCK = 2880

#: Sweep headers are read by this many threads: on S3 each costs a round trip, and no work.
_PROBE_THREADS = 32


def preflight(data: Any) -> dict[str, Any]:
    """Check a run before it starts.

    Parameters
    ----------
    data : dict
        The execution's input; see :class:`lensneg.schema.request.RunRequest`.

    Returns
    -------
    dict
        ``root`` of the run's files, ``mode`` (test or full), ``max_concurrency``, whether the run is
        ``published`` already from the very same inputs, and the ``gate``'s verdict. Where the gate passes,
        ``inventory.json`` holds all that was found.
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
        return {
            "root": "",
            "mode": "",
            "max_concurrency": 1,
            "published": False,
            "gate": Gate.of(1, [check]).verdict(),
        }
    files = RunFiles(request.out, request.run_id)
    inspection = _Inspection(request, files, data.get("mini_test") or {})
    inspection.run()
    gate = Gate.of(1, inspection.checks)
    if gate.passed:
        inspection.keep_record()
        gate = Gate.of(1, inspection.checks)
    verdict = gate.write(files.gate(1)) if inspection.writable else gate.verdict()
    return {
        "root": files.root,
        "mode": "test" if request.mode == "test" else "full",
        "max_concurrency": request.max_concurrency,
        "published": inspection.published,
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
        self.published = False

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
        self.checks += account_checks(self.request.max_concurrency)
        if config is None or not all(check.passed for check in self.checks if check.critical):
            return
        parsed, text = config
        self._config_version(parsed, text)
        self.record = self._make_record(text, [info for info, _ in sweeps], catalogs)
        self._same_inputs(self.record)
        self._not_published(self.record)
        if self.request.mode != "test":
            self._mini_test(self.record)

    def keep_record(self) -> None:
        """Write inventory.json, if no other execution of this run id has done so in the meantime."""
        assert self.record is not None
        if not storage.write_json(self.files.inventory, self.record.model_dump(mode="json"), if_absent=True):
            self.checks = [check for check in self.checks if check.name != "run_inputs_unchanged"]
            self._same_inputs(self.record)

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
        except TransientError:
            raise  # the state machine tries again
        except LensnegError as error:
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
        listed, not_files, why = [], [], ""
        try:
            listed, not_files = storage.list_files(uri), storage.list_non_files(uri)
        except FileNotFoundError:
            why = "; there is no such folder"
        except TransientError:
            raise
        except LensnegError as error:
            why = f"; {error}"
        named = [(info, cell) for info in listed if (cell := sweep_cell(storage.basename(info.uri)))]
        self.ignored_files = len(listed) - len(named)
        if not self.check(
            "sweeps_listed",
            bool(named),
            "sweep-AAAcBBB-DDDcEEE.fits or .fits.gz files",
            f"{len(named):,} sweep files, {self.ignored_files:,} other files (ignored) below {uri}{why}",
            "give the folder or prefix that holds the sweep files",
        ):
            return []
        odd = [name for info in listed if _looks_like_a_sweep(name := storage.basename(info.uri))]
        self.check(
            "sweep_names",
            not odd,
            "no file that is named almost like a sweep file",
            f"left out: {brief(odd)}" if odd else f"{len(named):,} names",
            "if they are inputs, give them back the names that the survey gave them",
            critical=False,
        )
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
        broken += [
            f"{entry}: a folder or a broken link, under the name of a sweep file; remove or rename it"
            for entry in not_files
            if sweep_cell(storage.basename(entry))
        ]
        inputs = [
            (result, cell)
            for result, (_, cell) in zip(probed, named, strict=True)
            if not isinstance(result, str)
        ]
        unpadded = [
            storage.basename(info.uri)
            for info, _ in inputs
            if info.size % _FITS_BLOCK and not _is_gz(info.uri)
        ]
        empty = [storage.basename(info.uri) for info, _ in inputs if not info.rows]
        self.check(
            "sweeps_readable",
            not broken,
            "the headers and size of a DR10 sweep file in each",
            f"{len(broken)} unfit: {brief(broken, 3)}" if broken else f"{len(inputs):,} files",
            "fetch the named files again, or remove what is not a sweep file of DR10",
        )
        if not inputs:
            return []
        self.check(
            "sweep_sizes",
            not unpadded and not empty,
            f"files of whole FITS blocks ({_FITS_BLOCK} bytes), each with rows",
            "; ".join(
                [f"not whole: {brief(unpadded)}"] * bool(unpadded)
                + [f"no rows: {brief(empty)}"] * bool(empty)
            )
            or f"{sum(info.rows for info, _ in inputs):,} rows in {sum(i.size for i, _ in inputs):,} bytes",
            "compare with the survey's .sha256sum file, and fetch again what differs",
            critical=False,
        )
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
                info = storage.stat(spec.uri)
            except TransientError:
                raise
            except (LensnegError, FileNotFoundError) as error:
                passed, actual = False, str(error)
            else:
                passed = len(catalog.ra) > 0
                actual = f"{spec.uri}: {len(catalog.ra):,} positions in {catalog.rows:,} rows"
                found.append((_catalog_input(spec, role, catalog, info), catalog))
            self.check(
                f"catalog_readable:{storage.basename(spec.uri)}",
                passed,
                "positions in degrees",
                actual,
                "name the columns with FILE?ra=COLUMN&dec=COLUMN; RA and Dec must be in degrees",
            )
            if passed and cells:
                self._coordinates(role, catalog, cells)
        if cells:
            positives = [catalog for source, catalog in found if source.role == "positives"]
            inside = sum(int(inside_cells(c.ra, c.dec, cells).sum()) for c in positives)
            self.check(
                "positives_in_sweeps",
                inside > 0,
                "at least one positive inside the cells of the sweep files",
                f"{inside:,} of {sum(len(catalog.ra) for catalog in positives):,}",
                "give sweep files of the sky that the catalogue covers; are the coordinates degrees?",
            )
        return found

    def _coordinates(self, role: str, catalog: Catalog, cells: list[Cell]) -> None:
        """Judge whether a catalogue's coordinates are degrees, and whether it reaches the sweeps at all."""
        name = storage.basename(catalog.spec.uri)
        inside = int(inside_cells(catalog.ra, catalog.dec, cells).sum())
        other = mistaken_unit(catalog.ra, catalog.dec, cells)
        # Where the sweeps cover the sky, positions in hours lie inside it as well: then it is a suspicion.
        surely = other is not None and other[1] > inside
        self.check(
            f"catalog_in_degrees:{name}",
            other is None,
            "RA and Dec in degrees",
            f"they look like {other[0]}: read so, {other[1]:,} positions lie inside the sweep files, as "
            f"degrees {inside:,}"
            if other
            else f"RA {catalog.ra.min():.3f} to {catalog.ra.max():.3f}, Dec {catalog.dec.min():.3f} to "
            f"{catalog.dec.max():.3f}",
            "convert the catalogue to degrees, or name the columns that hold them",
            critical=surely,
        )
        if role == "exclude":
            self.check(
                f"catalog_in_footprint:{name}",
                inside > 0,
                "at least one position inside the cells of the sweep files",
                f"{inside:,} of {len(catalog.ra):,}",
                "this catalogue keeps nothing clear; is it the right one?",
                critical=False,
            )

    def _output(self) -> None:
        probe = storage.join(self.files.root, "preflight.txt")
        try:
            storage.write_bytes(probe, b"gate 1 can write here\n")
            storage.delete(probe)
            self.writable, actual = True, self.files.root
        except TransientError:
            raise
        except (OSError, LensnegError) as error:
            actual = str(error)
        self.check(
            "output_writable",
            self.writable,
            "an output prefix that can be written to",
            actual,
            "create the folder or bucket, or grant this role s3:PutObject on it",
        )

    def _not_published(self, record: RunRecord) -> None:
        """Let a published run go on only where it was cut short after its publication, so changes nothing."""
        manifest = self.files.manifest
        try:
            published = RunRecord.model_validate(storage.read_json(manifest)["run"])
            before = read_record(self.files.inventory)
        except FileNotFoundError as error:
            passed, actual = str(error.filename or error) == manifest, "not published"
            if not passed:
                actual = f"{manifest} is there, and {self.files.inventory}, with which it was made, is not"
        except (ValueError, KeyError, TypeError, RunStateError) as error:
            passed, actual = False, f"{manifest} or its inventory cannot be read: {type(error).__name__}"
        else:
            changed = _differences(published, record)
            self.published = passed = not changed and published.started_at == before.started_at
            actual = f"published{' from these inputs' if passed else ' from others: ' + brief(changed)}"
        self.check(
            "run_not_published",
            passed,
            "a run id that has not been published, but from these very inputs",
            actual,
            "a published run never changes: choose another run id",
        )

    def _config_version(self, config: Config, text: str) -> None:
        """Compare with every published run: a version that was used stands for its bytes for ever."""
        try:
            published = published_configs(self.request.out)
        except RunStateError as error:
            self.check(
                "config_version_immutable",
                False,
                "readable manifests of the published runs",
                str(error),
                "restore that manifest, or move its folder out of the output prefix",
            )
            return
        other = [
            run_id
            for run_id, sha256, known in published
            if sha256 != config_sha256(text) and known == (config.name, config.version)
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
            differences = _differences(read_record(self.files.inventory), record)
        except FileNotFoundError:
            return
        except RunStateError as error:
            differences = [str(error)]
        self.check(
            "run_inputs_unchanged",
            not differences,
            f"the inputs that run {record.run_id} was started with",
            f"changed: {brief(differences)}" if differences else "the same: the run continues",
            "restore the inputs, or choose another run id",
        )

    def _mini_test(self, record: RunRecord) -> None:
        uri = self.files.mini_test(record.config.sha256, record.code.code_version)
        try:
            noted = storage.read_json(uri)
            what = f"{uri} is of another config or code"
        except (FileNotFoundError, ValueError):
            noted, what = {}, f"{uri} is missing or damaged"
        passed = (noted.get("config_sha256"), noted.get("code_version")) == (
            record.config.sha256,
            record.code.code_version,
        )
        request = self.request
        command = run_command(
            config=request.config,
            sweeps=request.sweeps,
            positives=request.positives,
            exclude=request.exclude,
            out=request.out,
            mode="test",
        )
        self.check(
            "mini_test_passed",
            passed,
            "a passed mini-test of this config and this code",
            uri if passed else f"none ({what}){self._why_the_mini_test_failed()}",
            f"run with mode test first, or with test-then-full: {command}",
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
        file = probe_sweep(info)
    except TransientError:
        raise  # the state machine tries again; the file is not at fault
    except (LensnegError, OSError) as error:
        return str(error)
    return SweepInput(
        uri=info.uri,
        size=info.size,
        etag=info.etag,
        rows=file.n_rows,
        release=file.release,
        row_bytes=file.row_bytes,
    )


def _catalog_input(spec: CatalogSpec, role: Any, catalog: Catalog, info: storage.FileInfo) -> CatalogInput:
    return CatalogInput(
        spec=spec,
        role=role,
        size=info.size,
        etag=info.etag,
        sha256=catalog.sha256,
        rows=catalog.rows,
        positions=len(catalog.ra),
    )


def _looks_like_a_sweep(name: str) -> bool:
    """Return whether a file that is no sweep file is named almost like one; companions are not meant."""
    stem = name.lower().removesuffix(".gz").removesuffix(".fits")
    fits_file = name.lower().endswith((".fits", ".fits.gz"))
    companion = stem.endswith(("-lc", "-ex", "-pz"))
    return fits_file and stem.startswith("sweep") and not companion and sweep_cell(name) is None


def _is_gz(uri: str) -> bool:
    return uri.endswith(".gz")


def published_configs(out: str) -> list[tuple[str, str, tuple[str, str]]]:
    """Return run id, SHA-256, and (name, version) of the config of every published run below a prefix.

    Raises
    ------
    RunStateError
        If a manifest cannot be read.
    """
    folder = storage.join(out, "manifests")
    try:
        manifests = [f.uri for f in storage.list_files(folder) if f.uri.endswith("/manifest.json")]
    except FileNotFoundError:
        return []
    found = []
    for uri in manifests:
        try:
            run = storage.read_json(uri)["run"]
            name_and_version = config_version(run["config"]["text"])
            found.append((str(run["run_id"]), str(run["config"]["sha256"]), name_and_version))
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise RunStateError(
                f"not a manifest of lensneg ({type(error).__name__})",
                where=uri,
                remedy="restore it, or move it away",
            ) from error
    return found


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
