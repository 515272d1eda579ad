"""Ask for known vulnerabilities of everything that the lock files pin.

    python .ci/audit.py requirements.lock ...

The answer comes from the Python Packaging Advisory Database, over the network. Where that cannot be asked,
this says so and is no failure, unless LENSNEG_AUDIT=required is set, as CI's workflow does.
Exit codes: 0 nothing known, or not asked; 1 a vulnerability; 3 could not ask, and had to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

#: What a vulnerability is accepted for: its identifier, and why. To be kept empty.
ACCEPTED: dict[str, str] = {}


def audit(lock: str) -> list[str] | None:
    """Return the vulnerabilities of a lock file, one a line, or None where they could not be asked for."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--timeout=20"]
    command += ["--disable-pip", "--require-hashes", "--requirement", lock]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        packages = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = answer.stderr.strip().splitlines()[-1:] or ["no answer"]
        print(f"audit: {lock}: {last[0]:.300}", file=sys.stderr)
        return None
    print(f"audit: {lock}: {len(packages)} packages asked for")
    return [
        f"{lock}: {package['name']} {package['version']}: {found['id']} (mended in {found['fix_versions']})"
        for package in packages
        for found in package.get("vulns", [])
        if found["id"] not in ACCEPTED
    ]


def main() -> int:
    """Audit the lock files that are named."""
    answers = {lock: audit(lock) for lock in sys.argv[1:]}
    found = [line for lines in answers.values() for line in lines or ()]
    for line in sorted(set(found)):
        print(line, file=sys.stderr)
    silent = [lock for lock, lines in answers.items() if lines is None]
    if silent:
        print(
            f"audit: COULD NOT ASK about {', '.join(silent)}: whether they have known vulnerabilities is not "
            "known. Run make check where the package index can be reached.",
            file=sys.stderr,
        )
    if found:
        return 1
    return 3 if silent and os.environ.get("LENSNEG_AUDIT") == "required" else 0


if __name__ == "__main__":
    sys.exit(main())
