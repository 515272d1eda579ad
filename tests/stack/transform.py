"""Puts template.yaml through the SAM transform; run by the Python of .venv-stack, it prints JSON.

Its arguments are URIs of images, as `sam build` and `sam deploy` put one into the template. Prints the
template as it is written, those of deploy/, what the transform makes of it with each image, how `sam build`
would build (the functions of each build), and the options of sam's commands.
"""

import json
import sys
import tempfile
from pathlib import Path

import boto3
from samcli.commands.build.command import cli as build
from samcli.commands.deploy.command import cli as deploy
from samcli.commands.validate.validate import cli as validate
from samcli.lib.build.app_builder import ApplicationBuilder
from samcli.lib.providers.provider import ResourcesToBuildCollector
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
REGION = "eu-west-1"
COMMANDS = {"build": build, "deploy": deploy, "validate": validate}


def transform(image: str) -> dict:
    template = yaml_parse(TEMPLATE.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["ImageUri"] = image
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://sam/definition.json"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    return translator.translate(template, {"AWS::Region": REGION})


def builds() -> list[list[str]]:
    stacks, _ = SamLocalStackProvider.get_stacks(str(TEMPLATE))
    provider = SamFunctionProvider(stacks)
    collector = ResourcesToBuildCollector()
    collector.add_functions(list(provider.get_all()))
    with tempfile.TemporaryDirectory() as folder:
        builder = ApplicationBuilder(collector, f"{folder}/build", str(TEMPLATE.parent), f"{folder}/cache")
        graph = builder._get_build_graph()
    return [
        sorted(function.name for function in build.functions)
        for build in graph.get_function_build_definitions()
    ]


if __name__ == "__main__":
    result = {
        "written": yaml_parse(TEMPLATE.read_text()),
        "transformed": [transform(image) for image in sys.argv[1:]],
        "deploy": {path.name: yaml_parse(path.read_text()) for path in TEMPLATE.parent.glob("deploy/*.yaml")},
        "builds": builds(),
        "options": {name: [option.name for option in cli.params] for name, cli in COMMANDS.items()},
    }
    print(json.dumps(result, default=str))
