"""All benchmarks, one after the other: rewrites results.md, results.json and the plots.

make bench
.venv/bin/python benchmarks/run_all.py --quick   # a smoke run; its results go to build/bench/quick
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
from harness import ROOT, SCRATCH, say
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
SCRIPTS = ("map_stage", "parquet_sweeps", "draw", "training_config", "small_run", "local_run", "audit")

#: What takes longer, and is run by itself: its last results are kept.
KEPT = ("full_sky", "fuzz_inputs")

NAMES = {
    "raw": "raw read",
    "lensneg": "lensneg",
    "fitsio": "fitsio + pandas",
    "astropy": "astropy + NumPy",
    "lensneg_warm": "lensneg, kept driver",
    "duckdb": "DuckDB",
    "duckdb_thresholds": "DuckDB, told the thresholds",
    "polars": "Polars",
}
COLOURS = {
    "raw": "#999999",
    "lensneg": "#0072b2",
    "fitsio": "#d55e00",
    "astropy": "#cc79a7",
    "lensneg_warm": "#56b4e9",
    "duckdb": "#d55e00",
    "duckdb_thresholds": "#e69f00",
    "polars": "#009e73",
}

Result = dict[str, Any]


# --- Numbers in text


def number(value: float) -> str:
    """Return a number with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def shown(figure: Result, unit: str = "") -> str:
    """Return a median with the lowest and the highest."""
    low, high = number(figure["min"]), number(figure["max"])
    return f"**{number(figure['median'])}**{unit} ({low} to {high})"


def millions(rows: int) -> str:
    """Return rows as millions, or as thousands where there are few."""
    return f"{rows / 1e6:g} M" if rows >= 1_000_000 else f"{rows / 1e3:g} k"


def megabytes(value: float) -> str:
    """Return bytes as MB."""
    return f"{value / 1e6:,.0f} MB"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# --- The sections of results.md


def map_section(found: Result) -> str:
    """Return the text on the map."""
    compared = [size for size in found["sizes"] if "fitsio_over_lensneg" in size]
    ratios = table(
        [
            "one core, whole file",
            *(f"{millions(size['rows'])} rows, {size['mb']:,.0f} MB" for size in compared),
        ],
        [
            ["lensneg / raw read", *(shown(size["lensneg_over_raw"]) for size in compared)],
            ["fitsio + pandas / lensneg", *(shown(size["fitsio_over_lensneg"]) for size in compared)],
            ["astropy + NumPy / lensneg", *(shown(size["astropy_over_lensneg"]) for size in compared)],
        ],
    )
    curve = table(
        ["rows", "MB", "raw read, s", "lensneg, s", "lensneg, MB/s", "lensneg / raw read"],
        [
            [
                millions(size["rows"]),
                f"{size['mb']:,.0f}",
                number(size["seconds"]["raw"]["median"]),
                number(size["seconds"]["lensneg"]["median"]),
                shown(size["mb_per_s"]),
                shown(size["lensneg_over_raw"]),
            ]
            for size in found["sizes"]
        ],
    )
    memory = table(
        ["peak of memory, a fresh process", *(f"{millions(m['rows'])} rows" for m in found["memory"])],
        [
            [name, *(megabytes(m[key]) for m in found["memory"])]
            for key, name in (
                ("file", "(size of the file)"),
                ("none", "imports and the run's lenses, nothing read"),
                ("lensneg", "lensneg"),
                ("fitsio", "fitsio + pandas"),
                ("astropy", "astropy + NumPy"),
            )
        ],
    )
    packed, s3 = found["gzip"], found["s3"]
    other = table(
        ["other sources", "MB", "MB/s", "ratio"],
        [
            [
                f"`.fits.gz`, {millions(packed['rows'])} rows",
                f"{packed['mb']:,.0f}",
                shown(packed["mb_per_s"]),
                f"{shown(packed['gzipped_over_gunzip'])} of uncompressing alone",
            ],
            [
                f"S3 (a stand-in), {millions(s3['rows'])} rows",
                f"{s3['mb']:,.0f}",
                shown(s3["mb_per_s"]),
                f"{shown(s3['lensneg_over_download'])} of a download, then the file",
            ],
        ],
    )
    return f"""## The map

`filter_item` on one core, with the sky's positives and {found["other_lenses"]:,} other lenses: cuts, pools,
lens exclusion, matches, pixels and priorities, and pool, positives and stats written. The raw read puts the
file's bytes into an 8 MiB buffer. The two baselines apply the five cuts on single sources and write Parquet,
which is less than the map does; all keep the same number of rows. Files are in the page cache.
{found["turns"]} turns.

{ratios}

![Seconds of the map against rows](map_scaling.png)

{curve}

{memory}

The map holds the rows that it keeps, and never the file. From `.fits.gz` its peak is
{megabytes(packed["peak_rss"])}.

{other}

MB are those of the stored file. S3 is a folder served by `s3_files.py` on the other core. The map takes
{number(s3["seconds"]["lensneg"]["median"])} s from it; a `get_object` whose bytes are thrown away takes
{number(s3["seconds"]["get_object"]["median"])} s, most of it the server's. So this compares two ways to read
from the same server, and says nothing about AWS.
"""


