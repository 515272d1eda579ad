"""What the tests of the stack share: the tools, the transformed template, and its values once deployed."""

import fnmatch
import json
import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-stack"
REGION, ACCOUNT, STACK = "eu-west-1", "123456789012", "lensneg"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/lensneg/f:preflightfunction-0123456789ab-lensneg"
OTHER_IMAGE = IMAGE.replace("0123456789ab", "ba9876543210")

#: The data bucket's name in all tests of the stack and in functions/events.
BUCKET = "lensneg-example"


def tool(path: str) -> str:
    """A program of .venv-stack; where it is missing the test is skipped, or fails if all must be there."""
    program = TOOLS / path
    if not program.exists():
        missing = f"no .venv-stack/{path}: make .venv-stack (asl-validator needs npm)"
        if os.environ.get("LENSNEG_ALL_TOOLS"):
            pytest.fail(missing)
        pytest.skip(missing)
    return str(program)


def run_tool(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of .venv-stack on this checkout, away from any account."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
    }
    return subprocess.run(
        [tool(path), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@lru_cache
def everything() -> dict[str, Any]:
    """template.yaml as written and transformed with two images, and its builds: see transform.py."""
    process = run_tool("bin/python", "tests/stack/transform.py", IMAGE, OTHER_IMAGE)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


class Deployed:
    """The transformed template with its values, as CloudFormation would resolve them."""

    def __init__(self, **parameters: Any) -> None:
        self.written, self.builds = everything()["written"], everything()["builds"]
        self.template, self.updated = everything()["transformed"]
        self.parameters = {
            name: str(parameters.get(name, spec.get("Default")))
            for name, spec in self.template["Parameters"].items()
        }
        self.conditions: dict[str, bool] = {}
        for name, condition in self.template["Conditions"].items():
            self.conditions[name] = self.resolve(condition)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources that are made."""
        return {
            name: resource
            for name, resource in self.template["Resources"].items()
            if self.conditions.get(resource.get("Condition", ""), True)
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of the resources of a type, resolved."""
        return {
            name: self.resolve(resource["Properties"])
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return {name: self.resolve(output["Value"]) for name, output in self.template["Outputs"].items()}

    def resolve(self, node: Any) -> Any:
        """A value with its intrinsic functions worked out."""
        if isinstance(node, list):
            values = [self.resolve(value) for value in node]
            return [value for value in values if value is not Ellipsis]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(function, value)] = node.items()
            if function == "Ref":
                return self._ref(value)
            if function == "Fn::GetAtt":
                return self._attribute(*(value if isinstance(value, list) else value.split(".")))
            if function == "Fn::Sub":
                text, values = value if isinstance(value, list) else (value, {})
                known = {name: self.resolve(entry) for name, entry in values.items()}
                return re.sub(r"\$\{([\w:.]+)\}", lambda m: str(self._token(m[1], known)), text)
            if function == "Fn::If":
                return self.resolve(value[1] if self.conditions[value[0]] else value[2])
            if function == "Fn::Equals":
                return self.resolve(value[0]) == str(self.resolve(value[1]))
            if function == "Fn::Not":
                return not self.resolve(value[0])
            assert not function.startswith("Fn::"), f"{function}: not known here"
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not Ellipsis}

    def _token(self, token: str, known: dict[str, Any]) -> Any:
        if token in known:
            return known[token]
        return self._attribute(*token.split(".")) if "." in token else self._ref(token)

    def _ref(self, name: str) -> Any:
        pseudo = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::StackName": STACK,
            "AWS::NoValue": ...,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        resource = self.template["Resources"][name]
        kind = resource["Type"]
        if kind == "AWS::S3::Bucket":
            return BUCKET
        if kind == "AWS::StepFunctions::StateMachine":
            return self._attribute(name, "Arn")
        if kind == "AWS::Logs::LogGroup":
            return self.resolve(resource["Properties"]["LogGroupName"])
        return f"<{name}>"

    def _attribute(self, name: str, attribute: str) -> str:
        kind = self.template["Resources"][name]["Type"]
        if (kind, attribute) == ("Custom::SparkCode", "Uri"):
            destination = self.resolve(self.template["Resources"][name]["Properties"]["Destination"])
            return f"{destination}/{'0' * 64}/sample_negatives.py"
        if (kind, attribute) == ("AWS::Lambda::Version", "Version"):
            return "1"
        assert attribute == "Arn", f"{name}.{attribute}: not known here"
        here = f"{REGION}:{ACCOUNT}"
        if kind == "AWS::StepFunctions::StateMachine":
            machine = self.resolve(self.template["Resources"][name]["Properties"]["StateMachineName"])
            return f"arn:aws:states:{here}:stateMachine:{machine}"
        return {
            "AWS::S3::Bucket": f"arn:aws:s3:::{BUCKET}",
            "AWS::Lambda::Function": f"arn:aws:lambda:{here}:function:{name}",
            "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "AWS::EMRServerless::Application": f"arn:aws:emr-serverless:{here}:/applications/00app",
            "AWS::Logs::LogGroup": f"arn:aws:logs:{here}:log-group:{name}:*",
            "AWS::Events::Rule": f"arn:aws:events:{here}:rule/{name}",
            "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{here}:alarm:{name}",
        }[kind]

    # ---- The graph ---------------------------------------------------------------------------------------

    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions, by their names in the graph."""
        return {
            name.removesuffix("Function"): properties
            for name, properties in self.of_type("AWS::Lambda::Function").items()
        }

    def definition(
        self, machine: str = "StateMachine", graph: str = "negative_sampling.asl.json"
    ) -> dict[str, Any]:
        """A state machine's definition with its substitutions."""
        values = self.of_type("AWS::StepFunctions::StateMachine")[machine]["DefinitionSubstitutions"]
        text = (ROOT / "statemachine" / graph).read_text()
        rendered = re.sub(r"\$\{(\w+)\}", lambda m: json.dumps(values[m[1]])[1:-1], text)
        return json.loads(rendered)

    # ---- What roles may do -------------------------------------------------------------------------------

    def statements(self, role: str) -> list[dict[str, Any]]:
        """The statements of a role's policies, its own and the stack's managed ones."""
        properties = self.of_type("AWS::IAM::Role")[role]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        managed = self.of_type("AWS::IAM::ManagedPolicy")
        for arn in properties.get("ManagedPolicyArns", []):
            documents.append(managed[arn.strip("<>")]["PolicyDocument"])
        return [statement for document in documents for statement in document["Statement"]]

    def grants(self, role: str) -> set[tuple[str, str]]:
        """Every action that a role is granted, with each of its resources."""
        return {
            (action, resource)
            for statement in self.statements(role)
            for action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        }

    def allowing(self, role: str, action: str, resource: str) -> set[tuple[str, str]]:
        """The grants of a role that allow an action on a resource."""
        return {
            (granted, pattern)
            for granted, pattern in self.grants(role)
            if granted == action and fnmatch.fnmatchcase(resource, pattern)
        }


def as_list(value: Any) -> list[Any]:
    """A value as IAM has it: one or a list."""
    return value if isinstance(value, list) else [value]


@lru_cache
def deployed() -> Deployed:
    """The stack with the defaults of its parameters."""
    return Deployed()


@lru_cache
def with_fetch() -> Deployed:
    """The stack with all that FetchSweeps adds."""
    return Deployed(FetchSweeps="true")
