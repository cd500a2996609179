"""Looks into an exchange's registry once, for a person. Shell."""

from uuid import UUID

from msgspec.structs import replace

from gateway.delivery.exchange.beside import Beside
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import ExchangeError, Session
from gateway.outbox.exchange.registry import Node


async def log_in(session: Session, within_s: float) -> None:
    """Log in once, and send nothing. Closes the session. Raises ExchangeError."""
    try:
        await session.log_in(within_s)
    finally:
        await session.aclose()


async def look_up(session: Session, network: str, within_s: float) -> list[Node]:
    """Its markets and assets, with what is switched on where the exchange says so. Closes the
    session. Raises ExchangeError.
    """
    beside = Beside(session)
    api = WebApi(beside, network)
    try:
        await session.log_in(within_s)
        nodes = await api.registry()
        live = await _live(api)
    finally:
        await beside.aclose()
        await session.aclose()
    return [replace(n, live=live.get(n.uuid, n.live)) if n.uuid else n for n in nodes]


async def _live(api: WebApi) -> dict[UUID, bool]:
    """The registry does not tell it, and not every exchange tells it elsewhere."""
    try:
        return await api.live()
    except ExchangeError:
        return {}
