"""What questions have to know of a site, and its days. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from uuid import UUID

import msgspec

from gateway.history.refusals import NotThere, Unclear
from gateway.history.roles import Roles, roles_of
from gateway.outbox.item import EXCHANGE
from gateway.site.devices import Device
from gateway.site.settings import Asset, Settings

OLDEST, NEWEST = date(2000, 1, 1), date(2199, 12, 31)
"""There was no smart meter before the first, and arithmetic with dates ends a while after the
last.
"""
MAX_TEXT = 64
"""Of what somebody asked for, so much is repeated in a refusal."""


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """A site."""

    zone: str
    clocks: tzinfo
    slot_s: int
    assets: Mapping[UUID, Asset]
    devices: Mapping[str, Device]
    roles: Roles
    destinations: tuple[str, ...]
    """The exchange first."""

    def asset(self, text: str) -> Asset:
        """By its UUID or its name. Raises NotThere."""
        for asset in self.assets.values():
            if text in (str(asset.uuid), asset.name):
                return asset
        known = ", ".join(asset.name for asset in self.assets.values()) or "none"
        raise NotThere(f"there is no asset {shown(text)}; there are: {known}")

    def device(self, name: str) -> Device:
        """By its name. Raises NotThere."""
        if name not in self.devices:
            known = ", ".join(self.devices) or "none"
            raise NotThere(f"there is no meter {shown(name)}; there are: {known}")
        return self.devices[name]

    def span(self, day: date) -> tuple[int, int]:
        """From the first slot that starts on a local day to the first one that does not."""
        return self._first_slot(day), self._first_slot(day + timedelta(days=1))

    def month_span(self, month: date) -> tuple[int, int]:
        """The same of the month of a day."""
        first = month.replace(day=1)
        return self._first_slot(first), self._first_slot(next_month(first))

    def days(self, since_s: int, until_s: int) -> Iterator[date]:
        """The local days in which slots of a time start."""
        if until_s <= since_s:
            return
        day, last = self.day_of(since_s), self.day_of(until_s - 1)
        while day <= last:
            yield day
            day += timedelta(days=1)

    def day_of(self, at_s: float) -> date:
        """The local day of a moment."""
        return datetime.fromtimestamp(at_s, UTC).astimezone(self.clocks).date()

    def spoken(self, start_s: int) -> str:
        """When a slot starts, for a person and for a program."""
        local = datetime.fromtimestamp(start_s, UTC).astimezone(self.clocks)
        return f"{local:%Y-%m-%d %H:%M:%S %z} ({start_s})"

    def yesterday_s(self, at_s: float) -> float:
        """The same time by the clock on the wall, a day earlier."""
        local = datetime.fromtimestamp(at_s, UTC).astimezone(self.clocks)
        return (local - timedelta(days=1)).timestamp()

    def _first_slot(self, day: date) -> int:
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.clocks)
        return -(-int(midnight.timestamp()) // self.slot_s) * self.slot_s


def home_of(settings: Settings) -> Home:
    """What there is to know of a site."""
    names = sorted(settings.destinations, key=lambda name: name != EXCHANGE)
    return Home(
        zone=str(settings.timezone.name),  # JSON knows plain text only
        clocks=settings.timezone.zone,
        slot_s=int(settings.market.slot),
        assets={asset.uuid: asset for asset in settings.assets},
        devices={device.name: device for device in settings.devices},
        roles=roles_of(settings),
        destinations=tuple(names),
    )


def day_from(text: str) -> date:
    """Of `2026-11-28`. Raises Unclear, or NotThere where nothing can be kept of it."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise Unclear(f"{shown(text)} is not a day; write it like 2026-11-28")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise NotThere(f"there is no day {text} in the calendar") from None
    if not OLDEST <= day <= NEWEST:
        raise NotThere(f"nothing is kept of {text}")
    return day


def month_from(text: str) -> date:
    """The first day of `2026-11`. Raises as `day_from`."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        raise Unclear(f"{shown(text)} is not a month; write it like 2026-11")
    return day_from(f"{text}-01")


def next_month(first: date) -> date:
    """The first day of the month after that of a day."""
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1)


def shown(text: str) -> str:
    """What somebody wrote, in quotes, and no more of it than a person reads."""
    return repr(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")
