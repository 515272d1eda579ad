"""What every JSON file of a run or a manifest has in common: a type that is written and read in one way."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lensneg import storage
from lensneg.errors import LensnegError, RunStateError

#: A damaged file may have a fault in every row: a person needs a few.
_FAULTS_SHOWN = 3


class Record(BaseModel):
    """Base of the types that stand for a JSON file, or for a part of one.

    A record cannot be changed, and a key that it does not know is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What to do about a file that is not what its name promises.
    damaged_remedy: ClassVar[str] = "choose another run id, or remove the run's folder"

    @classmethod
    def read(cls, uri: str, error: type[LensnegError] = RunStateError) -> Self:
        """Read the record from its file.

        Parameters
        ----------
        uri : str
        error : type
            What a damaged file raises: ``InputError`` where a person named it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        RunStateError
            If the file is truncated, or not what lensneg of this version writes. The message names the file
            and the first fields that are at fault.
        """
        return cls.of_json(storage.read_bytes(uri), uri, error)

    @classmethod
    def read_if_there(cls, uri: str) -> Self | None:
        """Read the record from its file; None if there is no such file."""
        try:
            return cls.read(uri)
        except FileNotFoundError:
            return None

    @classmethod
    def of_json(cls, data: bytes | str, where: str, error: type[LensnegError] = RunStateError) -> Self:
        """Read the record from JSON text; ``where`` names its file in errors."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as fault:
            raise error(
                "damaged, or of another version of lensneg: " + "; ".join(faults_of(fault)[:_FAULTS_SHOWN]),
                where=where,
                remedy=cls.damaged_remedy,
            ) from fault

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON's types."""
        return self.model_dump(mode="json")

    def write(self, uri: str, *, if_absent: bool = False, durable: bool = True) -> bool:
        """Write the record to its file; see :func:`lensneg.storage.write_bytes`."""
        return storage.write_json(uri, self.as_json(), if_absent=if_absent, durable=durable)


def faults_of(error: ValidationError, example: str = "") -> list[str]:
    """Return what pydantic found wrong, a line for each key.

    Parameters
    ----------
    error : pydantic.ValidationError
    example : str
        A file that has every key.

    Returns
    -------
    list of str
        Each with the key, its value and what was expected.
    """
    return [_describe(fault, example) for fault in error.errors(include_url=False)]


def _describe(fault: Any, example: str) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it, or check its spelling"
    if fault["type"] == "missing":
        return f"{key}: missing; see {example}" if example else f"{key}: {fault['msg']}"
    value = repr(fault["input"])
    if len(value) > 80:
        value = value[:77] + "..."
    return f"{key}: got {value}; {fault['msg'].removeprefix('Value error, ')}"
