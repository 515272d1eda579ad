"""Calls of AWS: boto3 makes each, or it is printed as the ``aws`` command that does the same."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from lensneg.errors import InputError
from lensneg.storage.errors import aws_errors, error_code

#: IAM's prefix of a service's actions, where it is not boto3's name of the service.
_IAM_PREFIXES: Final = {"stepfunctions": "states", "service-quotas": "servicequotas"}

#: The aws command's name of a service, where it is another.
_CLI_NAMES: Final = {"s3": "s3api"}


@dataclass(frozen=True)
class Call:
    """A call of an AWS API.

    Attributes
    ----------
    service, operation : str
        As boto3 names client and method.
    parameters : mapping

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
        prefix = _IAM_PREFIXES.get(self.service, self.service)
        return f"{prefix}:{''.join(word.capitalize() for word in self.operation.split('_'))}"

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
    import boto3  # a command that asks nothing of AWS should not wait for it

    make: Any = boto3.client  # its stubs know a name only as a literal
    with aws_errors(service, "a client"):
        return make(service)


@contextmanager
def in_place_of(code: str, error: InputError) -> Iterator[None]:
    """Raise an error in place of the one that AWS gives with a code."""
    try:
        yield
    except InputError as refused:
        if error_code(refused.__cause__) != code:
            raise
        raise error from refused.__cause__


class Aws:
    """Makes calls, and keeps what they were.

    Parameters
    ----------
    dry : bool
        Whether what would change something is left undone.
    make_client : callable
        Returns boto3's client of a service.

    Attributes
    ----------
    made : list of str
        The ``aws`` commands, each once, in order.
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
        """Keep a command, unless it is there."""
        if command not in self.made:
            self.made.append(command)

    def read(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes nothing.

        Raises
        ------
        InputError
            If the credentials, the Region or the permissions do not allow it, or something is not there.
        TransientError
            If AWS cannot be reached, or is throttling.
        """
        call = Call(service, operation, parameters)
        self.note(str(call))
        with aws_errors(call.service, call.iam_action):
            return dict(getattr(self.client(service), operation)(**parameters))

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield what a call lists under ``key``, page after page, as the ``aws`` command does by itself."""
        call = Call(service, operation, parameters)
        self.note(str(call))
        with aws_errors(call.service, call.iam_action):
            for page in self.client(service).get_paginator(operation).paginate(**parameters):
                yield from page[key]

    def change(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes something; nothing is done, and nothing returned, in a dry run."""
        if self.dry:
            self.note(str(Call(service, operation, parameters)))
            return {}
        return self.read(service, operation, **parameters)
