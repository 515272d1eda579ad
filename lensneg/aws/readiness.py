"""The checks of ``lensneg aws preflight``: whether a run could start. Gate 1 checks the inputs themselves."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final

from lensneg import storage
from lensneg.aws.calls import Aws, Call, in_place_of
from lensneg.aws.deployment import COMPLETE, Stack, read_stack
from lensneg.cost.listing import listing_of
from lensneg.cost.tables import load_prices, load_rates
from lensneg.errors import InputError, LensnegError, TransientError
from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.states import WAKE
from lensneg.stages.preflight import account
from lensneg.stages.preflight.functions import WAKING_CALL, Readiness, readiness
from lensneg.stages.preflight.map_seconds import map_seconds_of
from lensneg.storage.errors import aws_errors, is_denied, told
from lensneg.survey.listing import look_into

#: Days after which a table of prices should be compared with AWS's pages again.
_PRICES_GOOD_FOR: Final = 180

#: What to do if a check does not pass, by the first word of its name.
_REMEDIES: Final = {
    "prices": "compare configs/prices.yaml with the pages that it names, and correct its date",
    "stack": "wait until it has ended, or deploy it again: a run would meet functions old and new",
    "bucket": "deploy the stack in the bucket's Region, or with another bucket",
    "spark_code": "deploy the stack again with another image: PublishSparkCode puts it there",
    "state_machine": "deploy the stack again",
    "function": "nothing need be done if it is inactive, pending or in progress, as a run waits for it; else "
    "deploy the stack again",
}

#: Whether something is in order, and what was found.
_Finding = tuple[bool, str] | Readiness


def preflight(aws: Aws, name: str, max_concurrency: int, today: date | None = None) -> Iterator[Check]:
    """Check credentials, Region, stack, and the resources that a run needs.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    name : str
        The stack.
    max_concurrency : int
        Number of map items at the same time.
    today : date, optional
        The date to compare with that of the prices; by default today's.

    Yields
    ------
    Check
        Checks that depend on one that failed are left out. A check that is not permitted is a warning,
        unless others depend on it.
    """
    recent = f"a table of prices of the last {_PRICES_GOOD_FOR} days"
    yield _check("prices", recent, partial(_prices, today or datetime.now(UTC).date()), critical=False)
    for what, expected, look in (
        ("credentials", "credentials that AWS accepts", _identity),
        ("region", "a Region", _region),
    ):
        check = _check(what, expected, partial(look, aws))
        yield check
        if check.verdict == "failed":
            return
    try:
        stack = read_stack(name, aws)
    except LensnegError as error:
        yield Check.of_error("stack", "a stack of template.yaml", error)
        return
    has_ended = stack.status in COMPLETE, f"{stack.name} is {stack.status}"
    yield _check("stack", "a deployment that has ended well", lambda: has_ended)
    in_region = f"a bucket in {stack.region}: Step Functions reads the map's items in its own Region only"
    yield _check("bucket", in_region, partial(_bucket, aws, stack))
    yield _check("spark_code", "the Spark job of this deployment", partial(_spark_code, aws, stack))
    sweeps: list[storage.FileInfo] = []
    yield _check("sweeps", "sweep files", partial(_sweeps, aws, stack, sweeps))
    machine: dict[str, Any] = {}
    takes_executions = "a state machine that takes executions"
    look = partial(_machine, aws, stack, machine)
    yield _check("state_machine", takes_executions, look, needed=True)  # functions and roles follow from it
    graph = json.loads(machine.get("definition", "{}"))
    for arn in dict.fromkeys(map(str, _values(graph, "FunctionName"))):
        callable_ = "a function that can be called"
        yield _check(f"function {_short(arn)}", callable_, partial(_function, aws, arn))
    for role in dict.fromkeys(filter(None, [machine.get("roleArn"), *_values(graph, "ExecutionRoleArn")])):
        yield _check(f"role {_short(role)}", "the role that the stack made", partial(_role, aws, role))
    yield from _account_checks(aws, stack, graph, max_concurrency, _map_seconds(sweeps, stack))


def _check(
    name: str, expected: str, look: Callable[[], _Finding], *, critical: bool = True, needed: bool = False
) -> Check:
    """Make the check of what a look finds, or of the error that it raises.

    A look that is not permitted is critical only if other checks need what it finds.
    """
    remedy = _REMEDIES.get(name.split()[0], "")
    try:
        passed, actual, *severity = look()
        critical = critical and all(severity)
    except (LensnegError, OSError) as error:
        passed, actual, remedy = False, "not found, or not in order", told(error)
        if isinstance(error, TransientError):
            actual = "not known"
        elif is_denied(error.__cause__):
            expected, actual, critical = "to be allowed to look", "not known", needed
    return Check(name=name, passed=passed, expected=expected, actual=actual, remedy=remedy, critical=critical)


def _prices(today: date) -> _Finding:
    prices = load_prices()
    age = (today - prices.date).days
    return age <= _PRICES_GOOD_FOR, f"{prices.date} ({prices.region}), {max(0, age)} days old"


def _identity(aws: Aws) -> _Finding:
    found = aws.read("sts", "get_caller_identity")
    return True, f"{found['Arn']} (account {found['Account']})"


def _region(aws: Aws) -> _Finding:
    return True, aws.client("cloudformation").meta.region_name


def _bucket(aws: Aws, stack: Stack) -> _Finding:
    bucket = stack.data_bucket_name
    region = aws.read("s3", "get_bucket_location", Bucket=bucket)["LocationConstraint"] or "us-east-1"
    return region == stack.region, f"{bucket} is in {region}"


def _spark_code(aws: Aws, stack: Stack) -> _Finding:
    uri = stack.spark_code_uri
    aws.note(f"aws s3 ls {uri}")
    there = storage.exists(uri)
    return there, uri if there else f"{uri} is not there"


def _sweeps(aws: Aws, stack: Stack, found: list[storage.FileInfo]) -> _Finding:
    """Look for sweep files, and add them to a list."""
    uri = stack.sweeps_uri
    aws.note(f"aws s3 ls --recursive {uri}/")
    found += look_into(uri).sweeps
    if not found:
        remedy = f"lensneg aws fetch, lensneg sweeps fetch --to {uri}, or lensneg aws upload --sweeps URI"
        raise InputError("no sweep files", where=uri, remedy=remedy)
    return True, f"{len(found):,} files, {sum(i.size for i in found) / 1e9:,.1f} GB below {uri}"


def _map_seconds(sweeps: Sequence[storage.FileInfo], stack: Stack) -> Callable[[int], float] | None:
    """Return the map's time as a function of its concurrency, with the first shipped config."""
    entries = [(info.uri, info.size) for info in sweeps]
    with suppress(InputError):  # there is none, or two are of one cell: gate 1 says so
        listing = listing_of(entries, stack.sweeps_uri, load_rates())
        return map_seconds_of(listing.sweeps, Config.load("negative_sampling_v1"), full=True)
    return None


