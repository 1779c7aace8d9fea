"""What holds for every set of values in matrix/, and for the chart as it comes."""

import copy
import json

import helm_python
import jsonschema
import kubernetes_validate
import pytest

import chart
import restricted

CASES = {"defaults": {}, **{path.stem: chart.read(path) for path in chart.MATRIX}}
MONITORING = json.loads((chart.FOLDER / "monitoring.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def values(request):
    return request.param


@pytest.fixture
def made(values):
    return chart.objects(values)


def validate(one, version):
    """Raises where an object is none of this release of Kubernetes, or of the operator."""
    if one["apiVersion"].startswith("monitoring.coreos.com/"):
        jsonschema.Draft202012Validator(MONITORING).validate(one)
        return
    # The newest schemas that it has stand in for those that it has not, so the answer is looked at.
    assert kubernetes_validate.validate(one, version, strict=True) == version


@pytest.mark.parametrize("version", [chart.OLDEST, chart.NEWEST])
def test_helm_finds_nothing_to_mend(values, version):
    report = helm_python.lint(chart.CHART, values, strict=True, namespace=chart.NAMESPACE, kube_version=f"v{version}.0")

    # 1 is a hint, such as that an icon is recommended.
    assert report["total_charts_linted"] == 1
    assert [one for one in report["messages"] if one["severity"] > 1] == []
    assert report["errors"] == []


@pytest.mark.parametrize("version", [chart.OLDEST, chart.NEWEST])
def test_every_object_is_one_of_kubernetes(made, version):
    for one in made:
        validate(one, version)


@pytest.mark.parametrize(
    "kind, field", [("Deployment", "replica"), ("NetworkPolicy", "egres"), ("ServiceMonitor", "port")]
)
def test_a_field_that_is_none_is_noticed(kind, field):
    one = copy.deepcopy(chart.the(kind, chart.objects(CASES["everything"])))
    one["spec"][field] = 1

    for version in (chart.OLDEST, chart.NEWEST):
        with pytest.raises(jsonschema.ValidationError):
            validate(one, version)


def test_the_oldest_release_is_that_of_the_chart_and_the_newest_has_schemas():
    versions = kubernetes_validate.utils.all_versions()

    assert chart.chart().metadata["kubeVersion"] == f">={chart.OLDEST}.0-0"
    assert chart.NEWEST == max(versions, key=lambda text: [int(part) for part in text.split(".")]).rsplit(".", 1)[0]


def test_the_chart_is_of_the_gateways_release():
    manifest = (chart.REPOSITORY / "Cargo.toml").read_text(encoding="utf-8")

    assert f'\nversion = "{chart.chart().metadata["appVersion"]}"\n' in manifest


def test_nothing_is_made_outside_the_namespace_and_nothing_may_ask_the_api(made):
    for one in made:
        assert one["metadata"]["namespace"] == chart.NAMESPACE
    assert not [kind for kind in chart.kinds(made) if "Role" in kind or kind == "Secret"]


def test_pod_security_restricted_holds(made):
    assert restricted.violations(chart.pod(made)["spec"]) == []


def changed(path, value):
    spec = copy.deepcopy(chart.pod(chart.objects(CASES["least"]))["spec"])
    *way, last = path
    at = spec
    for step in way:
        at = at[step]
    at[last] = value
    return spec


OWN = ("containers", 0, "securityContext")


@pytest.mark.parametrize(
    "path, value, said",
    [
        (("hostNetwork",), True, "the pod sets hostNetwork"),
        (("volumes", 0), {"name": "x", "hostPath": {"path": "/"}}, "the volume x is of a kind that is not allowed"),
        (("securityContext", "runAsUser"), 0, "the pod runs as root"),
        (("securityContext", "sysctls"), [{"name": "a"}], "the pod sets sysctls"),
        ((*OWN, "privileged"), True, "the container gateway is privileged"),
        ((*OWN, "allowPrivilegeEscalation"), True, "the container gateway may gain privileges"),
        ((*OWN, "runAsNonRoot"), False, "the container gateway may run as root"),
        ((*OWN, "seccompProfile"), {"type": "Unconfined"}, "the container gateway has no seccomp profile"),
        ((*OWN, "capabilities"), {}, "the container gateway keeps capabilities"),
        ((*OWN, "capabilities", "add"), ["SYS_ADMIN"], "the container gateway adds capabilities"),
        ((*OWN, "procMount"), "Unmasked", "the container gateway changes procMount"),
        ((*OWN, "appArmorProfile"), {"type": "Unconfined"}, "the container gateway runs without AppArmor"),
        (("containers", 0, "ports", 0, "hostPort"), 80, "the container gateway takes a port of the node"),
    ],
)
def test_what_is_less_than_restricted_is_noticed(path, value, said):
    assert restricted.violations(changed(path, value)) == [said]


def test_the_process_can_write_nowhere_but_where_a_volume_is_meant_for_it(made):
    container = chart.gateway(made)

    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {one["name"] for one in container["volumeMounts"] if not one.get("readOnly")} <= {"audit-file"}


def test_no_shell_is_needed(made):
    container = chart.gateway(made)

    assert "command" not in container and "lifecycle" not in container
    assert container["args"] == ["serve"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"
    assert "initContainers" not in chart.pod(made)["spec"]


def test_a_rollout_takes_no_replica_away_and_links_tell_nothing(made):
    assert chart.the("Deployment", made)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert chart.pod(made)["spec"]["enableServiceLinks"] is False


def test_what_selects_pods_selects_these(made):
    labels = chart.pod(made)["metadata"]["labels"].items()
    selectors = [
        one["spec"]["selector"].get("matchLabels", one["spec"]["selector"])
        for one in made
        if one["kind"] in ("Deployment", "PodDisruptionBudget", "Service")
    ]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in made if one["kind"] == "NetworkPolicy"]
    spread = chart.pod(made)["spec"].get("topologySpreadConstraints") or []
    selectors += [one["labelSelector"]["matchLabels"] for one in spread]

    assert len(selectors) >= 3
    for selector in selectors:
        assert selector and selector.items() <= labels


def test_what_names_another_object_names_one_that_is_made(made):
    names = {(one["kind"], one["metadata"]["name"]) for one in made}
    spec = chart.pod(made)["spec"]
    named = [("ConfigMap", one["configMap"]["name"]) for one in spec["volumes"] if "configMap" in one]
    named += [("ServiceAccount", spec["serviceAccountName"])]
    for one in made:
        if one["kind"] == "HorizontalPodAutoscaler":
            named.append(("Deployment", one["spec"]["scaleTargetRef"]["name"]))
        if one["kind"] == "Ingress":
            named += [
                ("Service", path["backend"]["service"]["name"])
                for rule in one["spec"]["rules"]
                for path in rule["http"]["paths"]
            ]
    brought = {("ConfigMap", "our-policies"), ("ConfigMap", "private-ca"), ("ServiceAccount", "shared-by-us")}

    assert set(named) - names <= brought


def test_every_volume_is_mounted_and_every_mount_has_a_volume_and_a_place_of_its_own(made):
    spec = chart.pod(made)["spec"]
    mounts = [one for container in spec["containers"] for one in container.get("volumeMounts", [])]
    places = [one["mountPath"] for one in chart.gateway(made)["volumeMounts"]]

    assert {one["name"] for one in mounts} == {one["name"] for one in spec["volumes"]}
    # Nothing can be mounted inside a ConfigMap or a Secret: they are read-only.
    for place in places:
        assert [other for other in places if f"{other}/".startswith(f"{place}/")] == [place]


def test_ports_have_names_that_services_know(made):
    ports = {one["name"] for one in chart.gateway(made)["ports"]}
    services = [one for one in made if one["kind"] == "Service"]
    led_to = [{port["targetPort"] for port in one["spec"]["ports"]} for one in services]

    assert ports == {"public", "admin"}
    assert sorted(led_to, key=sorted) == [{"admin"}, {"public"}]


def test_the_longest_names_are_names_still(values):
    values = {key: value for key, value in values.items() if not key.endswith("nameOverride")}

    for one in chart.objects(values, name="r" * 53):
        assert len(one["metadata"]["name"]) <= 63
        for label in one["metadata"]["labels"].values():
            assert len(label) <= 63
