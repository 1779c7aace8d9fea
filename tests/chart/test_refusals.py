"""Values that the chart does not take, and the sentences that say why."""

import pytest

import chart

SECRET = {"existingSecret": "s"}


def config(**sections):
    return {"config": sections}


# What contradicts itself, or would be unsafe. The chart's own sentences.
CONTRADICTIONS = [
    (
        {"replicaCount": 2},
        "replicaCount is 2, but config.shared names no store: each replica would count the cloud's calls for itself",
    ),
    (
        {"autoscaling": {"enabled": True, "maxReplicas": 7}},
        "autoscaling.maxReplicas is 7, but config.shared names no store",
    ),
    ({"replicaCount": 2, **config(shared={"timeout": "1s"})}, "replicaCount is 2, but config.shared names no store"),
    ({"replicaCount": 2, **config(shared={"url": ""})}, "replicaCount is 2, but config.shared names no store"),
    (
        chart.merged(chart.STORE, {"autoscaling": {"enabled": True, "minReplicas": 6, "maxReplicas": 5}}),
        "autoscaling.minReplicas is 6 and more than autoscaling.maxReplicas, 5",
    ),
    (
        chart.merged(chart.STORE, {"replicaCount": 3}, config(shared={"replicas": 3})),
        "config.shared.replicas is 3, but 4 replicas may run, those that a rollout adds included",
    ),
    (config(shared={"url": "redis://:hunter2@redis"}), "config.shared.url holds a user or a password"),
    (config(shared={"url": "rediss://u:p@redis/0"}), "a ConfigMap is no place for it"),
    (config(shared={"url": "redis://:pa/ss@redis:6379"}), "config.shared.url holds a user or a password"),
    (config(shared={"url": "REDIS://:pass@redis:6379"}), "the user as config.shared.username, and the password into the"),
    (config(shared={"url": " redis://:pass@redis:6379"}), "config.shared.url holds a user or a password"),
    (config(shared={"url": "redis://:pa\nss@redis:6379"}), "config.shared.url holds a user or a password"),
    (config(log={"otlp_endpoint": "http://u:pw@otel:4318"}), "config.log.otlp_endpoint holds a user or a password"),
    (config(tencent={"endpoints": {"ap-x": "https://u:p@h"}}), "config.tencent.endpoints.ap-x holds a user or a password"),
    (config(auth={"issuers": [{"jwks_url": "https://u:p@h/"}]}), "config.auth.issuers[0].jwks_url holds a user or a"),
    (
        {"extraEnv": [{"name": "TENCENTCLOUD_SECRET_KEY", "value": "s3cr3t"}]},
        "extraEnv[0] writes the value of TENCENTCLOUD_SECRET_KEY into the Deployment, which is no place for a key",
    ),
    ({"extraEnv": [{"name": "A", "value": "b"}, {"name": "TENCENTCLOUD_TOKEN", "value": "t"}]}, "extraEnv[1] writes"),
    ({"shared": SECRET}, "shared.existingSecret opens a store, but config.shared.url names none"),
    (config(tencent={"credentials": {"secret_key": "x"}}), "config.tencent.credentials.secret_key is a secret"),
    (config(tencent={"credentials": {"SecretId": "x", "secret_id": "x"}}), "credentials.secret_id is a secret"),
    (config(shared={"password": "x"}), "config.shared.password is a secret"),
    (config(auth={"issuers": [{}, {"hs256_secret": "x"}]}), "config.auth.issuers[1].hs256_secret is a secret"),
    (config(auth={"issuers": [{"bearer_token": "x"}]}), "config.auth.issuers[0].bearer_token is a secret"),
    (
        {"credentials": SECRET, **config(tencent={"credentials": {"file": "/etc/key"}})},
        'config.tencent.credentials.file is "/etc/key", but other values make it "/run/secrets/gateway/credentials/',
    ),
    (
        {"credentials": SECRET, **config(tencent={"credentials": {"source": "env"}})},
        'config.tencent.credentials.source is "env", but other values make it "file"',
    ),
    (
        {"serviceAccount": {"tkeRoleArn": "qcs::cam::uin/1:roleName/r"}, "credentials": SECRET},
        "credentials.existingSecret and serviceAccount.tkeRoleArn both say where the key to the cloud comes from",
    ),
    (
        {
            "serviceAccount": {"tkeRoleArn": "qcs::cam::uin/1:roleName/r"},
            **config(tencent={"credentials": {"source": "cvm_role"}}),
        },
        'config.tencent.credentials.source is "cvm_role", but other values make it "tke_oidc"',
    ),
    ({"audit": SECRET, **config(audit={"key_file": "/k"})}, 'config.audit.key_file is "/k", but other values make it'),
    (
        {"tls": SECRET, **config(server={"tls": {"cert_file": "/c"}})},
        'config.server.tls.cert_file is "/c", but other values make it',
    ),
    (
        chart.merged(chart.STORE, {"shared": SECRET}, config(shared={"password_file": "/p"})),
        'config.shared.password_file is "/p", but other values make it',
    ),
    (
        {"policies": {"files": {"a.cedar": ""}, "existingConfigMap": "b"}},
        "policies.files and policies.existingConfigMap both say what the policies are",
    ),
    (
        {"policies": {"files": {"a.cedar": ""}}, **config(policy={"dir": "/policies"})},
        "config.policy.dir names a folder of your own",
    ),
    (config(audit={"sink": "file"}), "config.audit.sink is file, which needs a key that outlives the process"),
    ({"audit": {"volume": {"existingClaim": "c"}}}, "audit.volume.existingClaim names a volume, but config.audit.sink"),
    ({"auth": {"revokedKey": "revoked"}}, "auth.revokedKey is a key of a Secret, but auth.existingSecret names none"),
    ({"tls": {"clientCaKey": "ca"}}, "tls.clientCaKey is a key of a Secret, but tls.existingSecret names none"),
    (
        config(server={"admin_listen": "127.0.0.1:9090"}),
        'config.server.admin_listen is "127.0.0.1:9090": nothing outside the container could reach it',
    ),
    (config(server={"listen": "[::1]:8080"}), 'config.server.listen is "[::1]:8080": nothing outside the container'),
    (config(server={"listen": "0.0.0.0"}), 'config.server.listen is "0.0.0.0", which has no port'),
    (config(server={"listen": "0.0.0.0:0"}), 'config.server.listen is "0.0.0.0:0", which has no port'),
    (
        config(server={"listen": "0.0.0.0:9090"}),
        "config.server.listen and config.server.admin_listen have one port, 9090",
    ),
    (config(server={"drain_delay": "5 seconds"}), 'config.server.drain_delay is "5 seconds" and no duration'),
    (config(server={"shutdown_grace": "30"}), 'config.server.shutdown_grace is "30" and no duration'),
]

