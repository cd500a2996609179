"""Where a line is, as the installer writes it: one text, parsed into a `LineUrl`. Pure."""

import ipaddress
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from drivers.net.addresses import is_host_name
from drivers.strict_yaml import nearest

MODBUS_TCP_PORT = 502
MODBUS_TLS_PORT = 802
"""Modbus/TCP Security Protocol Specification, 2018, section 3."""

MAX_SETTLE_S = 30.0

Parity = Literal["none", "even", "odd"]
Framing = Literal["rtu", "tcp"]
Scheme = Literal[
    "serial",
    "usb",
    "tcp",
    "tls",
    "rtu+tcp",
    "rtu+udp",
    "replay",
    "http",
    "https",
    "multicast",
    "mqtt",
    "mqtts",
]
LineKind = Literal["bytes", "http", "datagrams", "mqtt"]
"""What travels on a line: a stream of bytes both ways, requests and replies of HTTP, datagrams that
are sent to everybody, or what is published under a topic of MQTT.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """How a serial port is set."""

    baud: Annotated[int, Meta(ge=300, le=921600, description="bits per second")] = 9600
    parity: Annotated[Parity, Meta(description="parity bit")] = "none"
    data_bits: Annotated[Literal[7, 8], Meta(description="data bits")] = 8
    stop_bits: Annotated[Literal[1, 2], Meta(description="stop bits")] = 1

    @property
    def char_s(self) -> float:
        """Seconds one character takes on the wire, with start, parity and stop bits."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baud


_BAUDS: tuple[int, ...] = (
    300,
    600,
    1200,
    1800,
    2400,
    4800,
    9600,
    14400,
    19200,
    28800,
    38400,
    56000,
    57600,
    76800,
    115200,
    128000,
)
_BAUDS += (230400, 250000, 256000, 460800, 500000, 576000, 921600)
_PARITIES: Mapping[str, Parity] = {
    "none": "none",
    "even": "even",
    "odd": "odd",
    "N": "none",
    "E": "even",
    "O": "odd",
}
_CHOICES: Mapping[str, Mapping[str, int | str]] = {
    "baud": {str(baud): baud for baud in _BAUDS},
    "parity": _PARITIES,
    "data_bits": {"7": 7, "8": 8},
    "stop_bits": {"1": 1, "2": 2},
}
_EXAMPLES = (
    "such as serial:/dev/ttyUSB0?baud=9600, tcp:192.168.1.20:502 or rtu+tcp:192.168.1.20:4196"
)
_NETWORK: Mapping[str, tuple[str, ...]] = {
    "tcp": ("connect", "settle"),
    "rtu+tcp": ("connect", "settle"),
    "rtu+udp": (),
    "tls": ("ca", "cert", "key", "connect", "settle"),
}
"""The schemes of network lines of bytes, and the settings each may have after '?'."""

_OTHERS: Mapping[str, tuple[LineKind, int | None, tuple[str, ...]]] = {
    "http": ("http", 80, ()),
    "https": ("http", 443, ("ca",)),
    "multicast": ("datagrams", None, ("interface",)),
    "mqtt": ("mqtt", 1883, ()),
    "mqtts": ("mqtt", 8883, ("ca",)),
}
"""The schemes of other lines: what travels there, the usual port, and the settings after '?'."""

EXAMPLES: Mapping[LineKind, str] = {
    "bytes": "serial:/dev/ttyUSB0 or tcp:192.168.1.20:502",
    "http": "http://192.168.1.20",
    "datagrams": "multicast:239.12.255.254:9522",
    "mqtt": "mqtt://192.168.1.5/tele/meter/SENSOR",
}
"""A line of each kind, for messages."""

_IN_QUERY = (*_CHOICES, "connect", "ca_file", "cert_file", "key_file", "pace", "interface")
_SCHEMES = ("serial", "usb", *_NETWORK, *_OTHERS, "replay")


