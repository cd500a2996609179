"""How a home is: what of it a person should know. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from gateway.fleet.page.answers import SEVERITIES, Home, Judged, Severity, Trouble
from gateway.monitoring.report import CERTIFICATE_SOON_S

SILENT_SLOTS = 2
LATE_SLOTS = 3
"""From the start of its newest slot: that has closed, and two more."""
LEAST_TOLD_S = 900.0
"""A gateway says every five minutes how it is, whatever its slots are
(`gateway/delivery/fleet_delivery.py`).
"""
OWED_S = 3_600
COMPLETE = 0.99
"""So much of yesterday is enough."""
CLOCK_S = 60.0
"""A clock that is off by more puts energy into wrong slots."""
DISK_BYTES = 200 * 1024 * 1024
"""The buffer of a year has some 100 MB, and an update needs as much again."""
WEAR_BYTES = 200 * 1024 * 1024
"""A gateway writes some 50 MB a day: a card lasts for years. With four times as much it does not.
"""
CHANGED_S = 7 * 86_400

KINDS: dict[str, Severity] = {
    "silent": "bad",
    "no_data": "bad",
    "twin": "bad",
    "clash": "bad",
    "refused": "bad",
    "late": "warn",
    "owed": "warn",
    "incomplete": "warn",
    "clock": "warn",
    "disk": "warn",
    "wear": "warn",
    "certificate": "warn",
    "problem": "warn",
    "old": "note",
    "changed": "note",
    "never": "note",
}
"""What may be told of a home, the worst first."""


def judged(homes: Iterable[Home], now_s: float) -> list[Judged]:
    """All homes, and what is to be said of each."""
    some = list(homes)
    newest = newest_version(home.version for home in some)
    return [Judged(home, tuple(troubles(home, now_s, newest))) for home in some]


def troubles(home: Home, now_s: float, newest: str) -> list[Trouble]:
    """What is to be said of a home, the worst first. `newest`: the newest version in the fleet."""
    found = {*_contact(home, now_s), *_data(home, now_s), *_box(home, now_s)}
    if home.version and newest and _order(home.version) < _order(newest):
        found.add("old")
    if home.configured_s is not None and now_s - home.configured_s < CHANGED_S:
        found.add("changed")
    order = sorted(KINDS, key=lambda kind: SEVERITIES.index(KINDS[kind]))
    return [Trouble(kind, KINDS[kind]) for kind in order if kind in found]


def is_online(home: Home, now_s: float) -> bool:
    """Whether its gateway is connected: it says so, and has said something lately. A broker that
    lost its power keeps a last will to itself.
    """
    told = home.told
    within_s = max(SILENT_SLOTS * home.slot_length_s, LEAST_TOLD_S)
    return told is not None and told.online and now_s - told.at_s <= within_s


def _speaks(home: Home, now_s: float) -> bool:
    came_s = home.last_message_s
    return came_s is not None and now_s - came_s <= SILENT_SLOTS * home.slot_length_s


def _contact(home: Home, now_s: float) -> Iterator[str]:
    came_s = home.last_message_s
    if _speaks(home, now_s):
        return
    if is_online(home, now_s):
        # One that was just set up has closed no slot yet.
        if came_s is not None or now_s - home.added_s > LATE_SLOTS * home.slot_length_s:
            yield "no_data"
    elif came_s is None and home.told is None:
        yield "never"
    else:
        yield "silent"


def _data(home: Home, now_s: float) -> Iterator[str]:
    late_s = LATE_SLOTS * home.slot_length_s
    is_behind = home.last_slot_s is not None and now_s - home.last_slot_s > late_s
    if is_behind and _speaks(home, now_s):
        yield "late"
    owed_s = [home.owed_since_s, home.told.oldest_owed_s if home.told else None]
    if any(each is not None and now_s - each > OWED_S + home.slot_length_s for each in owed_s):
        yield "owed"
    if home.coverage is not None and home.coverage < COMPLETE:
        yield "incomplete"
    if home.warning:
        yield "twin"
    if home.clashes:
        yield "clash"
    if home.refused:
        yield "refused"


def _box(home: Home, now_s: float) -> Iterator[str]:
    told = home.told
    is_off = home.lag_s is not None and abs(home.lag_s) > CLOCK_S
    if is_off or (told is not None and not told.clock_trusted):
        yield "clock"
    ends_s = home.certificate_ends_s
    if ends_s is not None and ends_s - now_s < CERTIFICATE_SOON_S:
        yield "certificate"
    if told is None:
        return
    if 0 < told.disk_free_bytes < DISK_BYTES:
        yield "disk"
    if told.disk_written_per_day_bytes > WEAR_BYTES:
        yield "wear"
    if told.problems and told.mood in ("warn", "bad"):
        yield "problem"


def newest_version(versions: Iterable[str]) -> str:
    """The newest that more than one home has, or the only ones there are: one box that tries out
    what is to come makes not all others old.
    """
    counts = Counter(each for each in versions if each)
    several = [each for each, count in counts.items() if count > 1] or list(counts)
    return max(several, key=_order, default="")


def _order(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", version)[:4]]


def meter_roles(
    series: Iterable[tuple[str, str]], told: dict[str, str] | None = None
) -> dict[str, str]:
    """What each meter of a home stands for: grid, sun, battery, house or other. `series`: meters
    and their directions.

    As its gateway tells. Where that tells nothing, a meter that counts export alone is the sun's,
    and the only one that counts both ways, or the only one there is, is at the grid. Where several
    count both ways, the one called so is.
    """
    directions: dict[str, set[str]] = {}
    for meter, direction in series:
        directions.setdefault(meter, set()).add(direction)
    if told and any(meter in told for meter in directions):
        return {meter: told.get(meter, "other") for meter in directions}
    found = {meter: "sun" if ways == {"export"} else "other" for meter, ways in directions.items()}
    both = [meter for meter, ways in directions.items() if len(ways) == 2]
    named = [meter for meter in directions if re.match(r"(?i)grid|main|netz|hoofd", meter)]
    if len(directions) == 1 and "sun" not in found.values():
        return dict.fromkeys(directions, "grid")
    if len(both) == 1:
        found[both[0]] = "grid"
    elif len(named) == 1:
        found[named[0]] = "grid"
    for meter in directions:
        if found[meter] == "other" and re.match(r"(?i)pv|solar|sun|sonne|zon|panel", meter):
            found[meter] = "sun"
    return found
