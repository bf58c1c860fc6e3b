"""Each metric is explained, and the dashboard and the alerts ask for metrics and labels that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from engage.metrics.catalogue import Metrics
from engage.metrics.exposition import ProcessMetrics
from engage.metrics.numbers import Family

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")

# Prometheus gives these to each sample, and to `up`.
OF_TARGETS = {"job", "instance", "part"}
# Grafana replaces these; any value will do.
OF_GRAFANA = {"$__rate_interval": "5m", "$program": ".*"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def families() -> list[Family]:
    return list(Metrics().families())


def exported() -> dict[str, set[str]]:
    """Return the labels of each sample's name."""
    found = {
        family.name + suffix: set(family.labels) | ({"le"} if suffix == "_bucket" else set())
        for family in families()
        for suffix in SUFFIXES[family.type]
    }
    for metric in ProcessMetrics().collect():
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {**found, "up": set()}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "engage.json").read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in OF_GRAFANA.items():
                expression = expression.replace(name, value)
            yield expression


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def test_every_metric_has_a_name_of_prometheus_and_a_help() -> None:
    for family in families():
        assert re.fullmatch(r"engage_[a-z_]+", family.name), family.name
        assert not family.name.endswith("_total"), family.name
        assert family.help.endswith(".") or ";" in family.help, family.name
        assert not OF_TARGETS - {"part"} & set(family.labels), (
            f"Prometheus would rename a label of {family.name}"
        )
    names = [family.name for family in families()]
    assert len(set(names)) == len(names)


def test_every_metric_has_a_row_in_the_docs_and_every_row_a_metric() -> None:
    rows = re.findall(r"^\| `(engage_[a-z_]+)` \|", OPERATIONS, re.MULTILINE)
    there_are = [family.name + ("_total" if family.type == "counter" else "") for family in families()]
    assert sorted(rows) == sorted(there_are)


def test_every_alert_has_a_row_that_says_what_to_do() -> None:
    rows = dict(re.findall(r"^\| `(Engage\w+)` \| (.+) \|$", OPERATIONS, re.MULTILINE))
    assert list(rows) == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook"] == "docs/operations.md"
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_asks_for_what_there_is(expression: str) -> None:
    known = exported()
    asked = selectors(expression)
    assert asked
    for selector in asked:
        assert selector.name in known, selector.name
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= known[selector.name] | OF_TARGETS, (selector.name, labels)
    there_are = set().union(*(known[selector.name or ""] for selector in asked)) | OF_TARGETS
    grouped = re.findall(r"\b(?:by|ignoring|on) \(([^)]*)\)", expression)
    assert {label.strip() for labels in grouped for label in labels.split(",")} <= there_are


def test_the_dashboard_shows_every_metric_of_engage() -> None:
    shown = {
        selector.name for expression in expressions() for selector in selectors(expression) if selector.name
    }
    asked = {re.sub("_(total|bucket|count|sum)$", "", name) for name in shown}
    # Rows that jobs have done differ too much between kinds for one picture.
    assert {family.name for family in families()} - asked <= {"engage_work_done"}


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert panel["title"]
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_alerts_pass_the_tests_of_promtool() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        ran = subprocess.run(
            ["promtool", *command], cwd=ALERTS.parent, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