class LineUrl(msgspec.Struct, frozen=True):
    """Where a line is: a serial port (`serial:`, `usb:`), an endpoint (`tcp:`, `tls:`, `rtu+tcp:`,
    `rtu+udp:`, `http:`, `https:`), a multicast group (`multicast:`), a topic at an MQTT broker
    (`mqtt:`, `mqtts:`) or a recording (`replay:`).

    `target` is the device's path, the adapter's VID:PID or VID:PID:SERIAL, the host, the group, or
    the recording's file. A serial setting that is None is the profile's to say.
    """

    scheme: Scheme
    target: str
    port: int | None = None
    baud: int | None = None
    parity: Parity | None = None
    data_bits: Literal[7, 8] | None = None
    stop_bits: Literal[1, 2] | None = None
    connect: Literal["cycle"] | None = None
    """`cycle`: connect for each round of questions only, for devices that serve one client at a
    time.
    """
    settle_s: float | None = None
    """How long a new connection is left alone before the first question, in seconds."""
    ca_file: str | None = None
    """PEM file of the authority that signed the device's certificate; None: the system's
    authorities.
    """
    cert_file: str | None = None
    """PEM file of our own certificate, where the device asks for one."""
    key_file: str | None = None
    """PEM file of that certificate's key, where it is not in the same file."""
    pace: Literal["fast"] | None = None
    """`fast`: a recording is played as quickly as it is read."""
    topic: str | None = None
    """What is listened to at an MQTT broker."""
    interface: str | None = None
    """The network interface on which a multicast group is joined; None: the system's choice."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "description": "serial:/dev/…?baud=9600&parity=none|even|odd&data_bits=8&stop_bits=1, "
        "usb:VID:PID or usb:VID:PID:SERIAL with the "
        "same settings, tcp:host:502, rtu+tcp:host:port or "
        "tls:host:802?ca=FILE&cert=FILE&key=FILE (each with connect=cycle for a device that "
        "serves one client at a time, and settle=1s for one that needs time after connecting), "
        "rtu+udp:host:port, "
        "http://host or https://host?ca=FILE, multicast:group:port?interface=eth0, "
        "mqtt://broker/topic or mqtts://broker/topic?ca=FILE, replay:FILE",
        "pattern": r"^(serial:/.+|usb:[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}.*|tcp:.+|tls:.+"
        r"|rtu\+(tcp|udp):.+:[0-9]+.*|https?://.+|multicast:.+:[0-9]+.*|mqtts?://.+/.+|replay:.+)$",
        "examples": [
            "serial:/dev/serial/by-id/usb-FTDI_FT232R-if00-port0?baud=9600",
            "tcp:192.168.1.20:502",
            "rtu+tcp:192.168.1.20:4196",
        ],
    }

    @classmethod
    def parse(cls, raw: object) -> "LineUrl":
        """Raises ValueError("what is wrong — what to do") where `raw` is not a line."""
        text = raw.strip() if isinstance(raw, str) else ""
        if not text:
            raise ValueError(f"expected a line, found {raw!r} — {_EXAMPLES}")
        scheme, _, rest = text.partition(":")
        if scheme in _NETWORK and "@" in re.split(r"[/?]", rest.removeprefix("//"))[0]:
            raise ValueError("a login does not stand in a line — leave out what is before the @")
        if scheme == "serial":
            return _parse_serial(rest)
        if scheme == "usb":
            return _parse_usb(rest)
        if scheme == "replay":
            return _parse_replay(rest)
        if scheme in _NETWORK:
            return _parse_network(scheme, rest)  # type: ignore[arg-type]  # one of these
        if scheme == "multicast":
            return _parse_multicast(rest)
        if scheme in _OTHERS:
            return _parse_web(scheme, rest)  # type: ignore[arg-type]  # one of these
        raise ValueError(
            f"{text!r} does not begin with serial:, tcp: or rtu+tcp: — {_scheme_hint(text, scheme)}"
        )

    @property
    def key(self) -> str:
        """What tells lines apart: two URLs with the same key are one port or endpoint, whatever
        else they say.
        """
        if self.port is None:
            return self.target
        endpoint = f"{self.target.lower()}:{self.port}"
        return f"{endpoint}/{self.topic}" if self.topic else endpoint

    @property
    def kind(self) -> LineKind:
        """What travels on it."""
        return _OTHERS[self.scheme][0] if self.scheme in _OTHERS else "bytes"

    @property
    def is_serial(self) -> bool:
        """Whether it is a port of this machine."""
        return self.scheme in ("serial", "usb")

    @property
    def framing(self) -> Framing:
        """How Modbus frames travel on it: "rtu" with checksum, "tcp" with the MBAP header."""
        return "tcp" if self.scheme in ("tcp", "tls") else "rtu"

    def serial_settings(self, defaults: SerialSettings) -> SerialSettings:
        """The URL's own settings, and `defaults` for what it does not say."""
        own = {name: getattr(self, name) for name in _CHOICES}
        return replace(
            defaults, **{name: value for name, value in own.items() if value is not None}
        )

    def __str__(self) -> str:
        host = f"[{self.target}]" if self.port is not None and ":" in self.target else self.target
        where = host if self.port is None else f"{host}:{self.port}"
        own = {name.removesuffix("_file"): getattr(self, name) for name in _IN_QUERY}
        if self.settle_s is not None:
            own["settle"] = f"{self.settle_s:g}s"
        query = "&".join(f"{name}={value}" for name, value in own.items() if value is not None)
        if self.kind in ("http", "mqtt"):
            where = f"//{where}" + (f"/{self.topic}" if self.topic else "")
        return f"{self.scheme}:{where}" + (f"?{query}" if query else "")


