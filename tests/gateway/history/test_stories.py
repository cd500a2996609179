"""Why a slot is what it is, what a meter did, and what happened."""

import sqlite3
from pathlib import Path

import pytest
from msgspec import json

from drivers.sample import Sample
from gateway.energy.slot import Event
from gateway.history.history import History
from gateway.history.home import home_of
from gateway.history.opening import open_history
from gateway.history.refusals import NotThere
from gateway.history.stories import MAX_EVENTS, MAX_POINTS, thinned
from gateway.site.settings import Settings
from gateway.store.opening import open_buffer
from tests.gateway.history.rig import HOUSE, NOW_S, SLOT_S, SMALL, energies_uwh, fill, report

START_S = NOW_S - 2 * SLOT_S


async def test_a_story_has_the_numbers_of_the_formula(history: History) -> None:
    story = await history.slot(str(HOUSE), START_S)
    assert story == await history.slot("House load", START_S)
    summed = sum(term.sign * (term.energy_wh or 0) for term in story.terms)
    assert story.energy_wh == pytest.approx(summed)
    assert [(term.meter, term.direction, term.sign) for term in story.terms] == [
        ("grid", "import", 1),
        ("grid", "export", -1),
        ("pv", "export", 1),
    ]
    for term in story.terms:
        assert term.energy_wh == energies_uwh(term.meter, START_S)[term.direction] / 1e6
        assert (term.samples, term.expected_samples, term.coverage) == (90, 90, 1.0)
        assert term.beyond_register_wh == pytest.approx(
            (term.energy_wh or 0) - (_kept_wh(START_S, term.energy_wh) - _kept_wh(START_S, 0.0))
        )
    assert story.beside.used_wh == story.energy_wh
    assert (story.earlier_s, story.later_s) == (START_S - SLOT_S, START_S + SLOT_S)


def _kept_wh(start_s: int, energy_wh: float | None) -> float:
    """The register that the rig keeps at the end of so much energy."""
    begin_uwh = (start_s - 1_700_000_000) * 500_000
    return (begin_uwh + round((energy_wh or 0) * 1e6)) // 10**7 * 10


async def test_registers_are_those_of_the_face_while_samples_are_kept(history: History) -> None:
    story = await history.slot("House load", START_S)
    [grid, _, _] = story.terms
    assert grid.begin_register_wh == (START_S - 1_700_000_000) // 20
    assert grid.end_register_wh == (START_S + SLOT_S - 1_700_000_000) // 20
    old = await history.slot("House load", START_S - 86_400)
    assert old.terms[0].begin_register_wh == _kept_wh(START_S - 86_400, 0.0)
    assert old.power[0].points == []


async def test_the_line_of_power_is_what_was_sampled(history: History) -> None:
    story = await history.slot("House load", START_S)
    [grid, pv] = story.power
    assert (grid.meter, pv.meter) == ("grid", "pv")
    assert len(grid.points) == 91, "each ten seconds, with both ends"
    assert grid.points[0][0] == START_S
    assert len(grid.register_steps_s) == 45, "each twenty seconds"
    assert grid.gaps == pv.gaps == []


