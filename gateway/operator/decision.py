"""The fee that is to be set: what a model wants, within the operator's bounds. Pure.

    model ─▶ Proposal ─▶ bounds ─▶ step ─▶ Decision
        └──▶ Unable ──▶ the last fee, then the fallback ──▲

No decision is outside its bounds, and none is further than a step from the fee before it,
whatever the model and the statistics say.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from gateway.operator.fee import Fee
from gateway.operator.model import Asked, Memory, Model, Unable


class Bounds(Struct, frozen=True, kw_only=True):
    """What the operator allows, for every market and every model."""

    lowest: Fee
    highest: Fee
    step: Fee | None = None
    """The largest change from one slot to the next. None: any."""
    fallback: Fee
    """What is set where a model has not had what it needs for too long."""
    fallback_after: int = 4
    """For fewer slots than these without statistics the last fee stays."""

    def __post_init__(self) -> None:
        """Raises ValueError where they do not fit together."""
        if len({fee.type for fee in (self.lowest, self.highest, self.fallback)}) > 1:
            raise ValueError("fees of different types")
        if not self.lowest <= self.fallback <= self.highest:
            raise ValueError(f"fallback {self.fallback} is not within the bounds")

    def within(self, fee: Fee) -> Fee:
        """The nearest fee within the bounds."""
        return min(max(fee, self.lowest), self.highest)

    def towards(self, fee: Fee, before: Fee | None) -> Fee:
        """The fee within the bounds that is nearest to `fee` and at most a step from `before`.
        Where `before` is out of bounds, the step counts from the bound: bounds go first.
        """
        wanted = self.within(fee)
        if before is None or self.step is None:
            return wanted
        start = self.within(before)
        low = max(start.micros - self.step.micros, self.lowest.micros)
        high = min(start.micros + self.step.micros, self.highest.micros)
        return Fee(wanted.type, min(max(wanted.micros, low), high))


class Decision(Struct, frozen=True, kw_only=True):
    """The fee of one market for one slot, and why."""

    market: str
    slot_s: int
    model: str
    fee: Fee
    """What is to be set."""
    wanted: Fee | None
    """What the model wanted. None where it could not say."""
    is_fallback: bool
    """Whether the model could not say: the last fee stays, or the fallback is set."""
    why: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)
    slots_without: int = 0
    """How many slots in a row, this one among them, the model could not say."""


def decide(model: Model, asked: Asked, bounds: Bounds) -> Decision:
    """What to set for that slot."""
    proposal = model.propose(asked)
    if isinstance(proposal, Unable):
        return _without(model, asked, bounds, proposal)

    fee = bounds.towards(proposal.fee, asked.in_force)
    return Decision(
        market=asked.market,
        slot_s=asked.slot_s,
        model=model.kind,
        fee=fee,
        wanted=proposal.fee,
        is_fallback=False,
        why=proposal.why + _limited(fee, proposal.fee, bounds),
        inputs=proposal.inputs,
        memory=proposal.memory,
    )


def _without(model: Model, asked: Asked, bounds: Bounds, unable: Unable) -> Decision:
    """The last fee for a while, then the fallback."""
    slots_without = asked.slots_without + 1
    count = f"{slots_without} slot{'s' * (slots_without > 1)} in a row"
    if asked.in_force is None:
        aim, what = bounds.fallback, f"no fee is known to be in force: fallback {bounds.fallback}"
    elif slots_without < bounds.fallback_after:
        aim, what = asked.in_force, f"{count}: the last fee stays, {asked.in_force}"
    else:
        aim, what = bounds.fallback, f"{count}: fallback {bounds.fallback}"

    fee = bounds.towards(aim, asked.in_force)
    return Decision(
        market=asked.market,
        slot_s=asked.slot_s,
        model=model.kind,
        fee=fee,
        wanted=None,
        is_fallback=True,
        why=f"{unable.why}; {what}{_limited(fee, aim, bounds)}",
        memory=asked.memory,
        slots_without=slots_without,
    )


def _limited(fee: Fee, wanted: Fee, bounds: Bounds) -> str:
    """What kept the fee from what was wanted, in words."""
    if fee == wanted:
        return ""
    if fee in (bounds.lowest, bounds.highest) and fee == bounds.within(wanted):
        which = "lowest" if fee == bounds.lowest else "highest"
        return f"; {which} fee {fee}"
    return f"; wanted {wanted}, one step leads to {fee}"
