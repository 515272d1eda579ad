"""What the tests of the stack share: the tools, the transformed template, and its values once deployed."""

import hashlib
import json
import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import iam
import pytest
from iam import as_list

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-stack"
REGION, ACCOUNT, STACK = "eu-west-1", "123456789012", "lensneg"
#: CloudFormation makes another one for each stack, also for one whose name was used before.
STACK_ID = "51af3dc0-da77-11e4-872e-1234567db123"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/lensneg/f:preflightfunction-0123456789ab-lensneg"
OTHER_IMAGE = IMAGE.replace("0123456789ab", "ba9876543210")

#: A key of an institution.
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"

#: The data bucket's name in all tests of the stack and in functions/events.
BUCKET = "lensneg-example"


def tool(path: str) -> str:
    """A program of .venv-stack; where it is missing the test is skipped, or fails if all must be there."""
    program = TOOLS / path
    if not program.exists():
        missing = f"no .venv-stack/{path}: make .venv-stack (asl-validator needs npm)"
        if os.environ.get("LENSNEG_ALL_TOOLS"):
            pytest.fail(missing)
        pytest.skip(missing, allow_module_level=True)  # some modules ask as they are imported
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

    def __init__(self, *, partition: str = "aws", **parameters: Any) -> None:
        self.partition = partition
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

    def of_type(self, kind: str, *, made: bool = True) -> dict[str, dict[str, Any]]:
        """The properties of the resources of a type, resolved; also of those that are not made."""
        return {
            name: self.resolve(resource["Properties"])
            for name, resource in (self.resources if made else self.template["Resources"]).items()
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
            if function == "Fn::Split":
                return self.resolve(value[1]).split(value[0])
            if function == "Fn::Select":
                return self.resolve(value[1])[int(value[0])]
            if function == "Fn::Not":
                return not self.resolve(value[0])
            if function == "Fn::And":
                return all(self.resolve(value))
            if function == "Fn::Or":
                return any(self.resolve(value))
            if function == "Fn::EachMemberEquals":
                return all(member == value[1] for member in self.resolve(value[0]))
            if function == "Condition" and isinstance(value, str):
                return self.conditions[value]
            if function == "Fn::Join":
                return str(value[0]).join(self.resolve(value[1]))
            if function == "Fn::FindInMap":
                table, row, column = self.resolve(value)
                return self.template["Mappings"][table][row][column]
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
            "AWS::Partition": self.partition,
            "AWS::StackName": STACK,
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/{STACK_ID}",
            "AWS::NoValue": ...,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            is_list = self.template["Parameters"][name]["Type"] == "CommaDelimitedList"
            return self.parameters[name].split(",") if is_list else self.parameters[name]
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
        if kind == "AWS::IAM::Role":
            path = self.resolve(self.template["Resources"][name]["Properties"].get("Path", "/"))
            return f"arn:{self.partition}:iam::{ACCOUNT}:role{path}{name}"
        if (kind, attribute) == ("Custom::SparkCode", "Uri"):
            destination = self.resolve(self.template["Resources"][name]["Properties"]["Destination"])
            sha256 = hashlib.sha256((ROOT / "spark" / "sample_negatives.py").read_bytes()).hexdigest()
            return f"{destination}/{sha256}/sample_negatives.py"
        if (kind, attribute) == ("AWS::Lambda::Version", "Version"):
            return "1"
        assert attribute == "Arn", f"{name}.{attribute}: not known here"
        here, arn = f"{REGION}:{ACCOUNT}", f"arn:{self.partition}"
        if kind == "AWS::StepFunctions::StateMachine":
            machine = self.resolve(self.template["Resources"][name]["Properties"]["StateMachineName"])
            return f"{arn}:states:{here}:stateMachine:{machine}"
        return {
            "AWS::S3::Bucket": f"{arn}:s3:::{BUCKET}",
            "AWS::Lambda::Function": f"{arn}:lambda:{here}:function:{name}",
            "AWS::EMRServerless::Application": f"{arn}:emr-serverless:{here}:/applications/00app",
            "AWS::Logs::LogGroup": f"{arn}:logs:{here}:log-group:{name}:*",
            "AWS::Events::Rule": f"{arn}:events:{here}:rule/{name}",
            "AWS::CloudWatch::Alarm": f"{arn}:cloudwatch:{here}:alarm:{name}",
        }[kind]

    def refused(self) -> set[str]:
        """The rules about parameters by which CloudFormation refuses these."""
        return {
            name
            for name, rule in self.template["Rules"].items()
            if self.resolve(rule.get("RuleCondition", True))
            and not all(self.resolve(assertion["Assert"]) for assertion in rule["Assertions"])
        }

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

    def allowing(self, role: str, action: str, resource: str, prefix: str = "") -> list[dict[str, Any]]:
        """The statements that allow a role an action on a resource; of a listing, with its prefix."""
        keys = {"s3:prefix": prefix} if prefix else {}
        return iam.allowing(self.statements(role), iam.Asked(action, resource, keys))


@lru_cache
def deployed() -> Deployed:
    """The stack with the defaults of its parameters."""
    return Deployed()


@lru_cache
def with_fetch() -> Deployed:
    """The stack with all that FetchSweeps adds."""
    return Deployed(FetchSweeps="true")
