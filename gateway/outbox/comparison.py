"""What is kept here beside what the exchange holds, slot by slot, and why they may differ. Pure.

The exchange tells in two ways. Its *history* is asked for; its *results* are files that it offers
for download. What is in neither is judged by the verdict that was written down. Energies are µWh.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from gateway.energy.slot import KNOWN
from gateway.outbox.owed import NO_VERDICT, Owed, why_not_again

Source = Literal["history", "results"]

Agreement = Literal["agrees", "differs", "waits", "untold"]
"""waits: it is too early to tell. untold: there is nothing to compare."""

Cause = Literal[
    "forecast",
    "revised since",
    "sent too late",
    "never heard",
    "another asset's",
    "not accepted",
    "not delivered",
    "assumed",
    "not in this buffer",
    "unknown",
]

FEW_SLOTS = 3
"""So many slots whose forecast is told instead are no accident."""

TICKS = 60
"""Of the exchange's engine, in a slot."""

MENDED: frozenset[Cause] = frozenset(
    {"forecast", "revised since", "never heard", "another asset's", "not accepted", "unknown"}
)
"""What may be mended by a second delivery."""


@dataclass(frozen=True, slots=True)
class Ours:
    """One asset's slot in the buffer."""

    owed: Owed | None
    """The newest revision; None: there is none."""
    earlier_uwh: tuple[int, ...] = ()
    """What earlier revisions said."""
    forecast_uwh: int | None = None
    """What was forecast of it last, and not refused."""
    earlier_forecasts_uwh: tuple[int, ...] = ()
    """What was forecast of it before: one that came late, or was lost, replaced nothing."""

    @property
    def energy_uwh(self) -> int | None:
        """None where it is not known."""
        if self.owed is None or self.owed.quality not in KNOWN:
            return None
        return self.owed.item.energy_uwh

    def foretold(self, uwh: int | None) -> bool:
        """Whether that was ever forecast of it."""
        return uwh is not None and uwh in (self.forecast_uwh, *self.earlier_forecasts_uwh)


NOTHING = Ours(None)


@dataclass(frozen=True, slots=True)
class Told:
    """What one source tells of one asset."""

    slots: Mapping[int, int]
    """By start of the slot, Unix time."""
    since_s: int
    until_s: int
    """Of slots from `since_s` on that start before `until_s`, it tells all that there is."""

    def covers(self, slot_s: int) -> bool:
        """Whether it says something of that slot, be it that there is nothing."""
        return self.since_s <= slot_s < self.until_s


@dataclass(frozen=True, slots=True)
class Compared:
    """One slot of one asset."""

    asset: UUID
    slot_s: int
    ours: Ours
    held_uwh: Mapping[Source, int | None]
    """What each source tells of it; one that does not speak of the slot is not there."""
    agreement: Agreement
    cause: Cause | None = None
    detail: str = ""
    source: Source | None = None
    """Which one differs; None: the verdict."""
    mends: bool = False
    """Whether it may be mended by sending it once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known beside the numbers."""

    now_s: float
    slot_s: int
    """Length of a market slot."""
    settlement_s: float
    """So long after its start a slot is settled."""
    names: Mapping[UUID, str]
    """The assets."""
    silent: Mapping[UUID, str] = field(default_factory=dict)
    """Why the exchange hears nothing of an asset."""


