"""The paths of files outside the package's code: graph, Spark job, handlers and configs.

In a checkout and in the functions' image they are beside the package, in a wheel they are in it.
"""

from pathlib import Path
from typing import Final

#: The package's own folder.
PACKAGE: Final = Path(__file__).resolve().parents[1]

#: The folder of these files in a wheel. A checkout has no such folder.
_BUNDLED: Final = PACKAGE / "bundled"

#: The folder that holds ``statemachine``, ``spark``, ``functions``, ``configs`` and ``schemas``.
ROOT: Final = _BUNDLED if _BUNDLED.is_dir() else PACKAGE.parent

#: The graph, which AWS and the local run both execute.
STATE_MACHINE: Final = ROOT / "statemachine" / "negative_sampling.asl.json"

#: The graph of a fetch of sweep files.
FETCH_MACHINE: Final = ROOT / "statemachine" / "fetch_sweeps.asl.json"

#: The Spark job.
SPARK_JOB: Final = ROOT / "spark" / "sample_negatives.py"

#: The shipped configs, and the tables of the cost model.
CONFIGS: Final = ROOT / "configs"


def config_path(given: str) -> str:
    """Return the path of a config.

    Parameters
    ----------
    given : str
        A path or URI, or the name of a shipped config.

    Returns
    -------
    str
        The path of the shipped config of that name, or else what is given.

    Examples
    --------
    >>> config_path("negative_sampling_v1") == str(CONFIGS / "negative_sampling_v1.yaml")
    True
    >>> config_path("configs/mine.yaml")
    'configs/mine.yaml'
    """
    shipped = CONFIGS / f"{given}.yaml"
    return str(shipped) if Path(given).name == given and shipped.is_file() else given
