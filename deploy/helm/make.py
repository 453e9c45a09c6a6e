#!/usr/bin/env python3
"""Writes what the chart has from elsewhere: values.schema.json, of values.schema.yaml and the program's own schema, and the table of its README.

    deploy/helm/make.py EXPORTER            writes them
    deploy/helm/make.py EXPORTER --check    fails where they differ from what it would write
"""
import json
import pathlib
import re
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "smtptls-exporter"
ALERTS = HERE.parent.parent / "alerts"
BEGIN, END = "<!-- Made by ../make.py from values.schema.yaml and values.yaml. -->", "<!-- The end of what is made. -->"


def schema(exporter: str) -> dict:
    """What values the chart takes."""
    whole = yaml.safe_load((HERE / "values.schema.yaml").read_text())
    done = subprocess.run([exporter, "config", "schema"], capture_output=True, text=True, check=True)
    config = json.loads(done.stdout)
    # One schema has one dialect. Helm before 3.18 knows draft 7 and no later one; a word of a later one would have no effect there.
    del config["$schema"]
    later = {"$dynamicRef", "$defs", "prefixItems", "unevaluatedProperties", "unevaluatedItems", "dependentRequired", "dependentSchemas", "minContains"} & words(config)
    if later:
        sys.exit(f"config schema: {later} are not in draft 7")
    # A value of Helm that is null is one that is not there.
    whole["properties"]["config"] = config | {"description": whole["properties"]["config"]["description"]}
    thresholds = whole["properties"]["prometheusRule"]["properties"]["thresholds"]
    thresholds["properties"] = {name: {"type": "number", "minimum": 0} for name in threshold_names()}
    return whole


def words(part) -> set[str]:
    """Every key of a schema and of what is in it."""
    if isinstance(part, dict):
        return set(part).union(*map(words, part.values()))
    return set().union(*map(words, part)) if isinstance(part, list) else set()


def threshold_names() -> list[str]:
    """What may be overridden."""
    return re.findall(r"smtptls:override:(\w+)", (ALERTS / "thresholds.rules.yml").read_text())


def table(whole: dict) -> str:
    """Every value, with its default and what it is for."""
    rows = ["| value | default | |", "|---|---|---|"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def add(path: str, part: dict, value) -> None:
        inner = part.get("properties")
        if inner and path not in ("config", "resources", "prometheusRule.thresholds"):
            for name, one in inner.items():
                add(f"{path}.{name}" if path else name, one, (value or {}).get(name))
            return
        shown = "" if value is None else f"`{json.dumps(value)}`"
        rows.append(f"| `{path}` | {shown} | {part['description']} |")

    for name, part in whole["properties"].items():
        if name != "global":
            add(name, part, values[name])
    return "\n".join(rows)


def main() -> None:
    """Write them, or compare."""
    words_ = [word for word in sys.argv[1:] if word != "--check"]
    if len(words_) != 1:
        sys.exit(__doc__)
    whole = schema(words_[0])
    readme = (CHART / "README.md").read_text()
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    made = {
        CHART / "values.schema.json": json.dumps(whole, indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": f"{head}{BEGIN}\n\n{table(whole)}\n\n{END}{tail}",
    }
    for file, content in made.items():
        if "--check" not in sys.argv:
            file.write_text(content)
        elif not file.exists() or file.read_text() != content:
            sys.exit(f"{file.name}: not what make.py writes; run it")


if __name__ == "__main__":
    main()
