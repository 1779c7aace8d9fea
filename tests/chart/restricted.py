"""The Pod Security standard "restricted", which includes "baseline".

https://kubernetes.io/docs/concepts/security/pod-security-standards/ has it. Fields of Windows are left out: the pod names
no operating system, so it is Linux.
"""

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"
}
PROFILES = {"RuntimeDefault", "Localhost"}


def violations(spec):
    """What keeps a pod from a namespace that enforces "restricted", a sentence each."""
    return [*of_pod(spec), *(one for kind in KINDS for each in spec.get(kind, []) for one in of_container(spec, each))]


KINDS = ("containers", "initContainers", "ephemeralContainers")


def of_pod(spec):
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"the pod sets {field}"
    for volume in spec.get("volumes", []):
        if not VOLUMES & volume.keys():
            yield f"the volume {volume['name']} is of a kind that is not allowed"
    context = spec.get("securityContext", {})
    if context.get("sysctls"):
        yield "the pod sets sysctls"
    yield from of_context("the pod", context)


def of_container(spec, container):
    name = f"the container {container['name']}"
    pods = spec.get("securityContext", {})
    own = container.get("securityContext", {})
    yield from of_context(name, own)
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may gain privileges"
    if own.get("runAsNonRoot", pods.get("runAsNonRoot")) is not True:
        yield f"{name} may run as root"
    if own.get("seccompProfile", pods.get("seccompProfile", {})).get("type") not in PROFILES:
        yield f"{name} has no seccomp profile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name} keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"
    if own.get("procMount", "Default") != "Default":
        yield f"{name} changes procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name} takes a port of the node"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if "host" in container.get(probe, {}).get("httpGet", {}):
            yield f"{name} has a {probe} of another host"


def of_context(name, context):
    if context.get("runAsUser") == 0:
        yield f"{name} runs as root"
    if context.get("seLinuxOptions", {}).get("user") or context.get("seLinuxOptions", {}).get("role"):
        yield f"{name} sets SELinux user or role"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in PROFILES:
        yield f"{name} runs without AppArmor"
