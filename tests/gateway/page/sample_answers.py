"""Answers as a home gives them on an ordinary day in November, at 14:32, and on worse ones."""

from math import pi, sin
from random import Random

from msgspec.structs import replace

from gateway.history.answers import (
    Column,
    Day,
    DaySums,
    Delivery,
    DestinationNow,
    EventLine,
    Events,
    ExchangeAsset,
    ExchangeNow,
    Gap,
    MeterNow,
    MeterStory,
    Month,
    Node,
    Now,
    Peak,
    PowerLine,
    Problem,
    RefusedSlot,
    Role,
    SlotStory,
    Sums,
    Term,
)

ZONE = "Europe/Vienna"
DAY = "2026-11-28"
START_S = 1795820400
"""Midnight of that day in Vienna."""
NOW_S = START_S + 14 * 3600 + 32 * 60 + 10
CLOSED = 58
"""Slots of the day that have closed."""
HOUSE, SUN, HEAT_PUMP = (f"26090dea-8a2c-4c39-a9ae-0f6b32c9d2a{n}" for n in range(1, 4))


def node(id_: str, title: str, role: Role, power_w: float | None) -> Node:
    return Node(id=id_, title=title, role=role, power_w=power_w)


NODES = [
    node(SUN, "PV", "sun", 2984.0),
    node("grid", "grid", "grid", -846.0),
    node(HOUSE, "House load", "house", 1123.0),
    node(HEAT_PUMP, "Heat pump", "other", 1015.0),
]

TODAY = Sums(
    used_wh=6482.0,
    sun_wh=7310.0,
    from_grid_wh=3391.0,
    to_grid_wh=4219.0,
    sun_used_here=0.423,
    coverage=1.0,
    uncertainty_wh=12.0,
)


def now(**changes: object) -> Now:
    made = Now(
        at_s=NOW_S,
        zone=ZONE,
        mood="well",
        problems=[],
        nodes=NODES,
        today=TODAY,
        yesterday_by_now=replace(TODAY, used_wh=9810.0),
        peak=Peak(power_w=2904.0, start_s=START_S - 16 * 86_400 + 18 * 3600 + 900),
        accepted_until_s=START_S + CLOSED * 900,
        behind=[],
        meters_heard=3,
        meters=3,
    )
    return replace(made, **changes)


PV_SILENT = Problem(
    id="meter_silent",
    subject="PV",
    severity="warn",
    since_s=START_S + 13 * 3600 + 50 * 60,
    facts={"until_s": START_S + 15 * 3600 + 50 * 60.0, "reason": "no reply in 1 s"},
)
EXCHANGE_AWAY = Problem(
    id="exchange_away",
    subject="exchange",
    severity="warn",
    since_s=START_S + 9.5 * 3600,
    facts={"waiting": 60.0, "reason": "connection refused"},
)
EXCHANGE_AWAY_LOSING = replace(EXCHANGE_AWAY, id="exchange_away_losing", severity="bad")
CLOCK = Problem(
    id="clock_unknown",
    subject="",
    severity="warn",
    since_s=NOW_S - 700,
    facts={"now_s": START_S - 169 * 86_400.0 + 13 * 3600, "reason": "not synchronised"},
)
DISK = Problem(
    id="disk",
    subject="",
    severity="bad",
    since_s=NOW_S - 300,
    facts={"reason": "database or disk is full", "in_memory": 1204.0},
)
REFUSED = Problem(
    id="refused",
    subject="exchange",
    severity="warn",
    since_s=None,
    facts={
        "reason": "asset is not part of the market",
        "count": 2.0,
        "assets": "House load, PV",
    },
)


def silent() -> Now:
    """The panels' meter has been silent for three quarters of an hour."""
    sun = replace(
        NODES[0],
        power_w=None,
        stale_power_w=1979.0,
        stale_since_s=START_S + 13 * 3600 + 50 * 60,
    )
    house = replace(
        NODES[2],
        power_w=None,
        stale_power_w=1320.0,
        stale_since_s=START_S + 13 * 3600 + 50 * 60,
    )
    grid = replace(NODES[1], power_w=655.0)
    return now(
        mood="warn",
        problems=[PV_SILENT],
        nodes=[sun, grid, house, NODES[3]],
        meters_heard=2,
        today=replace(TODAY, coverage=0.94),
        accepted_until_s=START_S + 55 * 900,
        behind=["PV", "House load"],
    )


