"""Every named scenario: which faults a simulated home meets, and what must come out. The files say
both.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.scenario import FAULTS, Scenario, read
from tests.simulation.years import try_out

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))

# What the gateway does not do yet as the scenario says. Strict: a scenario that has come right must
# be taken off.
KNOWN_BROKEN: dict[str, str] = {}


_QUICK = """
aggregator-lost aggregator-switched asset-removed-in-a-batch asset-renamed asset-twice
bit-flip-after-a-long-outage both-ways clock-never-synchronised disk-fails disk-read-only
dns-gone engine-leads everything-at-once exchange-busy exchange-busy-until exchange-drops
exchange-error-body exchange-forgets-logins exchange-html exchange-packs exchange-partial
exchange-refuses-20-seconds exchange-refuses-an-asset exchange-slow exchange-unauthorized
faults-within-the-boundary-read fleet-database-restored fleet-everything-is-lost-on-the-way
forecast-of-another-version grid-operator grid-operator-network-made-anew
grid-operator-suspended hostile-frames isolated-store-log-left
kind-nobody-takes leap-smear line-floods-with-answers live-switch-off-in-a-batch
meter-clock-off network-made-anew-aggregator page-asked password-changed port-vanishes-p1
power-gain register-back-a-step register-high-since-a-silence register-jitters
register-pauses-until-swapped register-reset-near-the-modulus register-underflows
registers-vanish registry-gone rest-outage role-lost second-daemon silent-meter
slot-length-changed slot-written-anew-while-refused state-folder-restored
store-folder-removed store-log-cut store-truncated verdicts-lost websockets-down-at-a-restart
wrong-certificate zeros-at-sunrise-after-a-loss
"""
QUICK = frozenset(_QUICK.split())
"""In these is every fault, and every kind of site. All take ten minutes of two processors: `make
test-long` runs the others.
"""


def _scenarios() -> list[object]:
    return [pytest.param(path, id=path.stem, marks=list(_marks(path.stem))) for path in FILES]


def _marks(name: str) -> Iterator[pytest.MarkDecorator]:
    if name in KNOWN_BROKEN:
        yield pytest.mark.xfail(strict=True, reason=KNOWN_BROKEN[name])
    if name not in QUICK:
        yield pytest.mark.long


@pytest.mark.parametrize("path", _scenarios())
def test_what_must_come_out_of_a_scenario_comes_out(path: Path) -> None:
    scenario = read(path.read_bytes(), path.name)
    verdict = try_out(scenario)
    assert verdict.violations == []


def test_every_fault_and_kind_of_site_is_in_a_scenario_that_is_always_run() -> None:
    scenarios = {path.stem: read(path.read_bytes(), path.name) for path in FILES}
    quick = [scenarios[name] for name in sorted(QUICK)]
    assert set(FAULTS) - {each.fault for one in quick for each in one.happens} == set()
    assert {_kind_of_site(one) for one in scenarios.values()} - set(
        map(_kind_of_site, quick)
    ) == set()


def _kind_of_site(scenario: Scenario) -> tuple[object, ...]:
    return scenario.dialect, scenario.trust, scenario.grid_operator, scenario.fleet


def test_what_is_known_to_be_broken_or_quick_is_a_scenario() -> None:
    assert (KNOWN_BROKEN.keys() | QUICK) - {path.stem for path in FILES} == set()


def test_the_page_names_every_scenario_and_none_that_is_not_there() -> None:
    page = (FOLDER.parents[1] / "docs" / "what-it-survives.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    named = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[-2])]
    assert sorted(named) == sorted(path.stem for path in FOLDER.rglob("*.yaml"))
