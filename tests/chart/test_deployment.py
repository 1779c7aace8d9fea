"""What single values do to the pods, and to whom they are."""

import pytest

import chart


def made(values):
    return chart.objects(chart.merged(chart.LEAST, values))


def volume(found, name):
    (one,) = [one for one in chart.pod(found)["spec"]["volumes"] if one["name"] == name]
    return one


def mount(found, name):
    (one,) = [one for one in chart.gateway(found)["volumeMounts"] if one["name"] == name]
    return one


@pytest.mark.parametrize(
    "image, reference",
    [
        ({}, f"redis-backup-gateway:{chart.chart().metadata['appVersion']}"),
        ({"repository": "images.example/gw", "tag": "1.2.3"}, "images.example/gw:1.2.3"),
        ({"tag": "1.2.3", "digest": f"sha256:{'0' * 64}"}, f"redis-backup-gateway@sha256:{'0' * 64}"),
    ],
)
def test_the_image_is_that_of_the_tag_or_of_the_digest(image, reference):
    assert chart.gateway(made({"image": image}))["image"] == reference


def test_a_role_of_the_cloud_is_the_annotation_that_tke_looks_for_and_the_source_of_the_key():
    role = "qcs::cam::uin/100000000001:roleName/redis-backup-reader"
    account = {"tkeRoleArn": role, "annotations": {"tke.cloud.tencent.com/token-expiration": "3600"}}

    found = made({"serviceAccount": account})

    assert chart.the("ServiceAccount", found)["metadata"]["annotations"] == {
        "tke.cloud.tencent.com/role-arn": role,
        "tke.cloud.tencent.com/token-expiration": "3600",
    }
    assert 'source = "tke_oidc"' in chart.configuration(found)


@pytest.mark.parametrize("wanted", [False, True])
def test_pods_have_a_token_of_the_cluster_only_where_it_is_asked_for(wanted):
    found = made({"serviceAccount": {"automountToken": wanted}})

    assert chart.the("ServiceAccount", found)["automountServiceAccountToken"] is wanted
    assert chart.pod(found)["spec"]["automountServiceAccountToken"] is wanted
    assert chart.chart().values["serviceAccount"]["automountToken"] is False


def test_secrets_are_for_the_owner_and_the_group_of_the_process_and_hold_only_what_is_named():
    secret = {"existingSecret": "s"}
    values = chart.merged(chart.STORE, {name: secret for name in ("credentials", "shared", "audit", "tls")})

    found = made(values)

    items = {}
    for name in ("credentials", "shared", "audit", "tls"):
        assert mount(found, name)["readOnly"] is True
        inside = volume(found, name)["secret"]
        assert (inside["secretName"], inside["defaultMode"]) == ("s", 0o440)
        items[name] = [one["key"] for one in inside["items"]]
    assert items == {
        "credentials": ["credentials"],
        "shared": ["encryption-key", "password"],
        "audit": ["audit-key"],
        "tls": ["tls.crt", "tls.key"],
    }
    assert chart.pod(found)["spec"]["securityContext"]["fsGroup"] == 65532


def test_no_secret_stands_in_what_is_made():
    text = "\n".join(chart.files(chart.read(chart.FOLDER / "matrix" / "everything.yaml")).values())

    assert "kind: Secret" not in text
    # Variables come from values alone where they are ours; a key to the cloud comes by reference.
    variables = [{"name": "TENCENTCLOUD_SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "cloud", "key": "key"}}}]
    assert chart.gateway(made({"extraEnv": variables}))["env"][-1] == variables[0]


def test_each_replica_writes_in_a_folder_of_its_own_on_a_claim_that_all_share():
    audit = {"existingSecret": "a", "volume": {"existingClaim": "records"}}
    found = made({"audit": audit, "config": {"audit": {"sink": "file"}}})

    assert volume(found, "audit-file")["persistentVolumeClaim"] == {"claimName": "records"}
    assert mount(found, "audit-file") == {
        "name": "audit-file",
        "mountPath": "/var/log/redis-backup-gateway",
        "subPathExpr": "$(POD_NAME)",
    }
    assert {
        "name": "POD_NAME",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    } in chart.gateway(found)["env"]


def test_without_a_claim_the_file_is_in_a_bounded_folder_of_the_pod_where_the_configuration_wants_it():
    found = made({"audit": {"existingSecret": "a"}, "config": {"audit": {"sink": "file", "file": "/records/a.jsonl"}}})

    assert volume(found, "audit-file")["emptyDir"] == {"sizeLimit": "1Gi"}
    assert mount(found, "audit-file") == {"name": "audit-file", "mountPath": "/records"}


def test_on_standard_output_nothing_can_be_written_at_all():
    assert all(one["readOnly"] for one in chart.gateway(made({}))["volumeMounts"])


def test_replicas_are_spread_over_zones_and_nodes_each_version_by_itself():
    spread = chart.pod(made({}))["spec"]["topologySpreadConstraints"]

    assert [one["topologyKey"] for one in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(one["matchLabelKeys"] == ["pod-template-hash"] for one in spread)


def test_an_eviction_takes_one_replica_at_a_time_and_a_broken_one_holds_up_nobody():
    budget = chart.the("PodDisruptionBudget", made({}))["spec"]

    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_what_selects_pods_stays_the_same_whatever_labels_are_added():
    def selector(values):
        return chart.the("Deployment", made(values))["spec"]["selector"]["matchLabels"]

    labels = {"app.kubernetes.io/name": "other", "team": "data"}

    assert selector({"commonLabels": labels, "podLabels": labels, "image": {"tag": "9"}}) == selector({})
    assert chart.pod(made({"podLabels": labels}))["metadata"]["labels"].items() >= selector({}).items()


def test_the_user_can_be_left_to_the_cluster_but_never_be_root():
    context = chart.pod(made({"securityContext": {"runAsUser": None, "fsGroup": None}}))["spec"]["securityContext"]

    assert context["runAsNonRoot"] is True
    assert "runAsUser" not in context and "fsGroup" not in context
    assert context["runAsGroup"] == 65532