def draw_section(found: Result) -> str:
    """Return the text on the draw."""
    sizes = [*found["sizes"], *([found["whole"]] if "whole" in found else [])]
    small, large = found["sizes"]
    rivals, own = ("duckdb", "duckdb_thresholds", "polars"), ("lensneg", "lensneg_warm")
    ratios = table(
        ["", *(f"{size['drawn']:,} rows from {millions(size['rows'])}" for size in sizes)],
        [
            [
                f"{NAMES[one]} / {NAMES[engine]}",
                *(
                    shown(size["over"][f"{one}/{engine}"]) if engine in size["seconds"] else "left out"
                    for size in sizes
                ),
            ]
            for engine in rivals
            for one in own
        ],
    )
    growth = table(
        ["", f"{millions(large['rows'])} / {millions(small['rows'])}, the same sample"],
        [[NAMES[engine], shown(figure)] for engine, figure in found["growth"].items()],
    )
    by_pool = table(
        [
            "pool",
            "files",
            "MB",
            *(f"{NAMES[engine]}, s" for engine in (*own, *rivals)),
            "row groups read",
            "turns",
        ],
        [
            [
                millions(size["rows"]),
                f"{size['files']:,}",
                f"{size['mb']:,.0f}",
                *(seconds_of(size, engine) for engine in (*own, *rivals)),
                row_groups(size),
                str(size["seconds"]["lensneg"]["n"]),
            ]
            for size in sizes
        ],
    )
    steps = table(
        ["the last draw, s", "Java and session", *small["more"]["lensneg"]["steps"]],
        [
            [
                f"{NAMES[engine]}, {millions(size['rows'])}",
                shown(size["more"][engine]["start"]),
                *(number(seconds) for seconds in size["more"][engine]["steps"].values()),
            ]
            for size in sizes
            for engine in own
        ],
    )
    peaks = table(
        ["peak of memory", *(millions(size["rows"]) for size in sizes)],
        [
            *(
                [
                    f"{NAMES[engine]}: Java",
                    *(megabytes(size["more"][engine]["java_peak_rss"]) for size in sizes),
                ]
                for engine in own
            ),
            ["CheckSample", *(megabytes(size["more"]["lensneg"]["check_peak_rss"]) for size in sizes)],
            *([NAMES[engine], *(peak_of(size, engine) for size in sizes)] for engine in rivals),
        ],
    )
    skipped = "".join(
        f" {NAMES[engine]} is left out at {millions(size['rows'])} rows: {why}."
        for size in sizes
        for engine, why in size["skipped"].items()
    )
    more = "".join(part(found) for part in (by_cores_text, largest_text))
    load = " and ".join(f"{number(before[0])}" for before in found["load"])
    return f"""## The draw

The real Spark job, as the local run submits it with {found["cores"]} cores, and then CheckSample, which
judges the rows and writes the final files, on made-up pools of 16 strata and two pools. Counted are all
seconds of the job, with the start of Java where the driver is fresh, and those of CheckSample.
DuckDB and Polars have {found["cores"]} threads and a fresh process, whose imports are not counted; they write
the same rows with the same columns, sorted, but no positives and no counts. The split of each pixel is given
to them. They rank the keys of the whole pool, as one does without thresholds; DuckDB is also measured with
those that the Spark job is given. After every run the SHA-256 over the TARGETIDs and splits is compared: all
wrote the same rows in the same order. The load of the machine (`uptime`, one minute) was {load} at the
beginning and the end of the draws.{skipped}

{ratios}

{growth}

![Seconds of the draw against the pool](draw_scaling.png)

{by_pool}

{steps}

{peaks}
{more}"""


