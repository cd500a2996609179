"""What is to go wrong in a rehearsal with the simulated exchange, as a person writes it. Pure.

down after 5min for 10min
status 503 for 2min
live off PV after 1h
logins forgotten after 30min
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid5

from drivers.strict_yaml import Seconds, nearest
from gateway.delivery.simulated.exchange import StrictExchange
from gateway.delivery.simulated.faults import Mode

Undo = Callable[[], None]

MODES: Mapping[str, Mode] = {
    "down": "down",
    "html": "html",
    "unauthorized": "unauthorized",
    "error body": "error_body",
    "no answer": "drop_after_accept",
    "half an answer": "partial",
    "packs": "packs",
    "status": "status",
    "busy": "status",
    "slow": "slow",
}

MEANING: Mapping[str, str] = {
    "down": "every connection is dropped",
    "status CODE": "everything is answered with that status",
    "busy SECONDS": "429, and so long to wait",
    "slow SECONDS": "every answer takes so long",
    "html": "everything is answered with a web page",
    "unauthorized": "401 to everything but a login",
    "error body": "200 with an error in JSON",
    "no answer": "requests are obeyed, and the connection dropped",
    "half an answer": "the same in the middle of the answer",
    "packs": "answers are packed, and nobody asked for it",
    "websockets down": "every websocket is closed, and none opened",
    "verdicts lost": "nothing that the engine says arrives",
    "live off ASSET": "the asset's live-data switch is off",
    "logins forgotten": "every token is void at once",
    "no role": "the account may not use the interfaces",
    "made anew": "the network was made anew: every asset has another UUID",
    "tells forecasts": "reading back tells forecasts instead of measurements",
}
"""For the help page."""

_FORM = re.compile(r"(?P<what>.+?)(?: after (?P<after>\S+))?(?: for (?P<lasts>\S+))?")
_NUMBERED = re.compile(r"(?P<what>status|busy|slow) (?P<number>\d+(?:\.\d+)?)s?")
_LIVE_OFF = re.compile(r"live off (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Mishap:
    """One thing that goes wrong."""

    text: str
    what: str
    number: float
    asset: str
    after_s: float
    lasts_s: float | None

    def check(self, exchange: StrictExchange) -> None:
        """Raises ValueError where it names an asset that is not there."""
        names = [node.name for node in exchange.community.assets()]
        if self.what == "live off" and self.asset not in names:
            raise ValueError(
                f"{self.text!r}: there is no asset {self.asset!r} — {nearest(self.asset, names)}"
            )

    def apply(self, exchange: StrictExchange) -> Undo:
        """Let it happen now. Returns what ends it."""
        behaviour = exchange.behaviour
        match self.what:
            case "logins forgotten":
                exchange.revoke_tokens()
                return lambda: None
            case "no role":
                behaviour.is_permitted = False
                return lambda: setattr(behaviour, "is_permitted", True)
            case "tells forecasts":
                behaviour.tells = "forecasts"
                return lambda: setattr(behaviour, "tells", "measurements")
            case "verdicts lost":
                exchange.engine.is_mute = True
                return lambda: setattr(exchange.engine, "is_mute", False)
            case "live off":
                return _switched_off(exchange, self.asset)
            case "made anew":
                return _made_anew(exchange)
            case "websockets down":
                exchange.mode("down", where="/external-ws/")
            case "busy":
                exchange.mode("status", status=429, retry_after_s=self.number)
            case "status":
                exchange.mode("status", status=int(self.number))
            case "slow":
                exchange.mode("slow", seconds=self.number)
            case plain:
                exchange.mode(MODES[plain])
        return lambda: exchange.mode("ok")


def _switched_off(exchange: StrictExchange, name: str) -> Undo:
    nodes = [node for node in exchange.community.assets() if node.name == name]

    def switch(is_live: bool) -> None:
        for node in nodes:
            node.is_live = is_live

    switch(False)
    return lambda: switch(True)


def _made_anew(exchange: StrictExchange) -> Undo:
    before = {id(node): node.uuid for node in exchange.community.nodes()}
    for node in exchange.community.assets():
        node.uuid = uuid5(node.uuid, "made anew")
    exchange.community.controlled.clear()

    def undo() -> None:
        for node in exchange.community.nodes():
            node.uuid = before[id(node)]

    return undo


def mishap(text: str) -> Mishap:
    """Raises ValueError, which says what to write."""
    form = _FORM.fullmatch(" ".join(text.split()))
    if form is None:
        raise ValueError(f"{text!r} says nothing — write such as: down after 5min for 10min")
    after_s = Seconds.parse(form["after"]) if form["after"] else 0.0
    lasts_s = Seconds.parse(form["lasts"]) if form["lasts"] else None

    what, number, asset = form["what"], 0.0, ""
    if match := _NUMBERED.fullmatch(what):
        what, number = match["what"], float(match["number"])
    elif match := _LIVE_OFF.fullmatch(what):
        what, asset = "live off", match["name"]

    names = {" ".join(word for word in name.split() if word.islower()): name for name in MEANING}
    needs_more = what in names and names[what] != what and not (number or asset)
    if what not in names or needs_more:
        raise ValueError(f"{text!r} is nothing that can go wrong — {nearest(what, MEANING)}")
    if what == "status" and not 400 <= number <= 599:
        raise ValueError(f"{text!r}: a status is a number from 400 to 599")
    return Mishap(text, what, number, asset, after_s, lasts_s)
