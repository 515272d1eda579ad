"""The input of an execution: what a run is asked to do."""

import hashlib
import secrets
import shlex
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import ROLES, CatalogSpec, Role, option_of
from lensneg.schema.options import Mode
from lensneg.schema.record import Record, Timestamp, faults_of

#: A run id is part of URIs, of execution names and of file names.
MAX_RUN_ID = 63
RUN_ID_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_RUN_ID - 1}}}$"

#: The ending of the name of a listing of sweep files.
LISTING_SUFFIX: Final = ".txt"

#: Keys that the state machine itself adds to an execution's input.
_MACHINE_KEYS = frozenset({"mini_test", "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"})


def new_id(kind: str) -> str:
    """Return an id made from the time and a random number, ``run-20260102T030405Z-5f3a09`` for example.

    Parameters
    ----------
    kind : str
        What it begins with.

    Returns
    -------
    str
        The id. Two that are made within the same second differ.
    """
    return f"{kind}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def is_listing(uri: str) -> bool:
    """Return whether a run's sweeps are given by a listing of names, as ``lensneg sweeps list`` prints it.

    Parameters
    ----------
    uri : str
        The sweeps of a run.

    Returns
    -------
    bool
        Whether it is a local file whose name ends in ``.txt``.
    """
    return uri.endswith(LISTING_SUFFIX) and not storage.is_s3(uri)


def is_remote(uri: str) -> bool:
    """Return whether a run's sweeps are on a web server.

    Parameters
    ----------
    uri : str
        The sweeps of a run.

    Returns
    -------
    bool
        Whether it is an address or a listing.
    """
    return storage.is_http(uri) or is_listing(uri)


def _catalog_spec(value: Any) -> Any:
    return CatalogSpec.parse(value) if isinstance(value, str) else value


Uri = Annotated[str, Field(min_length=1), AfterValidator(storage.normalize)]

Catalog = Annotated[CatalogSpec, BeforeValidator(_catalog_spec)]


class RunRequest(Record):
    """The input of an execution of the state machine.

    A catalogue is written as ``FILE?option=value``; see :class:`lensneg.schema.catalog_spec.CatalogSpec`.
    ``pz`` is the folder of the ``-pz`` files of the sweep files. ``leave_out`` names files or folders below
    ``sweeps`` that are no inputs, as ``--leave-out`` of ``lensneg run``. ``started_at`` is given only to
    repeat an earlier run to the byte. Otherwise it is the current time.
    """

    run_id: Annotated[str, Field(pattern=RUN_ID_PATTERN)]
    mode: Mode
    config: Uri
    sweeps: Annotated[str, Field(min_length=1), AfterValidator(storage.normalize_readable)]
    positives: Annotated[tuple[Catalog, ...], Field(min_length=1)]
    exclude: tuple[Catalog, ...] = ()
    spectroscopic: tuple[Catalog, ...] = ()
    suspects: tuple[Catalog, ...] = ()
    hard_negatives: tuple[Catalog, ...] = ()
    pz: Uri | None = None
    leave_out: tuple[str, ...] = ()
    out: Uri
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 1000
    started_at: Timestamp | None = None

    @classmethod
    def of_input(cls, data: Any) -> Self:
        """Read an execution's input.

        The nested execution that makes the mini-test of a ``test-then-full`` run gets
        ``{"mini_test_of": <its parent's input>}``.

        Parameters
        ----------
        data : dict
            The input, as JSON types.

        Returns
        -------
        RunRequest
            The request, with absolute paths and URIs.

        Raises
        ------
        InputError
            If the input is wrong. The message names each fault with its key, its value and what was expected.
        """
        if isinstance(data, dict):
            parent = data.get("mini_test_of")
            if isinstance(parent, dict):
                data = {**parent, "mode": "test", "run_id": mini_test_id(str(parent.get("run_id")))}
            # Either may have been started by a machine: the mini-test by this one, its parent by a user's.
            data = {key: value for key, value in data.items() if key not in _MACHINE_KEYS}
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError("the execution's input is wrong: " + "; ".join(faults_of(error))) from error

    @property
    def catalogs(self) -> dict[Role, tuple[CatalogSpec, ...]]:
        """The catalogues of each role.

        Returns
        -------
        dict of str to tuple of CatalogSpec
            In the order in which they were given.
        """
        return {role: getattr(self, role) for role in ROLES}

    def as_input(self) -> dict[str, Any]:
        """Return the request as an execution's input, without what was not set."""
        texts = {role: [spec.text for spec in specs] for role, specs in self.catalogs.items()}
        data = self.model_dump(mode="json", exclude_unset=True) | texts
        optional = [key for key in (*ROLES[2:], "pz") if not data.get(key)]
        return {key: value for key, value in data.items() if key not in optional}

    def command(self, mode: Mode, out: str | None = None) -> str:
        """Return the ``lensneg run`` that makes the same run in another mode.

        Parameters
        ----------
        mode : str
            ``test``, ``full`` or ``test-then-full``.
        out : str, optional
            The output folder, if another.

        Returns
        -------
        str
            A command for a shell, without a run id.

        Examples
        --------
        >>> request = RunRequest.of_input({"run_id": "a", "mode": "full", "config": "/c.yaml",
        ...     "sweeps": "/sweeps", "positives": ["/lenses.csv"], "out": "/out"})
        >>> request.command("test")
        'lensneg run --mode test --config /c.yaml --sweeps /sweeps --positives /lenses.csv --out /out'
        """
        words = ["lensneg", "run", "--mode", mode, "--config", self.config, "--sweeps", self.sweeps]
        for role, specs in self.catalogs.items():
            for spec in specs:
                words += [option_of(role), spec.text]
        words += ["--pz", self.pz] if self.pz else []
        for name in self.leave_out:
            words += ["--leave-out", name]
        words += ["--stream"] * is_remote(self.sweeps)
        return shlex.join([*words, "--out", out or self.out])


def mini_test_id(run_id: str) -> str:
    """Return the run id of the mini-test that a ``test-then-full`` run makes first.

    Parameters
    ----------
    run_id : str
        The full run's id.

    Returns
    -------
    str
        The mini-test's id. If the run's is too long for the suffix, a part of its hash takes its end's place.

    Examples
    --------
    >>> mini_test_id("one"), len(mini_test_id("x" * 63))
    ('one-test', 63)
    """
    suffix = "-test"
    if len(run_id) > MAX_RUN_ID - len(suffix):
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:12]
        run_id = f"{run_id[: MAX_RUN_ID - len(suffix) - len(digest) - 1]}-{digest}"
    return f"{run_id}{suffix}"
