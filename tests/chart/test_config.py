"""The configuration that the chart writes: it means what the values say, and the gateway takes it."""

import json
import subprocess
import tomllib

import pytest

import chart
import mounted

CASES = {path.stem: chart.read(path) for path in chart.MATRIX}

AWKWARD = {
    "text": "a \"quoted\" \\ back\\slash, a tab\t, a line\nbreak, \x01\x7f, <&>, é, 测试, 🚀, \u2028",
    "empty": "",
    "looks like": ["true", "12", "1.0", "2026-11-24", "[x]", "# no comment", "null", "~"],
    "whole": 0,
    "large": 1000000,
    "negative": -3,
    "fraction": 0.05,
    "tiny": 1e-9,
    "yes": True,
    "no": False,
    "nothing in it": [],
    "nested": [[1, 2], ["a"], []],
    "mixed": [1, {"a": "b", "c d": [1.5]}, "x"],
    "a.dotted key": {"\"quoted\"": 1, "é": {"deep": {"deeper": []}}},
    "an empty table": {},
    "tables": [{"name": "a", "inner": {"x": 1}, "more": [{"y": 2}, {}]}, {}],
}


def check(program, made, root, changed=lambda text: text):
    """What `check-config` says in a container that is mounted as the pod is."""
    environment = mounted.lay_out(made, root)
    file = root / "etc/redis-backup-gateway/config/gateway.toml"
    assert environment["GATEWAY_CONFIG"] == str(file)
    file.write_text(changed(file.read_text(encoding="utf-8")), encoding="utf-8")
    return subprocess.run(
        [program, "check-config"], env=environment, cwd=root, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("name", CASES)
def test_the_gateway_takes_what_is_rendered(name, program, tmp_path):
    answer = check(program, chart.objects(CASES[name]), tmp_path)

    assert answer.returncode == 0, answer.stderr


def test_it_does_not_take_a_key_that_it_does_not_know(program, tmp_path):
    values = chart.merged(CASES["least"], {"config": {"cache": {"max_byte": "1MiB"}}})

    answer = check(program, chart.objects(values), tmp_path)

    assert answer.returncode == 1
    assert "cache.max_byte (" in answer.stderr


def test_it_misses_what_is_not_mounted(program, tmp_path):
    answer = check(program, chart.objects(CASES["openshift"]), tmp_path, lambda text: text.replace("-key", "-kez"))

    assert answer.returncode == 1
    assert "audit.key_file (" in answer.stderr


def test_it_does_not_start_as_it_comes_and_says_what_is_missing(program, tmp_path):
    answer = check(program, chart.objects({}), tmp_path)

    assert answer.returncode == 1
    assert "auth.issuers" in answer.stderr and "tencent.regions" in answer.stderr
    assert "has 2 problems" in answer.stderr


@pytest.mark.parametrize("section", ["cors", "cache", "log"])
def test_toml_means_what_the_values_say(section):
    made = chart.objects({"config": {section: AWKWARD}})

    assert tomllib.loads(chart.configuration(made))[section] == AWKWARD


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_written_that_no_value_says_or_implies(name):
    written = CASES[name]["config"]
    got = tomllib.loads(chart.configuration(chart.objects(CASES[name])))

    assert set(leaves(written)) - set(leaves(got)) == set()
    added = {path for path, _ in leaves(got)} - {path for path, _ in leaves(written)}
    assert added <= {
        "server.listen",
        "server.admin_listen",
        "server.tls.cert_file",
        "server.tls.key_file",
        "server.tls.client_ca_file",
        "policy.dir",
        "tencent.credentials.source",
        "tencent.credentials.file",
        "shared.replicas",
        "shared.password_file",
        "shared.encryption_key_file",
        "shared.ca_file",
        "shared.client_cert_file",
        "shared.client_key_file",
        "audit.key_file",
        "audit.file",
        "auth.revoked_file",
    }


def leaves(table, path=""):
    for key, value in table.items():
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    "values, replicas",
    [
        ({"replicaCount": 1}, 2),
        ({"replicaCount": 4}, 5),
        ({"replicaCount": 4, "autoscaling": {"enabled": True, "maxReplicas": 9}}, 10),
        ({"autoscaling": {"enabled": True}}, 6),
        ({"replicaCount": 3, "rollout": {"maxSurge": 2}}, 5),
        ({"replicaCount": 3, "rollout": {"maxSurge": "50%"}}, 5),
        ({"replicaCount": 3, "rollout": {"maxSurge": "100%"}}, 6),
        # Another release that uses the same store counts, too.
        ({"replicaCount": 2, "config": {"shared": {"replicas": 6}}}, 6),
    ],
)
def test_the_share_of_a_replica_follows_the_most_that_may_run(values, replicas):
    made = chart.objects(chart.merged(chart.STORE, values))

    assert tomllib.loads(chart.configuration(made))["shared"]["replicas"] == replicas


def test_without_a_store_there_is_no_section_of_it():
    assert "shared" not in tomllib.loads(chart.configuration(chart.objects(chart.LEAST)))


@pytest.mark.parametrize(
    "server, seconds",
    [
        ({}, 5 + 30 + 10),
        ({"drain_delay": "1500ms", "shutdown_grace": "2m"}, 2 + 120 + 10),
        ({"drain_delay": "0s", "shutdown_grace": "1ms"}, 1 + 10),
        ({"shutdown_grace": "1h"}, 5 + 3600 + 10),
        ({"drain_delay": "999ms", "shutdown_grace": "999ms"}, 2 + 10),
    ],
)
def test_the_grace_period_is_longer_than_what_the_gateway_takes_to_end(server, seconds):
    made = chart.objects({"config": {"server": server}})

    assert chart.pod(made)["spec"]["terminationGracePeriodSeconds"] == seconds


def test_what_the_chart_assumes_is_what_the_gateway_assumes():
    reference = (chart.REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")

    for key, value in [("drain_delay", "5s"), ("shutdown_grace", "30s"), ("sink", "stdout")]:
        assert f'`"{value}"`' in next(line for line in reference.splitlines() if line.startswith(f"| `{key}` |"))
    assert "\n| `admin_listen` |" in reference and '| `"127.0.0.1:9090"` |' in reference


def test_a_change_of_the_configuration_restarts_the_pods_and_one_of_the_policies_does_not():
    def checksum(*layers):
        pod = chart.pod(chart.objects(chart.merged(chart.LEAST, *layers)))
        return pod["metadata"]["annotations"]["checksum/config"]

    before = checksum()

    assert checksum({"config": {"cache": {"min_age": "9s"}}}) != before
    assert checksum({"credentials": {"existingSecret": "cloud"}}) != before
    assert checksum({"policies": {"files": {"a.cedar": "permit (principal, action, resource);"}}}) == before


def test_ports_follow_the_listeners():
    made = chart.objects({"config": {"server": {"listen": "[::]:8443", "admin_listen": "0.0.0.0:9191"}}})

    ports = {one["name"]: one["containerPort"] for one in chart.gateway(made)["ports"]}
    assert ports == {"public": 8443, "admin": 9191}
    assert chart.the("Service", made, "-admin")["spec"]["ports"][0]["port"] == 9191


def test_without_policies_nobody_may_do_anything():
    policies = chart.the("ConfigMap", chart.objects(chart.LEAST), "-policies")["data"]

    assert policies == {"nobody.cedar": "forbid (principal, action, resource);\n"}


def test_policies_arrive_as_they_are_written():
    files = CASES["everything"]["policies"]["files"]

    assert chart.the("ConfigMap", chart.objects(CASES["everything"]), "-policies")["data"] == files
