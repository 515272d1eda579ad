"""IAM's answer to a call, from the policies of a role: what is allowed, and how S3 words a refusal.

From the IAM user guide, "Policy evaluation logic": a statement that denies wins, else one that allows is
needed. Wildcards are ``*`` and ``?``. From the S3 user guide: an object that is missing is called missing
only to who may list the bucket. There the key is the ``s3:prefix`` of the listing that is asked for: others
found that out (kopia/kopia#3072, ceph/ceph#68577), AWS's documentation does not say it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Statement = dict[str, Any]

#: Operations of S3 whose action has another name (service authorization reference, Amazon S3).
ACTIONS = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
}


@dataclass(frozen=True)
class Asked:
    """What IAM is asked: an action on a resource, and the condition keys of the request."""

    action: str
    resource: str
    keys: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class S3Call:
    """A request of S3: the operation, the bucket, and the object's key or the prefix of a listing."""

    operation: str
    bucket: str
    key: str
    prefix: str = ""
    partition: str = "aws"

    @classmethod
    def of_request(cls, operation: str, url: str) -> "S3Call":
        """The call of a request whose URL has the bucket in its path."""
        parts = urlsplit(url)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        return cls(operation, bucket, key, parse_qs(parts.query).get("prefix", [""])[0])

    @property
    def asked(self) -> Asked:
        """What IAM is asked before S3 looks at the object."""
        bucket = f"arn:{self.partition}:s3:::{self.bucket}"
        action = f"s3:{ACTIONS.get(self.operation, self.operation)}"
        if action == "s3:ListBucket":
            return Asked(action, bucket, {"s3:prefix": self.prefix} if self.prefix else {})
        return Asked(action, f"{bucket}/{self.key}")

    def asked_of_key(self, key_arn: str) -> list[Asked]:
        """What KMS is asked where its key encrypts the bucket, on behalf of who calls S3."""
        by_operation = {
            "GetObject": ("kms:Decrypt",),
            "PutObject": ("kms:GenerateDataKey",),
            "CreateMultipartUpload": ("kms:GenerateDataKey",),
            "UploadPart": ("kms:Decrypt", "kms:GenerateDataKey"),
            "CompleteMultipartUpload": ("kms:Decrypt",),
        }
        return [Asked(action, key_arn) for action in by_operation.get(self.operation, ())]

    @property
    def asked_if_missing(self) -> Asked:
        """What IAM is asked besides where a read finds no object."""
        return Asked("s3:ListBucket", f"arn:{self.partition}:s3:::{self.bucket}", {"s3:prefix": self.key})


def as_list(value: Any) -> list[Any]:
    """A value as IAM has it: one or a list."""
    return value if isinstance(value, list) else [value]


def like(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern of IAM."""
    parts = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), text, re.DOTALL))


#: The operators of conditions that the stack uses, on one value each.
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, found: wanted == found,
    "ArnEquals": like,
    "ArnLike": like,
    "StringLike": like,
    "Bool": lambda wanted, found: wanted == found,
}


def applies(statement: Statement, asked: Asked) -> bool:
    """Whether a statement is about what is asked. A condition on a key that is not asked does not hold."""
    return (
        any(like(action.lower(), asked.action.lower()) for action in as_list(statement["Action"]))
        and any(like(resource, asked.resource) for resource in as_list(statement["Resource"]))
        and all(
            key in asked.keys and any(_OPERATORS[operator](v, asked.keys[key]) for v in as_list(values))
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def allowing(statements: Iterable[Statement], asked: Asked) -> list[Statement]:
    """The statements that allow what is asked; none if a statement denies it."""
    about = [statement for statement in statements if applies(statement, asked)]
    if any(statement["Effect"] == "Deny" for statement in about):
        return []
    return about


def refusal(role: str, asked: Asked) -> str:
    """What AWS says to a role that no statement allows what it asks."""
    return (
        f"User: arn:aws:sts::123456789012:assumed-role/{role}/session is not authorized to perform: "
        f'{asked.action} on resource: "{asked.resource}" because no identity-based policy allows the '
        f"{asked.action} action"
    )
