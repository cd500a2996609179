"""The fleet's dashboard and alert rules go by metrics that are told, and the rules go off when they
should: promtool lets time pass.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.fleet.page.answers import (
    AggregatorRow,
    CollectorRow,
    ExchangeNow,
    Fleet,
    Home,
    Told,
)
from gateway.fleet.page.metrics import exposition
from gateway.fleet.page.states import judged
from gateway.fleet.page.telling import Process

FOLDER = Path(__file__).parents[4] / "docs" / "monitoring"
RULES = FOLDER / "fleet-alerts.yaml"
NOW_S = 1_780_000_000.0


def told() -> str:
    """All that there can be."""
    home = Home(
        id=1, name="home-1", added_s=0.0, last_message_s=NOW_S - 60, last_slot_s=NOW_S - 1000,
        told=Told(at_s=NOW_S - 60, online=True, oldest_owed_s=int(NOW_S) - 1000), known=96,
        expected=96,
    )  # fmt: skip
    exchange = ExchangeNow(
        owed=1, oldest_owed_s=NOW_S - 60, taken_s=NOW_S, rejected=1, missed=2, last_reason="no",
        aggregators=[AggregatorRow("one", NOW_S, "delivers", "")],
    )  # fmt: skip
    collectors = [CollectorRow("one", "0.1.0", 0.0, NOW_S, True)]
    fleet = Fleet(at_s=NOW_S, homes=judged([home], NOW_S), collectors=collectors, exchange=exchange)
    names = ("messages", "rows", "known_rows", "clashes", "refused", "unknown_sites")
    process = Process(
        collector="one", broker_connected=True, database_connected=True, stored_s=NOW_S,
        counted=dict.fromkeys((*names, "commits", "unsent_words"), 1), waiting_bytes=0,
    )  # fmt: skip
    return exposition(fleet, process, NOW_S)


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (str(rule["expr"]) for rule in rules())
    dashboard = json.loads((FOLDER / "fleet-grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_every_metric_label_and_value_that_is_named_is_told() -> None:
    there: dict[str, set[str]] = {}
    body = told()
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", body, re.MULTILINE):
        there.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    asked = 0
    for expression in expressions():
        for name, labels in re.findall(r"\b(meter_gateway_\w+)(?:\{([^}]*)\})?", expression):
            asked += 1
            assert name in there, expression
            for label, values in re.findall(r'(\w+)\s*=~?"([^"]*)"', labels):
                assert all(f'{label}="{value}"' in body for value in values.split("|"))
                assert label in there[name]
        for label in re.findall(r"by \((\w+)\)", expression):
            assert label in {"instance"} | {each for some in there.values() for each in some}
    assert asked > 30


def test_every_alert_says_what_it_is_and_what_to_do_and_is_on_the_page() -> None:
    page = FOLDER.with_suffix(".md").read_text(encoding="utf-8")
    for rule in rules():
        assert len(rule["annotations"]["summary"]) > 10
        assert len(rule["annotations"]["description"]) > 30
        row = rf"^\| `{rule['alert']}` \| .* \| {rule['labels']['severity']} \|$"
        assert re.search(row, page, re.MULTILINE), rule["alert"]


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((FOLDER / "fleet-grafana.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        columns, rows = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


SITE = "meter_gateway_fleet_site"
SERIES = {
    # What came in the first hour and then no more, minute by minute.
    f'{SITE}_last_message_timestamp_seconds{{site="quiet"}}': "0+60x60 3600x120",
    f'{SITE}_last_message_timestamp_seconds{{site="well"}}': "0+60x180",
    f'{SITE}_last_message_timestamp_seconds{{site="hourly"}}': "0+60x60 3600x180",
    f'{SITE}_last_message_timestamp_seconds{{site="quick"}}': "0+60x60 3600x180",
    f'{SITE}_slot_length_seconds{{site="quiet"}}': "900x240",
    f'{SITE}_slot_length_seconds{{site="well"}}': "900x240",
    f'{SITE}_slot_length_seconds{{site="owes"}}': "900x240",
    f'{SITE}_slot_length_seconds{{site="hourly"}}': "3600x240",
    f'{SITE}_slot_length_seconds{{site="quick"}}': "300x240",
    f'{SITE}_coverage_ratio{{site="well"}}': "1x600",
    f'{SITE}_coverage_ratio{{site="gaps"}}': "0.98x600",
    f'{SITE}_oldest_owed_timestamp_seconds{{site="owes"}}': "0x180",
    f'{SITE}_oldest_owed_timestamp_seconds{{site="well"}}': "0+60x180",
    "meter_gateway_fleet_collectors": "2x100 1x80",
    'meter_gateway_fleet_exchange_not_taken_items{verdict="rejected"}': "0x120 3x60",
    'meter_gateway_fleet_exchange_not_taken_items{verdict="missed"}': "0x180",
    'up{job="meter-gateway-fleet"}': "1x180",
}

FIRING = [
    # minute, alert, what it is about; nothing: it must not go off
    ("70m", "FleetHomeSilent", []),
    ("85m", "FleetHomeSilent", [{"site": "quick"}]),
    ("95m", "FleetHomeSilent", [{"site": "quick"}, {"site": "quiet"}]),
    ("175m", "FleetHomeSilent", [{"site": "quick"}, {"site": "quiet"}]),
    ("183m", "FleetHomeSilent", [{"site": "hourly"}, {"site": "quick"}, {"site": "quiet"}]),
    ("95m", "FleetManyHomesSilent", []),
    ("120m", "FleetCollectorDead", [{}]),
    ("99m", "FleetCollectorDead", []),
    ("120m", "FleetNoCollector", []),
    ("90m", "FleetHomeOwes", [{"site": "owes"}]),
    ("70m", "FleetHomeOwes", []),
    ("400m", "FleetHomeIncomplete", [{"site": "gaps"}]),
    ("300m", "FleetHomeIncomplete", []),
    ("140m", "FleetExchangeRefuses", [{"verdict": "rejected"}]),
    ("120m", "FleetExchangeRefuses", []),
    ("100m", "FleetServerGone", []),
    ("200m", "FleetServerGone", [{}]),
]


def test_they_go_off_when_they_should_and_not_before(
    required_tool: Callable[[str], str], tmp_path: Path
) -> None:
    by_name = {str(rule["alert"]): rule for rule in rules()}
    tests = []
    for at, name, labels in FIRING:
        severity = by_name[name]["labels"]["severity"]
        expected = [{"exp_labels": each | {"severity": severity}} for each in labels]
        tests.append({"eval_time": at, "alertname": name, "exp_alerts": expected})
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    # Annotations are compared, too: here it is asked when an alert goes off, not what it says.
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for rule in document["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(document))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": tests}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    promtool = required_tool("promtool")
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(tmp_path / "test.yaml")]):
        done = subprocess.run(
            [promtool, *words], check=False, timeout=60, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
