"""What another quantile than the median costs, day by day, from a real buffer."""

from pathlib import Path
from uuid import UUID

from msgspec.structs import replace

from gateway.energy.slot import AssetSlot
from gateway.monitoring.sent_forecasts import LATE_S, SentForecasts
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.store.opening import open_buffer

ASSET, OTHER = UUID(int=1), UUID(int=2)
DAY_S, SLOT_S = 86_400, 900
BEGIN_S = 20_000 * DAY_S


def slots(days: int) -> list[AssetSlot]:
    """100 Wh come, and 90 Wh were expected."""
    return [
        AssetSlot(
            asset, BEGIN_S + n * SLOT_S, SLOT_S, 100_000_000, 0, "measured",
            forecast_uwh=90_000_000, forecast_by="auto",
        )
        for n in range(days * 96)
        for asset in (ASSET, OTHER)
    ]  # fmt: skip


def sent(slot: AssetSlot, energy_uwh: int, revision: int = 0, state: str = "accepted") -> Owed:
    item = Item("market", slot.asset, slot.start_s, "forecast", revision, energy_uwh)
    return Owed(item, SLOT_S, "estimated", 0.0, float(slot.start_s), state=state)  # type: ignore[arg-type]


def test_whole_days_are_judged_a_day_at_each_look_the_newest_first(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path / "buffer.sqlite", now_s=BEGIN_S)
    known = slots(3)
    missing = replace(known[0], energy_uwh=None, quality="missing")
    with buffer.database.transaction():
        buffer.tables.asset_slots.write([missing, *known[1:]])
        buffer.tables.outbox.write([sent(slot, 120_000_000) for slot in known])
        # Of the second revision of the first of each day only what was taken counts.
        buffer.tables.outbox.write([sent(known[2], 100_000_000, 1)])
        buffer.tables.outbox.write([sent(known[4], 100_000_000, 1, "missed")])

    found = SentForecasts(buffer, {ASSET: ("market", "sums")})
    now_s = BEGIN_S + 3 * DAY_S + LATE_S
    found.look(now_s)
    newest = found.over(ASSET, 28, now_s)
    assert newest is not None
    assert newest.slots == 96
    assert (newest.mae_uwh, newest.median_mae_uwh) == (20_000_000, 10_000_000)
    for _ in range(2):
        found.look(now_s)
    day, week = found.over(ASSET, 1, now_s), found.over(ASSET, 7, now_s)
    assert day == newest
    assert week is not None
    assert week.slots == 3 * 96 - 1, "of a slot that is missing nothing is judged"
    assert week.sent_error_uwh == 20_000_000 * (3 * 96 - 2)
    assert found.over(OTHER, 7, now_s) is None, "the median is sent of it"
    buffer.close_file()


def test_a_day_is_looked_at_when_its_last_slots_have_closed(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path / "buffer.sqlite", now_s=BEGIN_S)
    with buffer.database.transaction():
        buffer.tables.asset_slots.write(slots(1))
        buffer.tables.outbox.write([sent(slot, 1) for slot in slots(1)])
    found = SentForecasts(buffer, {ASSET: ("market", 0.6)})
    for late_s, judged in ((LATE_S - 1, 0), (LATE_S, 96)):
        found.look(BEGIN_S + DAY_S + late_s)
        over = found.over(ASSET, 28, BEGIN_S + DAY_S + late_s)
        assert over is not None
        assert over.slots == judged
    buffer.close_file()