def peak_of(size: Result, engine: str) -> str:
    """Return the peak of memory of an engine, if it ran."""
    return megabytes(size["more"][engine]["peak_rss"]) if engine in size["more"] else "-"


def by_cores_text(found: Result) -> str:
    """Return the text on the job's steps by the number of cores."""
    if "by_cores" not in found:
        return ""
    cores = found["by_cores"]["seconds"]
    rows = [[count, shown(seconds)] for count, seconds in cores.items()]
    of = f"the job's steps at {millions(found['by_cores']['rows'])}, a kept driver, s"
    return f"\n{table(['cores of the job (tasks at once)', of], rows)}\n"


def largest_text(found: Result) -> str:
    """Return the text on the largest draw."""
    if "largest" not in found:
        return ""
    largest = found["largest"]
    rows = f"{largest['drawn']:,} rows from {millions(largest['rows'])}"
    java, check = (megabytes(largest[f"{name}_peak_rss"]) for name in ("java", "check"))
    return f"""
The largest draw, {rows}, by lensneg alone and once: {number(largest["seconds"])} s, of which CheckSample
takes {number(largest["check"])} s; peak of memory: Java {java}, CheckSample {check}.
"""


def seconds_of(size: Result, engine: str) -> str:
    """Return the median seconds of an engine, if it ran."""
    return number(size["seconds"][engine]["median"]) if engine in size["seconds"] else "-"


def row_groups(size: Result) -> str:
    """Return how many row groups the Spark job read of how many, if it says so."""
    job = size["more"]["lensneg"]
    if "row_groups_read" not in job or "row_groups_total" not in job:
        return "-"
    return f"{job['row_groups_read']:,} of {job['row_groups_total']:,}"


def training_section(found: Result) -> str:
    """Return the text on the cost of negative_sampling_v2."""
    rows = [
        [f"the {step}", *map(shown, found["seconds"][step].values()), shown(found["v2_over_v1"][step])]
        for step in found["seconds"]
    ]
    states = {name for taken in found["states"].values() for name in taken}
    steps = [name for name in ("SummarizeFanOut", "SampleNegatives", "CheckSample") if name in states]
    parts = "; ".join(
        f"{config}: {', '.join(f'{name} {number(taken[name])} s' for name in steps)}"
        for config, taken in found["states"].items()
    )
    times = table(["", *(f"{config}, s" for config in found["states"]), "v2 / v1"], rows)
    return f"""## The config for training

`lensneg run` on {found["files"]} files of {millions(found["rows"])} rows each of the made-up sky, with
`negative_sampling_v1` and with `negative_sampling_v2`. The map has all files. The reduce is SummarizeFanOut,
the Spark job and CheckSample.

{times}

The last turn: {parts}.
"""


def small_section(found: Result) -> str:
    """Return the text on a small run."""
    full, both = (shown(found["seconds"][mode]) for mode in ("full", "test-then-full"))
    return f"""## A small run

`lensneg run` on four files of 150,000 rows: {full} s, and {both} s with a mini-test of two of them before,
which is {shown(found["ratio"])} times as long. The first line is there after
{shown(found["first_line_seconds"])} s. Java starts once, and takes at most
{megabytes(found["java_peak_rss"])}.
"""


def fuzz_section(found: Result) -> str:
    """Return the text on damaged inputs, which `make bench` does not repeat."""
    counts = found["inputs"].values()
    mutations, refused = (sum(one[key] for one in counts) for key in ("mutations", "refused"))
    return f"""## Damaged inputs

`tests/faults/fuzz_inputs.py` damaged {len(counts)} kinds of inputs in {mutations:,} ways within
{found["seconds"] / 60:.0f} minutes: {refused:,} were refused with a message that names the file, and the
others gave the rows that were written. **{found["faults"]:,}** gave wrong rows, no message, or nothing in a
minute. The code was lensneg {found["lensneg"]}.
"""


