"""How it stands with the exchange, in words: what `fleet check` says. Shell."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from gateway.fleet.aggregator.settings import ExchangeSettings
from gateway.fleet.database import Connection, translated
from gateway.timing.utc import utc_minutes

MAX_NAMED = 3


class Finding(NamedTuple):
    """One line."""

    is_bad: bool
    text: str


class _Asset(NamedTuple):
    site: str
    uuid: str
    problem: str


async def findings(
    connection: Connection, exchange: ExchangeSettings | None, now_s: float
) -> list[Finding]:
    """What there is to say, and what is wrong. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(_COUNTS)
        owed, oldest_s, accepted, rejected, missed = cast("Any", await cursor.fetchone())
        cursor = await connection.execute(_RUNNING)
        running = cast("list[tuple[str, str, str, bool]]", await cursor.fetchall())
        cursor = await connection.execute(_PROBLEMS)
        problems = [_Asset(*row) for row in cast("list[Any]", await cursor.fetchall())]
    if exchange is None:
        if not owed:
            return []
        text = (
            f"{owed:,} numbers are owed to the exchange, and fleet.yaml has no exchange: — add it, "
            "or have the homes deliver themselves (deliver: direct)"
        )
        return [Finding(True, text)]
    found = [*_of_processes(running)]
    is_late = oldest_s is not None and now_s - oldest_s > LATE_S + exchange.slot
    since = f", the oldest of the slot {utc_minutes(oldest_s)}" if oldest_s is not None else ""
    much = f"{owed:,}" if owed < MAX_COUNTED else f"more than {MAX_COUNTED - 1:,}"
    found.append(
        Finding(
            bool(is_late),
            f"the exchange is owed {much} numbers{since}; of the last day it accepted "
            f"{accepted:,}, rejected {rejected:,}, and {missed:,} were missed",
        )
    )
    if rejected:
        text = f"{rejected:,} numbers were rejected for good in the last day: see fleet.delivered"
        found.append(Finding(True, text))
    return [*found, *_of_assets(problems)]


LATE_S = 3600
"""What is owed for longer than this after its slot's end is late."""
MAX_COUNTED = 1_000_000


def _of_processes(running: list[tuple[str, str, str, bool]]) -> Iterator[Finding]:
    if not running:
        yield Finding(True, "nobody delivers to the exchange: start fleet run")
    for name, state, reason, is_hearing in running:
        if state == "connected":
            verdicts = "" if is_hearing else ", but does not hear the exchange's verdicts"
            yield Finding(False, f"{name} delivers to the exchange{verdicts}")
        else:
            said = f": {reason}" if reason else ""
            yield Finding(True, f"{name}: the exchange is {_WORDS.get(state, state)}{said}")


_WORDS = {"away": "away", "refuses": "refusing", "starting": "not reached yet"}


def _of_assets(problems: list[_Asset]) -> Iterator[Finding]:
    for each in problems[:MAX_NAMED]:
        yield Finding(True, f"asset {each.uuid} of {each.site}: {each.problem}")
    if len(problems) > MAX_NAMED:
        text = f"{len(problems) - MAX_NAMED} more assets have such a problem"
        yield Finding(True, f"{text}: see fleet.exchange_assets")


_COUNTS = f"""
SELECT (SELECT count(*) FROM (SELECT FROM fleet.deliveries WHERE state = 'o'
        LIMIT {MAX_COUNTED}) o),
    (SELECT extract(epoch FROM min(slot))::bigint FROM fleet.deliveries WHERE state = 'o'),
    count(*) FILTER (WHERE state = 'a'), count(*) FILTER (WHERE state = 'r'),
    count(*) FILTER (WHERE state = 'm')
FROM fleet.deliveries
WHERE slot >= now() - interval '1 day' AND slot <= now() AND at >= now() - interval '1 day'
"""  # noqa: S608 — of constants

_RUNNING = """
SELECT name, state, reason, heard_since IS NOT NULL FROM fleet.aggregators
WHERE seen_at > now() - interval '1 minute' ORDER BY name
"""

_PROBLEMS = """
SELECT s.name, a.uuid::text, e.problem
FROM fleet.exchange_assets e JOIN fleet.assets a ON a.id = e.asset
JOIN fleet.sites s ON s.id = a.site
WHERE e.problem <> '' ORDER BY s.name, a.uuid
"""
