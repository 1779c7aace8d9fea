"""Says how many requests a report of Schemathesis has, and how they were answered: `1500 cases: 200 566, 302 73, …`."""

import collections
import json
import sys

statuses = collections.Counter()
with open(sys.argv[1], encoding="utf-8") as report:
    for line in report:
        finished = json.loads(line).get("ScenarioFinished")
        if finished is None:
            continue
        for interaction in finished["recorder"].get("interactions", {}).values():
            response = interaction.get("response")
            statuses[response["status_code"] if response else "no answer"] += 1

listed = ", ".join(f"{status} {count}" for status, count in sorted(statuses.items(), key=str))
print(f"{statuses.total()} cases: {listed}")