def local_section(found: Result) -> str:
    """Return the text on the local run."""
    memory = ", ".join(f"{megabytes(m['peak_rss'])} with {m['files']} files" for m in found["memory"])
    times = table(
        ["", "1 worker, s", "2 workers, s", "parallel efficiency, t1 / (2 t2)"],
        [
            [
                "map",
                shown(found["seconds"]["1 workers"]),
                shown(found["seconds"]["2 workers"]),
                shown(found["efficiency"]),
            ]
        ],
    )
    return f"""## The local run

The map of a whole local run, through moto's interpreter and the functions' own handlers: {found["files"]}
files of {found["rows"]:,} rows, {found["mb"]:,.0f} MB, {found["items"]} items; {found["turns"]} turns. The
interpreter takes its share of the same {len(harness.CORES)} cores.

{times}

The main process holds no table: its peak of memory is {memory} of 2,000 rows.
"""


def full_sky_section(found: Result) -> str:
    """Return the text on the rehearsal of the full sky, which `make bench` does not repeat."""
    run = found["run"]
    history, functions, requests = run["history"], run["functions"], run["requests"]
    kinds = sorted({kind for counted in requests.values() for kind in counted})
    by_function = table(
        ["function", "calls", "most bytes in", "most bytes out", *kinds],
        [
            [
                f"`{name}`",
                *(f"{calls[key]:,}" for key in ("calls", "input_bytes", "output_bytes")),
                *(f"{requests[name].get(kind, 0):,}" for kind in kinds),
            ]
            for name, calls in functions.items()
            if not name.startswith("(")
        ],
    )
    rows = " and ".join(f"{count:,} {part}" for part, count in found["published"].items())
    compared = " It published the rows of a run that was not interrupted." if found["compared"] else ""
    return f"""## The rehearsal of the full sky

`full_sky.py`: {found["files"]:,} files of {found["rows"]:,} rows with the names of DR10.1, a real catalogue
of candidates, every URI in S3 (moto's server), the graph and the handlers as deployed. The run made its
mini-test and was killed (kill -9) after {found["killed_after"]:,} items of its map. The run that continued it
did no item again that was done, and published {rows}.{compared}
The history of the execution has **{history["events"]:,}** events of the 25,000 that Step Functions allows.
moto counts them, without those of the map's children; AWS may count others. The largest input of a state has
**{history["input_bytes"]:,}** bytes and the largest output {history["output_bytes"]:,}, of 262,144.
items.json has {found["items_bytes"] / 1e3:,.0f} kB. The numbers are those of the run that continued, with its
mini-test;
requests are those that the functions sent. Those of Spark through S3A are not known, as no package registry
has S3A.

{by_function}

The continued run took {run["seconds"] / 60:.1f} minutes on a machine with a load of
{found["load"][1]:.0f} on {len(harness.CORES)} cores. The code was lensneg {found["lensneg"]}.
"""


def audit_section(found: Result) -> str:
    """Return the text on the audit."""
    times = table(
        ["", "audit, s", "reading the same Parquet files, s", "audit / reading"],
        [
            [
                f"{found['rows']:,} rows",
                shown(found["seconds"]["audit"]),
                shown(found["seconds"]["read"]),
                shown(found["audit_over_read"]),
            ]
        ],
    )
    peaks = ", ".join(
        f"{megabytes(peak)} of {int(rows):,} rows" for rows, peak in found["memory_peak_bytes"].items()
    )
    return f"""## The audit

`lensneg validate`, gate 4 on its own, of a manifest of {megabytes(found["bytes"])} with
{found["sweep_files"]} sweep files, in which it looks rows up; all of its checks must pass.

{times}

Peak of memory, in processes of their own and without sweep files: {peaks}.
"""


def parquet_section(found: Result) -> str:
    """Return the section on the map over Parquet, as HATS catalogues have it."""
    seconds, s3 = found["seconds"], found["s3_seconds"]
    rows = [
        ["dropped from the page cache", seconds["fits"], seconds["parquet"], found["parquet_over_fits_cold"]],
        ["in it", seconds["fits_warm"], seconds["parquet_warm"], found["parquet_over_fits_warm"]],
        ["in S3 (a stand-in)", s3["fits"], s3["parquet"], found["parquet_over_fits_s3"]],
    ]
    times = table(
        ["the file", "FITS, s", "Parquet, s", "Parquet / FITS"],
        [[name, *(shown(figure) for figure in figures)] for name, *figures in rows],
    )
    size, arrow = found["bytes"], shown(found["arrow_over_fits_warm"])
    return f"""## The map over Parquet

`filter_item` on one core, on {millions(found["rows"])} rows as a sweep file, and as a Parquet file that is
encoded as hats-import writes a partition. {megabytes(size["parquet"])} of the Parquet file are read,
{size["ratio"]} of the {megabytes(size["fits"])} of the sweep file. {found["turns"]} turns.

{times}

Arrow's decoding of the needed columns alone takes {arrow} of the time of the whole
map over the sweep file, both in the page cache.
"""


