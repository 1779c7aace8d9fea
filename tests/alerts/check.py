"""Reads alerts, their tests, the runbook, the dashboard and a scrape against each other.

    check.py ALERTS TESTS RUNBOOK DASHBOARD SCRAPE SOURCES QUERIES

prints what does not fit and ends with 1, or writes every query of the dashboard and the runbook to QUERIES, as a rule
file for promtool to parse, and ends with 0. What promtool can see by itself is left to it.
"""

import json
import pathlib
import re
import sys

import yaml

RUNBOOK = "docs/runbook.md"

# Labels that Prometheus gives to a target, beside those of the gateway.
OF_TARGETS = {"job", "instance", "namespace"}

# Metrics of Prometheus itself.
OF_PROMETHEUS = {"up", "ALERTS"}

WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SELECTOR = re.compile(
    r"\b(?P<metric>gateway_[a-z0-9_]+|up|ALERTS)\b(?:\{(?P<matchers>(?:[^}\"]|\"(?:[^\"\\]|\\.)*\")*)\})?"
)
MATCHER = re.compile(r"\s*(?P<label>\w+)\s*(?P<op>=~|!~|!=|=)\s*\"(?P<value>(?:[^\"\\]|\\.)*)\"\s*(?:,|$)")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\((?P<labels>[^)]*)\)")
HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")


def alerts_of(rules):
    return [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]


def problems_of_alerts(alerts):
    for alert in alerts:
        name, severity = alert["alert"], alert.get("labels", {}).get("severity")
        if severity not in ("warning", "critical"):
            yield f"{name}: severity must be warning or critical, and is {severity}"
        for annotation in ("summary", "description", "runbook_url"):
            if not alert.get("annotations", {}).get(annotation):
                yield f"{name} has no {annotation}"
        if alert.get("annotations", {}).get("runbook_url") != f"{RUNBOOK}#{name.lower()}":
            yield f"{name}: runbook_url must be {RUNBOOK}#{name.lower()}"


def problems_of_runbook(alerts, runbook):
    """A section for each alert, an alert for each section, and in each the four parts; links inside lead somewhere."""
    sections = dict(section.split("\n", 1) for section in re.split(r"^## ", runbook, flags=re.MULTILINE)[1:])
    names = {alert["alert"] for alert in alerts}
    for name in sorted(names - sections.keys()):
        yield f"the runbook has no section {name}"
    for name in sorted(sections.keys() - names):
        yield f"the runbook has a section {name}, and no alert has this name"
    for name, text in sections.items():
        for part in ("Meaning", "Impact", "Look at", "Do"):
            if f"**{part}.**" not in text:
                yield f"section {name} of the runbook has no part {part}"
    for anchor in re.findall(r"\]\(#([^)]*)\)", runbook):
        if anchor not in {name.lower() for name in sections}:
            yield f"the runbook links to #{anchor}, which is no section"


def problems_of_messages(runbook, sources):
    """What the runbook quotes from the log is what the gateway writes. Quotations run over line breaks."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", runbook, flags=re.DOTALL)
    source = re.sub(r"\\\n\s*", "", sources)
    for message in re.findall(r"\"([^\"]+)\"", prose):
        message = " ".join(message.split())
        if f'"{message}"' not in source:
            yield f'the runbook quotes "{message}", which the gateway does not log'


def problems_of_tests(alerts, tests):
    """Each alert is shown to fire, at each severity, and not to fire where one might think so."""
    fired, silent = set(), set()
    for test in tests["tests"]:
        if not test.get("name"):
            yield "a test of the alerts has no name"
        for case in test.get("alert_rule_test", []):
            expected = case.get("exp_alerts") or []
            fired |= {(case["alertname"], alert["exp_labels"]["severity"]) for alert in expected}
            if not expected:
                silent.add(case["alertname"])
    for alert in alerts:
        name, severity = alert["alert"], alert["labels"]["severity"]
        if (name, severity) not in fired:
            yield f"no test shows that {name} ({severity}) fires"
        if name not in silent:
            yield f"no test shows when {name} does not fire"


def panels_of(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries_of_dashboard(dashboard):
    """Where each query stands, and the query."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, _ = re.fullmatch(r"label_values\((.*), *(\w+)\)", variable["definition"]).groups()
            yield f"variable {variable['name']}", selector


def queries_of_runbook(runbook):
    for query in re.findall(r"^```promql\n(.*?)^```", runbook, flags=re.MULTILINE | re.DOTALL):
        yield "the runbook", query.strip()


