"""Runs a command that must not outlive the process that started it, not even one killed with -9.

    python leash.py COMMAND ARGUMENTS...

Its standard input is a pipe of which the parent holds the other end. The operating system closes that end
when the parent dies, in whatever way; then the whole process group, which is the command's too, is killed.
The standard library alone: it starts in a few hundredths of a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _die_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Run the command; return its exit code, negative where a signal ended it."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    return subprocess.run(sys.argv[1:], check=False, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    code = main()
    # As a shell tells it: 128 and the signal's number.
    sys.exit(code if code >= 0 else 128 - code)