def rates(results: Result) -> dict[str, Result]:
    """Return the figures that ``configs/rates.yaml`` takes from here, by their names there."""
    mapped, draw = results["map_stage"], results["draw"]
    packed, largest = mapped["gzip"], mapped["sizes"][-1]
    plain_mb = next(size["mb"] for size in mapped["sizes"] if size["rows"] == packed["rows"])
    gunzip = packed["seconds"]["gunzip"]
    size = draw.get("whole", draw["sizes"][-1])
    job = size["more"]["lensneg"]
    drawn, seconds = size["drawn"], job["job"]["median"]
    if "largest" in draw:
        # A fresh Java and the opening of the files, which the model adds by itself, count for less there.
        drawn, seconds = draw["largest"]["drawn"], draw["largest"]["job"]
    found = {
        "map_rate": {
            **{key: largest["mb_per_s"][key] for key in ("median", "min", "max")},
            "unit": "MB/s",
            "from": f"the map of {millions(largest['rows'])} rows, one core",
        },
        "gunzip_rate": {
            "median": round(plain_mb / gunzip["median"], 1),
            "min": round(plain_mb / gunzip["max"], 1),
            "max": round(plain_mb / gunzip["min"], 1),
            "unit": "MB/s, uncompressed",
            "from": "Python's gzip alone, one core",
        },
        "gzip_ratio": {
            "median": round(packed["mb"] / plain_mb, 3),
            "unit": "of the size",
            "from": "the mock sky, whose noise hardly compresses",
        },
        "pool_row_bytes": {
            "median": round(1e6 * size["mb"] / size["rows"], 1),
            "unit": "bytes",
            "from": "made-up pool files",
        },
        "draw_seconds": {
            "median": round(500_000 / drawn * seconds, 2),
            "unit": "s",
            "from": f"500,000 of {drawn:,} negatives, all steps of the job, {draw['cores']} cores",
        },
    }
    if "row_groups_read" in job:
        found["draw_read_share"] = {
            "median": round(job["row_groups_read"] / job["row_groups_total"], 3),
            "unit": "of row groups",
            "from": f"{size['drawn']:,} rows from {millions(size['rows'])}",
        }
    return found


def rates_section(results: Result) -> str:
    """Return the text on the rates that the cost model takes."""
    rows = [
        [
            f"`{name}`",
            shown(rate) if "min" in rate else f"**{number(rate['median'])}**",
            rate["unit"],
            rate["from"],
        ]
        for name, rate in results["rates"].items()
    ]
    return f"""## What `configs/rates.yaml` takes from here

{table(["rate", "measured", "unit", "from"], rows)}

`map_rate` is what the cost of the map hangs on: the rows' part of an item, on one core.
"""


def results_markdown(results: Result) -> str:
    """Return results.md."""
    machine = results["environment"]
    packages = (
        "numpy",
        "pyarrow",
        "pyspark",
        "java",
        "duckdb",
        "polars",
        "pandas",
        "fitsio",
        "astropy",
        "moto",
    )
    versions = ", ".join(f"{name} {machine[name]}" for name in packages)
    smoke = "\n**A smoke run with `--quick`: these figures mean nothing.**\n" if results["quick"] else ""
    intro = f"""# Benchmarks: what they last printed
{smoke}
Written by `make bench`; [README.md](README.md) says what each script does. Each figure is a ratio of two
things measured in the same run: they take turns, the ratio is taken within each turn, and what is shown is
the **median** (lowest to highest). Seconds and MB/s are of this machine alone.

- {machine["cpu"]} (family/model {machine["cpu_family_model"]}), {machine["cores"]} cores,
  {machine["memory_gb"]:g} GB, {machine["os"]}
- Python {machine["python"]}, {versions}
- lensneg {machine["lensneg"]}; {results["finished"]}, {results["minutes"]:g} minutes in all
"""
    sections = (
        intro,
        map_section(results["map_stage"]),
        parquet_section(results["parquet_sweeps"]),
        draw_section(results["draw"]),
        training_section(results["training_config"]),
        small_section(results["small_run"]),
        local_section(results["local_run"]),
        audit_section(results["audit"]),
        *([full_sky_section(results["full_sky"])] if "full_sky" in results else []),
        *([fuzz_section(results["fuzz_inputs"])] if "fuzz_inputs" in results else []),
        rates_section(results),
    )
    return "\n".join(sections)


