"""The manifest's files: what is read of them, and what is said of files that are not what they should be."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from auditrows import Row, positive, row, subject, table

from lensneg.audit import files as audit_files
from lensneg.audit.audit import audit
from lensneg.audit.columns import Rows
from lensneg.audit.files import Files, file_checks, schema_faults
from lensneg.audit.subject import Subject
from lensneg.schema.check import Check
from lensneg.schema.columns import ANNOTATED_SCHEMA, MANIFEST_SCHEMA, PARTS, WRITTEN_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.manifest import ManifestPart, PartFile, Parts


def write(path: Path, rows: list[Row], schema: pa.Schema = ANNOTATED_SCHEMA) -> str:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table(rows).cast(schema), path)
    return str(path)


def entry(uri: str, rows: int) -> PartFile:
    """What manifest.json says of a file as it is."""
    data = Path(uri).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return PartFile(name=Path(uri).name, rows=rows, bytes=len(data), sha256=sha256)


def promises(files: dict[str, tuple[str, ...]]) -> dict[str, PartFile]:
    """What manifest.json says of the files of :func:`files`."""
    rows = (2, 1, 1)
    uris = [uri for part in files.values() for uri in part]
    return {uri: entry(uri, n) for uri, n in zip(uris, rows, strict=True)}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """Two files of negatives, three rows, and one of positives."""
    return {
        "negatives": (
            write(tmp_path / "negatives" / "part-00000.parquet", [row(5), row(3)]),
            write(tmp_path / "negatives" / "part-00001.parquet", [row(4)]),
        ),
        "positives": (write(tmp_path / "positives" / "part-00000.parquet", [positive(1000)]),),
    }


def read_whole(claim: Subject) -> tuple[Files, dict[str, pa.Table]]:
    """The files once they were read, and the rows that this yielded."""
    files, tables = Files(claim), {part: [WRITTEN_SCHEMA.empty_table()] for part in PARTS}
    for rows in files.read():
        tables[rows.part].append(rows.table)
    return files, {part: pa.concat_tables(some) for part, some in tables.items()}


def judged(claim: Subject) -> list[Check]:
    return list(file_checks(claim, read_whole(claim)[0]))


def failing(claim: Subject) -> dict[str, str]:
    checks = judged(claim)
    assert all(check.critical for check in checks)
    return {check.name: check.actual for check in checks if not check.passed}


def test_files_are_read_in_order_and_described(plan: Config, files: dict[str, tuple[str, ...]]) -> None:
    read, tables = read_whole(subject(plan, files=files))
    assert (read.problems, read.schema_faults) == ([], [])
    assert tables["negatives"].equals(table([row(5), row(3), row(4)]))
    assert tables["positives"].equals(table([positive(1000)]))
    assert all(t.schema.equals(WRITTEN_SCHEMA, check_metadata=True) for t in tables.values())
    assert read.rows == {"negatives": 3, "positives": 1}
    first, second = files["negatives"]
    assert read.audited == {
        "negatives": [entry(first, 2), entry(second, 1)],
        "positives": [entry(files["positives"][0], 1)],
    }


def test_what_the_checks_say_of_files_that_are_as_they_should_be(
    plan: Config, files: dict[str, tuple[str, ...]]
) -> None:
    found = judged(subject(plan, files=files))
    assert [(c.name, c.passed, c.actual) for c in found] == [
        ("files_readable", True, "3 files"),
        ("files_listed", True, "0 files"),
        ("schema", True, f"{len(MANIFEST_SCHEMA)} columns"),
    ]
    found = judged(subject(plan, files=files, promised=promises(files)))
    assert [(c.name, c.passed, c.actual) for c in found] == [
        ("files_readable", True, "3 files"),
        ("files_listed", True, "3 files"),
        ("files_intact", True, "3 files"),
        ("schema", True, f"{len(MANIFEST_SCHEMA)} columns"),
    ]


@pytest.mark.parametrize("damage", ["cut short", "of nothing", "missing", "text"])
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(
    plan: Config, files: dict[str, tuple[str, ...]], damage: str
) -> None:
    bad = Path(files["negatives"][0])
    if damage == "missing":
        bad.unlink()
    else:
        bad.write_bytes({"cut short": bad.read_bytes()[:-100], "of nothing": b"", "text": b"a,b\n"}[damage])
    claim = subject(plan, files=files)
    read, tables = read_whole(claim)
    assert [text.startswith(f"{bad}: ") for text in read.problems] == [True]
    assert len(read.problems[0]) > len(f"{bad}: ") + 5
    assert [file.rows for file in read.audited["negatives"]] == [1]
    assert len(tables["negatives"]) == 0
    assert set(failing(claim)) == {"files_readable"}


def damage_pages(path: Path) -> None:
    """Overwrite the pages, and leave the footer as it is."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[-8:-4], "little")
    data[4 : -8 - size] = bytes(len(data) - 12 - size)
    path.write_bytes(data)


