"""What single values of a settings file may be: leaf types that say how they are written."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.strict_yaml import Seconds, nearest
from gateway.outbox.dialects import dialect_names


class SlotLength(int):
    """Length of a market slot in whole seconds; it divides a day, so that slots are aligned to the
    UTC clock.
    """

    json_schema: ClassVar[Mapping[str, Any]] = Seconds.json_schema

    @classmethod
    def parse(cls, raw: object) -> "SlotLength":
        """Raises ValueError where `raw` is not a length of time that divides a day."""
        seconds = Seconds.parse(raw)
        if seconds < 5 or not seconds.is_integer() or 86400 % int(seconds):
            raise ValueError(
                f"{raw} does not divide a day into whole slots — use 15min (as exchanges do), "
                "5min, 1h or the like"
            )
        return cls(seconds)

    def as_written(self) -> str:
        """Such as `15min`."""
        return Seconds(self).as_written()


class DialectName(str):
    """The name of a dialect: a file of gateway/outbox/dialects/."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "enum": dialect_names(),
        "description": "how the exchange is spoken to",
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "DialectName":
        """Raises ValueError where there is no such dialect."""
        if raw not in dialect_names():
            raise ValueError(f"there is no dialect {raw!r} — {nearest(str(raw), dialect_names())}")
        return cls(raw)


class HttpUrl(str):
    """The base URL of an exchange, without a trailing slash. Plain http only towards this
    machine.
    """

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "format": "uri",
        "title": "URL",
        "description": "https://host of the exchange",
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "HttpUrl":
        """Raises ValueError where `raw` is not such a URL."""
        match = (
            re.fullmatch(
                r"(https?)://(\[[0-9a-fA-F:]+\]|[^/:@?#\s]+)(:[0-9]{1,5})?(/[^?#\s]*)?", raw
            )
            if isinstance(raw, str)
            else None
        )
        if match is None:
            raise ValueError(
                f"{raw!r} is not the URL of an exchange — such as "
                "https://gsyweb.gridsingularity.com"
            )
        if match[3] and not 1 <= int(match[3][1:]) <= 65535:
            raise ValueError(f"{match[3][1:]} is not a port — a number from 1 to 65535, or none")
        if (
            match[1] == "http"
            and match[2] not in ("localhost", "[::1]")
            and not match[2].startswith("127.")
        ):
            raise ValueError("plain http would send the password in clear — write https://")
        return cls(str(raw).rstrip("/"))


class ByteSize(int):
    """A number of bytes, written `500MB` or `2GB` (powers of 1000)."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "title": "number of bytes",
        "description": "a number of bytes such as 500MB or 2GB",
        "type": ["string", "integer"],
        "pattern": r"^\d+(\.\d+)?\s*(kB|MB|GB)$",
    }
    _FACTORS: ClassVar[Mapping[str, int]] = {"kB": 10**3, "MB": 10**6, "GB": 10**9}

    @classmethod
    def parse(cls, raw: object) -> "ByteSize":
        """Raises ValueError where `raw` is not a size."""
        match = (
            re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(kB|MB|GB)", raw) if isinstance(raw, str) else None
        )
        if match is None:
            raise ValueError(f"expected a size, found {raw!r} — such as 500MB or 2GB")
        return cls(float(match[1]) * cls._FACTORS[match[2]])

    def as_written(self) -> str:
        """In the largest unit of which there is at least one."""
        for unit in ("GB", "MB"):
            if self >= self._FACTORS[unit]:
                return f"{self / self._FACTORS[unit]:g}{unit}"
        return f"{self / self._FACTORS['kB']:g}kB"