def _scheme_hint(text: str, scheme: str) -> str:
    if text.startswith("/"):
        return f"write serial:{text}"
    if "." in scheme or text.rpartition(":")[2].isdigit() or scheme == "localhost":
        return (
            f"write tcp:{text} (Modbus TCP) or rtu+tcp:{text} (an RS485 adapter that passes "
            "bytes on)"
        )
    hint = nearest(scheme, _SCHEMES)
    return hint if hint.startswith("did") else _EXAMPLES


def _normal(path: str) -> str:
    """The shortest way to write a path. Raises ValueError where it ends with a blank, which would
    be lost when the line is written.
    """
    target = posixpath.normpath(path)
    if target != target.rstrip():
        raise ValueError(f"{path!r} ends with a blank — leave it out")
    return target


def _parse_serial(rest: str) -> LineUrl:
    path, question, query = rest.partition("?")
    target = _normal(path)
    if not path.startswith("/") or path.startswith("//") or target == "/":
        hint = f"write serial:/dev/{path.strip('/.').removeprefix('dev/') or 'ttyUSB0'}"
        raise ValueError(f"{path!r} is not the full path of a serial port — {hint}")
    return LineUrl("serial", target, **_serial_query(query if question else None))


def _parse_usb(rest: str) -> LineUrl:
    text, question, query = rest.partition("?")
    match = re.fullmatch(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?::([^/\s]+))?", text)
    if match is None:
        hint = (
            "vendor and product have four hexadecimal digits each, as lsusb prints them: "
            "usb:0403:6001, or usb:0403:6001:A50285BI"
        )
        raise ValueError(f"{text!r} is not VID:PID or VID:PID:SERIAL of a USB adapter — {hint}")
    vendor, product, number = match.groups()
    target = f"{vendor}:{product}".lower() + (f":{number}" if number else "")
    return LineUrl("usb", target, **_serial_query(query if question else None))


def _parse_replay(rest: str) -> LineUrl:
    path, question, query = rest.partition("?")
    if not path:
        raise ValueError(
            "replay: needs a file — such as replay:/tmp/grid.jsonl, made by: meter-gateway read "
            "DEVICE --record FILE"
        )
    if question and query != "pace=fast":
        raise ValueError(
            f"{query!r} is not a setting of a replay — the only one is pace=fast: as quickly as "
            "it is read"
        )
    return LineUrl("replay", _normal(path), pace="fast" if question else None)


