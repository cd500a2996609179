"""The dashboard and the alert rules in docs/monitoring go by metrics and labels that are there."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from gateway.monitoring import metrics
from gateway.monitoring.metrics import exposition
from gateway.monitoring.report import Report

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
PAGE = FOLDER.with_suffix(".md")
OF_PROMETHEUS = {"instance", "job"}
"""Labels that Prometheus itself adds."""


def rules() -> list[dict[str, object]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    """All that is asked of Prometheus."""
    yield from (str(rule["expr"]) for rule in rules())
    dashboard = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        yield variable.get("definition", "")


def known(report: Report) -> dict[str, set[str]]:
    """Every metric, with its labels as far as this report shows them."""
    source = Path(str(metrics.__file__)).read_text(encoding="utf-8")
    found: dict[str, set[str]] = {
        f"meter_gateway_{name}{'_total' * (kind == 'counter')}": set()
        for kind, name in re.findall(r'families\.(gauge|counter)\(\s*"([a-z_]+)"', source)
    }
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", exposition(report), re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def test_every_metric_and_label_that_is_named_is_told(healthy_report: Report) -> None:
    there = known(healthy_report)
    asked = 0
    for expression in expressions():
        for name, labels in re.findall(r"\b(meter_gateway_\w+)(?:\{([^}]*)\})?", expression):
            asked += 1
            assert name in there, expression
            named = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", labels)) - OF_PROMETHEUS
            assert named <= there[name] or not there[name], expression
    assert asked > 25


def test_the_values_of_labels_that_are_named_are_told(healthy_report: Report) -> None:
    told = exposition(healthy_report)
    for expression in expressions():
        for label, value in re.findall(r'\b(kind|verdict)="(\w+)"', expression):
            assert f'{label}="{value}"' in told, expression


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for rule in rules():
        notes = rule["annotations"]
        assert isinstance(notes, dict)
        assert len(notes["summary"]) > 10
        assert len(notes["description"]) > 30
        severity = rule["labels"]
        assert isinstance(severity, dict)
        row = rf"^\| `{rule['alert']}` \| .* \| {severity['severity']} \|$"
        assert re.search(row, page, re.MULTILINE), rule["alert"]
    assert len(rules()) == len({str(rule["alert"]) for rule in rules()})


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


def test_prometheus_itself_takes_the_rules(required_tool: Callable[[str], str]) -> None:
    words = [required_tool("promtool"), "check", "rules", FOLDER / "alerts.yaml"]
    subprocess.run(words, check=True, timeout=30, capture_output=True)
