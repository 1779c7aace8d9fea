"""What people read: values.yaml, the chart's README, NOTES.txt. And values.schema.json, which their editors read."""

import os
import re

import helm_python
import pytest
import yaml

import chart
import tables
import test_config

PATHS = [path for path, _, _ in tables.rows()]
LEAVES = {path for path, default, _ in tables.rows() if default is not None}


def test_the_readmes_table_is_that_of_the_values():
    made = tables.readme_with(tables.table())
    if os.environ.get("UPDATE_DOCS"):
        tables.README.write_text(made, encoding="utf-8")

    assert tables.README.read_text(encoding="utf-8") == made, "say UPDATE_DOCS=1 tests/chart/run"


def test_every_value_is_explained():
    explained = {path for path, _, meaning in tables.rows() if meaning}

    unexplained = [path for path in PATHS if not any(f"{path}.".startswith(f"{one}.") for one in explained)]

    assert unexplained == []


def test_what_is_explained_is_what_the_chart_has():
    assert len(PATHS) == len(set(PATHS)) > 100
    assert LEAVES == set(leaves(chart.chart().values))


def leaves(values, path=""):
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and here not in LEAVES:
            yield from leaves(value, here)
        else:
            yield here


# What may be written although it has no default: Kubernetes has one.
WITHOUT_DEFAULT = {
    "resources.claims",
    "startupProbe.initialDelaySeconds",
    "startupProbe.timeoutSeconds",
    "livenessProbe.initialDelaySeconds",
    "readinessProbe.initialDelaySeconds",
}


def test_the_schema_has_every_value_and_the_values_have_every_key_of_the_schema():
    schema = chart.chart().schema
    # Of the configuration the values have what the chart sets, and the schema what it reads. `global` is Helm's own.
    in_schema = {one for one in keys(schema, schema) if one != "global" and not one.startswith("config.")}
    in_values = {one for one in LEAVES if not one.startswith("config.")}

    # These two are maps with any keys, some of which have defaults.
    open_maps = {"resources.requests", "resources.limits"}
    in_values = {one for one in in_values if one.rpartition(".")[0] not in open_maps}

    assert in_schema - open_maps - in_values == WITHOUT_DEFAULT
    assert in_values <= in_schema