# --- Plots


def axes_style(axes: Any, x: str, y: str, title: str) -> None:
    """Set labels, and logarithmic scales with plain numbers."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=11)
    axes.grid(True, which="both", linewidth=0.3, alpha=0.6)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def curve(axes: Any, points: list[tuple[float, Result]], key: str) -> None:
    """Draw medians with bars from the lowest to the highest."""
    x = [place for place, _ in points]
    middle = [figure["median"] for _, figure in points]
    below = [figure["median"] - figure["min"] for _, figure in points]
    above = [figure["max"] - figure["median"] for _, figure in points]
    axes.errorbar(
        x,
        middle,
        yerr=[below, above],
        marker="o",
        markersize=5,
        capsize=3,
        color=COLOURS[key],
        label=NAMES[key],
    )


def ticks(axes: Any, places: list[float], labels: list[str]) -> None:
    """Put ticks on the x axis where something was measured, and nowhere else."""
    axes.set_xticks(places, labels)
    axes.set_xticks([], minor=True)


def plot_map(found: Result, path: Path) -> None:
    """Plot the map's seconds against the rows of its file."""
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=130, layout="constrained")
    for key in ("raw", "lensneg", "fitsio", "astropy"):
        points = [(s["rows"] / 1e6, s["seconds"][key]) for s in found["sizes"] if key in s["seconds"]]
        curve(axes, points, key)
    axes_style(axes, "rows of the sweep file", "seconds on one core", "Map: one sweep file, one core")
    ticks(axes, [s["rows"] / 1e6 for s in found["sizes"]], [millions(s["rows"]) for s in found["sizes"]])
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    figure.savefig(path)
    plt.close(figure)


def plot_draw(found: Result, path: Path) -> None:
    """Plot the draw's seconds against the pool."""
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=130, layout="constrained")
    sizes = [*found["sizes"], *([found["whole"]] if "whole" in found else [])]
    for key in ("lensneg", "lensneg_warm", "duckdb", "duckdb_thresholds", "polars"):
        points = [(s["rows"] / 1e6, s["seconds"][key]) for s in sizes if key in s["seconds"]]
        if points:
            curve(axes, points, key)
    axes_style(axes, "rows of the pool, and rows drawn", "seconds, two cores", "Draw, with its rows written")
    ticks(
        axes,
        [s["rows"] / 1e6 for s in sizes],
        [f"{millions(s['rows'])}\n{s['drawn'] / 1e3:g} k drawn" for s in sizes],
    )
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    figure.savefig(path)
    plt.close(figure)


# --- The whole


def run_script(name: str, quick: bool) -> Result:
    """Run a benchmark in a process of its own; return its results."""
    say(f"=== {name}")
    out = SCRATCH / f"{name}.json"
    command = [sys.executable, str(HERE / f"{name}.py"), "--out", str(out), *(["--quick"] if quick else [])]
    subprocess.run(command, check=True, cwd=ROOT)
    return json.loads(out.read_text(encoding="utf-8"))


def main() -> None:
    """Run all benchmarks and write what they found."""
    options = harness.arguments(__doc__.partition("\n")[0])
    begun = time.monotonic()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    results: Result = {"quick": options.quick, "environment": harness.environment()}
    last = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    results |= {name: last[name] for name in KEPT if name in last}
    for name in SCRIPTS:
        results[name] = run_script(name, options.quick)
    results["finished"] = time.strftime("%Y-%m-%d", time.gmtime())
    results["minutes"] = round((time.monotonic() - begun) / 60, 1)
    results["rates"] = rates(results)
    write(results, SCRATCH / "quick" if options.quick else HERE)


def write(results: Result, folder: Path) -> None:
    """Write results.json, results.md and the plots into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("Agg")
    plot_map(results["map_stage"], folder / "map_scaling.png")
    plot_draw(results["draw"], folder / "draw_scaling.png")
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(results_markdown(results), encoding="utf-8")
    say(f"wrote {(folder / 'results.md').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
