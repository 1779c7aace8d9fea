"""The table of values in the chart's README, made from values.yaml: keys, defaults, and the comments above."""

import json

import yaml

import chart

README = chart.CHART / "README.md"
VALUES = chart.CHART / "values.yaml"
BEGIN, END = "<!-- values -->\n", "<!-- /values -->\n"
# What is longer is read in values.yaml itself.
WIDEST = 60


def rows():
    """Path, default and meaning of every value, in the order of the file. A group with a comment has a row, too."""
    text = VALUES.read_text(encoding="utf-8")
    return list(rows_of(yaml.compose(text), text.splitlines(), ()))


def rows_of(node, lines, path):
    for key, value in node.value:
        here = (*path, key.value)
        comment = comment_above(lines, key.start_mark)
        # What is written on one line, {} for example, is one value.
        is_group = isinstance(value, yaml.MappingNode) and not value.flow_style
        if not is_group:
            yield ".".join(here), yaml.safe_load(yaml.serialize(value)), comment
            continue
        if comment:
            yield ".".join(here), None, comment
        yield from rows_of(value, lines, here)


def comment_above(lines, mark):
    """The comment that ends right above a key, at the key's own indentation."""
    said = []
    for line in reversed(lines[: mark.line]):
        if not line.startswith(" " * mark.column + "# "):
            break
        said.insert(0, line.strip().removeprefix("# "))
    return " ".join(said)


def table():
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, meaning in rows():
        lines.append(f"| `{path}` | {shown(default)} | {escaped(meaning)} |")
    return "\n".join(lines) + "\n"


def shown(default):
    if default is None:
        return ""
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= WIDEST else "see [values.yaml](values.yaml)"


def escaped(text):
    return text.replace("|", "\\|").replace("<", "\\<")


def readme_with(made):
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}"
