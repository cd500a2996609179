"""Kind `exchange`: the energy of assets, and forecasts of it, go to an energy exchange over HTTP,
in one of the dialects of gateway/outbox/dialects/.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol
from uuid import UUID

from msgspec import Meta

from drivers.strict_yaml import Mistake, Problem, Seconds, nearest
from gateway.delivery.destination import Destination, Policy
from gateway.delivery.exchange.addresses import Addresses
from gateway.delivery.exchange.beside import Beside
from gateway.delivery.exchange.forecast_settings import (
    ForecastBias,
    ForecastPrices,
    RestSettings,
    check_forecasts,
)
from gateway.delivery.exchange.look_up import log_in as log_in_once
from gateway.delivery.exchange.look_up import look_up as look_up_once
from gateway.delivery.exchange.registrar import Registrar, Task
from gateway.delivery.exchange.transport import AddressedTransport, AddressedVerifier
from gateway.delivery.exchange.url import HOSTED_URL, CanaryNetwork, ExchangeUrl, HttpUrl
from gateway.delivery.exchange.verdicts import Verdicts
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import NO_WITNESS, Session
from gateway.delivery.http_transport import HttpTransport, HttpVerifier
from gateway.delivery.opening import Opening, upload
from gateway.delivery.uploader import Uploader
from gateway.energy.forecast import Method
from gateway.ledger.exchange_terms import exchange_terms
from gateway.outbox.dialect import Dialect, ReadsBack, TellsHistory
from gateway.outbox.dialects import dialect_names, load_dialect, rest
from gateway.outbox.exchange.batch import Dialect as BatchDialect
from gateway.outbox.exchange.registry import Node, Wanted
from gateway.outbox.fleet.change import Deliver
from gateway.outbox.format import Margins
from gateway.outbox.item import EXCHANGE, Subject
from gateway.outbox.owed import offset_s
from gateway.outbox.quantiles import Prices, Share
from gateway.site.credentials import ConfigError, Credentials
from gateway.site.settings import Asset, Surroundings
from gateway.site.settings import Settings as SiteSettings
from gateway.store.known_uuids import KnownUuids

if TYPE_CHECKING:
    from gateway.delivery.by_fleet import ByFleet
    from gateway.delivery.exchange.history import Progress, Read, Span

TAKEN_KINDS = frozenset({"load", "pv"})
"""The exchange's engine takes forecasts and measurements for these kinds of assets only. Those of
others are answered with 200, and there is never a verdict.
"""

LEAD_S = 15.0
"""A tick of the exchange's engine by its default. Its slot was seen to begin up to 5.1 s before
ours, with ticks of 10 s.
"""

LEAST_LEADS = 60
"""A slot is at least so many times as long as a lead, or a tick."""

LOGIN_WITHIN_S = 15.0

TICKS_TO_ANSWER = 2
"""The engine looks at what came in once a tick; after two its verdict should be there."""

LEAST_TO_ANSWER_S = 3.0
"""Where slots, and so ticks, are short: the way takes time, too."""


_WITH_IDS = ("sdk",)
"""Dialects whose requests carry a transaction id, by which their verdicts are known."""


_Name = Annotated[str, Meta(min_length=1, max_length=64)]


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


class OnOff(str):
    """`on` or `off`, which YAML may have read as true or false."""

    json_schema: ClassVar[Mapping[str, Any]] = {"enum": ["on", "off"]}
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "OnOff":
        """Raises ValueError where it is neither."""
        text = {True: "on", False: "off"}.get(raw, raw) if isinstance(raw, bool) else raw
        if text not in ("on", "off"):
            raise ValueError("expected on or off")
        return cls(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where slots are delivered to."""

    dialect: Annotated[
        DialectName, Meta(description="how the exchange is spoken to", examples=["sdk"])
    ]
    url: ExchangeUrl = field(default_factory=lambda: HttpUrl(HOSTED_URL))
    canary_network: CanaryNetwork
    credentials: Annotated[
        str,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name; none is needed where the fleet delivers",
            examples=["exchange.credentials"],
        ),
    ] = ""
    deliver: Annotated[
        Deliver,
        Meta(
            description="direct: this gateway speaks to the exchange; fleet: the fleet that it "
            "belongs to does, for whole slots from the next one on (sdk only)",
            examples=["direct"],
        ),
    ] = "direct"
    forecast: Annotated[
        Method,
        Meta(
            description="what the next slots are expected to be: auto learns it from each asset; "
            "an asset's own forecast says otherwise",
            examples=["auto"],
        ),
    ] = "auto"
    forecast_bias: Annotated[
        ForecastBias,
        Meta(
            description="median: as many slots are above what is forecast as below, which errs "
            "least; sums within 5 %: so that sums hold, which errs a little more; or the quantile "
            "to send, from 0.05 to 0.95 (of auto only)",
            examples=["median"],
        ),
    ] = field(default_factory=lambda: ForecastBias("median"))
    forecast_prices: Annotated[
        ForecastPrices | None,
        Meta(description="what being short or long costs: the quantile that costs least is sent"),
    ] = None
    rest: Annotated[
        RestSettings,
        Meta(description="what the dialect rest carries"),
    ] = field(default_factory=RestSettings)
    margin: Annotated[
        Seconds,
        Meta(
            description="time kept after a slot's edge, for clocks that differ; at most a "
            "quarter of the slot",
            examples=["1s"],
        ),
    ] = field(default_factory=lambda: Seconds(1))
    lead: Annotated[
        Seconds | None,
        Meta(
            description="time kept before a slot's edge by what must be there before it, since "
            "the exchange's clock runs ahead of ours; at most a sixtieth of the slot (default: "
            "15 s, or a sixtieth of the slot where that is less)",
            examples=["15s"],
        ),
    ] = None
    aggregator: Annotated[
        _Name | None,
        Meta(
            description="name of the aggregator by way of which all assets' numbers go in one "
            "request; it is found by its name, or made; sdk only (default: each asset's go by "
            "themselves)",
            examples=["home-12"],
        ),
    ] = None
    verdicts: Annotated[
        OnOff | None,
        Meta(
            description="on: a slot is accepted once the exchange's engine says so over a "
            "websocket; off: once its reply over HTTP does (default: on for sdk, off for rest, "
            "whose requests no verdict can be told apart by)",
            examples=["off"],
        ),
    ] = None
    tick: Annotated[
        Seconds | None,
        Meta(
            description="how often the exchange's engine looks at what came in; a verdict that is "
            "not there after two ticks does not come; at most a sixtieth of the slot (default: "
            "15 s, or a sixtieth of the slot where that is less)",
            examples=["15s"],
        ),
    ] = None
    timeout: Annotated[
        Seconds, Meta(description="how long the exchange may take to answer", examples=["10s"])
    ] = field(default_factory=lambda: Seconds(10))
    settlement: Annotated[
        Seconds,
        Meta(
            description="how long after a slot's start the exchange settles it; such slots go "
            "before older ones",
            examples=["1h"],
        ),
    ] = field(default_factory=lambda: Seconds(3600))
    spread: Annotated[
        Seconds | None,
        Meta(
            description="sites start their uploads spread over this part of each slot, by their "
            "names; at most a third of the slot (default: a thirtieth of the slot)",
            examples=["30s"],
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

    def kept(self, slot_s: int) -> Margins:
        """The time that is kept from the edges of slots."""
        lead_s = min(LEAD_S, slot_s / LEAST_LEADS) if self.lead is None else self.lead
        return Margins(self.margin, max(self.margin, lead_s))

    @property
    def bias(self) -> Share | Prices:
        """Which quantile of what is expected costs least."""
        prices = self.forecast_prices
        return self.forecast_bias.share if prices is None else prices.prices

    @property
    def hears_verdicts(self) -> bool:
        """Whether the engine's own word counts."""
        return self.dialect in _WITH_IDS if self.verdicts is None else self.verdicts == "on"

    def answer_within_s(self, slot_s: int) -> float:
        """How long a verdict may take."""
        tick_s = min(LEAD_S, slot_s / LEAST_LEADS) if self.tick is None else self.tick
        return max(TICKS_TO_ANSWER * tick_s, LEAST_TO_ANSWER_S)

    def check(self, site: Surroundings) -> Iterator[Mistake]:
        """What does not fit the market's slots and the assets."""
        slot_s = site.market.slot

        if not site.assets:
            hint = "add assets: with name, uuid, kind and energy"
            yield Mistake((), "there is no asset to deliver", hint)

        yield from self._check_deliverer(site)

        if self.margin > slot_s / 4:
            hint = f"at most a quarter of the slot, {slot_s / 4:g}s"
            yield Mistake(("margin",), "leaves no time to deliver", hint)

        for number, asset in enumerate(site.assets):
            if asset.market_kind not in TAKEN_KINDS:
                yield _not_taken(number, asset)

        if self.lead is not None and self.lead > slot_s / LEAST_LEADS:
            hint = f"at most a sixtieth of the slot, {slot_s / LEAST_LEADS:g}s"
            yield Mistake(("lead",), "leaves too little time to deliver", hint)

        if self.tick is not None and self.tick > slot_s / LEAST_LEADS:
            hint = f"at most a sixtieth of the slot, {slot_s / LEAST_LEADS:g}s"
            yield Mistake(("tick",), "is too long for such slots", hint)

        if self.aggregator is not None and self.dialect not in _WITH_IDS:
            message = f"the dialect {self.dialect} knows no aggregators"
            yield Mistake(("aggregator",), message, "leave it out, or write dialect: sdk")

        if self.verdicts == "on" and self.dialect not in _WITH_IDS:
            message = f"the dialect {self.dialect} has no verdicts"
            hint = "its requests carry no id by which one could be told apart: write off, or sdk"
            yield Mistake(("verdicts",), message, hint)

        yield from check_forecasts(
            self.dialect, self.rest, self.forecast_bias, self.forecast_prices
        )

        if self.spread is not None and self.spread > slot_s / 3:
            hint = f"at most a third of the slot, {slot_s / 3:g}s"
            yield Mistake(("spread",), "leaves too little time to deliver", hint)

    def _check_deliverer(self, site: Surroundings) -> Iterator[Mistake]:
        """Who delivers needs a login, or a fleet that can."""
        if self.deliver == "direct":
            if not self.credentials:
                hint = "file with username and password, such as exchange.credentials"
                yield Mistake((), "key 'credentials' is missing", hint)
            return

        if site.destinations.get(EXCHANGE) is not self:
            hint = "write deliver: direct here, or make it exchange:"
            yield Mistake(("deliver",), "the fleet delivers to one exchange only", hint)

        if not any(getattr(each, "is_fleet", False) for each in site.destinations.values()):
            hint = "add one to destinations:, of the kind fleet_mqtt, or write deliver: direct"
            yield Mistake(("deliver",), "there is no fleet that could deliver", hint)

        if self.dialect not in _WITH_IDS:
            message = f"the dialect {self.dialect} says no slot's time: only the home can speak it"
            hint = "a number that comes late would be booked to another slot: write direct, or sdk"
            yield Mistake(("deliver",), message, hint)

        for number, asset in enumerate(site.assets):
            if asset.is_by_name:
                message = f"{asset.name} has no uuid, and the fleet knows assets by that only"
                hint = "write it down: meter-gateway exchange assets shows it, or ask the manager"
                yield Mistake(("assets", number), message, hint, is_of_file=True)


def _not_taken(number: int, asset: Asset) -> Mistake:
    """An asset whose energy would vanish."""
    if asset.kind == "heat_pump":
        hint = "write delivered_as: load, and the UUID of a Load that stands for it"
    else:
        hint = (
            "make two assets of it, one with its import and delivered_as: load, one with its "
            "export and delivered_as: pv, each with the UUID of a Load or PV of the exchange"
        )
    what = asset.kind.replace("_", " ")
    message = f"the exchange takes no energy of a {what}: it answers 200, and forgets it"
    return Mistake(("assets", number, "kind"), message, hint, is_borne=True, is_of_file=True)


def settings_of(site: SiteSettings) -> Settings | None:
    """What `exchange:` says. None where it is not there."""
    found = site.destinations.get(EXCHANGE)
    return found if isinstance(found, Settings) else None


class Account(Protocol):
    """Where to log in, and as whom."""

    @property
    def url(self) -> HttpUrl:
        """Of the exchange."""

    @property
    def canary_network(self) -> UUID:
        """The network there."""

    @property
    def credentials(self) -> str:
        """The file of the login."""

    @property
    def timeout(self) -> Seconds:
        """How long the exchange may take to answer."""


def session_for_a_person(settings: Account, site: SiteSettings) -> Session:
    """A session for one look, by a command."""
    return Session(
        settings.url,
        partial(_login, settings.credentials, site),
        settings.timeout,
        secrets=site.secrets,
        now=time.time if site.clock.trust == "assured" else None,
    )


def _login(name: str, site: SiteSettings) -> Credentials:
    """Raises ConfigError."""
    if not name:
        hint = "its manager looks; or name credentials of your own in exchange:"
        what = "the fleet delivers this site's numbers, and there is no login of its own"
        raise ConfigError([Problem(str(site.folder / "gateway.yaml"), 0, "exchange", what, hint)])
    return site.credentials(name)


async def log_in(settings: Account, site: SiteSettings, within_s: float) -> str:
    """Log in once, and send nothing. Returns what is worth knowing beside that, in words. Raises
    ExchangeError, which says what is wrong and what to do.
    """
    session = session_for_a_person(settings, site)
    await log_in_once(session, within_s)
    return NO_WITNESS if session.lacks_witness else ""


async def look_up(settings: Account, site: SiteSettings) -> list[Node]:
    """The network's registry. Raises ExchangeError."""
    session = session_for_a_person(settings, site)
    return await look_up_once(session, str(settings.canary_network), LOGIN_WITHIN_S)


async def read_history(
    settings: Settings, site: SiteSettings, span: "Span", known: Mapping[UUID, UUID], on: "Progress"
) -> "Read":
    """What the exchange holds. `known` are UUIDs there that were found by name before. Raises
    ExchangeError.
    """
    from gateway.delivery.exchange.history import read_once  # of a person's command, not the daemon

    dialect = dialect_of(settings, site.market.slot)
    return await read_once(
        session_for_a_person(settings, site),
        dialect if isinstance(dialect, TellsHistory) else None,
        str(settings.canary_network),
        wanted_of(site),
        span,
        known,
        on,
    )


class ByHttp:
    """The reply to a request is all that is heard."""

    words_come = False
    is_awake = False
    is_connecting = False
    why_silent = ""
    state = "off: accepted means taken by HTTP"

    def since_s(self, subject: Subject) -> float | None:  # noqa: ARG002 — of none
        """Never."""
        return None


def wanted_of(site: SiteSettings) -> tuple[Wanted, ...]:
    """The site's assets, as the registry is asked for them."""
    return tuple(
        Wanted(asset.uuid, asset.name, asset.market_kind, asset.is_by_name) for asset in site.assets
    )


def dialect_of(settings: Settings, slot_s: int) -> Dialect:
    """How the exchange is spoken to."""
    network = str(settings.canary_network)
    if settings.aggregator is not None:
        return BatchDialect(network, slot_s)
    if settings.rest.sends == "forecast":
        return rest.ForecastDialect(network, slot_s)
    return load_dialect(settings.dialect, network, slot_s)


def open(settings: Settings, opening: Opening) -> "Destination | ByFleet":
    """The exchange that the settings name, for every asset of the site."""
    if settings.deliver == "fleet":
        return _open_by_fleet(settings, opening)
    return _open_direct(settings, opening)


def _open_by_fleet(settings: Settings, opening: Opening) -> "ByFleet":
    from gateway.delivery.by_fleet import ByFleet

    dialect = dialect_of(settings, opening.slot_s)

    def own() -> Uploader:
        return upload(_open_direct(settings, opening), opening)

    return ByFleet(
        exchange_terms(
            opening.site,
            dialect,
            opening.buffer,
            forecast=settings.forecast,
            kept=settings.kept(opening.slot_s),
            name=opening.name,
            bias=settings.bias,
        ),
        opening.buffer.outbox(opening.name),
        opening.buffer.tables.changes.handed,
        opening.shared_handover(),
        own if settings.credentials else None,
        dialect=str(settings.dialect),  # JSON knows plain text only
        url=str(settings.url),
        now=opening.now,
        trusted=opening.trusted,
    )


def _open_direct(settings: Settings, opening: Opening) -> Destination:
    site, slot_s = opening.site, opening.slot_s
    dialect = dialect_of(settings, slot_s)
    session = Session(
        settings.url,
        lambda: site.credentials(settings.credentials),
        settings.timeout,
        secrets=site.secrets,
        now=opening.now if site.clock.trust == "assured" else None,
        transport=opening.http,
    )
    beside = Beside(session)
    known = KnownUuids(opening.buffer.path, opening.name)
    addresses = _addresses(settings, site, known)
    registrar = _registrar(settings, opening, beside, addresses, known)
    verdicts = None
    if settings.hears_verdicts:
        network = str(settings.canary_network)
        verdicts = Verdicts(
            beside, network, addresses, now=opening.now, jitter=opening.jitter, known=known
        )

    kept = settings.kept(slot_s)
    terms = exchange_terms(
        site,
        dialect,
        opening.buffer,
        forecast=settings.forecast,
        kept=kept,
        name=opening.name,
        bias=settings.bias,
    )
    http = HttpTransport(session, dialect, verdicts)
    transport = AddressedTransport(http, addresses, registrar, beside)
    verifier = HttpVerifier(session, dialect) if isinstance(dialect, ReadsBack) else None
    return Destination(
        name=opening.name,
        kind=str(settings.dialect),  # JSON knows plain text only
        selects=terms.selects,
        forecast=terms.forecast,
        wishes=terms.wishes,
        format=dialect,
        transport=transport,
        policy=Policy(
            slot_s=slot_s,
            kept=kept,
            quiet_s=settings.quiet_s(site.site, slot_s),
            settlement_s=settings.settlement,
            answer_within_s=settings.answer_within_s(slot_s) if verdicts else None,
            subjects=len(site.assets),
        ),
        greets=transport,
        verifies=AddressedVerifier(verifier, addresses) if verifier else None,
        acknowledges=verdicts,
        listening=verdicts or ByHttp(),
        attends=registrar,
        name_of=opening.name_of,
    )


def _addresses(settings: Settings, site: SiteSettings, known: KnownUuids) -> Addresses:
    found = known.read() if any(asset.is_by_name for asset in site.assets) else {}
    return Addresses(
        {a.uuid: found.get(a.uuid) if a.is_by_name else a.uuid for a in site.assets},
        aggregator=settings.aggregator is not None,
    )


def _registrar(
    settings: Settings,
    opening: Opening,
    beside: Beside,
    addresses: Addresses,
    known: KnownUuids,
) -> Registrar:
    return Registrar(
        WebApi(beside, str(settings.canary_network)),
        addresses,
        Task(wanted_of(opening.site), settings.aggregator or ""),
        now=opening.now,
        jitter=opening.jitter,
        note=opening.buffer.outbox(opening.name).note,
        known=known,
    )
