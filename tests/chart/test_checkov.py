"""What checkov, a linter of manifests, says to every set of values. All of its rules for Kubernetes are asked."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

import chart

CASES = {"defaults": {}, **{path.stem: chart.read(path) for path in chart.MATRIX}}

NOBODY_CAN_KNOW = set(CASES) - {"everything"}

# Rules that are not kept, by whom, and why. One that is kept after all fails the test: an excuse that outlives its
# reason hides the next finding.
EXCUSED = {
    "CKV_K8S_43": (NOBODY_CAN_KNOW, "the digest is that of the image in the operator's registry: image.digest"),
    "CKV_K8S_15": (
        NOBODY_CAN_KNOW,
        "a tag of a release is never moved, and a pod has to restart while the registry is away: image.pullPolicy",
    ),
    "CKV_K8S_38": ({"everything"}, "there the cluster is an issuer, and its API server wants to know who asks for keys"),
    "CKV_K8S_40": ({"openshift"}, "there the cluster chooses the user, from a range of the namespace"),
    "CKV2_K8S_6": ({"openshift"}, "there the operator has rules of the network of their own"),
}

BROKEN = {"privileged": True, "allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}
FOUND_IN_BROKEN = {"CKV_K8S_16", "CKV_K8S_20", "CKV_K8S_22"}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    for name, values in CASES.items():
        made = chart.objects(values)
        write(folder / name, made)
    chart.gateway(made)["securityContext"].update(BROKEN)
    write(folder / "broken", made)

    # It is asked for nothing that it would have to fetch, and leaves notes in the home of whoever starts it.
    checkov = pathlib.Path(sys.executable).parent / "checkov"
    arguments = ["--directory", folder, "--framework", "kubernetes", "--skip-download", "--output", "json", "--quiet"]
    answer = subprocess.run(
        [sys.executable, checkov, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.stdout.startswith("{"), answer.stderr
    return json.loads(answer.stdout)


def write(folder, made):
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all(made), encoding="utf-8")


def failed(report, name):
    return {one["check_id"] for one in report["results"]["failed_checks"] if one["file_path"] == f"/{name}/all.yaml"}


def test_it_reads_everything_and_tries_its_rules(report):
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["skipped"] == 0
    assert report["summary"]["passed"] > 80 * len(CASES)


@pytest.mark.parametrize("name", CASES)
def test_it_finds_nothing_but_what_is_excused_with_a_reason(name, report):
    excused = {rule for rule, (cases, reason) in EXCUSED.items() if name in cases and reason}

    assert failed(report, name) == excused


def test_it_finds_what_is_broken(report):
    assert FOUND_IN_BROKEN <= failed(report, "broken")
