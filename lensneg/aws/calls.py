"""Calls of AWS: each made by boto3, or printed as the ``aws`` command that does the same, from one truth."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from lensneg.errors import InputError, TransientError

#: IAM's prefix of a service's actions, where it is not boto3's name of the service.
_IAM_PREFIXES: Final = {"stepfunctions": "states", "service-quotas": "servicequotas"}

#: The aws command's name of a service, where it is another.
_CLI_NAMES: Final = {"s3": "s3api"}

_CREDENTIALS_ADVICE: Final = (
    "name a profile (AWS_PROFILE), sign in (aws sso login), or give AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)

_BAD_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "AuthFailure",
    }
)

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})

_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"})


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
    with aws_errors(Call(service, "client")):
        return make(service)


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
        with aws_errors(call):
            return dict(getattr(self.client(service), operation)(**parameters))

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield what a call lists under ``key``, page after page, as the ``aws`` command does by itself."""
        call = Call(service, operation, parameters)
        self.note(str(call))
        with aws_errors(call):
            for page in self.client(service).get_paginator(operation).paginate(**parameters):
                yield from page[key]

    def change(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes something; nothing is done, and nothing returned, in a dry run."""
        if self.dry:
            self.note(str(Call(service, operation, parameters)))
            return {}
        return self.read(service, operation, **parameters)


def error_code(error: BaseException | None) -> str:
    """Return the code that AWS gave with an error, if it gave one."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


@contextmanager
def aws_errors(call: Call) -> Iterator[None]:
    """Turn botocore's errors into ones that say what is wrong and what to do."""
    from botocore import exceptions as boto

    no_credentials = (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.ProfileNotFound,
        boto.SSOError,
        boto.TokenRetrievalError,
    )
    try:
        yield
    except no_credentials as error:
        raise InputError(f"no AWS credentials ({error}): {_CREDENTIALS_ADVICE}") from error
    except boto.NoRegionError as error:
        raise InputError(
            "no AWS Region: set AWS_DEFAULT_REGION, or a region in the profile (aws configure)"
        ) from error
    except boto.ClientError as error:
        raise _client_error(call, error) from error
    except (boto.ConnectionError, boto.HTTPClientError) as error:
        raise TransientError(
            f"cannot be reached: {error}",
            where=call.service,
            remedy="is the network up, and is the Region right?",
        ) from error
    except boto.BotoCoreError as error:
        raise InputError(str(error), where=str(call)) from error


def denied_action(call: Call, message: str) -> str:
    """Return the IAM action that was denied.

    Examples
    --------
    >>> denied_action(Call("stepfunctions", "start_execution"), "no")
    'states:StartExecution'
    """
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", message)
    if named:
        return named[1]
    prefix = _IAM_PREFIXES.get(call.service, call.service)
    return f"{prefix}:{''.join(word.capitalize() for word in call.operation.split('_'))}"


def _client_error(call: Call, error: Any) -> InputError | TransientError:
    code, message = error_code(error), str(error.response.get("Error", {}).get("Message", error))
    if code in _BAD_CREDENTIALS:
        return InputError(f"AWS does not accept the credentials ({code}: {message}): {_CREDENTIALS_ADVICE}")
    if code in _DENIED:
        return InputError(
            f"access denied: these credentials lack {denied_action(call, message)} ({message})",
            remedy="add it to the policy of the user or role, or use another profile (AWS_PROFILE)",
        )
    if code in _THROTTLED:
        return TransientError(
            f"throttled ({message})", where=call.service, remedy="the same command tries again"
        )
    if code == "ExecutionDoesNotExist":
        arn = call.parameters.get("executionArn", "")
        return InputError("no such execution", where=arn, remedy="lensneg aws status lists them")
    return InputError(f"{call.service} refuses {call.operation.replace('_', '-')}: {message} ({code})")