def keys(schema, node, path=""):
    """The leaves of a schema. A map with any keys is a leaf."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    properties = node.get("properties")
    if not properties or node.get("additionalProperties") is not False:
        yield path
        return
    for key, inner in properties.items():
        yield from keys(schema, inner, f"{path}.{key}".lstrip("."))


def test_no_object_of_the_schema_takes_keys_that_it_does_not_name():
    schema = chart.chart().schema

    for name in ("image", "networkPolicy", "shared", "audit", "autoscaling"):
        assert schema["properties"][name]["additionalProperties"] is False
    assert schema["additionalProperties"] is False


def test_the_schema_knows_every_section_of_the_configuration():
    reference = (chart.REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## `\[+([a-z_]+)", reference, re.MULTILINE))

    assert len(sections) >= 9
    assert sections <= chart.chart().schema["properties"]["config"]["properties"].keys()


def examples():
    """The values that the README shows, the later ones laid over the first."""
    text = tables.README.read_text(encoding="utf-8")
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n# values.yaml\n(.*?)```", text, re.DOTALL)]
    return [found[0], *(chart.merged(found[0], one) for one in found[1:])]


@pytest.mark.parametrize("number", range(2))
def test_the_readmes_examples_are_taken_by_chart_and_gateway(number, program, tmp_path):
    assert len(examples()) == 2

    made = chart.objects(examples()[number])
    answer = test_config.check(program, made, tmp_path)

    assert answer.returncode == 0, answer.stderr
    assert "missing" not in notes(examples()[number])


def notes(values):
    return chart.files(values)["NOTES.txt"]


def test_the_notes_begin_with_the_next_command():
    said = notes(examples()[0])

    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert commands[0] == "kubectl --namespace backups rollout status deployment/gw-redis-backup-gateway --timeout=2m"
    assert "kubectl --namespace backups port-forward service/gw-redis-backup-gateway 8080:public &" in commands
    assert "Before that" not in said


def test_the_notes_ask_by_the_protocol_that_is_spoken():
    assert " http://127.0.0.1:8080/instances" in notes({})
    sealed = notes({"tls": {"existingSecret": "certificate"}})
    assert " --connect-to ::127.0.0.1:8080 " in sealed and " https://$NAME_IN_THE_CERTIFICATE/instances" in sealed


OPEN = {"networkPolicy": {"ingress": {"namespaces": ["ingress"]}}}


@pytest.mark.parametrize(
    "values, said",
    [
        ({"config": {"auth": {"issuers": []}}}, "config.auth.issuers is empty"),
        ({"config": {"tencent": {"regions": []}}}, "config.tencent.regions is empty"),
        ({"policies": {"files": None}}, "policies is empty: nobody may do anything"),
        ({"credentials": {"existingSecret": ""}}, "without a key to the cloud the gateway does not start"),
        ({"audit": {"existingSecret": ""}}, "audit.existingSecret is not set"),
        ({"config": {"audit": {"sink": "file"}}}, "the audit's file is in an emptyDir"),
        ({"networkPolicy": {"ingress": {"namespaces": []}}}, "networkPolicy.ingress names nobody"),
        (chart.STORE, "networkPolicy.egress.redis names nobody"),
        ({"config": {"log": {"otlp_endpoint": "http://otlp:4318"}}}, "networkPolicy.egress.otlp names nobody"),
        ({"ingress": {"enabled": True, "tls": [{"hosts": ["a"]}]}}, "config.server.trusted_proxies is empty"),
        (
            {"ingress": {"enabled": True}, "config": {"server": {"trusted_proxies": ["10.0.0.0/8"]}}},
            "ingress.tls is empty",
        ),
    ],
)
def test_the_notes_say_what_is_missing_and_nothing_else(values, said):
    given = chart.merged(examples()[0], values)

    warnings = notes(given).partition("Before that:")[2]

    assert said in warnings
    assert warnings.count("\n  - ") == 1


def test_alerts_and_dashboard_are_the_files_of_the_chart():
    made = chart.objects(chart.read(chart.FOLDER / "matrix" / "everything.yaml"))
    files = chart.CHART / "files"

    rule = chart.the("PrometheusRule", made)["spec"]
    dashboard = chart.the("ConfigMap", made, "-dashboard")["data"]["redis-backup-gateway.json"]

    assert rule == chart.read(files / "alerts.yaml")
    assert dashboard.strip() == (files / "dashboard.json").read_text(encoding="utf-8").strip()


def test_monitoring_selects_by_the_labels_that_are_asked_for():
    made = chart.objects(chart.read(chart.FOLDER / "matrix" / "everything.yaml"))

    assert chart.the("ServiceMonitor", made)["metadata"]["labels"]["release"] == "prometheus"
    assert chart.the("PrometheusRule", made)["metadata"]["labels"]["release"] == "prometheus"
    assert chart.the("ConfigMap", made, "-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"
    selector = chart.the("ServiceMonitor", made)["spec"]["selector"]["matchLabels"]
    selected = [
        one["metadata"]["name"]
        for one in made
        if one["kind"] == "Service" and selector.items() <= one["metadata"]["labels"].items()
    ]
    assert selected == ["backups-admin"]


def test_the_pod_runs_as_the_user_of_the_image():
    dockerfile = (chart.REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    context = chart.chart().values["securityContext"]

    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    assert f'\nCMD ["{chart.gateway(chart.objects({}))["args"][0]}"]\n' in dockerfile


def test_what_is_not_asked_for_is_not_made():
    assert chart.kinds(chart.objects({})) == {
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }


def test_the_package_renders_as_the_folder_does_and_holds_nothing_else(tmp_path):
    values = chart.read(chart.FOLDER / "matrix" / "everything.yaml")
    folder = {str(path.relative_to(chart.CHART)) for path in chart.CHART.rglob("*") if path.is_file()}

    with helm_python.Chart.load(helm_python.package(chart.CHART, destination=tmp_path)) as packaged:
        made = packaged.render(values, name=chart.RELEASE, namespace=chart.NAMESPACE)
        held = {one["name"] for one in packaged.files + packaged.templates}

    assert made == chart.chart().render(values, name=chart.RELEASE, namespace=chart.NAMESPACE)
    assert folder - held == {"Chart.yaml", "values.yaml", "values.schema.json"}
