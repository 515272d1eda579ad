"""The cost of negative_sampling_v2 beside that of negative_sampling_v1: runs on one made-up sky, in turns.

Measured are the seconds of the states, as the run keeps them: the map, and the reduce, which is what comes
after it up to the sample (SummarizeFanOut, SampleNegatives and CheckSample).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness
from harness import ratio, spread, take_turns

from lensneg.schema.layout import RunFiles
from lensneg.schema.state_times import DRAW, MAP, last_execution

CONFIGS = ("negative_sampling_v1", "negative_sampling_v2")
REDUCE = ("SummarizeFanOut", DRAW, "CheckSample")

FULL = {"files": 8, "rows": 1_000_000, "turns": 5}
QUICK = {"files": 4, "rows": 250_000, "turns": 1}


def state_seconds(config: str, sky: Path, out: Path) -> dict[str, float]:
    """Run a config, and return the seconds of its states."""
    shutil.rmtree(out, ignore_errors=True)
    inputs = ["--sweeps", str(sky / "sweeps"), "--positives", str(sky / "positives.csv")]
    words = ["run", "--run-id", "one", "--config", config, *inputs, "--out", str(out)]
    subprocess.run([sys.executable, "-m", "lensneg", *words], check=True, capture_output=True)
    times = last_execution(RunFiles(str(out), "one"))
    return {name: (state.ended - state.entered).total_seconds() for name, state in times.items()}


def measure(quick: bool) -> dict[str, Any]:
    """Time both configs in turns."""
    scale = QUICK if quick else FULL
    sky = harness.mock_sky(scale["files"], scale["rows"])
    harness.warm(sky)
    taken: dict[str, list[dict[str, float]]] = {config: [] for config in CONFIGS}

    def of(config: str) -> float:
        seconds = state_seconds(config, sky, harness.SCRATCH / f"training-{config}")
        taken[config].append(
            {"map": seconds[MAP], "reduce": sum(seconds[name] for name in REDUCE), **seconds}
        )
        return taken[config][-1]["reduce"]

    take_turns(
        {config: (lambda config=config: of(config)) for config in CONFIGS}, scale["turns"], "the reduce"
    )
    by_step = {
        step: {config: [turn[step] for turn in taken[config]] for config in CONFIGS}
        for step in ("map", "reduce")
    }
    return {
        "files": scale["files"],
        "rows": scale["rows"],
        "seconds": {step: {c: spread(v) for c, v in values.items()} for step, values in by_step.items()},
        "v2_over_v1": {step: ratio(values, CONFIGS[1], CONFIGS[0]) for step, values in by_step.items()},
        "states": {config: taken[config][-1] for config in CONFIGS},
    }


if __name__ == "__main__":
    options = harness.arguments(__doc__.partition("\n")[0])
    harness.report(measure(options.quick), options.out)
