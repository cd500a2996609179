"""What single values of a settings file may be: leaf types that say how they are written."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.strict_yaml import Seconds


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
