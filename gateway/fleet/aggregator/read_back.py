"""Asks the exchange what it holds of settled slots whose verdict never came, one UTC day of an
asset at a time. Shell.
"""

from collections.abc import Sequence
from itertools import groupby

from gateway.delivery.exchange.beside import Beside, NotTaken
from gateway.delivery.http_session import NotAllowed
from gateway.fleet.aggregator import upkeep
from gateway.fleet.aggregator.upkeep import Doubt
from gateway.fleet.database import Connection
from gateway.outbox.exchange.batch import Dialect

DAY_S = 86_400


async def read_back(
    connection: Connection, beside: Beside, dialect: Dialect, doubts: Sequence[Doubt]
) -> None:
    """What it holds as it was sent is accepted; the rest, and all of what it does not tell, is owed
    again: sent once more it replaces the same. Raises DatabaseError, ExchangeError.
    """
    for _, group in groupby(doubts, key=lambda each: each.asset):
        some = list(group)
        held = await _held(beside, dialect, some)
        agreed = [each for each in some if held.get(each.slot_s) == each.energy_uwh]
        others = [each for each in some if held.get(each.slot_s) != each.energy_uwh]
        await upkeep.note_read_back(connection, agreed, others)


async def _held(beside: Beside, dialect: Dialect, some: Sequence[Doubt]) -> dict[int, int]:
    day_s = some[0].slot_s // DAY_S * DAY_S
    path = dialect.history_path(str(some[0].uuid), day_s, day_s + DAY_S)
    try:
        reply = await beside.ask("GET", path)
    except (NotTaken, NotAllowed):
        return {}
    return dialect.held(reply) or {}
