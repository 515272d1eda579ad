"""``python -m lensneg``."""

from lensneg.cli import main

main()
