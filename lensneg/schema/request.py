"""What is asked for: the input of an execution."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.record import Record, faults_of

Mode = Literal["test", "full", "test-then-full"]

#: A run id is part of URIs, of execution names and of file names.
RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"

#: Times are UTC, to the second.
TIMESTAMP_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"

#: What the state machine itself adds to an execution's input.
_MACHINE_KEYS = frozenset({"mini_test", "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"})


def _catalog_spec(value: Any) -> Any:
    return CatalogSpec.parse(value) if isinstance(value, str) else value


Uri = Annotated[str, Field(min_length=1), AfterValidator(storage.normalize)]

Catalog = Annotated[CatalogSpec, BeforeValidator(_catalog_spec)]


class RunRequest(Record):
    """The input of an execution of the state machine.

    A catalogue is written as ``FILE?option=value`` (see :class:`lensneg.schema.catalog_spec.CatalogSpec`).
    ``started_at`` is given only to repeat an earlier run to the byte; otherwise the clock gives it.
    """

    run_id: Annotated[str, Field(pattern=RUN_ID_PATTERN)]
    mode: Mode
    config: Uri
    sweeps: Uri
    positives: Annotated[tuple[Catalog, ...], Field(min_length=1)]
    exclude: tuple[Catalog, ...] = ()
    out: Uri
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 1000
    started_at: Annotated[str, Field(pattern=TIMESTAMP_PATTERN)] | None = None

    @classmethod
    def of_input(cls, data: Any) -> RunRequest:
        """Read an execution's input.

        The nested execution that makes the mini-test of a ``test-then-full`` run gets
        ``{"mini_test_of": <its parent's input>}``.

        Raises
        ------
        InputError
            With every fault: its key, its value and what was expected.
        """
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if key not in _MACHINE_KEYS}
            if isinstance(data.get("mini_test_of"), dict):
                parent = data["mini_test_of"]
                data = {**parent, "mode": "test", "run_id": mini_test_id(str(parent.get("run_id")))}
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError("the execution's input is wrong: " + "; ".join(faults_of(error))) from error

    def as_input(self) -> dict[str, Any]:
        """Return the request as an execution's input, without what was not set."""
        data = self.model_dump(mode="json", exclude_unset=True)
        catalogs = {"positives": self.positives, "exclude": self.exclude}
        return data | {role: [spec.text for spec in specs] for role, specs in catalogs.items()}


def mini_test_id(run_id: str) -> str:
    """Return the run id of the mini-test that a ``test-then-full`` run makes first."""
    return f"{run_id}-test"
