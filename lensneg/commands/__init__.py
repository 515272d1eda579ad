"""Commands of the command line, each in its own module."""