async def test_deliveries_and_events_are_told(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    fill(path, 0.2)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    store.database.note(Event(START_S * 1000 + 5000, "pv", "glitch", "a rise", 7_000_000))
    store.database.note(Event(START_S * 1000 + 5000, "heat-pump", "glitch", "another meter's"))
    store.flush()
    store.close_file()
    history = open_history(settings, path, lambda: report(settings), frozenset())
    story = await history.slot("House load", START_S)
    [delivery] = story.deliveries
    assert (delivery.destination, delivery.state, delivery.answer) == (
        "exchange",
        "accepted",
        "ready",
    )
    assert delivery.first_sent_s == START_S + SLOT_S + 2.0
    assert delivery.confirmed_s is not None
    [event] = story.events
    assert (event.meter, event.energy_wh, event.slot_s) == ("pv", 7.0, START_S)
    assert event.day == "2026-03-29"


async def test_secrets_that_others_repeated_are_not_told(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "buffer.sqlite"
    fill(path, 0.2)
    db = sqlite3.connect(path)
    db.execute("UPDATE outbox SET answer = 'your password hunter2', reason = 'hunter2 is wrong'")
    db.execute(f"INSERT INTO events VALUES (1, {START_S + 1}, 'pv', 'glitch', NULL, 'hunter2')")
    db.commit()
    db.close()

    def masked(text: str) -> str:
        return text.replace("hunter2", "(secret)")

    told = report(settings)
    history = History(home_of(settings), path, lambda: told, masked, max_gap_s=7200)
    for answer in (await history.slot("House load", START_S), await history.events()):
        text = json.encode(answer).decode()
        assert "hunter2" not in text
        assert "(secret)" in text


async def test_a_time_without_samples_is_a_gap(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    fill(path, 0.2)
    db = sqlite3.connect(path)
    since_ms, until_ms = (START_S + 300) * 1000, (START_S + 400) * 1000
    db.execute("DELETE FROM samples WHERE utc_ms > ? AND utc_ms < ?", (since_ms, until_ms))
    db.commit()
    db.close()
    history = open_history(settings, path, lambda: report(settings), frozenset())
    story = await history.slot("House load", START_S)
    for line in story.power:
        [gap] = line.gaps
        assert (gap.since_s, gap.until_s) == (START_S + 300, START_S + 400)


async def test_what_is_not_there_is_said(history: History) -> None:
    with pytest.raises(NotThere, match=str(START_S)):
        await history.slot("House load", START_S + 1)
    with pytest.raises(NotThere, match="nothing is kept"):
        await history.slot("House load", START_S + 100 * SLOT_S)
    with pytest.raises(NotThere, match="there are: House load, PV, Heat pump") as refused:
        await history.slot("x" * 10_000, START_S)
    assert len(str(refused.value)) < 200
    with pytest.raises(NotThere, match="there is no meter"):
        await history.meter("nobody")


async def test_a_meter_tells_its_last_day(history: History) -> None:
    story = await history.meter("pv")
    assert story.meter.available[-2:] == [1.0, None], "no slot of the hour that runs has closed"
    assert story.meter.node.role == "sun"
    assert story.meter.node.power_w is not None
    assert story.meter.node.power_w > 0, "what the sun gives"
    assert 1 < len(story.power) <= MAX_POINTS
    assert min(power_w for _, power_w in story.power) < -1000


def test_long_lines_are_thinned_to_means() -> None:
    points = [(float(n), float(n % 2)) for n in range(1000)]
    few = thinned(points)
    assert len(few) == 250
    assert {power_w for _, power_w in few} == {0.5}
    assert thinned(points[:MAX_POINTS]) == points[:MAX_POINTS]


async def test_events_come_in_portions(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    store = open_buffer(path, SMALL, now_s=NOW_S)
    for n in range(450):
        meter = ("pv", "grid")[n % 2]
        store.database.note(Event((NOW_S - 450 + n) * 1000, meter, "glitch", f"event {n}"))
    store.flush()
    store.close_file()
    history = open_history(settings, path, lambda: report(settings), frozenset())
    texts: list[str] = []
    before: int | None = None
    portions = 0
    while True:
        events = await history.events(before)
        assert len(events.events) <= MAX_EVENTS
        texts += [event.text for event in events.events]
        portions += 1
        before = events.older
        if before is None:
            break
    assert (portions, texts) == (3, [f"event {n}" for n in reversed(range(450))])
    mine = await history.events(meter="pv")
    assert {event.meter for event in mine.events} == {"pv"}


async def test_thinned_and_undated_samples_are_passed_over(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "buffer.sqlite"
    fill(path, 0.2)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    for n in range(50):
        store.add(Sample("pv", None, "later", n * 1000, None, {"power_w": 1.0}))
    store.flush()
    store.tables.samples.thin(store.tables.samples.last_number)
    store.close_file()
    history = open_history(settings, path, lambda: report(settings), frozenset())
    story = await history.slot("House load", START_S)
    assert len(story.power[0].points) >= 1
    assert story.power[0].gaps, "between its first and last sample nothing is kept"


@pytest.mark.parametrize("meters", [1, 2, 3, 7])
def test_of_many_samples_some_of_every_meter_are_looked_at(meters: int, tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    begin_ms = NOW_S * 1000
    for n in range(2000):
        for meter in range(meters):
            values = {"power_w": float(n)}
            store.add(Sample(f"m{meter}", None, "boot", n, begin_ms + n * 1000, values))
    store.flush()
    samples = store.tables.samples
    for most in (10_000_000, 2000, 200):
        counts = [
            len(list(samples.values_of(f"m{n}", begin_ms, begin_ms + 2_000_000, most)))
            for n in range(meters)
        ]
        expected = min(2000, most / meters)
        assert all(expected / 2 < count <= expected * 2 for count in counts), (most, counts)
    store.close_file()
