"""Puts a table of the chart's values into its README, from the comments of values.yaml: `make chart-docs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

CHART = Path(__file__).resolve().parent / "trainers"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"


class Row(NamedTuple):
    """A value or a section of values: its path, its default (none of a section), its comment."""

    path: str
    default: str | None
    comment: str


def rows(text: str) -> Iterator[Row]:
    """The values in values.yaml, each with the comment lines right above it."""
    lines = text.splitlines()
    yield from _rows(yaml.compose(text), "", lines)


def _rows(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[Row]:
    for key, value in node.value:
        path = f"{above}.{key.value}" if above else key.value
        comment = _comment(lines, key.start_mark.line)
        # Resources are one value: a table row for each quantity would hide the others.
        if isinstance(value, yaml.MappingNode) and value.value and key.value != "resources":
            yield Row(path, None, comment)
            yield from _rows(value, path, lines)
        else:
            default = yaml.safe_load(yaml.serialize(value))
            yield Row(path, yaml.safe_dump(default, default_flow_style=True, width=1000).splitlines()[0], comment)


def _comment(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip(" #"))
    return " ".join(found)


def table(text: str) -> str:
    """The rows as a table of Markdown."""
    made = ["| value | default | means |", "| --- | --- | --- |"]
    for path, default, comment in rows(text):
        shown = "" if default is None else f"`{default}`"
        name = f"**{path}**" if default is None else f"`{path}`"
        made.append(f"| {name} | {shown} | {comment} |")
    return "\n".join(made) + "\n"


def documented(readme: str, values: str) -> str:
    """The README with the table of the present values."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(values)}\n{END}{after}"


if __name__ == "__main__":
    readme = CHART / "README.md"
    readme.write_text(documented(readme.read_text(), (CHART / "values.yaml").read_text()))
