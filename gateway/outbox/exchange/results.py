"""The results that the exchange offers for download. Pure.

The documentation names the files and not what is in them, so the engine's own forms are read:

- `asset_statistics.json`, a tree of names. An asset is where there is a profile:

      {"House 1": {"House load": {"load_profile_kWh": {"2026-03-29T01:00": 0.125, …}, …}}}

- a CSV file of one asset, which is named as the asset is. Its columns are `slot`, `energy traded
  [kWh]`, and `desired energy [kWh]` of a load or `produced [kWh]` of a PV (once `produced to trade
  [kWh]`).

Both hold what the exchange was told to expect, and never a measurement. Times are UTC where they
name no zone.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from gateway.outbox.held import slot_start_s, uwh_of

MAX_DEPTH = 32
MAX_SHOWN = 60
_UWH_PER_KWH = 10**9

PROFILES: Mapping[str, str] = {"load_profile_kWh": "load", "pv_production_kWh": "pv"}
"""Keys of an asset's profile, and the kind of asset that has it."""

COLUMNS: Mapping[str, str] = {
    "desired energy [kwh]": "load",
    "produced [kwh]": "pv",
    "produced to trade [kwh]": "pv",
}
"""The same as columns, in small letters."""

_LOCAL = (
    "the exchange's times are UTC: download the file once more, and open it in no spreadsheet "
    "before"
)


class Unreadable(ValueError):
    """It is none of these files. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the file holds of one asset."""

    name: str
    """Of a CSV file, as the file's name has it: small letters, digits and `-`."""
    kind: str
    """load or pv."""
    slots: Mapping[int, int]
    """µWh by start of the slot, Unix time."""
    is_zoned: bool
    """Whether its times name their zone."""


def results_in(name: str, text: str, timezone: str) -> list[Profile]:
    """The assets' profiles in a file of that name. `timezone` is the site's: where times look like
    local ones, they are refused. Raises Unreadable.
    """
    begin = text[:1024].lstrip()
    if begin.startswith("<"):
        raise Unreadable("it is a web page: the exchange wanted a login — download it once more")
    if name.lower().endswith(".csv") and not begin.startswith("{"):
        found = [_of_csv(name[:-4], text)]
    else:
        found = list(_assets(_tree(text), "", 0))
    if not found:
        raise Unreadable(
            "it has no asset's profile (load_profile_kWh or pv_production_kWh) — take "
            "asset_statistics.json from the results that the exchange offers"
        )
    for each in found:
        if not each.is_zoned and timezone != "UTC":
            _check_zone(each, timezone)
    return found


def slug(name: str) -> str:
    """A name as it is in the name of a file: small letters, digits and `-`."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


# --- asset_statistics.json ------------------------------------------------------------------------


def _tree(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise Unreadable("it ends in the middle: download it once more") from None
        raise Unreadable(
            f"line {error.lineno} is no JSON ({error.msg}): download it once more"
        ) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"it is no JSON ({str(error)[:MAX_SHOWN]})") from None


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """What comes twice would silently be lost."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    if slot_start_s(twin) is not None:
        raise Unreadable(
            f"{twin} is in it twice, as in local times when summer time ends; {_LOCAL}"
        )
    raise Unreadable(
        f"{_shown(twin)!r} is in it twice, and what is told of it cannot be told apart: rename "
        "one of the two in the exchange"
    )


def _assets(node: object, name: str, depth: int) -> Iterator[Profile]:
    if depth > MAX_DEPTH:
        raise Unreadable(f"it is nested more than {MAX_DEPTH} deep")
    if not isinstance(node, dict):
        return
    profiles = [key for key in PROFILES if isinstance(node.get(key), dict)]
    for key in profiles[:1]:
        yield _profile(name, PROFILES[key], list(node[key].items()))
    if not profiles:
        for child, below in node.items():
            yield from _assets(below, child, depth + 1)


# --- CSV ------------------------------------------------------------------------------------------


def _of_csv(stem: str, text: str) -> Profile:
    try:
        dialect = csv.Sniffer().sniff(text[:4096].splitlines()[0], delimiters=",;\t")
        rows = list(csv.reader(io.StringIO(text), dialect))
    except (csv.Error, IndexError) as error:
        raise Unreadable(f"it is no table ({error or 'it is empty'})") from None
    header = [each.strip().lower() for each in rows[0]]
    columns = [column for column in COLUMNS if column in header]
    if "slot" not in header or not columns:
        raise Unreadable(
            "it has no columns slot and desired energy [kWh] or produced [kWh] — take an asset's "
            "file, or asset_statistics.json, from the results that the exchange offers"
        )
    at, value = header.index("slot"), header.index(columns[0])
    pairs = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise Unreadable(
                f"line {line} has {len(row)} fields, and the header {len(header)}: the file ends "
                "too early, or was changed — download it once more"
            )
        pairs.append((row[at].strip(), row[value].strip()))
    return _profile(slug(stem), COLUMNS[columns[0]], pairs)


# --- both -----------------------------------------------------------------------------------------


def _profile(name: str, kind: str, pairs: Sequence[tuple[str, object]]) -> Profile:
    slots: dict[int, int] = {}
    zoned = 0
    for time, value in pairs:
        slot_s = slot_start_s(time)
        if slot_s is None:
            raise Unreadable(
                f"{_shown(name)}: {_shown(time)!r} is no time of the form 2026-03-29T01:00"
            )
        if slot_s in slots:
            raise Unreadable(
                f"{_shown(name)}: {time} is in it twice, as in local times when summer time ends; "
                f"{_LOCAL}"
            )
        uwh = uwh_of(value, _UWH_PER_KWH)
        if uwh is None and value not in (None, ""):
            raise Unreadable(f"{_shown(name)}, {time}: {_shown(str(value))!r} is no energy in kWh")
        if uwh is not None:
            slots[slot_s] = uwh
        zoned += time.endswith("Z") or "+" in time or time.count("-") > 2
    return Profile(_shown(name), kind, slots, is_zoned=zoned == len(pairs) and zoned > 0)


def _check_zone(profile: Profile, timezone: str) -> None:
    """An hour that is left out just where local times leave one out. Raises Unreadable."""
    zone = ZoneInfo(timezone)
    starts = sorted(profile.slots)
    steps = [after - before for before, after in pairwise(starts)]
    usual = min(steps, default=0)
    for before, step in zip(starts, steps, strict=False):
        if step != usual + 3600 or usual > 3600:
            continue
        # As if it were local: what lies between is not on any clock of the site.
        wall = datetime(1970, 1, 1) + timedelta(seconds=before + usual)  # noqa: DTZ001
        local = wall.replace(tzinfo=zone)
        there = datetime.fromtimestamp(local.timestamp(), zone).replace(tzinfo=None)
        if there != wall:
            raise Unreadable(
                f"{profile.name}: the hour from {wall:%Y-%m-%dT%H:%M} on is not in it, which "
                f"{timezone} leaves out when summer time begins: these are local times; {_LOCAL}"
            )


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "·" for c in text[:MAX_SHOWN])
