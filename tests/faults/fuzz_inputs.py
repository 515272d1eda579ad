"""Damaged inputs of every format, each judged by the rows that were written.

    python tests/faults/fuzz_inputs.py --seconds 3600

A damaged file is either refused with a message that names it, or its rows are those that were written, but
for the rows and columns whose bytes were damaged. Each mutation is a number, and can be made again (--only).
The readers run in a child process, so that one that ends without a message counts as a fault, and so does one
that takes a minute. It prints the mutations, the refusals and the faults of each format.
"""

import argparse
import functools
import gzip
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))
import itertools

import test_catalogues as made_catalogues
from hatscase import as_arrow, write_hats
from sweepfile import NAME, table, write_sweep

from lensneg import storage
from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import LensnegError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.code_version import code_version
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.input_name import hats_pixel
from lensneg.survey.inputs import iter_input, probe_input
from lensneg.survey.listing import find_sweeps

#: Mutations that a child makes, and the seconds that it has for each.
BATCH, PATIENCE = 400, 60

#: Rows of a sweep, and entries of a catalogue.
SWEEP = table(
    [{"OBJID": i + 1, "RA": 150.5 + i / 64, "FLUX_Z": 2.0 + i, "SHAPE_E1": i / 50} for i in range(40)]
)
LENSES = [(f"LENS{i:03}", 10.0 + i / 8, 1.5 - i / 16, "A" if i % 3 else "B") for i in range(24)]

#: Columns by name.
Columns = dict[str, np.ndarray]


class Span(NamedTuple):
    """Bytes of a file that hold some rows: all of their columns, or one."""

    start: int
    stop: int
    rows: range
    column: str | None = None


class Case(NamedTuple):
    """A whole file: the name that the reader gets, its bytes, what reads it, its rows, and their places."""

    name: str
    file: str
    content: bytes
    read: Callable[[Path], Columns]
    rows: Columns
    spans: list[Span]


def read_sweep(path: Path) -> Columns:
    """Read an input of a run to its end."""
    file = probe_input(storage.stat(str(path)))
    found: dict[str, list[np.ndarray]] = {name: [] for name in NEEDED_COLUMNS}
    for _, chunk in iter_input(file, 0, file.n_rows):
        for name, values in found.items():
            values.append(np.array(chunk[name]))
    rows = {name: np.concatenate(values) if values else SWEEP[name][:0] for name, values in found.items()}
    assert {len(values) for values in rows.values()} == {file.n_rows}
    return native(rows)


def native(rows: Columns) -> Columns:
    """Return columns in this machine's order of bytes, and text without padding."""
    texts = {name: np.char.strip(values) for name, values in rows.items() if values.dtype.kind == "S"}
    return {name: v.astype(v.dtype.newbyteorder("=")) for name, v in rows.items()} | texts


def read_lenses(path: Path) -> Columns:
    """Read a catalogue."""
    found = read_catalog(CatalogSpec(uri=str(path)), with_others=True)
    return lens_columns(zip(found.names, found.ra.tolist(), found.dec.tolist(), found.grades, strict=True))


def lens_columns(lenses: Iterable[tuple[object, ...]]) -> Columns:
    names, ra, dec, grades = zip(*lenses, strict=True) if (lenses := list(lenses)) else ([], [], [], [])
    return {"name": np.array(names), "RA": np.array(ra), "Dec": np.array(dec), "grade": np.array(grades)}


def of_rows(first: int, width: int, count: int) -> list[Span]:
    """Return the places of rows of one width."""
    return [Span(first + i * width, first + (i + 1) * width, range(i, i + 1)) for i in range(count)]


def of_lines(content: bytes) -> list[Span]:
    """Return the places of the lines behind the first."""
    ends = [match.end() for match in re.finditer(rb"\n", content)]
    return [Span(a, b, range(i, i + 1)) for i, (a, b) in enumerate(itertools.pairwise(ends))]


