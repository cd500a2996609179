"""The configuration folder → frozen settings, or every mistake at once with file, line and key.

<folder>/gateway.yaml            the site, its market, exchange, assets <folder>/devices/<name>.yaml
one file per meter; the file's name is the meter's name <folder>/hardware_profiles/      (optional)
profiles of this site, looked up before the shipped ones <folder>/<name>.key              (optional)
mode 0600: `encryption_key:` and more of a meter that encrypts <folder>/exchange.credentials    mode
0600: `username:` and `password:`; or a systemd credential of that name
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from msgspec import Meta

from drivers.line import LineUrl
from drivers.profile import (
    DeviceAddress,
    Profile,
    ProfileError,
    load_profile,
    profile_ids,
    shipped_folder,
)
from drivers.strict_yaml import Document, Problem, Seconds, decode, json_schema, nearest, parse
from gateway.energy.assets import Formula
from gateway.energy.forecast import Forecast
from gateway.outbox.dialects import dialect_names
from gateway.outbox.owed import offset_s
from gateway.site.credentials import (
    ConfigError,
    Credentials,
    read_credentials,
    read_device_credentials,
)

DEFAULT_FOLDER = Path("/etc/meter-gateway")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market's time grid."""

    slot: Annotated[SlotLength, Meta(description="length of a market slot")] = field(
        default_factory=lambda: SlotLength(900)
    )
    max_gap: Annotated[
        Seconds,
        Meta(
            description="energy of a longer silence is stated as unallocated, not placed in slots"
        ),
    ] = field(default_factory=lambda: Seconds(7200))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Where slots are delivered to."""

    dialect: DialectName
    url: HttpUrl = field(default_factory=lambda: HttpUrl("https://gsyweb.gridsingularity.com"))
    canary_network: Annotated[UUID, Meta(description="UUID of the canary (test) network")]
    credentials: Annotated[
        str,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name"
        ),
    ]
    forecast: Annotated[Forecast, Meta(description="what the next slot is expected to be")] = (
        "last_slot"
    )
    margin: Annotated[
        Seconds, Meta(description="time kept from every slot's edge, for clocks that differ")
    ] = field(default_factory=lambda: Seconds(1))
    timeout: Annotated[Seconds, Meta(description="how long the exchange may take to answer")] = (
        field(default_factory=lambda: Seconds(10))
    )
    settlement: Annotated[
        Seconds,
        Meta(
            description="how long after a slot's end the exchange settles; such slots go before "
            "older ones"
        ),
    ] = field(default_factory=lambda: Seconds(3600))
    spread: Annotated[
        Seconds | None,
        Meta(
            description="sites start their uploads spread over this part of each slot, by their "
            "names (default: a thirtieth of the slot)"
        ),
    ] = None

    def quiet_s(self, site: str, slot_s: int) -> float:
        """The time from each slot's begin in which that site sends nothing: its place in the
        spread, and the margin that all keep.
        """
        # Slots of seconds are for trying things out, and nobody wants to wait then.
        usual_s = slot_s / 30 if slot_s >= 60 else 0.0
        spread_s = usual_s if self.spread is None else self.spread
        return self.margin + offset_s(site, spread_s) if spread_s else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One asset of the exchange and what it is the sum of."""

    name: Annotated[str, Meta(min_length=1, description="its name, as the exchange shows it")]
    uuid: Annotated[UUID, Meta(description="its UUID in the exchange")]
    kind: Annotated[
        Literal["load", "pv", "storage", "smart_meter", "heat_pump"], Meta(description="what it is")
    ]
    energy: Formula


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSettings:
    """The local store and its limits."""

    path: Annotated[str, Meta(description="the SQLite file")] = (
        "/var/lib/meter-gateway/buffer.sqlite"
    )
    flush: Annotated[Seconds, Meta(description="samples are on disk after at most this long")] = (
        field(default_factory=lambda: Seconds(60))
    )
    keep_samples: Seconds = field(default_factory=lambda: Seconds(30 * 86400))
    keep_slots: Seconds = field(default_factory=lambda: Seconds(400 * 86400))
    max_size: Annotated[
        ByteSize, Meta(description="samples are thinned when the file would grow beyond this")
    ] = field(default_factory=lambda: ByteSize(2 * 10**9))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSettings:
    """Where the status page listens."""

    host: Annotated[
        str, Meta(description="127.0.0.1 is this machine only; 0.0.0.0 the whole network")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 picks a free one")] = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """A broker that is told samples, slots and status."""

    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    tls: Annotated[bool, Meta(description="encrypt and verify the broker's certificate")] = True
    ca_file: Annotated[
        str | None,
        Meta(description="PEM file of the authority that signed the broker's certificate"),
    ] = None
    credentials: Annotated[
        str | None, Meta(description="file with username and password, mode 0600")
    ] = None
    topic: Annotated[
        str,
        Meta(
            pattern=r"^[^#+\x00]+$",
            description="first part of every topic; the site's name follows",
        ),
    ] = "meter-gateway"
    samples: Annotated[Seconds, Meta(description="at most one sample per meter in this time")] = (
        field(default_factory=lambda: Seconds(60))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """When the clock of this machine is believed."""

    trust: Annotated[
        Literal["kernel", "assured"],
        Meta(
            description="kernel: once the kernel says it is synchronised; assured: the operator "
            "answers for it"
        ),
    ] = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFile:
    """`gateway.yaml`."""

    site: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="the name of this site",
        ),
    ]
    market: Market = field(default_factory=Market)
    exchange: Exchange | None = None
    assets: list[Asset] = field(default_factory=list)
    buffer: BufferSettings = field(default_factory=BufferSettings)
    status: StatusSettings = field(default_factory=StatusSettings)
    mqtt: MqttSettings | None = None
    clock: ClockSettings = field(default_factory=ClockSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """`devices/<name>.yaml`: one meter of this site."""

    profile: Annotated[
        str, Meta(description="what the meter is: maker/model of hardware_profiles/")
    ]
    line: LineUrl
    address: Annotated[int, Meta(ge=1, le=247, description="Modbus address on its line")] = 1
    interval: Annotated[Seconds, Meta(description="time between samples")] = field(
        default_factory=lambda: Seconds(10)
    )
    invert: Annotated[
        bool, Meta(description="true where the meter is wired the other way round")
    ] = False
    max_power: (
        Annotated[float, Meta(gt=0, description="the main fuse, in W; more is a glitch")] | None
    ) = None
    timeout: Annotated[
        Seconds | None, Meta(description="how long the meter may take to answer")
    ] = None
    check_against: Annotated[
        str | None, Meta(description="another meter that measures the same; the deviation is shown")
    ] = None
    key: Annotated[
        str | None,
        Meta(
            description="of an encrypted meter: file with its encryption_key, mode 0600, or a "
            "systemd credential of that name"
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A meter of this site, with its profile."""

    name: str
    file: str
    profile: Profile
    line: LineUrl
    address: int
    interval_s: float
    invert: bool
    max_power_w: float
    timeout_s: float | None
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    check_against: str | None = None
    """The meter that measures the same."""

    @property
    def on_line(self) -> DeviceAddress:
        """What its driver must know of it."""
        return DeviceAddress(
            name=self.name,
            address=self.address,
            timeout_s=self.timeout_s,
            credentials=self.credentials,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the daemon is told. `buffer_path` is absolute."""

    folder: Path
    site: str
    market: Market
    exchange: Exchange | None
    assets: tuple[Asset, ...]
    devices: tuple[Device, ...]
    buffer: BufferSettings
    buffer_path: Path
    status: StatusSettings
    mqtt: MqttSettings | None
    clock: ClockSettings

    def credentials(self, name: str) -> Credentials:
        """The login in that credential file, read now (it may have been changed). Raises
        ConfigError.
        """
        login, problems = read_credentials(self.folder, name)
        if login is None:
            raise ConfigError(problems)
        return login


def schema(kind: Literal["gateway", "device"]) -> dict[str, Any]:
    """The JSON Schema of `gateway.yaml` or of a device file."""
    return json_schema(
        *(
            (GatewayFile, "gateway.yaml")
            if kind == "gateway"
            else (DeviceFile, "devices/<name>.yaml")
        )
    )


def load(folder: Path, *, logins: bool = True) -> Settings:
    """The settings of a configuration folder. Raises ConfigError with every problem of every file.

    Without `logins` the credential files are not looked at: commands that only read need none, and
    whoever runs them may not see them.
    """
    documents: list[Document] = []
    document = _read(folder / "gateway.yaml", documents)
    gateway = decode(GatewayFile, document)
    devices = [
        d
        for path in sorted((folder / "devices").glob("*.yaml"))
        if (d := _device(folder, path, documents, logins))
    ]
    names = {path.stem for path in (folder / "devices").glob("*.yaml")}
    if not names and folder.is_dir():
        document.problems.append(
            Problem(
                str(folder / "devices"),
                0,
                "",
                "there is no meter",
                "write one file per meter into this folder",
            )
        )
    if (folder / "devices").is_dir():
        for path in sorted((folder / "devices").iterdir()):
            if path.suffix == ".yml":
                document.report((), f"{path} is not read", f"rename it to {path.stem}.yaml")
    _check_lines(devices, documents)
    if gateway is not None:
        _check_gateway(folder, gateway, devices, names, document)
    elif isinstance(document.data, dict):
        _check_formula_names(document, names)
    for login in _logins(document.data) if logins else ():
        document.problems.extend(read_credentials(folder, login)[1])
    problems = sorted(problem for d in documents for problem in d.problems)
    if problems or gateway is None:
        raise ConfigError(problems)
    return Settings(
        folder=folder,
        site=gateway.site,
        market=gateway.market,
        exchange=gateway.exchange,
        assets=tuple(gateway.assets),
        devices=tuple(devices),
        buffer=gateway.buffer,
        buffer_path=(folder / gateway.buffer.path).absolute(),
        status=gateway.status,
        mqtt=replace(gateway.mqtt, ca_file=str(folder / gateway.mqtt.ca_file))
        if gateway.mqtt and gateway.mqtt.ca_file
        else gateway.mqtt,
        clock=gateway.clock,
    )


def load_device(folder: Path, name: str) -> Device:
    """One meter of the site, whatever else is wrong with the configuration. Raises ConfigError."""
    path = folder / "devices" / f"{name}.yaml"
    names = [found.stem for found in path.parent.glob("*.yaml")]
    if name not in names:
        raise ConfigError(
            [Problem(str(path.parent), 0, "", f"there is no meter {name!r}", nearest(name, names))]
        )
    documents: list[Document] = []
    device = _device(folder, path, documents, logins=True)
    if device is None or documents[0].problems:
        raise ConfigError(documents[0].problems)
    return device


def _read(path: Path, documents: list[Document]) -> Document:
    try:
        document = parse(path.read_bytes(), str(path))
    except OSError as error:
        document = Document(str(path))
        hint = (
            "give --config the folder that holds it"
            if path.name == "gateway.yaml"
            else "check the file's owner and mode"
        )
        document.problems.append(
            Problem(str(path), 0, "", f"cannot be read: {error.strerror}", hint)
        )
    documents.append(document)
    return document


def _device(folder: Path, path: Path, documents: list[Document], logins: bool) -> Device | None:
    document = _read(path, documents)
    name = path.stem
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        document.report(
            (),
            f"{name!r} cannot be a meter's name",
            "use letters, digits, - and _ in the file's name, beginning with a letter",
        )
    file = decode(DeviceFile, document)
    profile = _profile(folder, document)
    if file is None or profile is None:
        return None
    if file.interval < profile.min_interval_s:
        hint = f"{profile.id} gives a new value every {profile.min_interval_s:g} s"
        document.report(("interval",), f"{file.interval:g} s is too short", hint)
    others = sorted(other.stem for other in path.parent.glob("*.yaml") if other != path)
    if file.check_against is not None and file.check_against not in others:
        hint = nearest(file.check_against, others) if others else "there is no other meter"
        document.report(("check_against",), f"there is no other meter {file.check_against!r}", hint)
    credentials: Mapping[str, str] = {}
    if file.key is not None and not profile.credentials:
        document.report(("key",), f"{profile.id} is not encrypted", "remove this key")
    elif file.key is not None and logins:
        credentials, problems = read_device_credentials(folder, file.key, profile)
        document.problems.extend(problems)
    return Device(
        name=name,
        file=str(path),
        profile=profile,
        line=file.line,
        address=file.address,
        interval_s=file.interval,
        invert=file.invert,
        max_power_w=file.max_power or profile.max_power_w,
        timeout_s=file.timeout,
        credentials=credentials,
        check_against=file.check_against,
    )


def profile_folders(folder: Path) -> tuple[Path, ...]:
    """Where profiles are looked up, first one first."""
    return (folder / "hardware_profiles", shipped_folder())


def _profile(folder: Path, document: Document) -> Profile | None:
    profile_id = document.data.get("profile") if isinstance(document.data, dict) else None
    if not isinstance(profile_id, str):
        return None
    try:
        return load_profile(profile_id, *profile_folders(folder))
    except ProfileError as error:
        if profile_id in profile_ids(*profile_folders(folder)):
            document.problems.extend(error.problems)
        else:
            problem = error.problems[0]
            document.report(("profile",), problem.message, problem.hint)
        return None


def _check_lines(devices: list[Device], documents: list[Document]) -> None:
    by_file = {document.file: document for document in documents}
    seen: dict[tuple[str, int], list[Device]] = {}
    owners: dict[str, Device] = {}
    for device in devices:
        document = by_file[device.file]
        first = owners.setdefault(device.line.key, device)
        if first.line.scheme != device.line.scheme:
            document.report(
                ("line",),
                f"{first.name} has this endpoint as {first.line.scheme}:",
                "write both alike",
            )
        elif (
            first is not device
            and device.profile.protocol == first.profile.protocol
            and device.profile.bus is None
        ):
            document.report(
                ("line",),
                f"{first.name} already has this line",
                "only Modbus meters take turns on a line",
            )
        elif first is not device and (
            device.profile.bus is None or device.profile.bus != first.profile.bus
        ):
            hint = (
                f"{first.name} speaks {first.profile.protocol}, this one "
                f"{device.profile.protocol}: they need a line each"
            )
            document.report(("line",), "two protocols on one line", hint)
        elif device.profile.bus is not None:
            others = seen.setdefault((device.line.key, device.address), [])
            twin = next(
                (other for other in others if not _are_parts_of_one(other.profile, device.profile)),
                None,
            )
            if twin is not None:
                hint = "give one of the meters another address, on the meter and here"
                document.report(
                    ("address",),
                    f"{twin.name} already has address {device.address} on this line",
                    hint,
                )
            others.append(device)


def _are_parts_of_one(one: Profile, other: Profile) -> bool:
    """Whether the two are different parts of one device, which has one address: an inverter, and
    the meter behind it.
    """
    return one.device == other.device and one.id != other.id


def _logins(data: object) -> list[str]:
    """The credential files that `gateway.yaml` names, also where the rest of it has mistakes of its
    own.
    """
    sections = [data.get(name) for name in ("exchange", "mqtt")] if isinstance(data, dict) else []
    named = [section.get("credentials") for section in sections if isinstance(section, dict)]
    return [name for name in named if isinstance(name, str)]


def _check_gateway(
    folder: Path, gateway: GatewayFile, devices: list[Device], names: set[str], document: Document
) -> None:
    known = {device.name: device for device in devices}
    for device in devices:
        if device.interval_s > gateway.market.slot / 2:
            document.report(
                ("market", "slot"),
                f"{device.name} is read every {device.interval_s:g} s",
                "a slot needs at least two samples of every meter",
            )
    if gateway.market.max_gap < gateway.market.slot:
        document.report(
            ("market", "max_gap"), "is shorter than a slot", f"at least {gateway.market.slot} s"
        )
    for key in ("name", "uuid"):
        for value, count in Counter(str(getattr(asset, key)) for asset in gateway.assets).items():
            if count > 1:
                at = max(
                    i for i, asset in enumerate(gateway.assets) if str(getattr(asset, key)) == value
                )
                document.report(
                    ("assets", at, key),
                    f"{value} is there {count} times",
                    f"every asset has its own {key}",
                )
    for i, asset in enumerate(gateway.assets):
        for device_name in sorted(asset.energy.devices - names):
            document.report(
                ("assets", i, "energy"),
                f"there is no meter {device_name!r}",
                nearest(device_name, names),
            )
        for term in asset.energy.terms:
            device_known = known.get(term.device)
            quantity = (
                "energy_export_wh"
                if (term.direction == "export") != (device_known and device_known.invert)
                else "energy_import_wh"
            )
            if device_known and quantity not in device_known.profile.quantities:
                hint = (
                    f"{device_known.profile.id} has no {quantity}; if the meter is wired the "
                    "other way round, say invert: true"
                )
                document.report(
                    ("assets", i, "energy"),
                    f"{term.device} does not measure {term.direction}",
                    hint,
                )
    if gateway.exchange is not None:
        if not gateway.assets:
            document.report(
                ("exchange",),
                "there is no asset to deliver",
                "add assets: with name, uuid, kind and energy",
            )
        if gateway.exchange.margin > gateway.market.slot / 4:
            document.report(
                ("exchange", "margin"),
                "leaves no time to deliver",
                f"at most a quarter of the slot, {gateway.market.slot / 4:g}s",
            )
        if (
            gateway.exchange.spread is not None
            and gateway.exchange.spread > gateway.market.slot / 3
        ):
            hint = f"at most a third of the slot, {gateway.market.slot / 3:g}s"
            document.report(("exchange", "spread"), "leaves too little time to deliver", hint)
    if (
        gateway.mqtt is not None
        and gateway.mqtt.ca_file is not None
        and not (folder / gateway.mqtt.ca_file).is_file()
    ):
        document.report(
            ("mqtt", "ca_file"),
            f"there is no file {folder / gateway.mqtt.ca_file}",
            "copy the authority's PEM file there",
        )


def _check_formula_names(document: Document, names: set[str]) -> None:
    """Names in formulas, also where the rest of the file has mistakes of its own."""
    assets = document.data.get("assets") if isinstance(document.data, dict) else None
    for i, asset in enumerate(assets if isinstance(assets, list) else []):
        try:
            formula = Formula.parse(asset.get("energy")) if isinstance(asset, dict) else None
        except ValueError:
            continue  # reported where it was decoded
        for device_name in sorted((formula.devices if formula else frozenset()) - names):
            document.report(
                ("assets", i, "energy"),
                f"there is no meter {device_name!r}",
                nearest(device_name, names),
            )


def lines_of(devices: Iterable[Device]) -> dict[str, list[Device]]:
    """Meters by the line they take turns on."""
    lines: dict[str, list[Device]] = {}
    for device in devices:
        lines.setdefault(device.line.key, []).append(device)
    return lines
