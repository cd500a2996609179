"""`exchange:` of `fleet.yaml`: the exchange to which the fleet delivers for its homes. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from drivers.strict_yaml import Mistake, Seconds
from gateway.delivery.exchange.url import HOSTED_URL, CanaryNetwork, ExchangeUrl, HttpUrl
from gateway.delivery.kinds.exchange import (
    LEAST_LEADS,
    LEAST_TO_ANSWER_S,
    TICKS_TO_ANSWER,
    OnOff,
)
from gateway.outbox.format import Margins
from gateway.site.values import SlotLength

TICK_S = 15.0
"""Of the exchange's engine by its default; its clock may be ahead by less than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """One login for all homes whose gateways leave their deliveries to the fleet. The dialect is
    `sdk`: no other has aggregators.
    """

    url: ExchangeUrl = field(default_factory=lambda: HttpUrl(HOSTED_URL))
    canary_network: CanaryNetwork
    credentials: Annotated[
        str,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name",
            examples=["fleet-exchange.credentials"],
        ),
    ]
    aggregator: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="name of the aggregator that acts for all assets there; it is found by its "
            "name, or made",
            examples=["community"],
        ),
    ] = "fleet"
    slot: Annotated[
        SlotLength, Meta(description="length of the exchange's slots", examples=["15min"])
    ] = field(default_factory=lambda: SlotLength(900))
    margin: Annotated[
        Seconds,
        Meta(description="time kept after a slot's end, for clocks that differ", examples=["1s"]),
    ] = field(default_factory=lambda: Seconds(1))
    lead: Annotated[
        Seconds | None,
        Meta(
            description="time kept before a slot's begin by its forecasts, since the exchange's "
            "clock runs ahead of ours (default: 15 s, or a sixtieth of the slot where that is "
            "less)",
            examples=["15s"],
        ),
    ] = None
    tick: Annotated[
        Seconds | None,
        Meta(
            description="how often the exchange's engine looks at what came in: a verdict that is "
            "not there after two ticks does not come (default: 15 s, or a sixtieth of the slot "
            "where that is less)",
            examples=["15s"],
        ),
    ] = None
    timeout: Annotated[
        Seconds, Meta(description="how long the exchange may take to answer", examples=["10s"])
    ] = field(default_factory=lambda: Seconds(10))
    settlement: Annotated[
        Seconds,
        Meta(
            description="how long after a slot's start the exchange settles it: such slots go "
            "before older ones",
            examples=["1h"],
        ),
    ] = field(default_factory=lambda: Seconds(3600))
    verdicts: Annotated[
        OnOff,
        Meta(
            description="on: a number is accepted once the exchange's engine says so over a "
            "websocket; off: once its reply over HTTP does",
            examples=["on"],
        ),
    ] = field(default_factory=lambda: OnOff("on"))

    def check(self) -> Iterator[Mistake]:
        """Times that do not fit the slots."""
        most_s = self.slot / LEAST_LEADS
        for key, value in (("lead", self.lead), ("tick", self.tick)):
            if value is not None and value > most_s:
                hint = f"at most a sixtieth of the slot, {most_s:g}s"
                yield Mistake((key,), "is too long for such slots", hint)
        if self.margin > self.slot / 4:
            hint = f"at most a quarter of the slot, {self.slot / 4:g}s"
            yield Mistake(("margin",), "leaves no time to deliver", hint)
        if not 0 < self.timeout <= MAX_TIMEOUT_S:
            hint = f"from 1 to {MAX_TIMEOUT_S} s"
            yield Mistake(("timeout",), "is no time that anybody would wait", hint)

    @property
    def kept(self) -> Margins:
        """The time that is kept from the edges of slots."""
        lead_s = self._tick_s if self.lead is None else self.lead
        return Margins(self.margin, max(self.margin, lead_s))

    @property
    def answer_within_s(self) -> float:
        """How long a verdict may take."""
        tick_s = self._tick_s if self.tick is None else self.tick
        return max(TICKS_TO_ANSWER * tick_s, LEAST_TO_ANSWER_S)

    @property
    def hears_verdicts(self) -> bool:
        """Whether the engine's own word counts."""
        return self.verdicts == "on"

    @property
    def _tick_s(self) -> float:
        return min(TICK_S, self.slot / LEAST_LEADS)


MAX_TIMEOUT_S = 60
