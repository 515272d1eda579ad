"""Errors of AWS and of the operating system, translated into lensneg's, which say what to do."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lensneg.errors import InputError, LensnegError, StorageError, TransientError

_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})

#: Codes by which AWS says that something is not allowed.
_DENIED: Final = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation"}
)

#: Codes that AWS returns when it is busy, slow or at fault, or when two writers collide. The same request may
#: work a moment later. So may one with a status of 429, 500 or above; any other request would fail again.
_BUSY: Final = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

_BAD_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

#: The variable that names the buckets whose requesters pay, separated by commas.
REQUESTER_PAYS_VARIABLE: Final = "LENSNEG_REQUESTER_PAYS"

#: The operations that such a bucket denies to those who do not say that they pay.
PAID_READS: Final = ("GetObject", "HeadObject", "ListObjectsV2")

_CREDENTIALS_ADVICE: Final = (
    "name a profile (AWS_PROFILE), sign in (aws sso login), or give AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)

#: The faults of local files: what is wrong, and what to do. The text of other errors suffices.
_DISK_FAULTS: Final = {
    errno.ENOSPC: ("the disk is full", "free some space there, and start again"),
    errno.EDQUOT: ("the disk is full", "your quota there is used up: free some space, and start again"),
    errno.EFBIG: (
        "the file would be larger than this process or file system allows",
        "raise the limit (ulimit -f unlimited), or give another folder",
    ),
    errno.EMFILE: (
        "this process has as many open files as it may have",
        "raise the limit (ulimit -n 4096), or take fewer --workers",
    ),
    errno.ENFILE: ("this machine has as many open files as it may have", "end other programs, and try again"),
    errno.EROFS: ("it cannot be written to", "it is mounted read-only: give another folder"),
    errno.EACCES: ("access is denied", "give yourself the permission, or another folder"),
    errno.EPERM: ("access is denied", "give yourself the permission, or another folder"),
    errno.EIO: (
        "it cannot be read or written",
        "the disk or the network file system is at fault: try again, or use another",
    ),
    errno.ESTALE: ("it cannot be read", "the network file system has lost it: try again"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.EEXIST: ("it is there already", "remove it, or give another name"),
    errno.EISDIR: ("it is a folder", "give a file"),
    errno.ENOTDIR: ("it cannot be found", "something on the way there is not a folder: check the path"),
    errno.ELOOP: ("it cannot be found", "its symbolic links lead in a circle: check the path"),
    errno.ENAMETOOLONG: ("it cannot be made", "the name is too long: check the path"),
}

#: How Python, Java and Spark name a full disk.
FULL_DISK: Final = re.compile("No space left on device|Disk quota exceeded|File too large")


def error_code(error: BaseException | None) -> str:
    """Return the code that AWS gave with an error, if it gave one."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def is_denied(error: BaseException | None) -> bool:
    """Return whether AWS said that something is not allowed."""
    return error_code(error) in _DENIED


@contextmanager
def aws_errors(where: str, action: str = "") -> Iterator[None]:
    """Translate botocore's errors into lensneg's.

    Parameters
    ----------
    where : str
        The object's URI, or the service.
    action : str
        The IAM action that the call needs; empty where an object is only read or written.

    Raises
    ------
    FileNotFoundError
        If an object is not there.
    InputError
        If a bucket, credentials, a Region or permissions are missing.
    TransientError
        If AWS cannot be reached, or is busy or at fault.
    StorageError
        If AWS refuses for another reason.
    """
    from xml.etree.ElementTree import ParseError

    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

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
        raise InputError(f"no AWS credentials ({error})", where=where, remedy=_CREDENTIALS_ADVICE) from error
    except boto.NoRegionError as error:
        raise InputError(
            "no AWS Region: set AWS_DEFAULT_REGION, or a region in the profile (aws configure)"
        ) from error
    except boto.ClientError as error:
        if error_code(error) in _MISSING:
            raise FileNotFoundError(errno.ENOENT, "no such file", where) from error
        raise _refused(error, where, action) from error
    except (boto.ConnectionError, boto.HTTPClientError) as error:
        remedy = "is the network up, and is the Region right?"
        raise TransientError(f"cannot be reached: {error}", where=where, remedy=remedy) from error
    except (ResponseParserError, ParseError) as error:
        what = "the answer is not one of AWS: a server or a proxy is at fault"
        raise TransientError(what, where=where, remedy="try again later") from error
    except boto.BotoCoreError as error:
        remedy = "check the bucket's name and your credentials" if not action else ""
        raise StorageError(str(error), where=where, remedy=remedy) from error


def _refused(error: Any, where: str, action: str) -> LensnegError:
    code, message = error_code(error), str(error.response.get("Error", {}).get("Message", error))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BAD_CREDENTIALS:
        what = f"AWS does not accept the credentials ({code}: {message})"
        return InputError(what, where=where, remedy=_CREDENTIALS_ADVICE)
    if code == "NoSuchBucket":
        bucket = str(error.response["Error"].get("BucketName") or "of this name")
        remedy = "check its name and your profile (AWS_PROFILE), or make it (aws s3 mb)"
        return InputError(f"no bucket {bucket}", where=where, remedy=remedy)
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", message)
    if code in _DENIED and not action:
        what = f"access denied: {named[1]} is not granted" if named else "access denied"
        remedy = "grant this role access to it"
        if error.operation_name in PAID_READS:
            remedy += f"; if requesters pay for its bucket, name the bucket in {REQUESTER_PAYS_VARIABLE}"
        return InputError(what, where=where, remedy=remedy)
    if code in _DENIED:
        return InputError(
            f"access denied: these credentials lack {named[1] if named else action} ({message})",
            remedy="add it to the policy of the user or role, or use another profile (AWS_PROFILE)",
        )
    if code in _BUSY or status >= 500 or status == 429:
        return TransientError(f"busy ({message}, {code})", where=where, remedy="the same command tries again")
    if action:
        return InputError(f"refuses {action}: {message} ({code})", where=where)
    hint = "check the bucket's name, its Region and your credentials"
    return StorageError(str(error), where=where, remedy=hint)


@contextmanager
def disk_errors(uri: str) -> Iterator[None]:
    """Translate the operating system's errors into lensneg's.

    The errors for a missing file, an existing file and a folder stay as they are: callers expect them.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, FileExistsError):
        raise
    except OSError as error:
        what, remedy = explain(error)
        raise StorageError(what, where=uri, remedy=remedy) from error


def explain(error: OSError) -> tuple[str, str]:
    """Return in words what an error of the operating system says, and what to do.

    Examples
    --------
    >>> explain(OSError(errno.ENOSPC, "No space left on device"))
    ('the disk is full (No space left on device)', 'free some space there, and start again')
    """
    said = error.strerror or str(error)
    what, remedy = _DISK_FAULTS.get(error.errno or 0, ("", "check the path and the disk"))
    return f"{what} ({said})" if what else said, remedy


def told(error: BaseException) -> str:
    """Return an error in one sentence; one of the operating system without its number, and with its file.

    Examples
    --------
    >>> told(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.fits"))
    'a.fits: there is no such file or folder (No such file or directory); check the path'
    """
    if not isinstance(error, OSError) or not error.errno:
        return str(error)
    what, remedy = explain(error)
    return f"{error.filename}: {what}; {remedy}" if error.filename else f"{what}; {remedy}"