class Comparison:
    """Of some assets over a time. `told` is what each source tells of each asset; an asset that it
    cannot tell of is not there. `ours` are the slots by asset and start.
    """

    def __init__(
        self,
        ours: Mapping[UUID, Mapping[int, Ours]],
        told: Mapping[Source, Mapping[UUID, Told]],
        circumstances: Circumstances,
    ) -> None:
        self._ours = ours
        self._told = told
        self._known = circumstances
        self._heard = {asset for asset in ours if self._is_heard(asset)}
        """Assets of which the exchange was seen to tell something that was measured."""
        self._empty = {asset for asset in ours if self._is_empty(asset)}
        """Assets of which it holds nothing at all."""
        self._forecasts_only = set(self._of_forecasts())
        """Sources that tell what was forecast, whatever was measured."""

    def slots(self, assets: Iterable[UUID]) -> Iterator[Compared]:
        """Every slot of these assets that either side knows, asset by asset, in the order of
        time.
        """
        for asset in assets:
            ours = self._ours[asset]
            told = {source: of[asset] for source, of in self._told.items() if asset in of}
            starts = set(ours)
            for each in told.values():
                starts.update(slot_s for slot_s in each.slots if each.covers(slot_s))
            for slot_s in sorted(starts):
                yield self._compare(asset, slot_s, ours.get(slot_s, NOTHING), told)

    # --- one slot ---------------------------------------------------------------------------------

    def _compare(
        self, asset: UUID, slot_s: int, ours: Ours, told: Mapping[Source, Told]
    ) -> Compared:
        held = {
            source: each.slots.get(slot_s) for source, each in told.items() if each.covers(slot_s)
        }
        waits = ours.owed is not None and self._waits(ours.owed)
        agrees = bool(held) and ours.energy_uwh is not None

        for source, uwh in held.items():
            if ours.energy_uwh is None and not uwh:
                continue
            if uwh == ours.energy_uwh:
                continue
            agrees = False
            if waits:
                continue
            cause, detail = self._why(asset, slot_s, ours, uwh, source)
            mends = self._mends(asset, ours, cause, source)
            return Compared(asset, slot_s, ours, held, "differs", cause, detail, source, mends)

        if agrees:
            return Compared(asset, slot_s, ours, held, "agrees")
        if waits:
            return Compared(asset, slot_s, ours, held, "waits")
        if ours.energy_uwh is None:
            detail = "" if ours.owed is None else ours.owed.reason or "was not wholly metered"
            return Compared(asset, slot_s, ours, held, "untold", detail=detail)
        return self._by_verdict(asset, slot_s, ours)

    def _by_verdict(self, asset: UUID, slot_s: int, ours: Ours) -> Compared:
        """Where nothing else tells."""
        owed = ours.owed
        assert owed is not None
        if owed.state == "accepted" and not owed.disputed:
            return Compared(asset, slot_s, ours, {}, "untold", detail="accepted")
        cause, detail = self._by_state(asset, owed) or ("unknown", owed.reason)
        mends = self._mends(asset, ours, cause, None)
        return Compared(asset, slot_s, ours, {}, "differs", cause, detail, None, mends)

    def _waits(self, owed: Owed) -> bool:
        """What came in a slot is applied when the next one begins, or a tick of the exchange's
        engine later; and its clock runs ahead.
        """
        now_s, length_s = self._known.now_s, self._known.slot_s
        tick_s = length_s / TICKS
        if owed.state in ("pending", "sent"):
            is_new = owed.item.slot_s + 3 * length_s > now_s
            return (is_new and owed.refused_s is None) or owed.opens_s > now_s
        applied_s = (now_s - tick_s) // length_s * length_s
        return owed.state == "accepted" and (owed.decided_s or 0.0) >= applied_s - tick_s

    # --- why --------------------------------------------------------------------------------------

    def _why(
        self, asset: UUID, slot_s: int, ours: Ours, held_uwh: int | None, source: Source
    ) -> tuple[Cause, str]:
        """The likely cause of a difference, and what is known of it."""
        if source in self._forecasts_only and not held_uwh and ours.forecast_uwh is None:
            return "forecast", "what was forecast is told there, and of this slot nothing was"
        owed = ours.owed
        if owed is None and held_uwh != ours.forecast_uwh and not ours.foretold(held_uwh):
            return "not in this buffer", "this buffer has no number for it"
        if held_uwh and held_uwh in ours.earlier_uwh:
            return "revised since", "" if owed is None else self._how_far(owed)
        if ours.foretold(held_uwh):
            return "forecast", "it is what was forecast, and not what was measured"
        if owed is None or owed.quality not in KNOWN:
            return "unknown", "here its energy is not known"

        if (other := self._other(asset, slot_s, held_uwh)) is not None:
            return "another asset's", f"it is what {other} has"
        if by_state := self._by_state(asset, owed):
            return by_state
        if not held_uwh and asset in self._known.silent:
            return "never heard", self._known.silent[asset]
        if late := self._late_by(owed):
            return "sent too late", late
        if not held_uwh and asset in self._empty:
            return "never heard", "the exchange holds nothing of this asset at all"
        return "unknown", "it was accepted" + (f" ({owed.answer})" if owed.answer else "")

    def _by_state(self, asset: UUID, owed: Owed) -> tuple[Cause, str] | None:
        """Where it is no wonder that it is not there."""
        if owed.state in ("pending", "sent"):
            if asset in self._known.silent:
                return "never heard", self._known.silent[asset]
            if NO_VERDICT in owed.reason:
                return "never heard", owed.reason
            return "not delivered", owed.reason or self._how_far(owed)
        if owed.state in ("rejected", "missed"):
            return "not accepted", f"{owed.state}: {owed.reason}"
        if owed.assumed:
            return "assumed", owed.reason
        return None

    def _how_far(self, owed: Owed) -> str:
        if owed.state in ("pending", "sent"):
            return f"revision {owed.item.revision} is {owed.state}"
        return f"revision {owed.item.revision} was {owed.state}: {owed.reason}".removesuffix(": ")

    def _late_by(self, owed: Owed) -> str:
        sent_s = owed.first_sent_s if owed.first_sent_s is not None else owed.decided_s
        if sent_s is None:
            return ""
        late_s = sent_s - owed.item.slot_s - self._known.settlement_s
        if late_s <= 0:
            return ""
        return f"it was sent {_length(late_s)} after the exchange had settled the slot"

    def _other(self, asset: UUID, slot_s: int, held_uwh: int | None) -> str | None:
        """Whose number it is. Round ones are alike by chance, zero most of all."""
        if not held_uwh:
            return None
        for other, slots in self._ours.items():
            if other != asset and slots.get(slot_s, NOTHING).energy_uwh == held_uwh:
                return self._known.names.get(other, str(other))
        return None

    def _mends(self, asset: UUID, ours: Ours, cause: Cause, source: Source | None) -> bool:
        owed = ours.owed
        if owed is None or owed.quality not in KNOWN or owed.closes_s is not None:
            return False
        if cause not in MENDED or asset in self._known.silent:
            return False
        if source in self._forecasts_only and owed.state == "accepted":
            return False
        if cause == "forecast" and asset not in self._heard:
            return False  # it tells forecasts, whatever is measured
        if owed.state == "accepted":
            return not owed.assumed
        return owed.state in ("rejected", "missed") and not why_not_again(owed, self._known.now_s)

    # --- an asset at a glance ---------------------------------------------------------------------

    def _is_heard(self, asset: UUID) -> bool:
        told = self._told.get("history", {}).get(asset)
        return told is not None and any(
            each.energy_uwh not in (None, 0)
            and not each.foretold(each.energy_uwh)
            and told.slots.get(slot_s) == each.energy_uwh
            for slot_s, each in self._ours[asset].items()
        )

    def _is_empty(self, asset: UUID) -> bool:
        told = [of[asset] for of in self._told.values() if asset in of]
        is_something = any(each.energy_uwh for each in self._ours[asset].values())
        return is_something and bool(told) and not any(told[0].slots.values())

    def _of_forecasts(self) -> Iterator[Source]:
        """The history, too, where none of it was measured."""
        yield "results"
        if self._heard:
            return
        foretold = sum(
            each.foretold(told.slots.get(slot_s))
            for asset, told in self._told.get("history", {}).items()
            for slot_s, each in self._ours.get(asset, {}).items()
            if each.forecast_uwh not in (None, 0) and not each.foretold(each.energy_uwh)
        )
        if foretold >= FEW_SLOTS:
            yield "history"


def shift_s(
    ours: Mapping[UUID, Mapping[int, Ours]], told: Mapping[UUID, Told], candidates_s: Set[int]
) -> int:
    """By how much the times that are told are off, where that is plain: of these, as local times
    are. 0 where they are not.
    """

    def alike(by_s: int) -> int:
        return sum(
            uwh == each.energy_uwh or each.foretold(uwh)
            for asset, of in told.items()
            for slot_s, uwh in of.slots.items()
            if uwh and (each := ours.get(asset, {}).get(slot_s - by_s)) is not None
        )

    right = alike(0)
    best_s = max(candidates_s, key=alike, default=0)
    return best_s if alike(best_s) > max(3, 4 * right) else 0


def _length(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
