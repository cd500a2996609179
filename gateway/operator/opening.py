"""Puts the grid operator's agent together, from what the installer wrote. Shell."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.delivery.http_session import Session
from gateway.energy.asset_slots import energy_of, parts_of
from gateway.energy.assets import Formula
from gateway.operator.agent import Agent
from gateway.operator.connection import Connection, Wanted
from gateway.operator.desk import Desk, Plan
from gateway.operator.settings import GridOperator
from gateway.operator.stop_order import StopOrder
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer

if TYPE_CHECKING:
    import httpx

UWH_PER_KWH = 10**9


def open_agent(
    site: Settings,
    buffer: Buffer,
    *,
    now: Callable[[], float],
    steady: Callable[[], float],
    jitter: Callable[[], float],
    http: "httpx.AsyncBaseTransport | None" = None,
) -> Agent:
    """The agent of a configuration that has `grid_operator:`; not connected yet."""
    operator = site.grid_operator
    assert isinstance(operator, GridOperator)
    settings = operator.settings
    session = Session(
        settings.url,
        lambda: site.credentials(settings.credentials),
        settings.timeout,
        secrets=site.secrets,
        transport=http,
    )
    wanted = Wanted(
        network=str(settings.canary_network),
        aggregator=settings.aggregator,
        markets=settings.markets,
        fee_type=settings.fee_type,
        take_over=settings.take_over,
        dry_run=settings.dry_run,
    )
    plan = Plan(
        slot_s=int(site.market.slot),
        fee_type=settings.fee_type,
        bounds=operator.bounds,
        model_of=operator.model_of,
        dry_run=settings.dry_run,
    )
    desk = Desk(
        plan, buffer.tables.grid_fees, lambda load, start_s: load_kwh(buffer, load, start_s)
    )
    return Agent(
        Connection(session, wanted, jitter),
        desk,
        StopOrder.beside(buffer.path),
        now=now,
        steady=steady,
        jitter=jitter,
    )


def load_kwh(buffer: Buffer, load: Formula, start_s: int) -> float | None:
    """What those meters counted in the slot that starts then; None: it is not closed yet, or was
    not wholly metered. May raise StoreError.
    """
    parts = parts_of(load, buffer.slots_at(start_s))
    energy_uwh = energy_of(load, parts) if parts else None
    return None if energy_uwh is None else energy_uwh / UWH_PER_KWH