def of_names(content: bytes) -> list[Span]:
    """Return the places of lenses: each from the line of its name to that of the next one."""
    starts = [content.rfind(b"\n", 0, content.index(lens[0].encode())) + 1 for lens in LENSES]
    end = len(content) if b"<" not in content else content.index(b"</TABLEDATA>")
    return [
        Span(a, b, range(i, i + 1)) for i, (a, b) in enumerate(zip(starts, [*starts[1:], end], strict=True))
    ]


def of_chunks(path: Path) -> list[Span]:
    """Return the places of the columns of the row groups of a Parquet file."""
    found, footer, row = [], pq.read_metadata(path), 0
    for g in range(footer.num_row_groups):
        group = footer.row_group(g)
        for c in range(group.num_columns):
            chunk = group.column(c)
            start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
            name, rows = chunk.path_in_schema, range(row, row + group.num_rows)
            found.append(Span(start, start + chunk.total_compressed_size, rows, name))
        row += group.num_rows
    return found


@functools.lru_cache
def cases() -> list[Case]:
    """Return the whole files."""
    with tempfile.TemporaryDirectory() as folder:
        return [*sweep_cases(Path(folder)), *catalogue_cases(Path(folder))]


def sweep_cases(folder: Path) -> list[Case]:
    truth = native({name: SWEEP[name] for name in NEEDED_COLUMNS})
    changes = [{name: row[name] for name in SWEEP.dtype.names} for row in SWEEP]
    plain = folder / NAME
    write_sweep(plain, changes)
    file, content = probe_input(storage.stat(str(plain))), plain.read_bytes()
    rows = of_rows(file.data_start, file.row_bytes, len(SWEEP))
    found = [Case("sweep FITS", NAME, content, read_sweep, truth, rows)]
    found.append(Case("sweep FITS gz", f"{NAME}.gz", gzip.compress(content, mtime=0), read_sweep, truth, []))
    arrow = as_arrow(SWEEP).select(list(NEEDED_COLUMNS))
    for name, options in {
        "zstd": {"compression": "zstd"},
        "plain, checksums": {"compression": "none", "write_page_checksum": True},
        "snappy, plain values": {"use_dictionary": False},
    }.items():
        path = folder / "rows.parquet"
        pq.write_table(arrow, path, row_group_size=15, **options)
        found.append(
            Case(f"sweep Parquet {name}", path.name, path.read_bytes(), read_sweep, truth, of_chunks(path))
        )
    root = write_hats(folder / "hats", SWEEP, order=0, row_group_size=25)
    (part,) = (path for path in root.rglob("*.parquet") if hats_pixel(str(path)))
    order = pq.read_table(part)["OBJID"].to_numpy() - 1
    by_pixel, place = {name: values[order] for name, values in truth.items()}, str(part.relative_to(root))
    content = part.read_bytes()
    found.append(Case("sweep HATS", f"hats/{place}", content, read_sweep, by_pixel, of_chunks(part)))
    for text in ("hats.properties", "partition_info.csv"):
        read = functools.partial(read_hats, content, place)
        found.append(Case(f"sweep HATS {text}", text, (root / text).read_bytes(), read, by_pixel, []))
    pyarrow.csv.write_csv(arrow, folder / "rows.csv")
    content = (folder / "rows.csv").read_bytes()
    found.append(Case("sweep CSV", "rows.csv", content, read_sweep, truth, of_lines(content)))
    return found


def read_hats(part: bytes, place: str, path: Path) -> Columns:
    """Read the HATS catalogue that has a file beside its one partition."""
    where = path.parent / place
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(part)
    found = find_sweeps(str(path.parent))
    if found.not_read:  # a check of gate 1
        raise LensnegError(found.not_read[0], where=str(path))
    return read_sweep(Path(found.sweeps[0].uri))