def starting() -> Now:
    """Just started, with an empty store."""
    return now(
        mood="starting",
        nodes=[replace(each, power_w=None) for each in NODES[:2]] + NODES[3:],
        today=Sums(),
        yesterday_by_now=Sums(),
        peak=None,
        accepted_until_s=None,
        meters_heard=2,
        first_slot_s=START_S + 59 * 900,
    )


def empty() -> Now:
    """A site without meters."""
    return now(
        nodes=[],
        today=Sums(),
        yesterday_by_now=Sums(),
        peak=None,
        accepted_until_s=None,
        meters=0,
        meters_heard=0,
    )


def thirty() -> Now:
    """A site with thirty meters and no asset."""
    nodes = [node(f"flat-{n}", f"Flat {n}", "other", 100.0 + 17 * n) for n in range(1, 30)]
    return now(nodes=[NODES[1], *nodes], meters=30, meters_heard=30, today=Sums())


# --- days -----------------------------------------------------------------------------------------


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


# --- a slot ---------------------------------------------------------------------------------------

SLOT_S = START_S + 57 * 900


def term(meter: str, direction: str, sign: int, wh: float, begin_wh: float) -> Term:
    return Term(
        meter=meter,
        serial_number="E0031003",
        direction="import" if direction == "import" else "export",
        sign=sign,
        begin_register_wh=begin_wh,
        end_register_wh=begin_wh + round(wh / 10) * 10,
        energy_wh=wh,
        beyond_register_wh=wh - round(wh / 10) * 10,
        uncertainty_wh=1.2,
        quality="measured",
        method="counter",
        doubts="",
        coverage=1.0,
        samples=90,
        expected_samples=90,
        largest_gap_s=10.0,
        clock="trusted",
        revision=0,
    )


def slot() -> SlotStory:
    chance = Random(5)
    points = [
        (SLOT_S + n * 10.0, round(1180 + 380 * sin(n / 9) + chance.uniform(-90, 90)))
        for n in range(90)
        if not 30 <= n < 52
    ]
    return SlotStory(
        asset=HOUSE,
        title="House load",
        role="house",
        zone=ZONE,
        start_s=SLOT_S,
        length_s=900,
        energy_wh=312.4,
        uncertainty_wh=2.1,
        quality="estimated",
        imported=False,
        revision=1,
        formula="grid.import - grid.export + pv.export",
        forecast_wh=298.0,
        terms=[
            term("grid", "import", 1, 2.2, 12_345_670.0),
            term("grid", "export", -1, 89.3, 4_321_000.0),
            term("pv", "export", 1, 399.5, 15_432_100.0),
        ],
        power=[
            PowerLine(
                meter="grid",
                points=points,
                register_steps_s=[SLOT_S + n * 100.0 for n in range(9)],
                gaps=[Gap(since_s=SLOT_S + 290.0, until_s=SLOT_S + 520.0)],
            )
        ],
        beside=Sums(sun_wh=401.0, from_grid_wh=2.2, to_grid_wh=89.3, coverage=1.0),
        deliveries=[
            Delivery(
                destination="exchange",
                kind="measurement",
                revision=0,
                energy_wh=309.9,
                state="accepted",
                attempts=1,
                first_sent_s=SLOT_S + 901.2,
                decided_s=SLOT_S + 901.6,
                answer="200 OK: 1 measurement stored",
                reason="",
                confirmed_s=SLOT_S + 1860.0,
                held_wh=309.9,
            ),
            Delivery(
                destination="exchange",
                kind="measurement",
                revision=1,
                energy_wh=312.4,
                state="pending",
                attempts=2,
                first_sent_s=SLOT_S + 2500.0,
                decided_s=None,
                answer="",
                reason="503 Service Unavailable",
                confirmed_s=None,
                held_wh=None,
            ),
        ],
        events=[
            EventLine(
                id=7,
                at_s=SLOT_S + 520.0,
                meter="grid",
                kind="gap",
                text="silent for 230 s (no reply in 1 s)",
                slot_s=SLOT_S,
                day=DAY,
            )
        ],
        earlier_s=SLOT_S - 900,
        later_s=None,
    )


