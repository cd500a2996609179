"""The time zone of a site: what `site.timezone` says, or else the machine's.

Slots are on the UTC clock and need none. Days, reports and tariffs are a person's, and do.
"""

import os
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from drivers.strict_yaml import nearest

_LOCALTIME = Path("/etc/localtime")
_DEBIAN_NAME = Path("/etc/timezone")


class TimezoneName(str):
    """The name of a time zone of the IANA database, such as `Europe/Berlin`."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "title": "name of a time zone",
        "description": "a name of the IANA time zone database, such as Europe/Berlin",
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "TimezoneName":
        """Raises ValueError where this machine knows no such zone."""
        if not isinstance(raw, str):
            raise ValueError(f"expected a time zone, found {raw!r} — such as Europe/Berlin")
        if is_known(raw):
            return cls(raw)

        known = zoneinfo.available_timezones()
        if not known:
            raise ValueError(
                "this machine has no data about time zones — install the package tzdata"
            )
        raise ValueError(f"there is no time zone {raw!r} — {nearest(raw, known)}")


class SiteTimezone(NamedTuple):
    """A time zone, and where its name is from."""

    name: str
    source: str

    @property
    def zone(self) -> tzinfo:
        """Its clocks."""
        return zone_of(self.name)


def zone_of(name: str) -> tzinfo:
    """The clocks of a time zone whose data this machine has (`is_known`)."""
    return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)


def is_known(name: str) -> bool:
    """Whether this machine has the data of a time zone. UTC needs none."""
    if name == "UTC":
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def machine_timezone() -> SiteTimezone:
    """The time zone that this machine is set to."""
    return resolve(
        os.environ.get("TZ", ""),
        _link_target(_LOCALTIME),
        _first_line(_DEBIAN_NAME),
        is_known,
    )


def resolve(
    variable: str, localtime: str, debian_name: str, is_known: Callable[[str], bool]
) -> SiteTimezone:
    """The time zone of a machine from where it may be written. Empty: it is not written there.

    `variable` is `TZ`, which the C library obeys first; `localtime` what `/etc/localtime` links
    to, `debian_name` the text of `/etc/timezone`. A name without data is passed over.
    """
    linked = localtime.partition("zoneinfo/")[2].removeprefix("posix/").removeprefix("right/")
    written = (
        (variable.removeprefix(":"), "the variable TZ"),
        (linked, str(_LOCALTIME)),
        (debian_name.strip(), str(_DEBIAN_NAME)),
    )

    for name, source in written:
        if name and is_known(name):
            return SiteTimezone(name, source)
    return SiteTimezone("UTC", "no other is set on this machine")


def _link_target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(256)
    except OSError:
        return ""
