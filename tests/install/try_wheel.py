"""Install a wheel with a Python, in an empty environment, and run it far from the checkout.

    python tests/install/try_wheel.py WHEEL PYTHON ...

The checkout makes the same run over the same made-up sky. Each PYTHON must publish the same content. The
wheel's dependencies are the newest that the package index has. Exit codes: 0 the same content; 1 other
content, or a command that failed.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: A mini-test of one file would read every file, so there is none.
RUN = (
    "run",
    "--config",
    "negative_sampling_v1",
    "--sweeps",
    "sky/sweeps",
    "--positives",
    "sky/positives.csv",
)


def call(place: Path, *command: str | Path) -> str:
    """Run a program in a folder, without the user's settings of Python; return what it prints."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command, cwd=place, env=theirs, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def content(place: Path, out: str) -> dict[str, str]:
    """Return the hashes of the content that was published to a folder."""
    latest = json.loads((place / out / "latest.json").read_text())
    manifest = json.loads((place / out / "manifests" / latest["run_id"] / "manifest.json").read_text())
    return {part: manifest[part]["content_sha256"] for part in ("negatives", "positives")}


def main(wheel: str, *pythons: str) -> int:
    """Try each Python, and print what it published."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ours = Path(sys.executable).with_name("lensneg")
        call(place, ours, "mock-sky", "sky", "--files", "1")
        call(place, ours, *RUN, "--out", "checkout", "-q")
        expected = content(place, "checkout")
        print(f"checkout: {expected}", flush=True)
        failed = 0
        for python in pythons:
            name = Path(python).name
            call(place, python, "-m", "venv", name)
            call(place, place / name / "bin" / "pip", "install", "-q", str(Path(wheel).resolve()))
            call(place, place / name / "bin" / "lensneg", *RUN, "--out", f"out-{name}", "-q")
            found = content(place, f"out-{name}")
            print(f"{name}: {'the same' if found == expected else f'OTHER CONTENT: {found}'}", flush=True)
            failed += found != expected
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