# What values.schema.json refuses: the place in the values, and a part of what is said.
MISSHAPEN = [
    ({"replicaCounts": 2}, "additional properties 'replicaCounts' not allowed"),
    ({"replicaCount": 0}, "/replicaCount"),
    ({"replicaCount": "two"}, "/replicaCount"),
    ({"image": {"registry": "x"}}, "additional properties 'registry' not allowed"),
    ({"image": {"repository": ""}}, "/image/repository"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"config": {"severs": {}}}, "additional properties 'severs' not allowed"),
    ({"config": {"server": {"listen": 8080}}}, "/config/server/listen"),
    ({"config": {"audit": {"sink": "syslog"}}}, "/config/audit/sink"),
    ({"config": {"audit": {"file": "/audit.jsonl"}}}, "/config/audit/file"),
    ({"config": {"tencent": {"regions": "ap-guangzhou"}}}, "/config/tencent/regions"),
    ({"policies": {"files": {"../a.cedar": ""}}}, "/policies/files"),
    ({"policies": {"files": {"notes.txt": ""}}}, "/policies/files"),
    ({"credentials": {"existingSecret": "s", "key": ""}}, "/credentials/key"),
    ({"credentials": {"secretKey": "x"}}, "additional properties 'secretKey' not allowed"),
    ({"serviceAccount": {"tkeRoleArn": "arn:aws:iam::1:role/x"}}, "/serviceAccount/tkeRoleArn"),
    ({"service": {"port": 0}}, "/service/port"),
    ({"service": {"type": "ExternalName"}}, "/service/type"),
    ({"ingress": {"hosts": ["backups.example.internal"]}}, "/ingress/hosts/0"),
    ({"resources": {"limit": {}}}, "additional properties 'limit' not allowed"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ({"podDisruptionBudget": {"maxUnavailable": "100%"}}, "/podDisruptionBudget/maxUnavailable"),
    ({"rollout": {"maxSurge": 0}}, "/rollout/maxSurge"),
    ({"networkPolicy": {"egress": {"cloud": {"cidrs": ["redis.tencentcloudapi.com"]}}}}, "/networkPolicy/egress/cloud"),
    ({"networkPolicy": {"egress": {"internet": {}}}}, "additional properties 'internet' not allowed"),
    ({"securityContext": {"runAsUser": 0}}, "/securityContext/runAsUser"),
    ({"securityContext": {"privileged": True}}, "additional properties 'privileged' not allowed"),
    ({"livenessProbe": {"exec": {}}}, "additional properties 'exec' not allowed"),
    ({"extraEnv": [{"name": "GATEWAY_SERVER__LISTEN", "value": "x"}]}, "/extraEnv/0/name"),
    ({"extraVolumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "/extraVolumes/0"),
    ({"topologySpreadConstraints": [{"topologyKey": "x"}]}, "/topologySpreadConstraints/0"),
]


def ids(table):
    return [said for _, said in table]


@pytest.mark.parametrize("values, said", CONTRADICTIONS, ids=ids(CONTRADICTIONS))
def test_values_that_contradict_each_other_are_refused_with_the_reason(values, said):
    refusal = chart.refusal(chart.merged(chart.LEAST, values))

    assert "the values do not fit together:" in refusal
    assert said in refusal
    assert refusal.count("\n- ") == 1


@pytest.mark.parametrize("values, said", MISSHAPEN, ids=ids(MISSHAPEN))
def test_values_that_are_misspelt_or_out_of_bounds_are_refused_with_their_place(values, said):
    assert said in chart.refusal(chart.merged(chart.LEAST, values))


def test_all_that_is_wrong_is_said_at_once():
    refusal = chart.refusal({"replicaCount": 2, "config": {"audit": {"sink": "file"}}, "tls": {"clientCaKey": "ca"}})

    assert refusal.count("\n- ") == 3


def test_more_than_one_replica_with_a_store_is_taken():
    made = chart.objects(chart.merged(chart.STORE, {"replicaCount": 2}))

    assert chart.the("Deployment", made)["spec"]["replicas"] == 2


def test_where_the_replicas_are_counted_by_the_load_the_deployment_names_no_number():
    made = chart.objects(chart.merged(chart.STORE, {"replicaCount": 9, "autoscaling": {"enabled": True}}))

    assert "replicas" not in chart.the("Deployment", made)["spec"]
    scaler = chart.the("HorizontalPodAutoscaler", made)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)


def test_one_replica_by_load_needs_no_store():
    values = {"autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 1}}

    assert "HorizontalPodAutoscaler" in chart.kinds(chart.objects(values))


def test_names_of_files_are_no_secrets():
    names = {"bearer_token_file": "/t", "hs256_secret_file": "/s", "name": "token"}

    chart.objects(chart.merged(chart.LEAST, config(auth={"max_token_life": "1h", "issuers": [names]})))


def test_a_key_to_the_cloud_that_comes_from_a_secret_is_taken():
    key = {"name": "TENCENTCLOUD_SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}

    made = chart.objects(chart.merged(chart.LEAST, {"extraEnv": [key, {"name": "TZ", "value": "UTC"}]}))

    assert key in chart.the("Deployment", made)["spec"]["template"]["spec"]["containers"][0]["env"]


def test_an_at_sign_that_names_nobody_is_taken():
    audience = "someone@example.internal"

    chart.objects(chart.merged(chart.LEAST, config(auth={"issuers": [{"audiences": [audience]}]})))
