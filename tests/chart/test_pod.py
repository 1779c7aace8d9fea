"""The pod that is rendered, run here: its arguments, its variables, its files, its probes, its end."""

import contextlib
import http.client
import signal
import socket
import subprocess
import time

import chart
import mounted

# An issuer whose key is a mounted file, so that nothing outside this machine is asked.
VALUES = chart.merged(
    chart.read(chart.FOLDER / "matrix" / "openshift.yaml"),
    {
        "auth": {"existingSecret": "auth"},
        "config": {
            "server": {"drain_delay": "100ms", "shutdown_grace": "1s", "workers": 1},
            "auth": {
                "issuers": [
                    {
                        "name": "ci",
                        "issuer": "https://ci.example.internal",
                        "audiences": ["redis-backup-gateway"],
                        "algorithms": ["HS256"],
                        "hs256_secret_file": "/run/secrets/gateway/auth/hs256-secret",
                    }
                ]
            },
        },
    },
)
PATIENCE = 20


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def status(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def passes(process, port, probe):
    """Asks as the kubelet does until the probe passes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        with contextlib.suppress(ConnectionError):
            if 200 <= status(port, probe["httpGet"]["path"]) < 400:
                return True
        time.sleep(0.05)
    return False


def test_the_pod_gets_ready_serves_and_ends_within_its_grace_period(program, tmp_path):
    public, admin = free_ports(2)
    listeners = {"listen": f"0.0.0.0:{public}", "admin_listen": f"0.0.0.0:{admin}"}
    made = chart.objects(chart.merged(VALUES, {"config": {"server": listeners}}))
    container = chart.gateway(made)
    environment = mounted.lay_out(made, tmp_path)
    # The program listens on this machine alone.
    for key, port in (("LISTEN", public), ("ADMIN_LISTEN", admin)):
        environment[f"GATEWAY_SERVER__{key}"] = f"127.0.0.1:{port}"
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}

    with subprocess.Popen(
        [program, *container["args"]], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert passes(process, ports[container[probe]["httpGet"]["port"]], container[probe]), probe
            assert status(ports["public"], "/instances") == 401
            assert status(ports["public"], "/metrics") == 404
            assert status(ports["admin"], "/metrics") == 200

            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=chart.pod(made)["spec"]["terminationGracePeriodSeconds"])
        finally:
            process.kill()

    assert process.returncode == 0
    assert (tmp_path / "records" / "audit.jsonl").is_file()
