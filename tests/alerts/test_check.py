"""The checks of check.py, each tried on something that breaks it."""

import unittest

import check

SCRAPE = """\
# HELP gateway_calls_total Calls.
# TYPE gateway_calls_total counter
gateway_calls_total{outcome="ok",route="/a/{b}"} 1
gateway_calls_total{outcome="denied",route="/a/{b}"} 0
# HELP gateway_took_seconds What they took.
# TYPE gateway_took_seconds histogram
gateway_took_seconds_bucket{le="+Inf"} 1
gateway_took_seconds_sum 0.5
gateway_took_seconds_count 1
"""

ALERT = {
    "alert": "GatewayBad",
    "expr": "up == 0",
    "labels": {"severity": "warning"},
    "annotations": {"summary": "s", "description": "d", "runbook_url": "docs/runbook.md#gatewaybad"},
}

SECTION = "## GatewayBad\n\n**Meaning.** m\n\n**Impact.** i\n\n**Look at.** l\n\n**Do.** d\n"


def selectors(query):
    return list(check.problems_of_selectors("q", query, check.families_of(SCRAPE)))


def panel(**changes):
    source = {"uid": "${datasource}"}
    plain = {"id": 1, "type": "stat", "title": "T", "description": "d", "datasource": source}
    plain |= {"gridPos": {"x": 0, "y": 0, "w": 6, "h": 4}, "targets": [{"expr": "up", "datasource": source}]}
    return plain | changes


def dashboard(*panels):
    nothing = {"list": []}
    return list(check.problems_of_dashboard({"panels": panels, "annotations": nothing, "templating": nothing}))


class Selectors(unittest.TestCase):
    def test_what_is_there_is_found(self):
        for query in (
            'sum by (outcome, job) (rate(gateway_calls_total{outcome=~"ok|den.*", route="/a/{b}"}[5m]))',
            "histogram_quantile(0.9, sum by (le) (rate(gateway_took_seconds_bucket[5m])))",
            'gateway_calls_total{job=~"$job", outcome!="ok"} unless on (job) up == 0',
        ):
            self.assertEqual(selectors(query), [], query)

    def test_what_is_not_there_is_told(self):
        for query, problem in (
            ("gateway_call_total", "q: there is no metric gateway_call_total"),
            ("gateway_took_seconds", "q: there is no metric gateway_took_seconds"),
            ("gateway_calls_total_bucket", "q: there is no metric gateway_calls_total_bucket"),
            ('gateway_calls_total{status="ok"}', "q: gateway_calls_total has no label status"),
            ('gateway_calls_total{outcome="okay"}', "q: no outcome of gateway_calls_total is okay"),
            ('gateway_calls_total{outcome=~"ok|refused"}', "q: no outcome of gateway_calls_total is refused"),
            ('gateway_calls_total{route="/a/{c}"}', r"q: no route of gateway_calls_total is /a/\{c\}"),
            ("sum by (caller) (gateway_calls_total)", "q: no metric in it has the label caller"),
        ):
            self.assertEqual(selectors(query), [problem], query)


class Alerts(unittest.TestCase):
    def test_an_alert_has_a_severity_and_all_texts(self):
        bare = {"alert": "GatewayBad", "labels": {"severity": "info"}, "annotations": {"summary": "s"}}

        self.assertEqual(list(check.problems_of_alerts([ALERT])), [])
        self.assertEqual(len(list(check.problems_of_alerts([bare]))), 4)

    def test_an_alert_has_a_section_and_a_section_an_alert(self):
        other = ALERT | {"alert": "GatewayWorse"}

        self.assertEqual(list(check.problems_of_runbook([ALERT], SECTION)), [])
        self.assertEqual(
            list(check.problems_of_runbook([other], SECTION)),
            [
                "the runbook has no section GatewayWorse",
                "the runbook has a section GatewayBad, and no alert has this name",
            ],
        )
        self.assertEqual(
            list(check.problems_of_runbook([ALERT], SECTION.replace("**Do.**", "[x](#gatewaygood)"))),
            [
                "section GatewayBad of the runbook has no part Do",
                "the runbook links to #gatewaygood, which is no section",
            ],
        )

    def test_an_alert_is_shown_to_fire_and_not_to_fire(self):
        fires = {"alertname": "GatewayBad", "exp_alerts": [{"exp_labels": {"severity": "warning"}}]}
        silent = {"alertname": "GatewayBad", "exp_alerts": []}
        worse = ALERT | {"labels": {"severity": "critical"}}

        def problems(alerts, *cases):
            return list(check.problems_of_tests(alerts, {"tests": [{"name": "n", "alert_rule_test": cases}]}))

        self.assertEqual(problems([ALERT], fires, silent), [])
        self.assertEqual(problems([ALERT], fires), ["no test shows when GatewayBad does not fire"])
        self.assertEqual(problems([ALERT], silent), ["no test shows that GatewayBad (warning) fires"])
        self.assertEqual(problems([ALERT, worse], fires, silent), ["no test shows that GatewayBad (critical) fires"])


class Runbook(unittest.TestCase):
    def test_a_quoted_message_is_one_of_the_log(self):
        sources = 'tracing::warn!("a call \\\n             failed");'

        self.assertEqual(list(check.problems_of_messages('See "a\ncall failed", `"code"`.', sources)), [])
        self.assertEqual(
            list(check.problems_of_messages('See "a call fails".', sources)),
            ['the runbook quotes "a call fails", which the gateway does not log'],
        )

    def test_its_queries_are_found(self):
        runbook = "a\n\n```promql\nup\n```\n\n```sh\nls\n```\n"

        self.assertEqual(list(check.queries_of_runbook(runbook)), [("the runbook", "up")])


class Dashboard(unittest.TestCase):
    def test_a_panel_is_whole_and_lies_beside_the_others(self):
        beside = panel(id=2, gridPos={"x": 6, "y": 0, "w": 6, "h": 4})

        self.assertEqual(dashboard(panel(), beside), [])

    def test_what_is_wrong_with_a_panel_is_told(self):
        own = {"uid": "mine"}
        target = {"expr": 'up{job="$job"}', "datasource": {"uid": "${datasource}"}}
        for changes, problem in (
            ({"description": ""}, "panel T has no description"),
            ({"targets": []}, "panel T has no query"),
            ({"datasource": own}, "panel T must take its data from $datasource"),
            ({"gridPos": {"x": 20, "y": 0, "w": 6, "h": 4}}, "panel T is wider than the page"),
            ({"targets": [target]}, "panel T: there is no variable $job"),
        ):
            self.assertEqual(dashboard(panel(**changes)), [problem], changes)
        self.assertEqual(dashboard(panel(), panel(id=2)), ["panel T lies on panel T"])
        aside = panel(gridPos={"x": 6, "y": 0, "w": 6, "h": 4})
        self.assertEqual(dashboard(panel(), aside), ["panel T: the id 1 stands twice"])

    def test_a_family_that_nobody_shows_is_told(self):
        shown = [("p", "rate(gateway_took_seconds_bucket[5m])")]

        self.assertEqual(
            list(check.unseen_families(shown, check.families_of(SCRAPE))), ["no panel shows gateway_calls_total"]
        )

    def test_variables_of_grafana_are_filled_in_for_promtool(self):
        rules = check.as_rules([("p", "rate(up[$__rate_interval])")])

        self.assertEqual(rules["groups"][0]["rules"], [{"record": "query:0", "expr": "rate(up[5m])"}])


if __name__ == "__main__":
    unittest.main()
