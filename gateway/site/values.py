"""What single values of a settings file may be: leaf types that say how they are written."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.net.addresses import is_host_name
from drivers.strict_yaml import Seconds
from drivers.yaml_words import found_text, shortened


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


class BrokerHost(str):
    """The name or address of an MQTT broker, without scheme and port. An IPv6 address may stand in
    brackets, as it does in a URL.
    """

    json_schema: ClassVar[Mapping[str, Any]] = {
        "title": "name or address",
        "description": "the name or address of a host, such as broker.example",
        "type": "string",
        "minLength": 1,
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "BrokerHost":
        """Raises ValueError where `raw` is no host alone."""
        if not isinstance(raw, str):
            raise ValueError(
                f"expected the name or address of a broker, found {found_text(raw)} — such as "
                "broker.example"
            )
        if not raw.strip():
            raise ValueError("is empty — write the broker's name or address")

        if "@" in raw:
            raise ValueError(
                "a login does not stand in the host — name a file of mode 0600 as credentials:"
            )
        scheme, slashes, rest = raw.partition("://")
        if slashes:
            hint = _without_scheme(scheme, rest)
            raise ValueError(f"{shortened(raw)} is a URL, not a host — {hint}")

        if _is_ipv6(bare := raw.removeprefix("[").removesuffix("]")):
            return cls(bare)
        host, _, port = raw.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if port.isdigit() and _is_name(host):
            hint = f"write host: {host} and port: {port}"
            raise ValueError(f"{shortened(raw)} has a port — {hint}")
        if not _is_name(raw):
            raise ValueError(
                f"{shortened(raw)} is not the name or address of a host — such as broker.example "
                "or 192.168.1.20"
            )
        return cls(raw)


def _without_scheme(scheme: str, rest: str) -> str:
    """How to write a broker's URL as keys."""
    host, _, port = rest.partition("/")[0].partition(":")
    keys = [f"host: {shortened(host)[1:-1]}"]
    if port.isdigit():
        keys.append(f"port: {port}")
    if scheme in ("mqtt", "tcp"):
        keys.append("tls: false (if it is not encrypted)")
    return f"write {', '.join(keys)}"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    """Whether it may be a host's name or IPv4 address, or an IPv6 address."""
    return is_host_name(text) or _is_ipv6(text)
