"""The same home: its days and its month."""

from math import pi, sin
from random import Random

from msgspec.structs import replace

from gateway.history.answers import (
    Column,
    Day,
    DaySums,
    Month,
    Role,
    Sums,
)
from tests.gateway.page.sample_home import CLOSED, DAY, HOUSE, START_S, SUN, ZONE, now


def _shape(slots: int, closed: int, seed: int = 7) -> tuple[list[float], list[float]]:
    """What the sun gave and what was used, in Wh."""
    chance = Random(seed)
    sun, used = [], []
    for i in range(closed):
        hour = i * 24 / slots
        light = max(0.0, sin(pi * (hour - 7.3) / 9.2)) if 7.3 < hour < 16.5 else 0.0
        sun.append(round(light * 620 * chance.uniform(0.55, 1.0), 1))
        evening = 190 if 17 < hour < 21.5 else 0
        morning = 130 if 6 < hour < 8.5 else 0
        used.append(round(60 + evening + morning + chance.uniform(0, 75), 1))
    return sun, used


def _padded(values: list[float], slots: int) -> list[float | None]:
    return [*values, *([None] * (slots - len(values)))]


def column(
    id_: str, title: str, role: Role, wh: list[float | None], quality: str, delivery: str
) -> Column:
    expected = [None if v is None else round(abs(v) * 0.85 + 12, 1) for v in wh]
    return Column(
        id=id_,
        title=title,
        role=role,
        wh=wh,
        uncertainty_wh=[
            None if v is None else 1.5 if q == "m" else 34.0
            for v, q in zip(wh, quality, strict=True)
        ],
        quality=quality,
        delivery=delivery,
        forecast_wh=expected if role != "grid" else [],
    )


def day(slots: int = 96, closed: int = CLOSED, seed: int = 7, **changes: object) -> Day:
    """A day with four estimated slots, one partly metered and two of which nothing is known."""
    sun, used = _shape(slots, closed, seed)
    left = "." * (slots - closed)
    quality = list("m" * closed)
    for i in (30, 31, 32, 33):
        quality[i] = "e"
    quality[40] = "p"
    for i in (44, 45):
        quality[i] = "x"
    known = "".join(quality) + left
    delivery = "a" * (closed - 4) + "w" * 4 + left
    delivery = delivery[:40] + "r" + delivery[41:44] + "ll" + delivery[46:]

    def wh(values: list[float]) -> list[float | None]:
        return [None if q == "x" else v for v, q in zip(_padded(values, slots), known, strict=True)]

    came = [max(u - s, 0.0) for u, s in zip(used, sun, strict=True)]
    went = [max(s - u, 0.0) for u, s in zip(used, sun, strict=True)]
    total = sum(used[i] for i in range(closed) if known[i] != "x")
    made = Day(
        day=DAY,
        zone=ZONE,
        start_s=START_S,
        slot_s=900,
        slots=slots,
        assets=[
            column(HOUSE, "House load", "house", wh(used), known, delivery),
            column(SUN, "PV", "sun", wh(sun), known, delivery),
        ],
        meters=[
            column("grid.import", "grid", "grid", wh(came), known, "k" * closed + left),
            column("grid.export", "grid", "grid", wh(went), known, "k" * closed + left),
            column("pv.export", "pv", "sun", wh(sun), known, "k" * closed + left),
        ],
        sums=Sums(
            used_wh=round(total, 1),
            sun_wh=round(sum(sun), 1),
            from_grid_wh=round(sum(came), 1),
            to_grid_wh=round(sum(went), 1),
            sun_used_here=0.42,
            coverage=0.97,
        ),
        is_today=closed < slots,
        earlier="2026-11-27",
        later=None if closed < slots else "2026-11-29",
    )
    return replace(made, **changes)


def whole_day() -> Day:
    return day(closed=96)


def month() -> Month:
    chance = Random(3)
    days = []
    for n in range(1, 29):
        sun = chance.uniform(1500, 9000)
        used = chance.uniform(7000, 14_000)
        went = max(sun - used * 0.45, 0.0)
        sums = Sums(
            used_wh=used,
            sun_wh=sun,
            from_grid_wh=used - sun + went,
            to_grid_wh=went,
            sun_used_here=1 - went / sun,
            coverage=0.6 if n == 12 else 1.0,
        )
        days.append(DaySums(day=f"2026-11-{n:02}", sums=Sums() if n == 13 else sums, peak=None))
    total = Sums(
        used_wh=sum(each.sums.used_wh or 0 for each in days),
        sun_wh=sum(each.sums.sun_wh or 0 for each in days),
        from_grid_wh=sum(each.sums.from_grid_wh or 0 for each in days),
        to_grid_wh=sum(each.sums.to_grid_wh or 0 for each in days),
        sun_used_here=0.71,
        coverage=0.95,
    )
    return Month(
        month="2026-11",
        zone=ZONE,
        days=days,
        sums=total,
        peak=now().peak,
        earlier="2026-10",
        later=None,
    )
