"""The same home: a slot, its meters, its exchange and what happened."""

from math import pi, sin
from random import Random

from msgspec.structs import replace

from gateway.history.answers import (
    Delivery,
    DestinationNow,
    EventLine,
    Events,
    ExchangeAsset,
    ExchangeNow,
    Gap,
    MeterNow,
    MeterStory,
    Node,
    PowerLine,
    RefusedSlot,
    SlotStory,
    Sums,
    Term,
)
from tests.gateway.page.sample_home import DAY, HOUSE, NODES, NOW_S, START_S, SUN, ZONE, silent

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
        quality="measured" if meter != "grid" else "estimated",
        method="counter",
        doubts="",
        coverage=1.0 if meter != "grid" else 0.744,
        samples=90 if meter != "grid" else 68,
        expected_samples=90,
        largest_gap_s=10.0 if meter != "grid" else 230.0,
        clock="trusted",
        revision=0,
    )


def deliveries() -> list[Delivery]:
    return [
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
    ]


def slot() -> SlotStory:
    chance = Random(5)
    points = [
        (SLOT_S + n * 10.0, round(-350 + 380 * sin(n / 9) + chance.uniform(-90, 90)))
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
        beside=Sums(sun_wh=399.5, from_grid_wh=2.2, to_grid_wh=89.3, coverage=1.0),
        deliveries=deliveries(),
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
