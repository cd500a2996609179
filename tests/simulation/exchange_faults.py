"""The faults of the exchange and of the way to it: a part of `faults.APPLY`."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from gateway.delivery.simulated.exchange import Mode
from tests.simulation.applying import Apply, Undo
from tests.simulation.home import ASSETS, write_credentials
from tests.simulation.network import Outage
from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from tests.simulation.world import World

AHEAD_S = 3600.0
"""The clock of an exchange that gives a date to wait for."""


def _away(outage: Outage) -> Apply:
    def apply(world: "World", _: FaultEvent) -> Undo:
        world.process.set_outage(outage)
        return partial(world.process.set_outage, "")

    return apply


def _misbehaves(mode: Mode) -> Apply:
    def apply(world: "World", _: FaultEvent) -> Undo:
        world.exchange.mode(mode)
        return partial(world.exchange.mode, "ok")

    return apply


def _exchange_slow(world: "World", event: FaultEvent) -> Undo:
    world.exchange.mode("slow", seconds=event.amount)
    return partial(world.exchange.mode, "ok")


def _exchange_status(world: "World", event: FaultEvent) -> Undo:
    world.exchange.mode("status", status=int(event.amount))
    return partial(world.exchange.mode, "ok")


def _exchange_refuses_asset(world: "World", event: FaultEvent) -> Undo:
    name = next(name for name, (_, energy) in ASSETS.items() if energy.startswith(f"{event.on}."))
    asset = world.assets[name]
    world.exchange.mode("status", status=404, where=str(asset))
    begin_ms = world.time.ms()

    def undo() -> None:
        world.exchange.mode("ok")
        refused_ms = world.fault_log.refused_ms.setdefault(name, [])
        refused_ms.append((begin_ms, world.time.ms()))

    return undo


def _exchange_busy(world: "World", event: FaultEvent) -> Undo:
    world.exchange.mode("status", status=429, retry_after_s=event.amount)
    return partial(world.exchange.mode, "ok")


def _exchange_busy_until(world: "World", event: FaultEvent) -> Undo:
    requests = world.exchange.requests
    before = requests[429]
    world.exchange.mode("status", status=429, retry_after_s=event.amount, dated_ahead_s=AHEAD_S)

    def undo() -> None:
        world.exchange.mode("ok")
        world.fault_log.felt[event.fault] += requests[429] - before

    return undo


def _exchange_packs(world: "World", event: FaultEvent) -> Undo:
    requests = world.exchange.requests
    before = requests[200]
    world.exchange.mode("packs")

    def undo() -> None:
        world.exchange.mode("ok")
        world.fault_log.felt[event.fault] += requests[200] - before

    return undo


def _exchange_forgets_logins(world: "World", _: FaultEvent) -> None:
    world.exchange.revoke_tokens()


def _password_changed(world: "World", _: FaultEvent) -> Undo:
    world.exchange.password = f"changed-{world.rng.randrange(10**6)}"
    world.exchange.revoke_tokens()
    return partial(write_credentials, world.folder, world.exchange)


EXCHANGE_FAULTS: Mapping[str, Apply] = {
    "exchange_down": _away("refused"),
    "exchange_silent": _away("no_answer"),
    "exchange_slow": _exchange_slow,
    "exchange_status": _exchange_status,
    "exchange_refuses": _exchange_status,
    "exchange_refuses_asset": _exchange_refuses_asset,
    "exchange_error_body": _misbehaves("error_body"),
    "exchange_busy": _exchange_busy,
    "exchange_busy_until": _exchange_busy_until,
    "exchange_packs": _exchange_packs,
    "exchange_html": _misbehaves("html"),
    "exchange_drops": _misbehaves("drop_after_accept"),
    "exchange_partial": _misbehaves("partial"),
    "exchange_forgets_logins": _exchange_forgets_logins,
    "exchange_unauthorized": _misbehaves("unauthorized"),
    "dns_gone": _away("name"),
    "wrong_certificate": _away("certificate"),
    "password_changed": _password_changed,
}
