"""Calls of AWS with boto3, each of which can be printed as the ``aws`` command that does the same."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic.alias_generators import to_pascal

from lensneg.errors import InputError
from lensneg.storage.errors import aws_errors, error_code

#: IAM's prefix of a service's actions, if it differs from boto3's name of the service.
_IAM_PREFIXES: Final = {"stepfunctions": "states", "service-quotas": "servicequotas"}

#: The aws command's name of a service, if it differs from boto3's.
_CLI_NAMES: Final = {"s3": "s3api"}


@dataclass(frozen=True)
class Call:
    """A call of an AWS API.

    Attributes
    ----------
    service, operation : str
        The names of boto3's client and method.
    parameters : mapping of str to any
        The arguments of the method.

    Examples
    --------
    >>> print(Call("stepfunctions", "stop_execution", {"executionArn": "arn:x", "cause": "by hand"}))
    aws stepfunctions stop-execution --execution-arn arn:x --cause 'by hand'
    """

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def iam_action(self) -> str:
        """The IAM action that the call needs.

        Examples
        --------
        >>> Call("stepfunctions", "start_execution").iam_action
        'states:StartExecution'
        """
        return f"{_IAM_PREFIXES.get(self.service, self.service)}:{to_pascal(self.operation)}"

    def __str__(self) -> str:
        from botocore import xform_name

        words = ["aws", _CLI_NAMES.get(self.service, self.service), self.operation.replace("_", "-")]
        for name, value in self.parameters.items():
            option = f"--{xform_name(name, '-')}"
            if isinstance(value, bool):
                words.append(option if value else option.replace("--", "--no-", 1))
            else:
                words += [option, value if isinstance(value, str) else json.dumps(value)]
        return shlex.join(words)


def _make_client(service: str) -> Any:
    import boto3  # imported late, as other commands start faster without it

    make: Any = boto3.client  # its stubs accept only literal names
    with aws_errors(service, "a client"):
        return make(service)


@contextmanager
def in_place_of(code: str, error: InputError) -> Iterator[None]:
    """Replace the error that AWS raises with a code by another.

    Parameters
    ----------
    code : str
        AWS's error code.
    error : InputError
        Raised in its place.
    """
    try:
        yield
    except InputError as refused:
        if error_code(refused.__cause__) != code:
            raise
        raise error from refused.__cause__


class Aws:
    """The calls of a command.

    Parameters
    ----------
    dry : bool
        Whether calls that change something are left out.
    make_client : callable
        Returns boto3's client of a service.

    Attributes
    ----------
    made : list of str
        The ``aws`` commands of the calls, each once, in order.
    """

    def __init__(self, *, dry: bool = False, make_client: Callable[[str], Any] = _make_client) -> None:
        self.dry = dry
        self.made: list[str] = []
        self._make_client = make_client
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return boto3's client of a service."""
        if service not in self._clients:
            self._clients[service] = self._make_client(service)
        return self._clients[service]

    def note(self, command: str) -> None:
        """Add a command to those that were made, unless it is there."""
        if command not in self.made:
            self.made.append(command)

    def read(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes nothing.

        Parameters
        ----------
        service, operation : str
            The names of boto3's client and method.
        **parameters : any
            The arguments of the method.

        Returns
        -------
        dict
            The answer.

        Raises
        ------
        InputError
            If credentials, Region or permissions do not allow the call, or something is not there.
        TransientError
            If AWS cannot be reached, or is throttling.
        """
        call = Call(service, operation, parameters)
        self.note(str(call))
        with aws_errors(call.service, call.iam_action):
            return dict(getattr(self.client(service), operation)(**parameters))

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Make a call that lists something, page by page.

        Parameters
        ----------
        service, operation : str
            The names of boto3's client and method.
        key : str
            Key of the list in the answer.
        **parameters : any
            The arguments of the method.

        Yields
        ------
        dict
            An entry of the list.
        """
        call = Call(service, operation, parameters)
        self.note(str(call))
        with aws_errors(call.service, call.iam_action):
            for page in self.client(service).get_paginator(operation).paginate(**parameters):
                yield from page[key]

    def change(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes something. A dry run only notes it and returns an empty dict."""
        if self.dry:
            self.note(str(Call(service, operation, parameters)))
            return {}
        return self.read(service, operation, **parameters)
