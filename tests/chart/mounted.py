"""The files of a pod, laid out in a folder as the kubelet would lay them out in the container.

What a volume does not bring is not there, so a configuration that names a path which nothing is mounted at is found.
"""

import base64
import json

import chart

CERTIFICATES = chart.REPOSITORY / "tests" / "vectors" / "tls"

# What Secrets and ConfigMaps that are not made by the chart hold in these tests, by key.
KEY = base64.b64encode(bytes(range(32))).decode()
CLOUD = json.dumps(
    {"secret_id": "AKIDCHARTfakeKEY0000000000000000001", "secret_key": "CHARTfakeSecretKey00000000000001"}
)
CONTENTS = {
    "credentials": CLOUD,
    "tencent.json": CLOUD,
    "password": "fake password of a store",
    "encryption-key": KEY,
    "audit-key": KEY,
    "hs256-secret": "fake secret of an issuer, 32 bytes at least",
    "revoked.txt": "sub:sso:somebody\n",
    "jwks.json": '{"keys": []}',
    "our.cedar": "forbid (principal, action, resource);",
    "tls.crt": (CERTIFICATES / "server.pem").read_text(encoding="utf-8"),
    "tls.key": (CERTIFICATES / "server.key").read_text(encoding="utf-8"),
    "client.crt": (CERTIFICATES / "server.pem").read_text(encoding="utf-8"),
    "client.key": (CERTIFICATES / "server.key").read_text(encoding="utf-8"),
    "ca.crt": (CERTIFICATES / "ca.pem").read_text(encoding="utf-8"),
}

# What is in them where the pod takes them whole.
WHOLE = {
    "our-policies": ["our.cedar"],
    "private-ca": ["ca.crt"],
    "auth": ["hs256-secret", "revoked.txt", "jwks.json", "ca.crt"],
}
TOKEN = "var/run/secrets/kubernetes.io/serviceaccount/token"


def contents(made, volume):
    """The files of a volume by name; an empty folder for one that is written to."""
    if "secret" in volume:
        secret = volume["secret"]
        keys = [(one["key"], one["path"]) for one in secret.get("items", [])]
        return {path: CONTENTS[key] for key, path in keys or [(key, key) for key in WHOLE[secret["secretName"]]]}
    if "configMap" in volume:
        name = volume["configMap"]["name"]
        for one in made:
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name:
                return one["data"]
        return {key: CONTENTS[key] for key in WHOLE[name]}
    return {}


def lay_out(made, root):
    """Writes the container's files below `root`, and returns the container's variables as they are there."""
    spec = chart.pod(made)["spec"]
    container = chart.gateway(made)
    volumes = {one["name"]: one for one in spec["volumes"]}
    if spec["automountServiceAccountToken"]:
        (root / TOKEN).parent.mkdir(parents=True)
        (root / TOKEN).write_text("fake.token.of-a-pod", encoding="utf-8")
    for mount in container["volumeMounts"]:
        folder = root / mount["mountPath"].lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents(made, volumes[mount["name"]]).items():
            (folder / name).write_text(below(text, root) if name == "gateway.toml" else text, encoding="utf-8")
    return {one["name"]: below(one["value"], root) for one in container["env"] if "value" in one}


def below(text, root):
    """The absolute paths of a text, moved below `root`."""
    for top in ("/etc/", "/run/", "/var/", "/records/"):
        text = text.replace(f'"{top}', f'"{root}{top}')
        if text.startswith(top):
            text = f"{root}{text}"
    return text
