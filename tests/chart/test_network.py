"""Who reaches whom: the NetworkPolicy, the two Services, the Ingress."""

import ipaddress

import chart


def policy(values):
    return chart.the("NetworkPolicy", chart.objects(chart.merged(chart.LEAST, values)))["spec"]


def rules(values, direction, port):
    """The rules of a direction that open a port."""
    return [rule for rule in policy(values)[direction] if port in [one["port"] for one in rule["ports"]]]


def network(direction, **lists):
    return {"networkPolicy": {direction: lists}}


def peers(rule):
    """Whom a rule lets through: names of namespaces, and networks."""
    for peer in rule.get("from", rule.get("to", [])):
        if "ipBlock" in peer:
            yield peer["ipBlock"]["cidr"]
        else:
            (expression,) = peer["namespaceSelector"]["matchExpressions"]
            assert (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "In")
            yield from expression["values"]


def test_it_rules_both_directions_and_nobody_calls_the_public_port_unless_named():
    assert policy({})["policyTypes"] == ["Ingress", "Egress"]
    assert rules({}, "ingress", "public") == []


def test_no_rule_is_open_to_everybody():
    everything = chart.read(chart.FOLDER / "matrix" / "everything.yaml")

    for values in ({}, everything, network("ingress", namespaces=["a"])):
        spec = policy(values)
        assert spec["egress"]
        # A rule without peers, or without ports, lets everybody through, or to everything.
        for rule in spec["ingress"] + spec["egress"]:
            assert rule.get("from", rule.get("to")) and rule["ports"]


def test_callers_are_the_named_namespaces_and_networks_and_reach_the_public_port_alone():
    values = network("ingress", namespaces=["ingress", "batch"], cidrs=["10.1.0.0/16"])

    (rule,) = rules(values, "ingress", "public")

    assert list(peers(rule)) == ["ingress", "batch", "10.1.0.0/16"]
    assert [one["port"] for one in rule["ports"]] == ["public"]


def test_the_metrics_are_for_monitoring_alone():
    (rule,) = rules(network("ingress", namespaces=["ingress"]), "ingress", "admin")

    assert list(peers(rule)) == ["monitoring"]
    assert [one["port"] for one in rule["ports"]] == ["admin"]
    assert rules(network("monitoring", namespaces=[]), "ingress", "admin") == []


def test_with_nobody_named_no_rule_is_left():
    values = network("monitoring", namespaces=[])

    assert policy(values)["ingress"] == []


def test_the_cloud_is_the_internet_at_the_port_of_https_and_no_private_network():
    (rule,) = rules({}, "egress", 443)

    (peer,) = rule["to"]
    assert peer["ipBlock"]["cidr"] == "0.0.0.0/0"
    for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"):
        assert private in peer["ipBlock"]["except"]
    assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_names_are_asked_of_the_clusters_own_dns():
    (rule,) = rules({}, "egress", 53)

    assert list(peers(rule)) == ["kube-system"]
    assert rule["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert {one["protocol"] for one in rule["ports"]} == {"TCP", "UDP"}


def test_nothing_else_is_reached_unless_named():
    ports = [one["port"] for rule in policy({})["egress"] for one in rule["ports"]]

    assert sorted(set(ports)) == [53, 443]


def test_each_peer_of_the_gateway_has_networks_and_ports_of_its_own():
    for name, port in [("redis", 6379), ("otlp", 4318), ("metadata", 80)]:
        (rule,) = rules(network("egress", **{name: {"cidrs": ["10.7.0.1/32"]}}), "egress", port)
        assert list(peers(rule)) == ["10.7.0.1/32"]

        (rule,) = rules(network("egress", **{name: {"namespaces": ["there"], "ports": [7000]}}), "egress", 7000)
        assert list(peers(rule)) == ["there"]

    for name in ("sts", "issuers"):
        found = rules(network("egress", **{name: {"cidrs": ["10.7.0.1/32"]}}), "egress", 443)
        assert [list(peers(rule)) for rule in found] == [["0.0.0.0/0"], ["10.7.0.1/32"]]


def test_exceptions_lie_inside_their_blocks():
    blocks = [
        peer["ipBlock"]
        for rule in policy(chart.read(chart.FOLDER / "matrix" / "everything.yaml"))["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]

    assert {block["cidr"]: block["except"] for block in blocks if "except" in block} == {
        "0.0.0.0/0": ["10.0.0.0/8"],
        "::/0": ["fc00::/7"],
    }
    for block in blocks:
        whole = ipaddress.ip_network(block["cidr"])
        assert all(ipaddress.ip_network(part).subnet_of(whole) for part in block.get("except", []))


def test_it_can_be_left_to_others():
    assert "NetworkPolicy" not in chart.kinds(chart.objects({"networkPolicy": {"enabled": False}}))


def test_public_and_admin_ports_are_in_services_of_their_own():
    made = chart.objects(chart.merged(chart.LEAST, {"service": {"type": "LoadBalancer"}}))
    public, admin = chart.the("Service", made, "gateway")["spec"], chart.the("Service", made, "-admin")["spec"]

    assert [one["targetPort"] for one in public["ports"]] == ["public"]
    assert [one["targetPort"] for one in admin["ports"]] == ["admin"]
    # Whatever the public one is, metrics stay inside.
    assert (admin["type"], admin["clusterIP"]) == ("ClusterIP", "None")


def test_an_ingress_leads_to_the_public_port_alone():
    hosts = [{"host": "a.example"}, {"host": "b.example", "paths": [{"path": "/instances", "pathType": "Exact"}]}]
    made = chart.objects(chart.merged(chart.LEAST, {"ingress": {"enabled": True, "hosts": hosts}}))

    found = chart.the("Ingress", made)["spec"]["rules"]

    service = chart.the("Service", made, "gateway")["metadata"]["name"]
    backend = {"service": {"name": service, "port": {"name": "public"}}}
    assert found == [
        {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}},
        {"host": "b.example", "http": {"paths": [{"path": "/instances", "pathType": "Exact", "backend": backend}]}},
    ]


def test_the_service_says_which_protocol_it_speaks():
    plain = chart.the("Service", chart.objects({}), "gateway")
    sealed = chart.the("Service", chart.objects({"tls": {"existingSecret": "certificate"}}), "gateway")

    assert plain["spec"]["ports"][0]["appProtocol"] == "http"
    assert sealed["spec"]["ports"][0]["appProtocol"] == "https"
