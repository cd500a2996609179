"""Kind `lines`: a destination that does not exist, for CONTRIBUTING.md. It takes the energy of
every meter as lines of JSON over TCP, and says later what became of them.

    → {"id": "<uuid4>", "values": [["grid.import", 1774746000, 137250000], …]}     µWh by slot
    ← {"id": "<uuid4>", "ok": true}     or     {"id": "<uuid4>", "ok": false, "error": "why"}
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from drivers.strict_yaml import Mistake, Seconds
from gateway.delivery.destination import Destination, Policy
from gateway.delivery.opening import Opening
from gateway.outbox.format import Accepted, Answer, Batch, Outcome, Rejected, Retry, Sent, Window
from gateway.outbox.item import Item, Kind
from gateway.outbox.selects import EverySeries
from gateway.site.settings import Surroundings

MAX_VALUES = 500
"""Of one line: some 20 kB."""
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the lines go."""

    host: Annotated[
        str, Meta(min_length=1, description="host that takes the lines", examples=["10.0.0.5"])
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="its TCP port", examples=[7000])]
    answer_within: Annotated[
        Seconds, Meta(description="how long its answers may take", examples=["10min"])
    ] = field(default_factory=lambda: Seconds(600))

    def check(self, site: Surroundings) -> Iterator[Mistake]:
        """What does not fit together with the rest of the site."""
        if self.answer_within < site.market.slot / 100:
            hint = f"at least a hundredth of the slot, {site.market.slot / 100:g}s"
            yield Mistake(("answer_within",), "leaves no time to answer", hint)


class Lines:
    """The format: measurements of closed slots, at any later time."""

    kinds: frozenset[Kind] = frozenset({"measurement"})
    dated = True

    def __init__(self, slot_s: int) -> None:
        self._slot_s = slot_s

    def window(self, kind: Kind, slot_s: int, margin_s: float) -> Window:  # noqa: ARG002 — there is one kind
        """From a margin after the slot's end on, for ever."""
        return Window(slot_s + self._slot_s + margin_s, None)

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:
        """As few lines as the limit allows."""
        parts = [items[n : n + MAX_VALUES] for n in range(0, len(items), MAX_VALUES)]
        return [Batch(tuple(part), "", _line(part, transaction_id)) for part in parts]


def _line(items: Sequence[Item], transaction_id: str) -> bytes:
    values = [[str(item.subject), item.slot_s, item.energy_uwh] for item in items]
    return json.dumps({"id": transaction_id, "values": values}).encode() + b"\n"


def answer_of(line: bytes) -> Answer | None:
    """What a line says; None where it says nothing."""
    try:
        said = json.loads(line)
        outcome = Accepted() if said["ok"] else Rejected(f"says: {str(said['error'])[:200]}")
        return Answer(str(said["id"]), outcome)
    except (ValueError, LookupError, TypeError):
        return None


class Connection:
    """The way there, and its words on the way back. It connects when something is to be sent."""

    timeout_s = TIMEOUT_S

    def __init__(self, host: str, port: int) -> None:
        self.url = f"tcp://{host}:{port}"
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_open = asyncio.Event()

    async def send(self, batch: Batch, within_s: float | None) -> Outcome:
        """Write one line. Whether it was taken, only its answer says."""
        limit_s = self.timeout_s if within_s is None else min(self.timeout_s, within_s)
        try:
            async with asyncio.timeout(limit_s):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(
                        self._host, self._port
                    )
                    self._is_open.set()
                self._writer.write(batch.payload)
                await self._writer.drain()
        except OSError as error:  # a timeout is one, too
            self._drop()
            why = str(error) or f"no connection within {limit_s:g} s"
            return Retry(f"{self.url}: {why}", answered=False, cause="Unreachable")
        return Sent()

    async def answers(self) -> AsyncIterator[Answer]:
        """Its words as they come."""
        while True:
            await self._is_open.wait()
            assert self._reader is not None
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):  # the connection is lost, or a line has no end
                line = b""
            if not line:
                self._drop()
            elif answer := answer_of(line):
                yield answer

    async def aclose(self) -> None:
        """Close the connection."""
        self._drop()

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
        self._is_open.clear()


def open(settings: Settings, opening: Opening) -> Destination:
    """Every direction of every meter is owed."""
    connection = Connection(settings.host, settings.port)
    return Destination(
        name=opening.name,
        kind="lines",
        selects=EverySeries(opening.buffer.slots_at, slot_s=opening.slot_s, provisional=True),
        format=Lines(opening.slot_s),
        transport=connection,
        policy=Policy(slot_s=opening.slot_s, answer_within_s=settings.answer_within),
        acknowledges=connection,
    )
