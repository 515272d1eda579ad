"""The stack in the account of an institution: boundary, path, key, network, partition, buckets of others.

What docs/institution.md gives to copy, the policies of the key and of a bucket in another account, is read from
there and put before the stand-in for IAM.
"""

import json
import re
from functools import lru_cache
from typing import Any

import pytest
from deployed import ACCOUNT, BUCKET, KEY, REGION, ROOT, STACK, Deployed, deployed
from iam import Asked, S3Call, Statement, allowing, as_list, refusal

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/institution/boundary"
SWEEPS = "all-sweeps"
LOGS_CONTEXT, LOG_GROUP = "kms:EncryptionContext:aws:logs:arn", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"

#: What each service is asked to do with the key, and the keys of its request (the user guides of CloudWatch
#: Logs, SNS and EMR Serverless, each on encryption).
SERVICES = {
    f"logs.{REGION}.amazonaws.com": (
        "kms:Encrypt kms:Decrypt kms:ReEncryptTo kms:GenerateDataKey kms:DescribeKey",
        {LOGS_CONTEXT: f"{LOG_GROUP}:/aws/lambda/{STACK}"},
    ),
    "events.amazonaws.com": ("kms:Decrypt kms:GenerateDataKey", {"aws:SourceAccount": ACCOUNT}),
    "cloudwatch.amazonaws.com": ("kms:Decrypt kms:GenerateDataKey", {"aws:SourceAccount": ACCOUNT}),
    "emr-serverless.amazonaws.com": (
        "kms:Decrypt kms:GenerateDataKey",
        {"aws:SourceArn": f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/00app"},
    ),
}


@lru_cache
def documented(sid: str) -> list[Statement]:
    """The policy of docs/institution.md that has a statement of this name, with its placeholders filled in."""
    text = (ROOT / "docs" / "institution.md").read_text()
    [block] = [block for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if f'"{sid}"' in block]
    for name, value in (("ACCOUNT", ACCOUNT), ("REGION", REGION), ("SWEEPS", SWEEPS)):
        block = block.replace(name, value)
    statements: list[Statement] = json.loads(block)["Statement"]
    return statements


def of_principal(statements: list[Statement], kind: str, principal: str) -> list[Statement]:
    """The statements that are about a principal."""
    return [s for s in statements if principal in as_list(s["Principal"].get(kind, []))]


# ---- Roles -----------------------------------------------------------------------------------------------


def test_every_role_has_the_boundary_and_the_path() -> None:
    """An account that denies CreateRole without its boundary, or outside a path, refuses none of them."""
    stack = Deployed(PermissionsBoundaryArn=BOUNDARY, RolePath="/science/lensneg/")
    roles = stack.of_type("AWS::IAM::Role", made=False)
    assert len(roles) >= 12
    assert {name for name, role in roles.items() if role.get("PermissionsBoundary") != BOUNDARY} == set()
    policies = stack.of_type("AWS::IAM::ManagedPolicy", made=False)
    assert {r["Path"] for r in (*roles.values(), *policies.values())} == {"/science/lensneg/"}
    # A fixed name would need CAPABILITY_NAMED_IAM, and be in the way of a second stack.
    assert not [
        p for p in (*roles.values(), *policies.values()) if {"RoleName", "ManagedPolicyName"} & set(p)
    ]
    plain = deployed().of_type("AWS::IAM::Role").values()
    assert not [role for role in plain if "PermissionsBoundary" in role or role["Path"] != "/"]


def test_a_role_with_a_path_is_passed_on_under_its_full_name() -> None:
    stack = Deployed(RolePath="/science/")
    job = stack.definition()["States"]["SampleNegatives"]["Parameters"]["ExecutionRoleArn"]
    assert job == f"arn:aws:iam::{ACCOUNT}:role/science/EmrJobRole"
    assert stack.allowing("StateMachineRole", "iam:PassRole", job) == []  # only to EMR
    asked = Asked("iam:PassRole", job, {"iam:PassedToService": "emr-serverless.amazonaws.com"})
    assert allowing(stack.statements("StateMachineRole"), asked)


# ---- The key ---------------------------------------------------------------------------------------------


def with_key() -> Deployed:
    return Deployed(KmsKeyArn=KEY)


def encrypted_with(stack: Deployed) -> dict[str, set[Any]]:
    """The keys of all that can have one."""
    found: dict[str, set[Any]] = {
        "topic": {t.get("KmsMasterKeyId") for t in stack.of_type("AWS::SNS::Topic").values()},
        "logs": {g.get("KmsKeyId") for g in stack.of_type("AWS::Logs::LogGroup").values()},
    }
    for bucket in stack.of_type("AWS::S3::Bucket").values():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        found["bucket"] = {rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")}
    for application in stack.of_type("AWS::EMRServerless::Application").values():
        monitoring = application["MonitoringConfiguration"].values()
        found["job's logs"] = {configuration.get("EncryptionKeyArn") for configuration in monitoring}
    return found


def test_the_key_encrypts_everything_that_is_kept() -> None:
    kinds = {"topic", "logs", "bucket", "job's logs"}
    assert encrypted_with(with_key()) == {kind: {KEY} for kind in kinds}
    assert encrypted_with(deployed()) == {kind: {None} for kind in kinds}


@pytest.mark.parametrize("role", sorted(deployed().of_type("AWS::IAM::Role")))
def test_every_role_may_use_the_key_and_no_other(role: str) -> None:
    """Also the machine: EMR refuses a job whose logs' key its submitter may not use."""
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        asked = Asked(action, KEY)
        assert allowing(with_key().statements(role), asked), refusal(role, asked)
        assert not allowing(with_key().statements(role), Asked(action, KEY.replace("4000", "4001")))
        assert not allowing(deployed().statements(role), asked)


@pytest.mark.parametrize("service", SERVICES)
def test_the_documented_key_policy_lets_each_service_in(service: str) -> None:
    actions, keys = SERVICES[service]
    statements = of_principal(documented("Messages"), "Service", service)
    for action in actions.split():
        assert allowing(statements, Asked(action, KEY, keys)), refusal(service, Asked(action, KEY))
        elsewhere = {key: value.replace(ACCOUNT, "999999999999") for key, value in keys.items()}
        assert not allowing(statements, Asked(action, KEY, elsewhere))
    assert not allowing(statements, Asked("kms:ScheduleKeyDeletion", KEY, keys))


def test_the_documented_key_policy_covers_both_log_groups_and_leaves_roles_to_iam() -> None:
    logs = of_principal(documented("Messages"), "Service", f"logs.{REGION}.amazonaws.com")
    for group in deployed().of_type("AWS::Logs::LogGroup").values():
        keys = {LOGS_CONTEXT: f"{LOG_GROUP}:{group['LogGroupName']}"}
        assert allowing(logs, Asked("kms:GenerateDataKey", KEY, keys))
    account = of_principal(documented("Messages"), "AWS", f"arn:aws:iam::{ACCOUNT}:root")
    assert allowing(account, Asked("kms:Decrypt", KEY))


# ---- Buckets of others -----------------------------------------------------------------------------------

READERS = ("Preflight", "FilterSweep", "SummarizeFanOut", "ValidateManifest")


@pytest.mark.parametrize("function", READERS)
def test_sweeps_of_another_account_are_read_with_the_documented_bucket_policy(function: str) -> None:
    """Across accounts both sides must allow a call."""
    policy = of_principal(documented("LensnegReads"), "AWS", f"arn:aws:iam::{ACCOUNT}:root")
    mine = Deployed(SweepsBucketName=SWEEPS).statements(f"{function}Role")
    caller = {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{STACK}-{function}Role-1ABC"}
    stranger = {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/somebody"}
    for call in (
        S3Call("ListObjectsV2", SWEEPS, "", "dr10/"),
        S3Call("HeadObject", SWEEPS, "dr10/sweep-000m005-005p000.fits"),
        S3Call("GetObject", SWEEPS, "dr10/sweep-000m005-005p000.fits"),
    ):
        asked = call.asked
        assert allowing(mine, asked), refusal(function, asked)
        assert allowing(policy, Asked(asked.action, asked.resource, asked.keys | caller)), asked
        assert not allowing(policy, Asked(asked.action, asked.resource, asked.keys | stranger)), asked
    write = S3Call("PutObject", SWEEPS, "dr10/a").asked
    assert not allowing(mine, write)
    assert not allowing(policy, Asked(write.action, write.resource, caller))


def test_requesters_pay_only_where_the_stack_is_told_so() -> None:
    def told(**parameters: str) -> set[str | None]:
        functions = Deployed(**parameters).functions().values()
        return {f["Environment"]["Variables"].get("LENSNEG_REQUESTER_PAYS") for f in functions}

    assert told(SweepsBucketName=SWEEPS, SweepsRequesterPays="true") == {SWEEPS}
    assert told(SweepsBucketName=SWEEPS) == told(SweepsRequesterPays="true") == {None}


# ---- Network, partition, console -------------------------------------------------------------------------


def test_the_job_works_in_a_vpc_where_it_must() -> None:
    stack = Deployed(SubnetIds="subnet-0a,subnet-0b", SecurityGroupIds="sg-0c")
    [application] = stack.of_type("AWS::EMRServerless::Application").values()
    assert application["NetworkConfiguration"] == {
        "SubnetIds": ["subnet-0a", "subnet-0b"],
        "SecurityGroupIds": ["sg-0c"],
    }
    [application] = deployed().of_type("AWS::EMRServerless::Application").values()
    assert "NetworkConfiguration" not in application


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"SweepsRequesterPays": "true"}, "RequestersPayForABucketThatIsNamed"),
        ({"SubnetIds": "subnet-0a"}, "SubnetsWithSecurityGroups"),
    ],
)
def test_parameters_that_need_others_are_refused_without_them(parameters: dict[str, str], rule: str) -> None:
    assert Deployed(**parameters).refused() == {rule}
    others = {"SweepsBucketName": SWEEPS, "SecurityGroupIds": "sg-0c"}
    assert Deployed(**parameters, **others).refused() == deployed().refused() == set()


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_no_arn_of_another_partition_is_written_down(partition: str) -> None:
    stack = Deployed(partition=partition, SweepsBucketName=SWEEPS)
    resources = {name: stack.resolve(r["Properties"]) for name, r in stack.resources.items()}
    text = json.dumps([resources, stack.definition(), stack.outputs()])
    assert f'"arn:{partition}:states:::lambda:invoke"' in text
    assert "arn:aws:" not in text
    call = S3Call("PutObject", BUCKET, "out/manifests/one/README.md", partition=partition)
    assert allowing(stack.statements("PublishManifestRole"), call.asked)


def test_the_console_is_that_of_the_partition() -> None:
    hosts = {
        partition: Deployed(partition=partition).outputs()["DashboardUrl"].split("/")[2]
        for partition in ("aws", "aws-cn", "aws-us-gov")
    }
    assert hosts == {
        "aws": f"{REGION}.console.aws.amazon.com",
        "aws-cn": f"{REGION}.console.amazonaws.cn",
        "aws-us-gov": f"{REGION}.console.amazonaws-us-gov.com",
    }


def test_the_console_asks_for_each_parameter_once() -> None:
    groups = deployed().written["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    asked = [name for group in groups for name in group["Parameters"]]
    assert sorted(asked) == sorted(deployed().template["Parameters"])
