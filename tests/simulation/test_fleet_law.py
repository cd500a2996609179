"""The law *Stored* finds nothing wrong in what is right, and what is wrong in what is sabotaged."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.strict_yaml import Seconds
from gateway.delivery.fleet_delivery import FleetDelivery
from gateway.outbox.fleet.messages import Slots
from tests.simulation.community import Community
from tests.simulation.examples import fault_event
from tests.simulation.laws import judge
from tests.simulation.result import RunResult
from tests.simulation.scenario import Scenario
from tests.simulation.world import run

pytestmark = pytest.mark.xdist_group("fleet law")

LOST = Scenario(
    about="some hours in which half of all messages are lost, and the collector is killed",
    lasts=Seconds(5 * 3600),
    interval=Seconds(120),
    starts="2026-03-10T09:50:00",
    fleet=True,
    happens=(
        fault_event("fleet_drops", 1800, 7200, 0.5),
        fault_event("collector_killed", 3000, 900),
        fault_event("collector_killed", 6000, 900, 1),
    ),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(LOST, tmp_path_factory.mktemp("fleet") / "site")


def broken(result: RunResult) -> set[str]:
    return {text.partition(":")[0] for text in judge(result).violations}


def test_nothing_is_wrong_in_what_is_right(result: RunResult) -> None:
    assert judge(result).violations == []
    community = result.community
    assert community is not None
    assert len(community.database.assets) > 50
    assert len(community.server.told) < len(community.database.assets)


@pytest.mark.parametrize("how", ["gone", "wrong", "a meter's is gone"])
def test_a_row_that_is_not_there_or_wrong_is_found(result: RunResult, how: str) -> None:
    community = result.community
    assert community is not None
    before = community.backup()
    database = community.database
    key = sorted(database.assets)[5]
    match how:
        case "gone":
            del database.assets[key]
        case "wrong":
            row = database.assets[key]
            assert row.energy_uwh is not None
            database.assets[key] = msgspec.structs.replace(row, energy_uwh=row.energy_uwh + 1)
        case _:
            del database.meters[sorted(database.meters)[3]]
    assert broken(result) == {"stored"}
    community.restore(before)
    assert broken(result) == set()


def test_who_acknowledges_before_the_commit_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing days would bring it back within the hour: that is put off."""
    monkeypatch.setattr("gateway.delivery.fleet_delivery.DIGEST_S", 1e9)
    early = partial(Community, sabotage="acknowledges before the commit")
    monkeypatch.setattr("tests.simulation.world.Community", early)
    often = tuple(fault_event("collector_killed", at_s) for at_s in range(1800, 9000, 450))
    assert broken(run(replace(LOST, happens=often), tmp_path / "site")) == {"stored"}


def test_who_forgets_what_only_the_broker_has_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker says that it has what it then loses."""
    send = FleetDelivery._send

    def forgets(self: Any, connection: Any, message: Slots, *rest: Any) -> None:
        send(self, connection, message, *rest)
        if message.seq:
            self._buffer.tables.changes.stored(message.seq, 0.0)

    monkeypatch.setattr(FleetDelivery, "_send", forgets)
    monkeypatch.setattr("gateway.delivery.fleet_delivery.DIGEST_S", 1e9)
    assert broken(run(LOST, tmp_path / "site")) == {"stored"}


def test_a_word_that_is_late_is_no_word_on_what_came_after_a_copy_was_put_back(
    tmp_path: Path,
) -> None:
    """Numbers of changes come only once, also from an old copy of the buffer."""
    late = Scenario(
        about="words come up to an hour late, and an old copy of the buffer is put back",
        lasts=Seconds(6 * 3600),
        interval=Seconds(120),
        starts="2026-03-10T09:50:00",
        fleet=True,
        happens=(
            fault_event("fleet_reorders", 600, 3 * 3600, 3600),
            fault_event("store_restored", 3600, 3600),
        ),
    )
    assert judge(run(late, tmp_path / "site")).violations == []