def test_damage_that_shows_only_when_rows_are_read(plan: Config, files: dict[str, tuple[str, ...]]) -> None:
    """The other files are read, but nothing is yielded any more."""
    bad = Path(files["negatives"][0])
    damage_pages(bad)
    claim = subject(plan, files=files)
    read, tables = read_whole(claim)
    assert [text.startswith(f"{bad}: ") for text in read.problems] == [True]
    assert [file.rows for file in read.audited["negatives"]] == [1]
    assert len(tables["positives"]) == 1  # they are read first
    assert len(tables["negatives"]) == 0
    assert [check.name for check in audit(claim).checks] == ["files_readable", "files_listed", "schema"]


def test_damage_that_comes_after_the_rows_were_read(
    plan: Config, files: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit reads columns again. What is then said is said of the files."""
    bad = Path(files["negatives"][1])
    whole = Files.read

    def read_then_damage(read: Files) -> Iterator[Rows]:
        yield from whole(read)
        damage_pages(bad)

    claim = subject(plan, files=files)
    assert "row_count" in [check.name for check in audit(claim).checks]
    monkeypatch.setattr(Files, "read", read_then_damage)
    found = audit(claim)
    assert [check.name for check in found.checks] == ["files_readable", "files_listed", "schema"]
    assert found.checks[0].actual.startswith(f"{bad}: ")
    assert found.parts.negatives.content_sha256 == ""


def test_in_s3_a_row_group_takes_a_few_requests(
    plan: Config, files: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one for each column of it."""
    requests = []

    class Counted(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            requests.append(size)
            return super().read(size)

    path = files["negatives"][0]
    pq.write_table(table(row(i) for i in range(40)), path, row_group_size=10)
    claim = subject(plan, files={"negatives": (path,), "positives": files["positives"]})
    read = Files(claim)
    monkeypatch.setattr(audit_files, "open_for_arrow", lambda uri, _: pa.PythonFile(Counted(uri), mode="r"))
    monkeypatch.setattr("lensneg.storage.is_s3", lambda _: True)
    monkeypatch.setattr("lensneg.storage.sha256", lambda *_: "0" * 64)
    assert sum(map(len, read.read())) == 41
    assert len(requests) < 20  # of five row groups of 52 columns
    requests.clear()
    assert sum(map(len, read.column("negatives", "targetid"))) == 40
    assert len(requests) < 10


@pytest.mark.parametrize("listed", [{}, {"positives": ()}])
def test_a_part_without_files_is_named(
    plan: Config, files: dict[str, tuple[str, ...]], listed: dict[str, tuple[str, ...]]
) -> None:
    claim = subject(plan, files={"negatives": files["negatives"], **listed})
    assert Files(claim).rows["positives"] == 0
    assert failing(claim) == {"files_readable": "positives: no Parquet files"}


def test_of_a_part_whose_only_file_cannot_be_read_that_is_said_alone(
    plan: Config, files: dict[str, tuple[str, ...]]
) -> None:
    Path(files["positives"][0]).write_bytes(b"")
    [problem] = Files(subject(plan, files=files)).problems
    assert problem.startswith(files["positives"][0])


def test_three_files_that_cannot_be_read_are_named_and_the_others_counted(plan: Config) -> None:
    found = failing(
        subject(plan, files={"negatives": tuple(f"/gone/{i}" for i in range(5)), "positives": ()})
    )
    assert [f"/gone/{i}: " in found["files_readable"] for i in range(5)] == [True] * 3 + [False] * 2
    assert found["files_readable"].endswith("and 2 more")


@pytest.mark.parametrize("change", [{"rows": 3}, {"bytes": 1}, {"sha256": "0" * 64}, None])
def test_a_file_that_is_not_what_was_promised_is_named(
    plan: Config, files: dict[str, tuple[str, ...]], change: Row | None
) -> None:
    """Or that was not promised at all."""
    promised, second = promises(files), files["negatives"][1]
    assert failing(subject(plan, files=files, promised=promised)) == {}
    if change is None:
        del promised[second]
    else:
        promised[second] = promised[second].model_copy(update=change)
    claim = subject(plan, files=files, promised=promised)
    assert failing(claim) == {"files_intact": "not so: part-00001.parquet"}


def test_of_files_of_which_one_is_gone_it_is_not_said_that_they_are_intact(
    plan: Config, files: dict[str, tuple[str, ...]]
) -> None:
    claim = subject(plan, files=files, promised=promises(files))
    Path(files["negatives"][1]).unlink()
    names = {check.name: check.passed for check in judged(claim)}
    assert names == {"files_readable": False, "files_listed": True, "schema": True}


def test_a_file_that_the_list_does_not_name_is_named_and_not_read(
    plan: Config, files: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    left = write(tmp_path / "negatives" / "part-00000 (copy).parquet", [row(9)])
    listed = {uri: entry(uri, n) for uri, n in zip(sum(files.values(), ()), (2, 1, 1), strict=True)}
    parts = {
        part: ManifestPart(
            files=tuple(listed[u].model_copy(update={"name": f"{part}/{Path(u).name}"}) for u in uris),
            content_sha256="x",
        )
        for part, uris in files.items()
    }
    claim = Subject.listed(
        str(tmp_path), Parts(**parts), ("manifest.json",), config=plan, run_columns={}, strata=(),
        ra=np.empty(0), dec=np.empty(0), sweeps={},
    )  # fmt: skip
    assert failing(claim) == {"files_listed": f"not of this manifest: {left}"}
    assert claim.files == files
    (tmp_path / "manifest.json").write_text("")
    assert claim.contents == {"negatives": "x", "positives": "x"}
    assert read_whole(claim)[1]["negatives"].equals(table([row(5), row(3), row(4)]))


def test_a_file_may_be_promised_by_its_path_below_the_manifest(
    plan: Config, files: dict[str, tuple[str, ...]]
) -> None:
    promised = {
        uri: file.model_copy(update={"name": f"{Path(uri).parent.name}/{file.name}"})
        for uri, file in promises(files).items()
    }
    assert failing(subject(plan, files=files, promised=promised)) == {}


NAMES = MANIFEST_SCHEMA.names


WITHOUT = pa.schema([field for field in WRITTEN_SCHEMA if field.name not in ("ra", "dec")])
OTHER_TYPES = {"objid": pa.int64(), "mag_g": pa.float32()}


@pytest.mark.parametrize(
    ("schema", "faults"),
    [
        (MANIFEST_SCHEMA, []),
        (WRITTEN_SCHEMA, []),
        (ANNOTATED_SCHEMA, []),
        (WITHOUT, ["no ra, dec"]),
        (WRITTEN_SCHEMA.append(pa.field("x", pa.int8())), ["unknown x"]),
        (WITHOUT.append(pa.field("x", pa.int8())), ["no ra, dec, unknown x"]),
        (pa.schema(list(WRITTEN_SCHEMA)[::-1]), ["columns in another order"]),
        (
            pa.schema([f.with_type(OTHER_TYPES.get(f.name, f.type)) for f in WRITTEN_SCHEMA]),
            ["objid is int64, not int32", "mag_g is float, not double"],
        ),
    ],
)
def test_how_columns_differ(schema: pa.Schema, faults: list[str]) -> None:
    assert schema_faults(schema) == faults


def test_the_files_of_other_columns_are_named_and_left_out(
    plan: Config, files: dict[str, tuple[str, ...]]
) -> None:
    bad = files["negatives"][0]
    pq.write_table(table([row(5), row(3)]).drop_columns(["sersic"]), bad)
    claim = subject(plan, files=files)
    assert failing(claim) == {"schema": "negatives/part-00000.parquet: no sersic"}
    read, tables = read_whole(claim)
    assert read.audited["negatives"][0] == entry(bad, 2)
    assert len(tables["negatives"]) == 0


def test_three_differences_of_columns_are_named_and_the_others_counted(
    plan: Config, files: dict[str, tuple[str, ...]]
) -> None:
    pq.write_table(pa.table({name: pa.array([], pa.null()) for name in NAMES}), files["positives"][0])
    found = failing(subject(plan, files=files))["schema"]
    assert found.count("is null, not") == 3
    assert found.endswith(f"and {len(NAMES) - 3} more")
