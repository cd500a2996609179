"""What the installer writes, as frozen dataclasses that say what their keys mean and check
themselves.

`decode` (`drivers.strict_yaml`) sees to the type and the bounds of each key. What does not fit
together with other sections or other files is found by a section's `check`, which knows them as
`Surroundings`.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar
from uuid import UUID, uuid5

from msgspec import Meta

from drivers.net.masking import SecretsInUse, basic
from drivers.strict_yaml import Document, Mistake, Problem, Seconds, decode, nearest
from drivers.strict_yaml import Path as KeyPath
from drivers.yaml_words import found_text
from gateway.energy.assets import Formula
from gateway.energy.forecast import Method
from gateway.outbox.item import EXCHANGE
from gateway.site.credentials import ConfigError, Credentials, read_credentials
from gateway.site.devices import Device
from gateway.site.page_access import OPEN_WARNING, TOKEN_FILE, Access, ListenHost, TokenFile
from gateway.site.timezone import SiteTimezone, TimezoneName
from gateway.site.values import BrokerHost, ByteSize, SlotLength

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The home and where it is. A bare name is enough: `site: home-12`."""

    SHORTHAND: ClassVar[str] = "name"

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="the name of this site: letters, digits, dot, - and _",
            examples=["home-12"],
        ),
    ]
    timezone: Annotated[
        TimezoneName | None,
        Meta(
            description="in which its days begin and end (default: that of this machine)",
            examples=["Europe/Berlin"],
        ),
    ] = None
    title: Annotated[
        str,
        Meta(
            max_length=200,
            description="what people call it, above its page (default: its name)",
            examples=["Our house"],
        ),
    ] = ""
    language: Annotated[
        Literal["en", "de", "nl"] | None,
        Meta(
            description="in which its page speaks to everybody (default: to each in the language "
            "that the browser asks for, and English where there is none)",
            examples=["de"],
        ),
    ] = None
    contact: Annotated[
        str,
        Meta(
            max_length=500,
            description="whom to ask when something is wrong: its page of help says so",
            examples=["Ada, 0660 123456"],
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market's time grid."""

    slot: Annotated[
        SlotLength,
        Meta(
            description="length of a market slot, whole seconds that divide a day",
            examples=["15min"],
        ),
    ] = field(default_factory=lambda: SlotLength(900))
    max_gap: Annotated[
        Seconds,
        Meta(
            description="energy of a longer silence is stated as unallocated, not booked to slots",
            examples=["2h"],
        ),
    ] = field(default_factory=lambda: Seconds(7200))
    look_back: Annotated[
        Seconds | None,
        Meta(
            description="for so long after a slot's end readings still say more of where it was; "
            "at most nine tenths of a slot; 0s: not at all. Of an exchange that takes each number "
            "once (rest), it is also how long a number may wait (default: 5 min, or a third of "
            "the slot where that is less, or half of the time that an exchange takes it; where "
            "an exchange takes revisions (sdk), 30 min, or nine tenths of the slot)",
            examples=["5min"],
        ),
    ] = None

    def check(self, site: "Surroundings") -> Iterator[Mistake]:
        """What does not fit the meters."""
        for device in site.devices:
            if device.interval_s > self.slot / 2:
                message = f"{device.name} is read every {device.interval_s:g} s"
                yield Mistake(
                    ("slot",), message, "a slot needs at least two samples of every meter"
                )

        if self.max_gap < self.slot:
            yield Mistake(("max_gap",), "is shorter than a slot", f"at least {self.slot} s")

        if self.look_back is not None and self.look_back > self.slot * 0.9:
            hint = f"at most {self.slot * 0.9:g} s: the next slot is still open then"
            yield Mistake(("look_back",), "is longer than nine tenths of a slot", hint)


NO_UUID = UUID(int=0)
"""Where none is written down."""

_OF_NAMES = UUID("6f0f4f3a-2d7b-5c0e-9a35-3c1c1c0f6f55")
"""The namespace of UUIDs that are made of assets' names (RFC 9562, section 5.5)."""


def uuid_of_name(name: str) -> UUID:
    """The UUID under which an asset is kept here that is only known by its name."""
    return uuid5(_OF_NAMES, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One asset of the exchange and what it is the sum of."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            description="its name, as the exchange has it",
            examples=["House load"],
        ),
    ]
    uuid: Annotated[
        UUID,
        Meta(
            description="its UUID in the exchange (default: it is looked up there by its name)",
            examples=["26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"],
        ),
    ] = field(default_factory=lambda: NO_UUID)
    """Where it is looked up, one made of the name: under that it is kept here."""
    kind: Annotated[
        Literal["load", "pv", "storage", "smart_meter", "heat_pump"],
        Meta(description="what it is", examples=["load"]),
    ]
    delivered_as: Annotated[
        Literal["load", "pv"] | None,
        Meta(
            description="what the asset with this UUID is in the exchange, where that is not its "
            "kind: a heat pump is delivered as a load",
            examples=["load"],
        ),
    ] = None
    energy: Annotated[
        Formula,
        Meta(
            description="which directions of which meters its energy is the sum of",
            examples=["grid.import - grid.export + pv.export"],
        ),
    ]
    forecast: Annotated[
        Method | None,
        Meta(
            description="how its next slots are forecast (default: as the destination's forecast "
            "says, and auto where there is none)",
            examples=["auto"],
        ),
    ] = None

    def forecast_method(self, wanted: Sequence[Method]) -> Method:
        """How what is kept beside its slots is forecast, where destinations want it so: as it says
        itself, or else as the first that wants any.
        """
        if self.forecast is not None:
            return self.forecast
        return next((method for method in wanted if method != "none"), "none" if wanted else "auto")

    def __post_init__(self) -> None:
        """Where no UUID is written down, the same name always makes the same one."""
        if self.uuid == NO_UUID:
            object.__setattr__(self, "uuid", uuid_of_name(self.name))

    @property
    def is_by_name(self) -> bool:
        """Whether its UUID in the exchange is looked up by its name."""
        return self.uuid == uuid_of_name(self.name)

    @property
    def market_kind(self) -> str:
        """What it is in the exchange."""
        return self.delivered_as or self.kind

    def check(self, site: "Surroundings") -> Iterator[Mistake]:
        """What does not fit the meters and the other assets."""
        yield from self._check_is_unlike_others(site.assets)
        yield from unknown_meters(self.energy, site.device_names)

        yield from unmeasured(self.energy, site.devices)

    def _check_is_unlike_others(self, assets: Sequence["Asset"]) -> Iterator[Mistake]:
        """What is there several times is a mistake of the last asset that has it."""
        for key in ("name", "uuid"):
            value = getattr(self, key)
            alike = [asset for asset in assets if getattr(asset, key) == value]
            if len(alike) > 1 and alike[-1] is self:
                message = f"{value} is there {len(alike)} times"
                yield Mistake((key,), message, f"every asset has its own {key}")


def unknown_meters(formula: Formula, device_names: Iterable[str]) -> Iterator[Mistake]:
    """The meters that an asset's formula names and that have no device file."""
    known = frozenset(device_names)
    for name in sorted(formula.devices - known):
        yield Mistake(("energy",), f"there is no meter {name!r}", nearest(name, known))


def unmeasured(formula: Formula, devices: Iterable[Device]) -> Iterator[Mistake]:
    """The directions that an asset's formula names and that the meter there does not measure."""
    by_name = {device.name: device for device in devices}
    for term in formula.terms:
        device = by_name.get(term.device)
        if device is not None and not device.measures(term.direction):
            hint = (
                f"{device.profile.id} has no {device.quantity(term.direction)}; if the meter "
                "is wired the other way round, say invert: true"
            )
            message = f"{term.device} does not measure {term.direction}"
            yield Mistake(("energy",), message, hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSettings:
    """The local store and its limits."""

    path: Annotated[
        str,
        Meta(
            description="the SQLite file; a relative path begins at the configuration folder",
            examples=["/var/lib/meter-gateway/buffer.sqlite"],
        ),
    ] = "/var/lib/meter-gateway/buffer.sqlite"
    flush: Annotated[
        Seconds,
        Meta(description="samples are on disk after at most this long", examples=["60s"]),
    ] = field(default_factory=lambda: Seconds(60))
    keep_samples: Annotated[
        Seconds,
        Meta(description="samples that are older than this are deleted", examples=["30d"]),
    ] = field(default_factory=lambda: Seconds(30 * 86400))
    keep_slots: Annotated[
        Seconds,
        Meta(
            description="slots that are older than this, and delivered, are deleted",
            examples=["400d"],
        ),
    ] = field(default_factory=lambda: Seconds(400 * 86400))
    max_size: Annotated[
        ByteSize,
        Meta(
            description="samples are thinned when the file would grow beyond this",
            examples=["500MB"],
        ),
    ] = field(default_factory=lambda: ByteSize(2 * 10**9))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSettings:
    """Where the status page listens."""

    host: Annotated[
        ListenHost,
        Meta(
            description="the address it listens on: 127.0.0.1 is this machine only, 0.0.0.0 the "
            "whole network (:: for IPv6), which needs a token",
            examples=["127.0.0.1"],
        ),
    ] = field(default_factory=lambda: ListenHost("127.0.0.1"))
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="TCP port; 0 picks a free one", examples=[8080]),
    ] = 8080
    credentials: Annotated[
        str,
        Meta(
            description="file with the token that the page asks for where it listens beyond this "
            "machine, mode 0600, or a systemd credential of that name; made by meter-gateway token",
            examples=["status.credentials"],
        ),
    ] = TOKEN_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """A broker that is told samples, slots and status."""

    host: Annotated[
        BrokerHost,
        Meta(description="name or address of the broker", examples=["broker.example"]),
    ]
    port: Annotated[
        int, Meta(ge=1, le=65535, description="TCP port of the broker", examples=[8883])
    ] = 8883
    tls: Annotated[
        bool,
        Meta(description="encrypt, and verify the broker's certificate", examples=[True]),
    ] = True
    ca_file: Annotated[
        str | None,
        Meta(
            description="PEM file of the authority that signed the broker's certificate (default: "
            "the authorities this machine trusts)",
            examples=["broker-ca.pem"],
        ),
    ] = None
    credentials: Annotated[
        str | None,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name (default: no login)",
            examples=["mqtt.credentials"],
        ),
    ] = None
    topic: Annotated[
        str,
        Meta(
            pattern=r"^[^#+\x00]+$",
            description="first part of every topic, without # and +; the site's name follows",
            examples=["meter-gateway"],
        ),
    ] = "meter-gateway"
    samples: Annotated[
        Seconds,
        Meta(description="at most one sample per meter in this time", examples=["60s"]),
    ] = field(default_factory=lambda: Seconds(60))

    def check(self, site: "Surroundings") -> Iterator[Mistake]:
        """A file that is named and not there."""
        if self.ca_file is not None and not (site.folder / self.ca_file).is_file():
            message = f"there is no file {site.folder / self.ca_file}"
            yield Mistake(("ca_file",), message, "copy the authority's PEM file there")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """When the clock of this machine is believed."""

    trust: Annotated[
        Literal["kernel", "assured"],
        Meta(
            description="kernel: once the kernel says it is synchronised; assured: the operator "
            "answers for it",
            examples=["kernel"],
        ),
    ] = "kernel"


