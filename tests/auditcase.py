"""A small run whose sample passes its audit, and ways to spoil one thing of it."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from conftest import config_text, edited
from pipeline import OPEN_GATES, make_request, rewrite, write_other_lenses
from plainrun import edit_json, failing, run_to_sample

from lensneg.audit.audit import audit
from lensneg.audit.subject import Subject
from lensneg.mocksky import write_mock_sky
from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import Quotas
from lensneg.schema.run import load_run
from lensneg.stages.validate_manifest import validate_manifest

Change = Callable[[pa.Table], pa.Table]

#: What fails in any case: the sweep files were taken away, as a warning.
ALWAYS = {"sweeps_at_hand"}


def audited_run(folder: Path, more: dict[str, Any] | None = None) -> RunFiles:
    """A run of two sweep files and two catalogues, and a changed config, whose sample has passed gate 4."""
    write_mock_sky(folder / "sky", files=2, rows=8_000, seed=41)
    write_other_lenses(folder / "sky", folder / "others.csv")
    config = folder / "config.yaml"
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 4, **(more or {})}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    request = make_request(folder / "sky", config, folder / "out", "one", "test", (folder / "others.csv",))
    made = run_to_sample(request)
    verdict = validate_manifest(made.root).gate
    assert verdict.passed, verdict.cause
    return made


def as_full_run(files: RunFiles, out: Path) -> RunFiles:
    """A copy of a mini-test's run, as if it were a full one; it has passed gate 4 and is not published."""
    shutil.copytree(files.out, out)
    run = RunFiles(str(out), files.run_id)
    edit_json(run.run, lambda record: record.update(mode="full", out=str(out)))
    assert validate_manifest(run.root).gate.passed
    return run


def subject_of(files: RunFiles) -> Subject:
    """The run's manifest, without its sweep files: rows are then not looked up in them."""
    run = load_run(files.root)
    return Subject(
        config=run.config,
        run_columns=run.record.columns,
        files={part: tuple(files.sample_parts(part)) for part in ("negatives", "positives")},
        promised={},
        strata=Quotas.read(files.quotas).strata,
        ra=run.lenses.ra,
        dec=run.lenses.dec,
        sweeps={},
        all_at_hand=False,
    )


def spoil(subject: Subject, folder: Path, change: Change, part: str = "negatives") -> Subject:
    """The manifest with changed tables, which lie in a folder of their own."""
    changed = {}
    for name, uris in subject.files.items():
        (folder / name).mkdir()
        for uri in uris:
            shutil.copy(uri, folder / name)
        changed[name] = tuple(str(path) for path in sorted((folder / name).glob("*.parquet")))
    rewrite(folder / part, change)
    return dataclasses.replace(subject, files=changed)


def failed(subject: Subject) -> set[str]:
    """The checks that a manifest fails, warnings included."""
    return failing(Gate.of(4, audit(subject).checks).as_json()) - ALWAYS
