"""A home on an ordinary day in November, at 14:32, and on worse ones: what is now."""

from msgspec.structs import replace

from gateway.history.answers import (
    Node,
    Now,
    Peak,
    Problem,
    Role,
    Sums,
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