def _machine(aws: Aws, stack: Stack, description: dict[str, Any]) -> _Finding:
    """Look at the state machine, and add its description to a dict."""
    arn = stack.state_machine_arn
    description |= aws.read("stepfunctions", "describe_state_machine", stateMachineArn=arn)
    return description["status"] == "ACTIVE", f"{description['name']} is {description['status']}"


def _values(node: Any, key: str) -> Iterator[Any]:
    """Yield the values of a key at any depth of a definition."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        if name == key:
            yield value
        else:
            yield from _values(value, key)


def _short(arn: str) -> str:
    return arn.rpartition("/" if ":role/" in arn else ":")[2]


def _function(aws: Aws, arn: str) -> _Finding:
    found = aws.read("lambda", "get_function_configuration", FunctionName=arn)
    return readiness(found, partial(_wake, aws, arn))


def _wake(aws: Aws, arn: str) -> None:
    """Call a function. If that is refused, the first call of a run wakes it."""
    options = f"--invocation-type Event --cli-binary-format raw-in-base64-out --payload '{json.dumps(WAKE)}'"
    aws.note(f"aws lambda invoke --function-name {arn} {options} /dev/null")
    if not aws.dry:
        with suppress(LensnegError), aws_errors("lambda", "lambda:InvokeFunction"):
            aws.client("lambda").invoke(FunctionName=arn, **WAKING_CALL)


def _role(aws: Aws, arn: str) -> _Finding:
    remedy = "deploy the stack again: someone has deleted the role"
    with in_place_of("NoSuchEntity", InputError("there is no such role", where=arn, remedy=remedy)):
        aws.read("iam", "get_role", RoleName=_short(arn))
    return True, "there"


class _Noting:
    """A boto3 client of a service whose calls are noted, and whose errors stay those of botocore."""

    def __init__(self, aws: Aws, service: str) -> None:
        self._aws, self._service = aws, service

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self._aws.note(str(Call(self._service, operation, parameters)))
            return getattr(self._aws.client(self._service), operation)(**parameters)

        return call


def _account_checks(
    aws: Aws, stack: Stack, graph: Any, max_concurrency: int, map_seconds: Callable[[int], float] | None
) -> Iterator[Check]:
    """Make gate 1's checks of the account with the user's own permissions."""
    mapped = [
        arn for processor in _values(graph, "ItemProcessor") for arn in _values(processor, "FunctionName")
    ]
    environment = {
        account.ON_AWS_VARIABLE: "lensneg aws preflight",
        account.APPLICATION_VARIABLE: stack.emr_application_id,
        account.FILTER_VARIABLE: str(mapped[0]) if mapped else "",
    }
    limits = account.Limits(max_concurrency)
    for check in account.account_checks(limits, environment, partial(_Noting, aws), map_seconds):
        remedy = check.remedy.replace("grant Preflight's role", "add to your own permissions")
        yield check.model_copy(update={"remedy": remedy})