def catalogue_cases(folder: Path) -> list[Case]:
    truth, found = lens_columns(LENSES), []
    rng = random.Random(1)
    for kind, write in (made_catalogues.WRITERS | made_catalogues.TO_DAMAGE).items():
        if kind in ("ascii fits", "mrt in parts"):  # they have other names
            continue
        content = write(LENSES, rng, "deg")
        if kind == "latex":  # its line of units is none of data
            content = b"".join(line for line in content.splitlines(True) if b"mathrm" not in line)
        name = {"parquet": "lenses.parquet", "fits": "lenses.fits"}.get(kind, "lenses.txt")
        path = folder / name
        path.write_bytes(content)
        if kind == "parquet":
            spans = of_chunks(path)
        elif kind == "fits":
            header = content.rindex(b"XTENSION= 'BINTABLE'")
            width = int(re.search(rb"NAXIS1  = +(\d+)", content[header:])[1])
            end = content.index(b"END   ", header) + 80
            first = header + -(-(end - header) // 2880) * 2880
            spans = of_rows(first, width, len(LENSES))
        else:
            spans = of_names(content)
        found.append(Case(f"catalogue {kind}", name, content, read_lenses, truth, spans))
        if kind in ("fits", "text"):
            packed = gzip.compress(content, mtime=0)
            found.append(Case(f"catalogue {kind} gz", f"{name}.gz", packed, read_lenses, truth, []))
    return found


class Mutation(NamedTuple):
    """Bytes of a file that are replaced."""

    start: int
    stop: int
    by: bytes


def mutation(content: bytes, rng: random.Random) -> Mutation:
    """Return a mutation: half of them within 6,000 bytes of an end, where formats describe themselves."""
    size = len(content)
    at = rng.choice(
        [
            rng.randrange(size),
            rng.randrange(size),
            rng.randrange(min(size, 6000)),
            size - 1 - rng.randrange(min(size, 6000)),
        ]
    )
    length = rng.choice([1, 1, 2, 4, 64, 500])
    piece = content[at : at + length]
    kind = rng.randrange(7)
    if kind <= 1:
        return Mutation(at, at + 1, bytes([content[at] ^ 1 << rng.randrange(8)]))
    if kind == 2:
        return Mutation(at, at + len(piece), rng.randbytes(len(piece)))
    if kind == 3:
        return Mutation(at, at + len(piece), b"")
    if kind == 4:
        return Mutation(at, at, piece)
    if kind == 5:
        other = rng.randrange(size)
        return Mutation(at, at + len(piece), content[other : other + len(piece)])
    return Mutation(at, size, b"") if rng.random() < 0.3 else Mutation(at, at + len(piece), bytes(len(piece)))


def touched(case: Case, change: Mutation) -> tuple[set[int], set[tuple[int, str]]]:
    """Return the rows that a mutation touches, and the values of columns."""
    rows, values = set[int](), set[tuple[int, str]]()
    quoted = b'"' in change.by + case.content[change.start : change.stop]
    for span in case.spans:
        # What is added before a line's end can be read as a part of the next line, and after a quotation mark
        # all of that can.
        near = 0 if span.column else 1 if not quoted else span.stop - span.start
        if span.start - near <= change.stop and change.start <= span.stop:
            if span.column is None:
                rows.update(span.rows)
            else:
                values.update((i, span.column) for i in span.rows)
    return rows, values


def fault_of(case: Case, change: Mutation, rows: Columns) -> str:
    """Return how rows differ from those that were written; empty where they are right."""
    lost, changed = touched(case, change)
    count = len(next(iter(case.rows.values())))
    found = len(next(iter(rows.values())))
    if case.spans and case.spans[0].column is None:
        # Rows that were not touched are there in their order, perhaps with others in the place of touched
        # ones. A column of names or grades may have lost its own name.
        beyond = change.start <= case.spans[0].start or change.stop >= case.spans[-1].stop
        compared = [name for name in case.rows if not (beyond and name in ("name", "grade"))]
        keys = [tuple(case.rows[name][i].item() for name in compared) for i in range(count) if i not in lost]
        there = [tuple(rows[name][i].item() for name in compared) for i in range(found)]
        position = 0
        for key in keys:
            try:
                position = there.index(key, position) + 1
            except ValueError:
                return f"the row {key[:3]} is lost or changed"
        most = len(lost) + 1 + change.by.count(b"\n") + len(change.by) // 100
        return "" if found - len(keys) <= most else f"{found - len(keys) - most} rows are invented"
    # A damaged position of a catalogue may read as a missing one. Such entries are counted and left out.
    unplaced = {i for i, name in changed if case.read is read_lenses and name in ("RA", "Dec")}
    faults = [f"{found} rows for {count}"]
    for gone in itertools.combinations(sorted(unplaced), max(count - found, 0)) if found <= count else ():
        kept = [i for i in range(count) if i not in gone]
        faults = [
            f"row {i}, {name}: {rows[name][place]} for {values[i]}"
            for name, values in case.rows.items()
            for place, i in enumerate(kept)
            if values[i] != rows[name][place] and (i, name) not in changed
        ]
        if not faults:
            break
    return faults[0] if faults else ""


def judge(number: int, folder: Path) -> tuple[str, str]:
    """Make a mutation, and return the case and what is wrong: empty, 'refused', or a fault."""
    rng = random.Random(number)
    case = cases()[number % len(cases())]
    change = mutation(case.content, rng)
    path = folder / case.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.content[: change.start] + change.by + case.content[change.stop :])
    try:
        rows = case.read(path)
    except LensnegError as error:
        names_it = str(path.parent) in str(error)
        return case.name, "refused" if names_it else f"a message without the file: {error}"
    except Exception as error:
        return case.name, f"traceback: {error!r:.300}"
    finally:
        path.unlink()
    return case.name, fault_of(case, change, rows)


