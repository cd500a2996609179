"""What a destination was found to hold, as rows of the outbox. Shell."""

from collections.abc import Sequence

from gateway.outbox.item import Item
from gateway.outbox.owed import Held
from gateway.store.database import Database
from gateway.store.rows import REPLACED, THIS_ITEM, key_of


def forecasts_uwh(database: Database, items: Sequence[Item]) -> dict[Item, frozenset[int]]:
    """The forecasts of the same slot that the destination may hold, where there are some: a better
    one takes the place of the first, and whether it came in time may not be known.
    """
    found: dict[Item, frozenset[int]] = {}
    for item in items:
        rows = database.rows(
            """SELECT energy_uwh FROM outbox
               WHERE destination = ? AND slot_s = ? AND subject = ? AND kind = 'forecast'
               AND (state IN ('accepted', 'sent') OR (state = 'missed' AND attempts > 0))
               AND energy_uwh IS NOT NULL""",
            *key_of(item)[:3],
        )
        if told := frozenset(energy_uwh for (energy_uwh,) in rows):
            found[item] = told
    return found


def confirm(database: Database, item: Item, now_s: float) -> None:
    """It holds what was sent."""
    database.connection.execute(
        f"""UPDATE outbox SET confirmed_s = ?, held_uwh = NULL, disagreements =
            min(disagreements, 1)
            WHERE state = 'accepted' AND {THIS_ITEM}""",  # noqa: S608
        (now_s, *key_of(item)),
    )


def owe_once_more(database: Database, held: Held) -> bool:
    """It holds something else: what was sent is owed again. Returns whether it is the first time;
    otherwise nothing has changed.
    """
    reason = f"was accepted, but the exchange holds {_amount(held)}; it is sent once more"
    found = database.connection.execute(
        f"""UPDATE outbox SET state = 'pending', decided_s = NULL, disagreements = 1,
            held_uwh = ?, reason = ?
            WHERE state = 'accepted' AND disagreements = 0 AND {THIS_ITEM} AND NOT
                {REPLACED}""",  # noqa: S608
        (held.energy_uwh, reason, *key_of(held.item)),
    )
    return found.rowcount > 0


def dispute(database: Database, held: Held) -> None:
    """It holds something else after the second time: that is for a person."""
    reason = f"was accepted twice, and the exchange holds {_amount(held)}; ask its operator"
    database.connection.execute(
        f"""UPDATE outbox SET disagreements = 2, held_uwh = ?, reason = ?
            WHERE state = 'accepted' AND disagreements = 1 AND {THIS_ITEM}""",  # noqa: S608
        (held.energy_uwh, reason, *key_of(held.item)),
    )


def _amount(held: Held) -> str:
    return "nothing" if held.energy_uwh is None else f"{held.energy_uwh / 10**6:g} Wh"
