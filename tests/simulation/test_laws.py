"""The judge finds nothing wrong in what is right, and what is wrong in what is tampered with."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from drivers.strict_yaml import Seconds
from tests.simulation.examples import HOUR, tampering
from tests.simulation.laws import judge
from tests.simulation.result import RunResult
from tests.simulation.scenario import (
    Must,
)
from tests.simulation.world import run

pytestmark = pytest.mark.xdist_group("laws")  # what they judge takes long to make


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(replace(HOUR, must=Must(measured=30)), tmp_path_factory.mktemp("judged") / "site")


@pytest.fixture
def tampered(result: RunResult) -> Iterator[Callable[[str], list[str]]]:
    with tampering(result, broken) as tamper:
        yield tamper


def broken(result: RunResult) -> list[str]:
    return sorted({text.partition(":")[0] for text in judge(result).violations})


def test_the_judge_finds_nothing_wrong_in_what_is_right(result: RunResult) -> None:
    assert judge(result).violations == []


SLOT = "device = 'pv' AND direction = 'export' AND quality = 'measured' AND start_s % 3600 = 900"


@pytest.mark.parametrize(
    ("sql", "laws"),
    [
        (f"UPDATE slots SET energy_uwh = energy_uwh + 1 WHERE {SLOT}", ["chained"]),
        (
            f"UPDATE slots SET begin_uwh = end_uwh + 1, energy_uwh = -1 WHERE {SLOT}",
            ["chained", "true"],
        ),
        (
            "UPDATE slots SET energy_uwh = energy_uwh - 1000000, begin_uwh = begin_uwh + "
            f"1000000 WHERE {SLOT}",
            ["chained"],
        ),
        (
            "UPDATE slots SET energy_uwh = energy_uwh + 900000000, begin_uwh = begin_uwh - "
            f"900000000 WHERE {SLOT}",
            ["chained", "true"],
        ),
        (f"DELETE FROM slots WHERE {SLOT}", ["booked", "chained", "expected"]),
        (f"UPDATE slots SET quality = 'partial' WHERE {SLOT}", ["booked", "expected"]),
        (
            f"UPDATE slots SET start_s = start_s + 900, serial_number = 'twin' WHERE {SLOT}",
            ["booked", "chained", "true"],
        ),
        ("UPDATE samples SET utc_ms = utc_ms + 1000 WHERE id = 10", ["dated"]),
        (
            "DELETE FROM outbox WHERE kind = 'measurement' AND slot_s % 3600 = 900",
            ["booked", "complete", "itself"],
        ),
        (
            "UPDATE outbox SET state = 'pending' WHERE kind = 'measurement' AND slot_s % 3600 = "
            "900",
            ["complete"],
        ),
        (
            "UPDATE outbox SET state = 'missed', reason = '' WHERE kind = 'measurement' AND "
            "slot_s % 3600 = 900",
            ["complete"],
        ),
        (
            "UPDATE outbox SET energy_uwh = energy_uwh + 1 WHERE kind = 'measurement' AND slot_s "
            "% 3600 = 900",
            ["booked", "itself"],
        ),
        ("DELETE FROM outbox WHERE kind = 'measurement'", ["booked", "complete", "itself"]),
        ("UPDATE outbox SET last_sent_s = slot_s WHERE kind = 'forecast'", ["foretold"]),
        ("UPDATE outbox SET energy_uwh = -1 WHERE kind = 'forecast'", ["foretold"]),
        ("UPDATE outbox SET energy_uwh = 9000000000000 WHERE kind = 'forecast'", ["foretold"]),
        (
            "UPDATE asset_slots SET forecast_low_uwh = forecast_uwh + 1 "
            "WHERE forecast_uwh IS NOT NULL",
            ["foretold"],
        ),
    ],
)
def test_the_judge_finds_what_is_wrong_in_the_books(
    tampered: Callable[[str], list[str]], sql: str, laws: list[str]
) -> None:
    assert tampered(sql) == laws


def test_the_judge_finds_damage(result: RunResult) -> None:
    path = result.settings.buffer_path
    before = path.read_bytes()
    try:
        path.write_bytes(before[:4096] + b"\x5a" * 40_000 + before[44_096:])
        assert broken(result)
        path.write_bytes(b"noise" * 1000)
        assert judge(result).violations[0].startswith("the database cannot be read")
    finally:
        path.write_bytes(before)


def test_the_judge_finds_what_is_wrong_at_the_exchange(result: RunResult) -> None:
    asset = next(uuid for uuid, name in result.exchange.assets.items() if name == "PV")
    held = result.exchange.books.measurements[asset]
    before = dict(held)
    slot_s = sorted(held)[1]
    wrong: list[tuple[dict[int, int], str]] = [
        ({**before, slot_s: before[slot_s] + 1}, "owed were"),
        ({**before, slot_s + 86_400: 1}, "never owed"),
        ({s: uwh for s, uwh in before.items() if s != slot_s}, "does not hold it"),
    ]
    for tampered_with, words in wrong:
        held.clear()
        held.update(tampered_with)
        assert [text for text in judge(result).violations if words in text], words
    held.clear()
    held.update(before)
    assert judge(result).violations == []


def test_the_judge_finds_an_older_number_that_arrived_after_a_newer_one(result: RunResult) -> None:
    history = result.exchange.books.history
    newer = next(
        booking
        for booking in history
        if booking.what == "measurement" and booking.before_uwh not in (None, booking.energy_uwh)
    )
    assert newer.before_uwh is not None
    history.append(replace(newer, energy_uwh=newer.before_uwh))
    try:
        assert broken(result) == ["ordered"]
    finally:
        history.pop()


def test_the_judge_finds_a_number_replaced_by_a_database_that_did_not_know_of_it(
    result: RunResult,
) -> None:
    """One that was put back from before the first number knows nothing of it. One that is of later
    knows it, and may revise it.
    """
    bookings = [each for each in result.exchange.books.history if each.what == "measurement"]
    newer = next(each for each in bookings if each.before_uwh not in (None, each.energy_uwh))
    first = next(
        each for each in bookings if (each.asset, each.slot_s) == (newer.asset, newer.slot_s)
    )
    assert first.at_s + 1 < newer.at_s
    first_ms, between_ms = round(first.at_s * 1000), round((first.at_s + newer.at_s) * 500)
    restored_ms = result.faults.restored_ms
    try:
        restored_ms.append((first_ms - 1000, between_ms))
        assert broken(result) == ["kept"]
        restored_ms[-1] = (first_ms + 1000, between_ms)
        assert broken(result) == []
        restored_ms[-1] = (0, between_ms)
        assert broken(result) == ["kept"], "it was deleted"
    finally:
        restored_ms.clear()


def test_the_judge_tells_of_a_daemon_that_died(result: RunResult) -> None:
    result.crashes.append("ValueError: what nobody thought of")
    try:
        assert judge(result).violations == ["alive: ValueError: what nobody thought of"]
    finally:
        result.crashes.clear()


@pytest.mark.parametrize(
    ("must", "words"),
    [
        (Must(measured=31), "30 slots are measured, at least 31 must be"),
        (Must(lost=5), "6 partial or missing, at most 5 may be"),
        (Must(missed=3), "4 missed, at most 3 may be"),
        (Must(starts=2), "the daemon was started 1 times, where 2 must be"),
        (Must(events={"swap": 1}), "events {} are noted, where {'swap': 1} must be"),
        (Must(off_wh=0.0), "it is called measured and off by"),
        (Must(within=Seconds(0.5), late=19), "20 numbers came later than 0.5 s, at most 19 may"),
    ],
)
def test_the_judge_finds_what_does_not_come_out_as_it_must(
    result: RunResult, must: Must, words: str
) -> None:
    texts = judge(replace(result, scenario=replace(result.scenario, must=must))).violations
    assert [text for text in texts if text.startswith("expected:") and words in text], texts
