"""The folder of a start's logs."""

from pathlib import Path

from lensneg import storage
from lensneg.schema.layout import RunFiles


def log_folder(files: RunFiles) -> Path:
    """Return the folder of the logs of a start that begins now.

    A start of a published run may be refused, and then it leaves that run's folder as it is.
    """
    if storage.is_file(files.manifest):
        return Path(files.out, "logs", files.run_id)
    return Path(files.root, "logs")
