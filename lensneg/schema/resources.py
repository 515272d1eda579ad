"""The files that belong to the package and lie outside it: graph, Spark job, handlers, configs.

In a checkout and in the functions' image they lie beside the package, in a wheel within it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: The package's own folder.
PACKAGE: Final = Path(__file__).resolve().parents[1]

#: Where a wheel has these files; a checkout has no such folder.
_BUNDLED: Final = PACKAGE / "bundled"

#: The folder that holds ``statemachine``, ``spark``, ``functions``, ``configs`` and ``schemas``.
ROOT: Final = _BUNDLED if _BUNDLED.is_dir() else PACKAGE.parent

#: The one graph, run by AWS and by the local run alike.
STATE_MACHINE: Final = ROOT / "statemachine" / "negative_sampling.asl.json"

#: The Spark job.
SPARK_JOB: Final = ROOT / "spark" / "sample_negatives.py"

#: The shipped configs, and the tables of the cost model.
CONFIGS: Final = ROOT / "configs"


def config_path(given: str) -> str:
    """Return where a config lies that is given by its path, or a shipped one by its name.

    Examples
    --------
    >>> config_path("negative_sampling_v1") == str(CONFIGS / "negative_sampling_v1.yaml")
    True
    >>> config_path("configs/mine.yaml")
    'configs/mine.yaml'
    """
    shipped = CONFIGS / f"{given}.yaml"
    return str(shipped) if Path(given).name == given and shipped.is_file() else given
