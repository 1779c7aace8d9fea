"""The chart as its tests see it: values in, objects of Kubernetes or a refusal out."""

import functools
import pathlib

import helm_python
import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "helm" / "redis-backup-gateway"
FOLDER = pathlib.Path(__file__).parent
MATRIX = sorted((FOLDER / "matrix").glob("*.yaml"))

RELEASE, NAMESPACE = "gw", "backups"

# The oldest release is Chart.yaml's kubeVersion; the newest is the newest whose schemas kubernetes-validate has.
OLDEST, NEWEST = "1.30", "1.37"


@functools.cache
def chart():
    return helm_python.Chart.load(CHART)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def files(values, name=RELEASE):
    """What each template makes, as text, by the template's name."""
    rendered = chart().render(values, name=name, namespace=NAMESPACE)
    return {path.rsplit("/", 1)[1]: text for path, text in rendered.items()}


def objects(values, name=RELEASE):
    """What is made, save NOTES.txt."""
    made = files(values, name)
    made.pop("NOTES.txt")
    return [document for text in made.values() for document in yaml.safe_load_all(text) if document]


def the(kind, made, suffix=""):
    """The one object of a kind, or the one whose name ends so."""
    found = [one for one in made if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def kinds(made):
    return {one["kind"] for one in made}


def pod(made):
    """The pod that the Deployment makes."""
    return the("Deployment", made)["spec"]["template"]


def gateway(made):
    """The gateway's own container."""
    return pod(made)["spec"]["containers"][0]


def configuration(made):
    """The file that the gateway reads."""
    return the("ConfigMap", made, "-config")["data"]["gateway.toml"]


def refusal(values):
    """What the chart says to values that it does not take."""
    try:
        chart().render(values, name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"these values are taken: {values}")


def merged(*layers):
    """Values laid over one another as `helm --values A --values B` does."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


# The least that a gateway which starts is told.
LEAST = read(FOLDER / "matrix" / "least.yaml")
STORE = {"config": {"shared": {"url": "rediss://redis.example.internal:6380"}}}