class ExchangeData(dict[str, object]):
    """`exchange:` before its kind has read it. It is short for a destination named `exchange`, of
    the kind `exchange`.
    """

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "description": "the destination named exchange, of the kind exchange",
    }

    @classmethod
    def parse(cls, raw: object) -> "ExchangeData":
        """Raises ValueError where `raw` is no mapping."""
        if not isinstance(raw, dict):
            raise ValueError(f"expected key: value pairs, found {found_text(raw)}")
        return cls(raw)


class DestinationData(dict[str, object]):
    """A destination before its kind has read it: a mapping with a `kind`."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "description": "one destination: its kind, and the keys of that kind",
        "properties": {"kind": {"type": "string", "description": "what kind of destination it is"}},
        "required": ["kind"],
    }

    @classmethod
    def parse(cls, raw: object) -> "DestinationData":
        """Raises ValueError where `raw` does not say what kind it is."""
        if not isinstance(raw, dict):
            raise ValueError("expected key: value pairs — such as kind: exchange")
        if not isinstance(raw.get("kind"), str):
            raise ValueError("key 'kind' is missing — it says what kind of destination this is")
        return cls(raw)


class GridOperatorData(dict[str, object]):
    """`grid_operator:` before its room has read it (`gateway/operator/`)."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "description": "the grid fees of an exchange's markets",
    }

    @classmethod
    def parse(cls, raw: object) -> "GridOperatorData":
        """Raises ValueError where `raw` is no mapping."""
        if not isinstance(raw, dict):
            raise ValueError(f"expected key: value pairs, found {found_text(raw)}")
        return cls(raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFile:
    """`gateway.yaml`."""

    site: Site
    market: Market = field(default_factory=Market)
    exchange: ExchangeData | None = None
    assets: list[Asset] = field(default_factory=list)
    buffer: BufferSettings = field(default_factory=BufferSettings)
    status: StatusSettings = field(default_factory=StatusSettings)
    mqtt: MqttSettings | None = None
    clock: ClockSettings = field(default_factory=ClockSettings)
    destinations: Annotated[
        dict[str, DestinationData],
        Meta(
            description="where else slots are delivered to: a section for each, by its name, with "
            "its kind and the keys of that kind",
            examples=["{backup: {kind: exchange, …}}"],
        ),
    ] = field(default_factory=dict)
    grid_operator: GridOperatorData | None = None

    def check(self, site: "Surroundings") -> Iterator[Mistake]:
        """What does not fit together, of every section that checks itself."""
        yield from _inside(("market",), self.market.check(site))

        for i, asset in enumerate(self.assets):
            yield from _inside(("assets", i), asset.check(site))

        if self.mqtt is not None:
            yield from _inside(("mqtt",), self.mqtt.check(site))

        for name in self.destinations:
            yield from _inside(("destinations", name), self._check_name(name))

    def _check_name(self, name: str) -> Iterator[Mistake]:
        """A destination's name stands in the buffer, in metrics and on the command line."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            hint = "use up to 32 small letters, digits, - and _, beginning with a letter"
            yield Mistake((), f"{name!r} cannot be a destination's name", hint)

        if name == EXCHANGE and self.exchange is not None:
            hint = "exchange: is this destination already; give one of them another name"
            yield Mistake((), "is there twice", hint)


def _inside(path: KeyPath, mistakes: Iterable[Mistake]) -> Iterator[Mistake]:
    """What a section says, as said by the file that holds it at `path`."""
    for mistake in mistakes:
        yield mistake._replace(path=(*path, *mistake.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a section of `gateway.yaml` is checked against: the sections and files beside it."""

    folder: Path
    market: Market
    assets: Sequence[Asset]
    devices: Sequence[Device]
    """The meters whose files have no mistakes."""
    device_names: frozenset[str]
    """Every meter that has a file."""
    destinations: Mapping[str, "DestinationSettings"] = field(default_factory=dict)
    """Those that have no mistakes of their own, by name."""


class DestinationSettings(Protocol):
    """What one destination is told. Its kind has a dataclass for it (`gateway/delivery/kinds/`)."""

    def check(self, site: Surroundings) -> Iterable[Mistake]:
        """What does not fit together, with key paths inside this destination's section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSection:
    """One destination as it is written. What its keys mean, only its kind knows.

    `exchange: {…}` and `destinations: {exchange: {kind: exchange, …}}` make the same section, but
    for the path.
    """

    name: str
    kind: str
    document: Document
    path: KeyPath
    data: Mapping[str, object]
    """Its keys without `kind`."""

    def decode(self, settings: type[T]) -> T | None:
        """The settings of this destination. None where there are mistakes, which are noted in the
        document with their lines.
        """
        return decode(settings, self.document, self.path, self.data)

    def report(self, mistakes: Iterable[Mistake]) -> None:
        """Note mistakes, with key paths inside this section."""
        self.document.report_all(self.path, mistakes)


DecodeDestination = Callable[[DestinationSection], DestinationSettings | None]
"""Turns a section into the settings of its kind. None where it has noted mistakes in the section's
document. It is handed in by the caller, for this room knows no kind.
"""


GRID_OPERATOR = "grid_operator"
"""The key of the grid operator's section."""


class OperatorSettings(Protocol):
    """What the grid operator's agent is told. Its room has the type (`gateway/operator/`)."""

    @property
    def credentials(self) -> str:
        """The file of its account's login."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSection:
    """`grid_operator:` as it is written."""

    document: Document
    data: Mapping[str, object]
    folder: Path
    timezone: tzinfo
    """Of the site."""
    site: Surroundings | None
    """None where the rest of the file has mistakes of its own."""

    def decode(
        self, kind: type[T], path: KeyPath = (), data: Mapping[str, object] | None = None
    ) -> T | None:
        """What the section says, or what `data` says at that path of it. None where there are
        mistakes, which are noted in the document.
        """
        found = self.data if data is None else data
        return decode(kind, self.document, (GRID_OPERATOR, *path), found)

    def report(self, mistakes: Iterable[Mistake]) -> None:
        """Note mistakes, with key paths inside this section."""
        self.document.report_all((GRID_OPERATOR,), mistakes)


DecodeOperator = Callable[[OperatorSection], OperatorSettings | None]
"""Makes of the section what the agent is told, as `DecodeDestination` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the daemon is told. `buffer_path` is absolute."""

    folder: Path
    site: str
    """Its name."""
    about: Site
    """What its page is told of it."""
    timezone: SiteTimezone
    """In which its days begin and end."""
    market: Market
    assets: tuple[Asset, ...]
    devices: tuple[Device, ...]
    buffer: BufferSettings
    buffer_path: Path
    status: StatusSettings
    mqtt: MqttSettings | None
    clock: ClockSettings
    destinations: Mapping[str, DestinationSettings]
    """By name, first the one that `exchange:` stands for; empty where the caller of `load` decodes
    none.
    """
    grid_operator: OperatorSettings | None = None
    """None where there is no such section, and where the caller of `load` decodes none."""

    borne: tuple[Problem, ...] = ()
    """Mistakes with which the daemon goes on, and warns."""
    page_access: Access | None = None
    """Who may read the status page; None where the caller of `load` does not look at logins."""
    secrets: SecretsInUse = field(default_factory=SecretsInUse, compare=False)
    """What must be shown nowhere: filled as logins are read, and by those who are given tokens."""

    def credentials(self, name: str) -> Credentials:
        """The login in that credential file, read now (it may have been changed). Raises
        ConfigError.
        """
        login, problems = read_credentials(self.folder, name)
        if login is None:
            raise ConfigError(problems)
        self.secrets.use(name, login.password, basic(login.username, login.password))
        return login

    def read_logins(self) -> None:
        """Know the secrets of the logins that this process may read, so that none is shown."""
        sections = (*self.destinations.values(), self.mqtt, self.grid_operator)
        for name in {getattr(section, "credentials", None) for section in sections}:
            with contextlib.suppress(ConfigError):
                if isinstance(name, str):
                    self.credentials(name)

    def warnings(self) -> list[str]:
        """What has to be changed, though the daemon goes on with it, in words."""
        found = [str(problem) for problem in self.borne]
        if self.page_access == "open" and self.page_token()() is None:
            found.append(OPEN_WARNING.format(host=self.status.host))
        return found

    def page_token(self) -> TokenFile:
        """The token that the status page asks for, read when it is needed."""
        return TokenFile(self.folder, self.status.credentials, self.secrets.use)
