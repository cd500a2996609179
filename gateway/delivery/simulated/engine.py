"""The simulated exchange's engine: it looks at what has arrived at its next tick, and answers over
the websocket. Pure: whoever has a clock calls `advance`.

    engine.listen(uuid, sink)       what is told to that asset, market or aggregator from now on
    engine.energy(node, "set_energy_measurement", body)
    engine.advance()                what is due by now is done and told

What is told while nobody listens is lost, as it is in a real exchange. So it is silent for: an
asset of a type that it does not take, an asset whose live-data switch is off, a request without a
transaction id, a batch in which nothing is known, a market's own request while an aggregator acts
for it, and everything after somebody ended the simulation.
"""

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from uuid import UUID

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.books import Books
from gateway.delivery.simulated.commands import (
    KIND_OF,
    Unheard,
    energy_of,
    has_exactly_its_keys,
    not_supported,
    verdict,
    verdict_in_batch,
    wrong_keys,
)
from gateway.delivery.simulated.community import Community, Node
from gateway.delivery.simulated.engine_clock import EngineClock
from gateway.delivery.simulated.events import PARTS_PER_SLOT, event
from gateway.delivery.simulated.market import Crashed, GridFees
from gateway.delivery.simulated.market_statistics import MarketStatistics

Sink = Callable[[bytes | str], None]
"""Takes one whole message: bytes as a binary frame, as the exchange sends them all."""

Message = Mapping[str, object]