# --- meters, exchange, events ---------------------------------------------------------------------


def meter(name: str, about: Node, **changes: object) -> MeterNow:
    made = MeterNow(
        name=name,
        title=name,
        node=about,
        import_wh=12_345_678.0,
        export_wh=4_321_000.0,
        serial_number="E0031003",
        profile="dsmr/p1",
        line="serial:/dev/serial/by-id/usb-FTDI_FT232R_USB_UART-if00-port0?baud=115200",
        interval_s=10.0,
        last_success_s=NOW_S - 4,
        asleep="",
        errors_last_hour=0,
        last_error="",
        available=[1.0] * 24,
        values={"power_w": -846.0, "energy_import_wh": 12_345_678.0, "voltage_v": 231.4},
        line_carries="needs 210 of 10,000 ms per cycle, busy 2%",
    )
    return replace(made, **changes)


def meters() -> list[MeterNow]:
    pv = silent().nodes[0]
    return [
        meter("grid", NODES[1]),
        meter(
            "pv",
            replace(pv, id="pv", title="pv"),
            import_wh=4_321.0,
            export_wh=15_432_109.0,
            errors_last_hour=251,
            last_error="no reply in 1 s",
            last_success_s=pv.stale_since_s,
            available=[1.0] * 18 + [0.4, 0.0, 1.0, 0.97, 0.85, 0.0],
            profile="eastron/sdm120",
        ),
        meter(
            "heat_pump",
            replace(NODES[3], id="heat_pump"),
            export_wh=None,
            available=[None] * 6 + [1.0] * 18,
            profile="eastron/sdm630",
        ),
    ]


def meter_story() -> MeterStory:
    chance = Random(9)
    begin_s = NOW_S - 86_400
    power = []
    for n in range(288):
        at_s = begin_s + n * 300
        hour = ((at_s - START_S) / 3600) % 24
        light = max(0.0, sin(pi * (hour - 7.3) / 9.2)) if 7.3 < hour < 16.5 else 0.0
        if not 150 < n < 158:
            power.append((at_s, 420 + chance.uniform(0, 260) - light * 2400))
    return MeterStory(meter=meter("grid", NODES[1]), zone=ZONE, power=power)


def destination(**changes: object) -> DestinationNow:
    states = {}
    for back in range(7):
        row = "a" * 96
        if back == 0:
            row = "a" * 54 + "wwww" + "." * 38
        if back == 2:
            row = "a" * 30 + "r" * 3 + "a" * 20 + "l" * 4 + "a" * 39
        states[f"2026-11-{28 - back:02}"] = row
    made = DestinationNow(
        name="exchange",
        url="https://exchange.example/",
        dialect="sdk",
        state="connected",
        last_success_s=NOW_S - 128,
        last_error="",
        next_try_s=None,
        waiting=4,
        accept_by_s=START_S + 14.75 * 3600,
        confirmed=2580,
        disagreements=0,
        disputed=0,
        read_back="ok",
        verdicts="on",
        assets=[
            ExchangeAsset(
                asset=HOUSE,
                title="House load",
                accepted_until_s=START_S + 58 * 900,
                waiting=0,
                states=states,
            ),
            ExchangeAsset(
                asset=SUN,
                title="PV",
                accepted_until_s=START_S + 55 * 900,
                waiting=3,
                states=states,
            ),
        ],
        refused=[
            RefusedSlot(
                destination="exchange",
                asset=HOUSE,
                title="House load",
                start_s=START_S - 2 * 86_400 + 30 * 900,
                state="rejected",
                reason="asset is not part of the market",
            )
        ],
    )
    return replace(made, **changes)


def exchange() -> ExchangeNow:
    return ExchangeNow(zone=ZONE, destinations=[destination()])


def events() -> Events:
    kinds = ("gap", "glitch", "swap", "rollover", "reset", "clock")
    lines = [
        EventLine(
            id=90 - n,
            at_s=NOW_S - n * 11_000.0,
            meter=("grid", "pv", "")[n % 3],
            kind=kinds[n % 6],
            text="silent since 12:57:50Z (no reply in 1 s)",
            energy_wh=312.0 if n % 4 == 0 else None,
            slot_s=None,
        )
        for n in range(14)
    ]
    return Events(zone=ZONE, events=lines, meters=["grid", "pv"], older=76)
