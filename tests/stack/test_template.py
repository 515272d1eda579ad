"""template.yaml: clean for the linters, and what the SAM transform makes of it is the stack that is meant."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import yaml
from deployed import REGION, ROOT, STACK, STACK_ID, Deployed, deployed, with_fetch

from lensneg.aws.deployment import OUTPUTS
from lensneg.schema.states import DEFAULT_VCPUS
from lensneg.stages.preflight.account import LEAST_VCPUS
from lensneg.stages.preflight.code_checks import code_checks
from lensneg.stages.summarize_fan_out.executors import WORKER_VCPUS

#: Functions that no state calls: CloudFormation does.
OUTSIDE_THE_GRAPH = {"PublishSparkCode"}


def test_the_transform_leaves_these_resources() -> None:
    kinds: dict[str, int] = {}
    for resource in deployed().template["Resources"].values():
        kinds[resource["Type"]] = kinds.get(resource["Type"], 0) + 1
    assert kinds == {
        "AWS::CloudWatch::Alarm": 6,
        "AWS::CloudWatch::Dashboard": 1,
        "AWS::EMRServerless::Application": 1,
        "AWS::Events::Rule": 1,
        "AWS::IAM::ManagedPolicy": 7,
        "AWS::IAM::Role": 15,
        "AWS::Lambda::Alias": 1,
        "AWS::Lambda::Function": 12,
        "AWS::Lambda::Version": 1,
        "AWS::Logs::LogGroup": 2,
        "AWS::S3::Bucket": 1,
        "AWS::S3::BucketPolicy": 1,
        "AWS::SNS::Subscription": 1,
        "AWS::SNS::Topic": 1,
        "AWS::SNS::TopicPolicy": 1,
        "AWS::StepFunctions::StateMachine": 2,
        "Custom::SparkCode": 1,
    }


def test_nothing_refers_to_what_an_own_bucket_leaves_out() -> None:
    stack = Deployed(ExistingBucketName="my-data", SweepsBucketName="all-sweeps")
    assert "AWS::S3::Bucket" not in {resource["Type"] for resource in stack.resources.values()}
    text = json.dumps([stack.resolve(r["Properties"]) for r in stack.resources.values()])
    assert "lensneg-example" not in text
    assert "arn:aws:s3:::my-data/out/runs/*" in text
    assert stack.outputs()["OutUri"] == "s3://my-data/out"
    assert stack.outputs()["SweepsUri"] == "s3://all-sweeps"
    assert stack.allowing("FilterSweepRole", "s3:GetObject", "arn:aws:s3:::all-sweeps/dr10/sweep.fits")
    assert not stack.allowing("ReportRole", "s3:GetObject", "arn:aws:s3:::all-sweeps/dr10/sweep.fits")


def test_sam_builds_one_image_for_all_functions() -> None:
    [build] = deployed().builds
    assert len(build) == len(with_fetch().functions())
    context, file = ROOT, ROOT / "Dockerfile"
    for name, resource in deployed().written["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            metadata = resource["Metadata"]
            assert (context / metadata["DockerContext"]).resolve() == context, name
            assert (context / metadata["DockerContext"] / metadata["Dockerfile"]).resolve() == file, name


def test_every_function_is_what_lambda_takes() -> None:
    for name, function in with_fetch().functions().items():
        assert function["PackageType"] == "Image", name
        assert function["Architectures"] == ["x86_64"], name
        assert 128 <= function["MemorySize"] <= 3008, f"{name}: new accounts may have no more than 3,008 MB"
        assert 1 <= function["Timeout"] <= 900, name
        assert function["Code"]["ImageUri"], name
        assert function["LoggingConfig"]["LogGroup"] == f"/aws/lambda/lensneg-{STACK_ID}", name
        [command] = function["ImageConfig"]["Command"]
        module, _, attribute = command.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute)), command


def test_every_handler_is_a_function_of_the_template() -> None:
    commands = {f["ImageConfig"]["Command"][0] for f in with_fetch().functions().values()}
    modules = {
        f"functions.{path.stem}.handler"
        for path in (ROOT / "functions").glob("*.py")
        if path.stem not in ("__init__", "task")
    }
    assert commands == modules


def test_each_function_has_a_role_of_its_own() -> None:
    roles = [function["Role"] for function in with_fetch().functions().values()]
    assert len(set(roles)) == len(roles)


def test_a_new_image_publishes_the_spark_code_again() -> None:
    """The custom resource names a version whose logical id depends on the image."""
    other = deployed().updated

    def version(template: dict[str, Any]) -> str:
        reference = template["Resources"]["SparkCode"]["Properties"]["FunctionVersion"]["Ref"]
        assert template["Resources"][reference]["Type"] == "AWS::Lambda::Version"
        return reference

    assert version(deployed().template) != version(other)
    # The state machine takes the URI from it, so it is updated after it.
    substitutions = other["Resources"]["StateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert substitutions["SparkEntryPoint"] == {"Fn::GetAtt": ["SparkCode", "Uri"]}
    # A custom resource may not change its function.
    token = other["Resources"]["SparkCode"]["Properties"]["ServiceToken"]
    assert token == {"Fn::GetAtt": ["PublishSparkCodeFunction", "Arn"]}


def test_no_parameter_or_variable_says_what_the_code_is() -> None:
    """It would keep its value in a deployment that does not give it. The image says it (COMMIT)."""
    assert not [name for name in deployed().parameters if "commit" in name.lower()]
    for name, function in deployed().functions().items():
        assert not [v for v in function["Environment"]["Variables"] if "COMMIT" in v.upper()], name


def test_gate_1_is_told_which_job_the_state_machine_starts() -> None:
    job = deployed().definition()["States"]["SampleNegatives"]["Parameters"]["JobDriver"]["SparkSubmit"]
    checks = {check.name: check for check in code_checks(preflight_variables())}
    assert checks["job_as_built"].passed
    assert checks["job_as_built"].actual == job["EntryPoint"]


def preflight_variables() -> dict[str, str]:
    return deployed().functions()["Preflight"]["Environment"]["Variables"]


#: What is kept when the stack is deleted.
KEPT = {"DataBucket", "DataBucketPolicy", "FunctionsLogGroup", "StateMachineLogGroup"}


def test_data_and_logs_outlive_the_stack_but_not_a_failed_first_creation() -> None:
    """A resource that such a creation left would be in no stack, and in the way of the next one."""
    policies = {name: (r.get("DeletionPolicy"), r.get("UpdateReplacePolicy")) for name, r in kept().items()}
    assert policies == dict.fromkeys(KEPT, ("RetainExceptOnCreate", "Retain"))
    of_kinds = {"AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::Logs::LogGroup"}
    assert {name for name, r in deployed().resources.items() if r["Type"] in of_kinds} == KEPT


def test_what_a_deleted_stack_left_is_not_in_the_way_of_one_of_its_name() -> None:
    for name in kept():
        names = {
            v for k, v in deployed().resolve(deployed().resources[name]["Properties"]).items() if "Name" in k
        }
        assert all(STACK_ID in value for value in names), name


def kept() -> dict[str, Any]:
    versions = {"AWS::Lambda::Version"}  # SAM keeps those; they go with their function
    found = {n: r for n, r in deployed().resources.items() if r.get("DeletionPolicy", "Delete") != "Delete"}
    return {name: resource for name, resource in found.items() if resource["Type"] not in versions}


def test_two_regions_have_two_dashboards() -> None:
    [dashboard] = deployed().of_type("AWS::CloudWatch::Dashboard").values()
    assert dashboard["DashboardName"] == f"{STACK}-{REGION}"


def test_the_bucket_is_private_encrypted_and_versioned() -> None:
    bucket = deployed().of_type("AWS::S3::Bucket")["DataBucket"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    [deny] = deployed().of_type("AWS::S3::BucketPolicy")["DataBucketPolicy"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Action"], deny["Principal"]) == ("Deny", "s3:*", "*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert deny["Resource"] == ["arn:aws:s3:::lensneg-example", "arn:aws:s3:::lensneg-example/*"]


def test_what_is_published_and_what_it_is_made_from_never_expires() -> None:
    rules = deployed().of_type("AWS::S3::Bucket")["DataBucket"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule.get("Prefix", "") for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {"out/runs/", "map-results/", "emr-logs/", "fetch/"}


def test_no_account_region_or_bucket_is_written_down() -> None:
    for path in ("template.yaml", "samconfig.toml", "Dockerfile", *ROOT.glob("statemachine/*.json")):
        text = (ROOT / path).read_text()
        assert not re.search(r"\b\d{12}\b", text), path
        assert not re.search(r"\b(us|eu|ap|sa|ca|me|af)-(north|south|east|west|central)\w*-\d\b", text), path
        assert "s3://lensneg" not in text


def test_parameters_are_bounded() -> None:
    for name, spec in deployed().template["Parameters"].items():
        assert {"Default", "Description"} <= set(spec), name
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & set(spec), name
        if "AllowedPattern" in spec:
            assert re.search(spec["AllowedPattern"], spec["Default"]), name
            assert not re.search(spec["AllowedPattern"], "no bucket, no address and no commit/"), name


def test_outputs_are_what_the_command_line_reads() -> None:
    assert set(deployed().outputs()) == set(OUTPUTS)
    assert deployed().outputs()["StateMachineArn"].endswith(":stateMachine:lensneg")
    assert deployed().outputs()["FetchStateMachineArn"] == "none"
    assert with_fetch().outputs()["FetchStateMachineArn"].endswith(":stateMachine:lensneg-fetch")


def test_emr_runs_the_spark_that_runs_here() -> None:
    import pyspark

    [application] = deployed().of_type("AWS::EMRServerless::Application").values()
    pattern = deployed().template["Parameters"]["EmrRelease"]["AllowedPattern"]
    # EMR's release notes: s3:// is S3A from 7.10.0 on; emr-spark-8.0.0 has Spark 4.
    for release, taken in (
        ("emr-7.13.0", True), ("emr-7.10.0", True), ("emr-7.9.0", False), ("emr-spark-8.0.0", False)
    ):  # fmt: skip
        assert bool(re.search(pattern, release)) == taken, release
    [other] = Deployed(EmrRelease="emr-7.12.0").of_type("AWS::EMRServerless::Application").values()
    assert other["ReleaseLabel"] == "emr-7.12.0"
    # EMR Serverless release notes: 7.13.0 has Spark 3.5.6.
    assert (application["ReleaseLabel"], pyspark.__version__) == ("emr-7.13.0", "3.5.6")
    assert application["AutoStopConfiguration"]["Enabled"]


def test_the_workers_fit_the_application_and_emrs_sizes() -> None:
    [machine] = deployed().of_type("AWS::StepFunctions::StateMachine").values()
    submit = machine["DefinitionSubstitutions"]["SparkSubmitParameters"]
    conf = dict(re.findall(r"--conf (\S+?)=(\S+)", submit))
    for kind in ("driver", "executor"):
        cores, heap = int(conf[f"spark.{kind}.cores"]), int(conf[f"spark.{kind}.memory"].rstrip("g"))
        assert cores == WORKER_VCPUS
        # Workers of 4 vCPU have 8 to 30 GB, in steps of one; Spark adds a tenth for overhead.
        assert 8 <= heap * 1.1 <= 16
    [application] = deployed().of_type("AWS::EMRServerless::Application").values()
    capacity = application["MaximumCapacity"]
    assert int(capacity["Cpu"].split()[0]) == DEFAULT_VCPUS
    # The vCPUs are the limit: memory and disk (20 GB a worker) are enough for the largest stack.
    most = int(deployed().template["Parameters"]["MaximumVCpu"]["MaxValue"])
    assert int(capacity["Memory"].split()[0]) >= most // 4 * 16
    assert int(capacity["Disk"].split()[0]) >= most // 4 * 20
    assert int(deployed().template["Parameters"]["MaximumVCpu"]["MinValue"]) == LEAST_VCPUS


def test_the_jobs_of_several_runs_wait_for_each_other() -> None:
    """A job may take all of the application's capacity; a driver that finds none would fail its job."""
    [application] = deployed().of_type("AWS::EMRServerless::Application").values()
    assert application["SchedulerConfiguration"]["MaxConcurrentRuns"] == 1
    assert application["AutoStartConfiguration"]["Enabled"]
    assert application["AutoStopConfiguration"] == {"Enabled": True, "IdleTimeoutMinutes": 1}