class Engine:
    """The engine of one network."""

    def __init__(
        self,
        simulation: UUID,
        community: Community,
        books: Books,
        clock: EngineClock,
        behaviour: Behaviour,
    ) -> None:
        self._simulation = simulation
        self._community = community
        self._books = books
        self._clock = clock
        self._pending: deque[tuple[float, Callable[[], None]]] = deque()
        """What happens at a tick."""
        self._batches: set[str] = set()
        """The transactions of batches that wait for their tick."""
        self._sinks: dict[UUID, list[Sink]] = {}
        self._part = self._part_now()
        fees = GridFees(behaviour)
        self.statistics = MarketStatistics(community, books, clock, fees, behaviour)
        self.is_mute = False
        """All that it tells is lost on the way."""
        self.ended = ""
        """Why the simulation has ended; empty while it runs."""
        self.unanswered = 0
        """Requests to which nothing was or will be said."""

    @property
    def fees(self) -> GridFees:
        """What the markets charge."""
        return self.statistics.fees

    # --- who listens ------------------------------------------------------------------------------

    def listen(self, address: UUID, sink: Sink) -> Callable[[], None]:
        """Tell `sink` what is told to that address. Returns what ends it."""
        sinks = self._sinks.setdefault(address, [])
        sinks.append(sink)

        def end() -> None:
            sinks.remove(sink)
            if not sinks and self._sinks.get(address) is sinks:
                del self._sinks[address]

        return end

    def tell(self, address: UUID, message: Message | bytes | str) -> None:
        """Say something now; bytes and text go out as they are, as a fault would."""
        if not isinstance(message, bytes | str):
            message = json.dumps(message).encode()
        for sink in () if self.is_mute else list(self._sinks.get(address, ())):
            sink(message)

    # --- what arrives -----------------------------------------------------------------------------

    def energy(self, node: Node, command: str, body: Mapping[str, object]) -> None:
        """One asset's forecasts or measurements."""
        transaction_id = body.get("transaction_id")
        if not transaction_id or not node.takes_energy or self.ended:
            self.unanswered += 1
            return
        if not has_exactly_its_keys(command, body):
            self.tell(node.uuid, wrong_keys(command, transaction_id))
            return
        answer = verdict(command, node, body, refused=not self._book(command, node, body))
        self._at_the_tick(lambda: self.tell(node.uuid, answer))

    def of_market(self, node: Node, command: str, body: Mapping[str, object]) -> None:
        """A market's own request. It is obeyed where an aggregator acts for the market as well, and
        then never answered.
        """
        transaction_id = body.get("transaction_id")
        is_answered = node.uuid not in self._community.controlled
        self.unanswered += not is_answered

        def obey() -> None:
            data = {key: value for key, value in body.items() if key != "transaction_id"}
            answer = self._of_market(node, {"type": command, "data": data})
            if is_answered:
                self.tell(node.uuid, {**answer, "transaction_id": transaction_id})

        self._at_the_tick(obey)

    def batch(self, aggregator: UUID, transaction_id: str, commands: Message) -> None:
        """Commands by asset or market. Whose they are is not asked, only that somebody acts for
        them.
        """
        if transaction_id in self._batches:
            return
        self._batches.add(transaction_id)
        found: dict[str, list[Callable[[], Message]]] = {}
        for node in self._community.nodes():
            wanted = commands.get(str(node.uuid))
            if isinstance(wanted, list) and self._is_acted_for(node):
                found[str(node.uuid)] = [
                    self._command(node, command, transaction_id) for command in wanted
                ]
        self.unanswered += not found

        def answer() -> None:
            self._batches.discard(transaction_id)
            responses = {uuid: [obey() for obey in each] for uuid, each in found.items()}
            if responses:
                self.tell(aggregator, _batched(aggregator, transaction_id, responses))

        self._at_the_tick(answer)

    # --- as time goes by --------------------------------------------------------------------------

    def next_tick_s(self) -> float:
        """When it looks again at what has arrived, right time."""
        return self._clock.right_s(self._clock.next_tick_s())

    def next_due_s(self) -> float:
        """When something happens again unless more arrives, right time."""
        part_s = self._clock.slot_s / PARTS_PER_SLOT
        due_s = (self._part_now() + 1) * part_s
        if self._pending:
            due_s = min(due_s, self._pending[0][0])
        return self._clock.right_s(due_s)

    def advance(self) -> None:
        """Do what is due. What was due while nobody called is done late, and slots that went by are
        not told of.
        """
        now_s = self._clock.now_s()
        before, part = self._part, self._part_now()
        edge_s = part // PARTS_PER_SLOT * self._clock.slot_s
        self._work_before(edge_s)

        if part > before:
            self._part = part
            is_new_slot = part // PARTS_PER_SLOT > before // PARTS_PER_SLOT
            if is_new_slot:
                self.fees.next_slot(edge_s)
            self._announce("market" if is_new_slot else "tick")
        self._work_before(math.nextafter(now_s, math.inf))

    def finish(self) -> None:
        """The simulation has come to its end."""
        if not self.ended:
            for aggregator in list(self._community.aggregators):
                self.tell(aggregator, {"event": "finish"})
            self.ended = "its end"
            self._pending.clear()

    def _work_before(self, engine_s: float) -> None:
        while self._pending and self._pending[0][0] < engine_s and not self.ended:
            _, work = self._pending.popleft()
            try:
                work()
            except Crashed as crash:
                self.ended = str(crash)
                self._pending.clear()

    def _announce(self, name: str) -> None:
        if self.ended:
            return
        slot_s = self._part // PARTS_PER_SLOT * self._clock.slot_s
        for aggregator in list(self._community.aggregators):
            if aggregator not in self._sinks:
                continue
            if name == "tick" and not self._has_assets(aggregator):
                continue
            said = event(
                name,
                self._community,
                self._books,
                self.statistics,
                aggregator=aggregator,
                simulation=self._simulation,
                at=(slot_s, self._part % PARTS_PER_SLOT, self._clock.slot_s),
            )
            self.tell(aggregator, said)

    # --- one command ------------------------------------------------------------------------------

    def _command(self, node: Node, command: object, transaction_id: str) -> Callable[[], Message]:
        """What answers it at the tick. Energy is booked at once: when it is applied is known."""
        if not isinstance(command, dict):
            raise TypeError("a command is an object")
        name = command.get("type")
        if node.is_market:
            return lambda: self._of_market(node, command)
        if not isinstance(name, str) or name not in KIND_OF or not node.takes_energy:
            return lambda: not_supported(name, node.uuid)
        arguments = {**command, "transaction_id": transaction_id}
        refused = not self._book(name, node, arguments)
        return lambda: verdict_in_batch(name, node, arguments, refused)

    def _of_market(self, node: Node, command: Mapping[str, object]) -> Message:
        name = command.get("type")
        if name == "grid_fees" and node.is_market:
            return self.fees.command(node, command)
        if name == "dso_market_stats" and node.is_market:
            return self.statistics.answer(node)
        return not_supported(name, node.uuid)

    def _book(self, command: str, node: Node, arguments: Mapping[str, object]) -> bool:
        """Whether every number was in order; if not, none is booked."""
        try:
            energy_uwh = energy_of(command, arguments)
        except Unheard:
            return False
        if not node.refuses.isdisjoint(energy_uwh):
            return False
        if not self.ended:
            self._books.book_dated(KIND_OF[command], node.uuid, energy_uwh)
        return True

    def _is_acted_for(self, node: Node) -> bool:
        return node.uuid in self._community.controlled and node.is_live

    def _has_assets(self, aggregator: UUID) -> bool:
        acted_for = {of for of, by in self._community.controlled.items() if by == aggregator}
        return any(node.uuid in acted_for for node in self._community.assets())

    def _at_the_tick(self, work: Callable[[], None]) -> None:
        if not self.ended:
            self._pending.append((self._clock.next_tick_s(), work))

    def _part_now(self) -> int:
        return int(self._clock.now_s() * PARTS_PER_SLOT // self._clock.slot_s)


def _batched(aggregator: UUID, transaction_id: str, responses: Message) -> Message:
    return {
        "command": "batch_commands",
        "transaction_id": transaction_id,
        "aggregator_uuid": str(aggregator),
        "responses": responses,
    }
