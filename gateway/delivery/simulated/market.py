"""Grid fees of the simulated exchange's markets. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import Node

MAX_CHARGED = 10_000
KEY_OF = {"constant": "fee_const", "percent": "fee_percent"}


class Crashed(Exception):
    """What was sent ended the whole simulation, for everybody. The text says what it was."""


@dataclass(slots=True)
class _Fee:
    asked: float
    """What was set last."""
    running: float
    """What holds in the slot that runs."""
    last: float | None = None
    """What held in the slot before; None where there was none."""


class GridFees:
    """The fees of the markets: cents/kWh, or percent."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._fees: dict[UUID, _Fee] = {}
        self.charged: deque[tuple[int, Mapping[UUID, float]]] = deque(maxlen=MAX_CHARGED)
        """What the markets charged of which anything was asked, slot after slot."""

    def command(self, node: Node, command: Mapping[str, object]) -> dict[str, object]:
        """The answer to `grid_fees` in a batch: what holds is echoed, as text. Raises Crashed where
        the real engine would.
        """
        data = command.get("data")
        if not isinstance(data, dict):
            raise Crashed("a grid fee without data")
        said: dict[str, object] = {"area_uuid": str(node.uuid), "command": "grid_fees"}
        fee = data.get(KEY_OF[self._behaviour.fee_type])
        if fee is None:
            message = "GridFee parameter conflicting with GlobalConfigFeeType"
            return {**said, "status": "error", "error_message": message}
        if not isinstance(fee, (int, float)):
            raise Crashed(f"a grid fee that is text: {fee!r}")

        # Percents are not looked at. A constant fee below zero is "ready", and the old one stays.
        of = self._of(node)
        if self._behaviour.fee_type == "percent" or fee >= 0:
            of.asked = fee
        return {**said, "status": "ready", **self._echoed(of.asked)}

    def next_slot(self, slot_s: int) -> None:
        """The slot that starts then begins: fees that were set in the one before hold now."""
        for fee in self._fees.values():
            fee.last, fee.running = fee.running, fee.asked
        self.charged.append((slot_s, {uuid: fee.running for uuid, fee in self._fees.items()}))

    def in_tree(self, node: Node) -> dict[str, object]:
        """The fees as the grid tree of an event has them. In percent the last one is a fraction."""
        last = self.last(node)
        is_percent = self._behaviour.fee_type == "percent"
        return {
            "last_market_fee": last / 100 if is_percent else float(last),
            "current_market_fee": self._of(node).asked,
        }

    def last(self, node: Node) -> float:
        """What held in the slot before the one that runs."""
        fee = self._of(node)
        return fee.running if fee.last is None else fee.last

    def running(self, node: Node) -> float:
        """What holds in the slot that runs."""
        return self._of(node).running

    def asked(self, node: Node) -> float:
        """What was set last."""
        return self._of(node).asked

    def _of(self, node: Node) -> _Fee:
        return self._fees.setdefault(node.uuid, _Fee(node.fee, node.fee))

    def _echoed(self, fee: float) -> dict[str, object]:
        is_percent = self._behaviour.fee_type == "percent"
        return {
            "market_fee_const": "None" if is_percent else str(fee),
            "market_fee_percent": str(fee) if is_percent else "None",
        }
