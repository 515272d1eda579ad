"""What the options that every command has ask for, and the command that runs."""

from dataclasses import dataclass


@dataclass
class Settings:
    """The settings of the command that runs.

    Attributes
    ----------
    command : str
        Its name, such as ``lensneg sweeps list``.
    verbose : bool
        Whether errors are printed with a traceback.
    quiet : bool
        Whether failures alone are printed.
    as_json : bool
        Whether the result is printed as JSON.
    """

    command: str = "lensneg"
    verbose: bool = False
    quiet: bool = False
    as_json: bool = False


settings = Settings()
