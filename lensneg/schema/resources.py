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

#: The tables of the cost model, among them.
_TABLES: Final = ("prices", "rates")

#: The beginning of the name of most shipped configs.
_SERIES: Final = "negative_sampling_"


def shipped_names() -> list[str]:
    """Return the names of the shipped configs.

    Returns
    -------
    list of str
        In the order of the alphabet.

    Examples
    --------
    >>> "negative_sampling_v1" in shipped_names()
    True
    """
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in _TABLES)


def shipped_name(uri: str) -> str | None:
    """Return the name of the shipped config that a path leads to.

    Parameters
    ----------
    uri : str
        A path or URI.

    Returns
    -------
    str or None
        None if it is no shipped config.

    Examples
    --------
    >>> shipped_name(config_path("v1")), shipped_name("s3://sky/configs/mine.yaml")
    ('negative_sampling_v1', None)
    """
    path = Path(uri)
    return path.stem if path.parent == CONFIGS and path.stem in shipped_names() else None


def config_path(given: str) -> str:
    """Return the path of a config.

    Parameters
    ----------
    given : str
        A path or URI, or the name of a shipped config, which may lack ``negative_sampling_``.

    Returns
    -------
    str
        The path of the shipped config of that name, or else what is given.

    Examples
    --------
    >>> config_path("negative_sampling_v1") == config_path("v1") == str(CONFIGS / "negative_sampling_v1.yaml")
    True
    >>> config_path("configs/mine.yaml")
    'configs/mine.yaml'
    """
    for name in (given, f"{_SERIES}{given}"):
        if name in shipped_names():
            return str(CONFIGS / f"{name}.yaml")
    return given
