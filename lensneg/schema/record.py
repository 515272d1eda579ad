"""The base of all types that describe a JSON file, and the messages for what pydantic finds wrong in one."""

from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lensneg import storage
from lensneg.errors import LensnegError, RunStateError

Count = Annotated[int, Field(ge=0)]

Share = Annotated[float, Field(ge=0, le=1)]

#: A time in UTC, to the second.
Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

#: A damaged file may have a fault in every row. A message names the first ones.
_FAULTS_SHOWN: Final = 3


class Record(BaseModel):
    """Base of the types that describe a JSON file, or a part of one.

    A record cannot be changed, and an unknown key is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What to do about a damaged file.
    damaged_remedy: ClassVar[str] = "choose another run id, or remove the run's folder"

    @classmethod
    def read(cls, uri: str, error: type[LensnegError] = RunStateError) -> Self:
        """Read the record from its file.

        Parameters
        ----------
        uri : str
            The file.
        error : type
            The error that a damaged file raises: ``InputError`` where a person named the file.

        Returns
        -------
        Record
            Of the type that the method is called on.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        RunStateError
            If the file is truncated, or is not written by this version of lensneg. The message names the file
            and its first faulty fields.
        """
        return cls.of_json(storage.read_bytes(uri), uri, error)

    @classmethod
    def read_if_there(cls, uri: str) -> Self | None:
        """Read the record from its file, if there is one.

        Parameters
        ----------
        uri : str
            The file.

        Returns
        -------
        Record or None
            None if there is no such file.

        Raises
        ------
        RunStateError
            If the file is damaged; see :meth:`read`.
        """
        try:
            return cls.read(uri)
        except FileNotFoundError:
            return None

    @classmethod
    def of_json(cls, data: bytes | str, where: str, error: type[LensnegError] = RunStateError) -> Self:
        """Read the record from JSON text.

        Parameters
        ----------
        data : bytes or str
            The JSON text.
        where : str
            The file that it is from, for the error message.
        error : type
            The error that damaged text raises.

        Returns
        -------
        Record
            Of the type that the method is called on.

        Raises
        ------
        RunStateError
            If the text is damaged; see :meth:`read`.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as fault:
            raise error(damage_of(fault), where=where, remedy=cls.damaged_remedy) from fault

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return self.model_dump(mode="json")

    def write(self, uri: str, *, if_absent: bool = False, durable: bool = True) -> bool:
        """Write the record to its file; see :func:`lensneg.storage.write_bytes`.

        Parameters
        ----------
        uri : str
            The file.
        if_absent : bool
            Leave an existing file as it is.
        durable : bool
            Wait until a local file would survive a loss of power.

        Returns
        -------
        bool
            Whether the file was written.
        """
        return storage.write_json(uri, self.as_json(), if_absent=if_absent, durable=durable)


def damage_of(error: ValidationError) -> str:
    """Return the message for a damaged file.

    Parameters
    ----------
    error : pydantic.ValidationError
        The faults of the file.

    Returns
    -------
    str
        The message, with the first faults.
    """
    return "damaged, or of another version of lensneg: " + "; ".join(faults_of(error)[:_FAULTS_SHOWN])


def faults_of(error: ValidationError, example: str = "") -> list[str]:
    """Return what pydantic found wrong, a line for each key.

    Parameters
    ----------
    error : pydantic.ValidationError
        The faults.
    example : str
        A file with every key, which a message about a missing key names.

    Returns
    -------
    list of str
        For each fault the key, its value and what was expected.
    """
    return [_describe(fault, example) for fault in error.errors(include_url=False)]


def _describe(fault: Any, example: str) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it, or check its spelling"
    if fault["type"] == "missing":
        return f"{key}: missing; see {example}" if example else f"{key}: {fault['msg']}"
    if fault["type"] == "json_invalid":
        return f"it is not JSON ({fault['msg']})"
    value = repr(fault["input"])
    if len(value) > 80:
        value = value[:77] + "..."
    return f"{key}: got {value}; {fault['msg'].removeprefix('Value error, ')}"
