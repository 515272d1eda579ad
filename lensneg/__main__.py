"""The command: ``lensneg``, or ``python -m lensneg``."""

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line. Ctrl-C ends it at any time, also while its modules are imported."""
    try:
        from lensneg.cli import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