def _serial_query(query: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, equals, word in _parts(query):
        if name not in _CHOICES:
            raise ValueError(
                f"{name!r} is not a setting of a serial line — {nearest(name, _CHOICES)}"
            )
        if name in found:
            raise ValueError(f"{name} appears twice — keep one of them")
        if not equals or word not in _CHOICES[name]:
            raise ValueError(
                f"{name} of a serial line cannot be {word!r} — {nearest(word, _CHOICES[name])}"
            )
        found[name] = _CHOICES[name][word]
    return found


def _network_query(scheme: str, query: str | None, known: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, _, word in _parts(query):
        if name in _CHOICES:
            raise ValueError(
                f"{name} is not said in a network line — baud is set at the adapter; leave "
                f"{name} out"
            )
        if name not in known:
            hint = nearest(name, known) if known else "it has none; leave out '?' and what follows"
            raise ValueError(f"{name!r} is not a setting of a line {scheme}: — {hint}")
        field = name if name in ("connect", "interface") else f"{name}_file"
        field = "settle_s" if name == "settle" else field
        if field in found:
            raise ValueError(f"{name} appears twice — keep one of them")
        if name == "connect" and word != "cycle":
            raise ValueError(
                f"connect cannot be {word!r} — connect=cycle connects for each round of "
                "questions only"
            )
        if name == "interface" and not re.fullmatch(r"[A-Za-z0-9_.@-]{1,15}", word):
            raise ValueError(f"{word!r} is not a network interface — such as interface=eth0")
        if field.endswith("_file") and not word.startswith("/"):
            raise ValueError(
                f"{name} is not the full path of a file — such as "
                f"{name}=/etc/meter-gateway/{name}.pem"
            )
        found[field] = _settle(word) if name == "settle" else word
    if "key_file" in found and "cert_file" not in found:
        raise ValueError(
            "key without cert — cert=FILE names the certificate that the key belongs to"
        )
    return found


def _settle(word: str) -> float:
    """Seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)(ms|s)", word)
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not 0 < seconds <= MAX_SETTLE_S:
        raise ValueError(
            f"settle cannot be {word!r} — such as settle=1s, at most {MAX_SETTLE_S:g}s: how long a "
            "new connection is left alone before the first question"
        )
    return seconds


def _parts(query: str | None) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in query.split("&")] if query is not None else []


def _parse_network(scheme: Literal["tcp", "tls", "rtu+tcp", "rtu+udp"], rest: str) -> LineUrl:
    default = {"tcp": MODBUS_TCP_PORT, "tls": MODBUS_TLS_PORT}.get(scheme)
    example = f"{scheme}:192.168.1.20:{default or 4196}"
    if rest.startswith("//"):
        raise ValueError(
            f"there are no slashes in a network line — write {scheme}:{rest.strip('/')}"
        )
    rest, question, query = rest.partition("?")
    found = _network_query(scheme, query if question else None, _NETWORK[scheme])
    host, port = _host_and_port(f"{scheme}:", rest, example)
    if port is None and default is None:
        raise ValueError(f"{scheme}: needs the adapter's port — such as {scheme}:{rest}:4196")
    return LineUrl(scheme, host, default if port is None else port, **found)


def _host_and_port(prefix: str, rest: str, example: str) -> tuple[str, int | None]:
    """`host`, `host:port`, or the same with an IPv6 address in brackets. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::([^:]*))?", rest)
    if match is None:
        bracket_hint = (
            f"IPv6 addresses go in brackets, such as {prefix}[fd00::20]:{MODBUS_TCP_PORT}"
        )
        hint = bracket_hint if rest.count(":") > 1 else f"such as {example}"
        raise ValueError(f"{rest!r} is not host:port — {hint}")
    bracketed, host, port = match.groups()
    if bracketed is not None:
        host = bracketed
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(
                f"{host!r} is not an IPv6 address — names and IPv4 addresses go without brackets"
            ) from None
    elif not is_host_name(host):
        raise ValueError(f"{host!r} is not the name or address of a host — such as {example}")
    if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port[:9]) <= 65535):
        raise ValueError(f"{port!r} is not a port — a number from 1 to 65535, such as {example}")
    return host, int(port) if port is not None else None


def _parse_web(scheme: Literal["http", "https", "mqtt", "mqtts"], rest: str) -> LineUrl:
    """`http://host` or `mqtt://host/topic`. What is wrong is told without quoting a login."""
    kind, default, known = _OTHERS[scheme]
    example = EXAMPLES[kind].replace(kind, scheme, 1)
    if not rest.startswith("//"):
        raise ValueError(f"two slashes are missing — write {scheme}://{rest.strip('/')}")
    rest, question, query = rest.removeprefix("//").partition("?")
    endpoint, slash, path = rest.partition("/")
    if "@" in endpoint:
        raise ValueError(
            "a login does not stand in a line — write it into a file of mode 0600, and name that "
            "in the device file as credentials:"
        )

    found = _network_query(scheme, query if question else None, known)
    host, port = _host_and_port(f"{scheme}://", endpoint, example)
    if kind == "http" and path:
        raise ValueError(
            f"{slash + path!r} does not belong here: which pages are asked for says the profile "
            f"— write {scheme}://{endpoint}"
        )
    if kind == "mqtt" and not re.fullmatch(r"[^+#\s\x00]+", path):
        raise ValueError(
            f"{path!r} is not the topic of one meter: no + or #, no blanks — such as {example}"
        )
    return LineUrl(scheme, host, port or default, topic=path or None, **found)


def _parse_multicast(rest: str) -> LineUrl:
    """`multicast:group:port`. Raises ValueError."""
    example = EXAMPLES["datagrams"]
    rest, question, query = rest.partition("?")
    found = _network_query("multicast", query if question else None, _OTHERS["multicast"][2])
    group, port = _host_and_port("multicast:", rest.removeprefix("//"), example)
    try:
        is_group = ipaddress.IPv4Address(group).is_multicast
    except ValueError:
        is_group = False
    if not is_group or port is None:
        raise ValueError(
            f"{rest!r} is not a group, from 224.0.0.0 to 239.255.255.255, and its port — such as "
            f"{example}"
        )
    return LineUrl("multicast", group, port, **found)
