"""A program that runs a command and ends it when the parent process ends, even if that is killed with -9.

    python end_with_parent.py COMMAND ARGUMENTS...

Its standard input is a pipe whose other end the parent holds. The operating system closes that end when the
parent ends. Then the program kills its process group, which includes the command. It imports the standard
library alone, so it starts in a few hundredths of a second.
"""

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
    """Run the command, and return its exit code. It is negative if a signal ended the command."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    return subprocess.run(sys.argv[1:], check=False, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    code = main()
    # A shell's exit code for a signal: 128 plus the signal's number.
    sys.exit(code if code >= 0 else 128 - code)