def child(numbers: Iterable[int]) -> None:
    """Make mutations, and print of each its number before it and the verdict behind it."""
    warnings.simplefilter("ignore")
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / case.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(case.content)
            whole = fault_of(case, Mutation(0, 0, b"")._replace(start=-9, stop=-9), case.read(path))
            assert not whole, (case.name, whole)
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            signal.alarm(PATIENCE)
            print(json.dumps([number]), flush=True)
            print(json.dumps([number, *judge(number, Path(folder))]), flush=True)


def run_batch(numbers: range) -> list[tuple[int, str, str]]:
    """Run mutations in child processes, one after the other where one ends."""
    results: list[tuple[int, str, str]] = []
    first = numbers.start
    while first < numbers.stop:
        command = [sys.executable, __file__, "--child", f"{first},{numbers.stop}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        results += [tuple(line) for line in lines if len(line) == 3]
        if not done.returncode:
            break
        if not lines or len(lines[-1]) == 3:
            raise RuntimeError(done.stderr[-2000:])
        first = lines[-1][0] + 1
        name = cases()[lines[-1][0] % len(cases())].name
        results.append((lines[-1][0], name, f"it ended: {done.returncode}, {done.stderr.strip()[-300:]}"))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--only", type=int, help="make this mutation in this process")
    parser.add_argument("--out", type=Path, help="write the counts to this JSON file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(range(*map(int, options.child.split(","))))
        return
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(*judge(options.only, Path(folder)))
            case = cases()[options.only % len(cases())]
            change = mutation(case.content, random.Random(options.only))
            print(f"bytes {change.start:,} to {change.stop:,} of {len(case.content):,}: {change.by!r:.300}")
            print(f"for {case.content[change.start : change.stop]!r:.300}")
        return
    started, number, tried, faults = time.monotonic(), options.first, Counter[str](), 0
    refused = Counter[str]()
    signal.signal(signal.SIGTERM, lambda *_: setattr(options, "seconds", 0))  # the batch is the last
    while time.monotonic() - started < options.seconds:
        for at, name, verdict in run_batch(range(number, number + BATCH)):
            tried[name] += 1
            refused[name] += verdict == "refused"
            if verdict not in ("", "refused"):
                faults += 1
                print(f"{at} {name}: {verdict}", flush=True)
        number += BATCH
    for name, count in tried.items():
        print(f"{name}: {count:,} mutations, {refused[name]:,} refused")
    seconds = time.monotonic() - started
    if options.out:
        counts = {name: {"mutations": count, "refused": refused[name]} for name, count in tried.items()}
        found = {
            "seconds": round(seconds),
            "faults": faults,
            "inputs": counts,
            "lensneg": code_version().code_version,
        }
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{sum(tried.values()):,} mutations from {options.first:,} in {seconds:,.0f} s: {faults:,} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