def problems_of_dashboard(dashboard):
    ids, places = set(), {}
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in panels_of(dashboard):
        title = panel["title"]
        if panel["id"] in ids:
            yield f"panel {title}: the id {panel['id']} stands twice"
        ids.add(panel["id"])
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            yield f"panel {title} is wider than the page"
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                if (x, y) in places:
                    yield f"panel {title} lies on panel {places[x, y]}"
                    return
                places[x, y] = title
        if panel["type"] == "row":
            continue
        if not panel.get("description"):
            yield f"panel {title} has no description"
        if not panel.get("targets"):
            yield f"panel {title} has no query"
        for source in [panel, *panel.get("targets", [])]:
            if source.get("datasource", {}).get("uid") != "${datasource}":
                yield f"panel {title} must take its data from $datasource"
    for where, query in queries_of_dashboard(dashboard):
        for used in re.findall(r"\$(\w+)", query):
            if used not in variables and not used.startswith("__"):
                yield f"{where}: there is no variable ${used}"


def families_of(scrape):
    """The families of a scrape: for each its kind, and for each label the values that there are."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scrape, flags=re.MULTILINE))
    families = {name: (kind, {}) for name, kind in kinds.items()}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", scrape, flags=re.MULTILINE):
        family = name if name in families else HISTOGRAM.sub("", name)
        for label, value in re.findall(r"(\w+)=\"((?:[^\"\\]|\\.)*)\"", labels):
            families[family][1].setdefault(label, set()).add(value)
    return families


def problems_of_selectors(where, query, families):
    """Every metric that a query names is there, with those labels, and with values that it can have."""
    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"", '""', query)
    groupings = [label for found in GROUPING.finditer(bare) for label in re.findall(r"\w+", found["labels"])]
    labels_there = set(OF_TARGETS) | {"le", "alertname", "alertstate"}
    for selector in SELECTOR.finditer(query):
        name = selector["metric"]
        if name in OF_PROMETHEUS:
            continue
        family = name if name in families else HISTOGRAM.sub("", name)
        kind, labels = families.get(family, (None, {}))
        if kind is None or (kind == "histogram") != (name != family):
            yield f"{where}: there is no metric {name}"
            continue
        labels_there |= labels.keys()
        text = selector["matchers"] or ""
        matchers = list(MATCHER.finditer(text))
        if "".join(matcher[0] for matcher in matchers) != text:
            yield f"{where}: {{{text}}} is not understood"
        for matcher in matchers:
            label, value = matcher["label"], matcher["value"]
            if label in OF_TARGETS or "$" in value:
                continue
            if label not in labels:
                yield f"{where}: {name} has no label {label}"
                continue
            patterns = value.split("|") if "~" in matcher["op"] else [re.escape(value)]
            for pattern in patterns:
                if not any(re.fullmatch(pattern, known) for known in labels[label]):
                    yield f"{where}: no {label} of {name} is {pattern}"
    for label in groupings:
        if label not in labels_there:
            yield f"{where}: no metric in it has the label {label}"


def unseen_families(queries, families):
    """What nobody looks at need not be counted."""
    seen = {HISTOGRAM.sub("", word) for _, query in queries for word in WORD.findall(query)}
    seen |= {word for _, query in queries for word in WORD.findall(query)}
    for family in sorted(families.keys() - seen):
        yield f"no panel shows {family}"


def as_rules(queries):
    """The queries as a rule file, with what Grafana would put in the place of its variables."""
    rules = []
    for number, (_, query) in enumerate(queries):
        for variable, value in (("$__rate_interval", "5m"), ("$__interval", "1m"), ("$__range", "6h")):
            query = query.replace(variable, value)
        rules.append({"record": f"query:{number}", "expr": query})
    return {"groups": [{"name": "queries", "rules": rules}]}


def main(alerts, tests, runbook, dashboard, scrape, sources, queries):
    rules = yaml.safe_load(pathlib.Path(alerts).read_text())
    alerts = alerts_of(rules)
    runbook = pathlib.Path(runbook).read_text()
    dashboard = json.loads(pathlib.Path(dashboard).read_text())
    families = families_of(pathlib.Path(scrape).read_text())
    sources = "\n".join(file.read_text() for file in sorted(pathlib.Path(sources).rglob("*.rs")))

    shown = list(queries_of_dashboard(dashboard))
    asked = [*shown, *queries_of_runbook(runbook)]
    problems = [
        *problems_of_alerts(alerts),
        *problems_of_runbook(alerts, runbook),
        *problems_of_messages(runbook, sources),
        *problems_of_tests(alerts, yaml.safe_load(pathlib.Path(tests).read_text())),
        *problems_of_dashboard(dashboard),
        *unseen_families(shown, families),
    ]
    for where, query in [*asked, *((alert["alert"], alert["expr"]) for alert in alerts)]:
        problems += problems_of_selectors(where, query, families)
    if problems:
        sys.exit("\n".join(problems))
    pathlib.Path(queries).write_text(yaml.safe_dump(as_rules(asked)))
    print(f"{len(alerts)} alerts, {len(asked)} queries and {len(families)} families fit together")


if __name__ == "__main__":
    main(*sys.argv[1:])