def test_the_verdict_reaches_the_topic() -> None:
    [rule] = deployed().of_type("AWS::Events::Rule").values()
    assert rule["EventPattern"]["detail"] == {
        "stateMachineArn": [deployed().outputs()["StateMachineArn"]],
        "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
    }
    [policy] = deployed().of_type("AWS::SNS::TopicPolicy").values()
    services = {s["Principal"]["Service"] for s in policy["PolicyDocument"]["Statement"]}
    assert services == {"events.amazonaws.com", "cloudwatch.amazonaws.com"}
    for alarm in deployed().of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == policy["Topics"]


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    [dashboard] = deployed().of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"])
    shown = {
        metric[1]
        for widget in body["widgets"]
        for metric in widget["properties"].get("metrics", [])
        if metric[0] == "lensneg"
    }
    source = "".join(path.read_text() for path in Path(ROOT, "functions").glob("*.py"))
    emitted = set(re.findall(r'add_metric\("(\w+)"', source)) | set(
        re.findall(r'\n\s+"(\w+)",\n\s+MetricUnit', source)
    )
    assert shown == emitted
    gates = re.findall(r'"(Gate\d\w+)"', dashboard["DashboardBody"])
    graph = json.loads((ROOT / "statemachine" / "negative_sampling.asl.json").read_text())
    assert sorted(set(gates)) == sorted(s for s in graph["States"] if re.match(r"Gate\d", s))


def test_the_dashboards_prices_are_those_of_the_cost_model() -> None:
    [dashboard] = deployed().of_type("AWS::CloudWatch::Dashboard").values()
    prices = yaml.safe_load((ROOT / "configs" / "prices.yaml").read_text())
    known = {price["usd"] for price in prices.values() if isinstance(price, dict)}
    shown = {float(number) for number in re.findall(r"0\.0\d+", dashboard["DashboardBody"])}
    assert len(shown) == 3
    assert shown <= known
