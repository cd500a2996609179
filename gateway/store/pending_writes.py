"""What waits in memory while the disk refuses to be written to, and what was written last, in case
that is lost. Pure.

Limits: of samples `MAX_SAMPLES` wait, then the older half is thinned to the first and the last of
each meter's slots; where that is not enough, the oldest go. Of slots `MAX_SLOTS` wait with what is
owed for them (52 days of ten meters), packed to some 30 bytes each; then the oldest go: an event
says so, and their energy is on record as unallocated. Of what was written `RECENT_BYTES` are kept:
some hours of ten meters, more than the write-ahead log holds.
"""

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.slot import Event, MeterState, TakenBack, Unallocated
from gateway.store.rows import Closing

MAX_SAMPLES = 20_000
MAX_SLOTS = 100_000
RECENT_BYTES = 128 << 10

_PACKED_TOGETHER = 200
_NO_STATE = MeterState(None, 0, 0, {})


def thinned(samples: Sequence[tuple[int, Sample]], slot_s: int) -> list[tuple[int, Sample]]:
    """Of each meter's slot only the first and the last sample: those that its energy hangs on."""
    kept: dict[object, list[int]] = {}
    for i, (_, sample) in enumerate(samples):
        at_ms = sample.boottime_ms if sample.utc_ms is None else sample.utc_ms
        ends = kept.setdefault(
            (sample.device, sample.boot_id, sample.utc_ms is None, at_ms // (1000 * slot_s)), [i, i]
        )
        ends[1] = i
    return [samples[i] for i in sorted({i for ends in kept.values() for i in ends})]


def bounded(samples: list[tuple[int, Sample]], slot_s: int) -> list[tuple[int, Sample]]:
    """No more than `MAX_SAMPLES`."""
    if len(samples) <= MAX_SAMPLES:
        return samples
    half = MAX_SAMPLES // 2
    left = [*thinned(samples[:half], slot_s), *samples[half:]]
    return left if len(left) <= MAX_SAMPLES - half // 2 else left[half // 2 :]


class _Packed(msgspec.Struct, frozen=True):
    """Some closings, small."""

    first_s: int
    last_s: int
    """Of the starts of their slots."""
    slots: int
    data: bytes


class WaitingClosings:
    """Closings in their order. The newest are at hand, the older ones packed."""

    def __init__(self) -> None:
        self._open: list[Closing] = []
        self._packed: list[_Packed] = []
        self._states: dict[str, tuple[int, MeterState]] = {}
        """Of the packed ones: only the last one of each meter counts."""
        self._lost: dict[tuple[str, str | None, str], Unallocated] = {}
        """By series and direction."""
        self._taken_back: list[TakenBack] = []
        """By those that had to go."""

    def __len__(self) -> int:
        """How many slots wait, in whole portions of those that are packed."""
        return len(self._open) + sum(packed.slots for packed in self._packed)

    def add(self, closing: Closing) -> list[Event]:
        """Returns what a person should know of those that had to go."""
        self._open.append(closing)
        if len(self._open) >= 2 * _PACKED_TOGETHER:
            self._pack()
        if sum(packed.slots for packed in self._packed) > MAX_SLOTS:
            return list(self._forget())
        return []

    def _pack(self) -> None:
        some, self._open = self._open[:_PACKED_TOGETHER], self._open[_PACKED_TOGETHER:]
        self._states.update(
            {closing.device: (closing.sample_id, closing.state) for closing in some}
        )
        starts = [slot.start_s for closing in some for slot in closing.slots]
        data = msgspec.msgpack.encode([replace(closing, state=_NO_STATE) for closing in some])
        self._packed.append(
            _Packed(
                min(starts, default=0), max(starts, default=0), len(starts), zlib.compress(data)
            )
        )

    def _forget(self) -> Iterator[Event]:
        counts: dict[str, list[int]] = {}
        last_s = 0
        for closing in self._unpacked(self._packed.pop(0)):
            self._take_back(closing.taken_back)
            slots = [
                slot for slot in closing.slots if slot.method != "power"
            ]  # a provisional one moves no counter
            for slot in slots:
                counts.setdefault(slot.device, []).append(slot.energy_uwh or 0)
                last_s = max(last_s, slot.start_s + slot.length_s)
                to_ms = (slot.start_s + slot.length_s) * 1000
                self._lose(
                    Unallocated(
                        *(
                            slot.device,
                            slot.serial_number,
                            slot.direction,
                            "lost",
                            slot.start_s * 1000,
                            to_ms,
                        ),
                        *(slot.begin_uwh, slot.end_uwh),
                    )
                )
            for left in closing.unallocated:
                self._lose(replace(left, kind="lost"))
        for device, energies in counts.items():
            text = (
                f"{len(energies)} slots could not be written for so long that memory was "
                "full; their energy is unallocated"
            )
            yield Event(last_s * 1000, device, "lost", text, sum(energies))

    def _take_back(self, taken_back: Sequence[TakenBack]) -> None:
        """What was lost of what is void was never there."""
        self._taken_back += taken_back
        for each in taken_back:
            series = each.device, each.serial_number, each.direction
            lost = self._lost.get(series)
            if lost is None:
                continue
            if each.voids(lost):
                del self._lost[series]
            else:
                self._lost[series] = replace(lost, end_uwh=min(lost.end_uwh, each.from_uwh))

    def _lose(self, more: Unallocated) -> None:
        """From slot to slot the counter of a series goes on: what is lost of it in a row is one
        record.
        """
        series = more.device, more.serial_number, more.direction
        lost = self._lost.get(series, more)
        self._lost[series] = replace(
            lost,
            from_ms=min(lost.from_ms, more.from_ms),
            to_ms=max(lost.to_ms, more.to_ms),
            begin_uwh=min(lost.begin_uwh, more.begin_uwh),
            end_uwh=max(lost.end_uwh, more.end_uwh),
        )

    @property
    def lost(self) -> Sequence[Unallocated]:
        """The energy of those that had to go."""
        return tuple(self._lost.values())

    @property
    def taken_back(self) -> Sequence[TakenBack]:
        """What was withdrawn by those that had to go."""
        return tuple(self._taken_back)

    def _unpacked(self, packed: _Packed) -> list[Closing]:
        closings = msgspec.msgpack.decode(zlib.decompress(packed.data), type=list[Closing])
        return [
            replace(
                each, sample_id=self._states[each.device][0], state=self._states[each.device][1]
            )
            for each in closings
        ]

    def __iter__(self) -> Iterator[Closing]:
        """All of them, in their order; of a meter's packed ones each bears the last state."""
        for packed in self._packed:
            yield from self._unpacked(packed)
        yield from self._open

    def at(self, start_s: int) -> Iterator[Closing]:
        """Those that may hold slots that start then, or what is owed for them."""
        for packed in self._packed:
            if packed.first_s <= start_s <= packed.last_s:
                yield from self._unpacked(packed)
        yield from self._open

    def clear(self) -> None:
        """They have been written."""
        self._open.clear()
        self._packed.clear()
        self._states.clear()
        self._lost.clear()
        self._taken_back.clear()


class RecentClosings:
    """What was written last, small: somebody may cut off the log that it is in."""

    def __init__(self) -> None:
        self._packed: deque[bytes] = deque()
        self._bytes = 0
        self._states: dict[str, tuple[int, MeterState]] = {}

    def __len__(self) -> int:
        """Of the commits that are kept."""
        return len(self._packed)

    def add(self, closings: Iterable[Closing]) -> None:
        """These have been written, in one transaction."""
        kept = []
        for closing in closings:
            self._states[closing.device] = closing.sample_id, closing.state
            if closing.slots or closing.owed or closing.unallocated or closing.taken_back:
                kept.append(replace(closing, state=_NO_STATE, events=()))
        if not kept:
            return

        data = zlib.compress(msgspec.msgpack.encode(kept))
        self._packed.append(data)
        self._bytes += len(data)
        while self._bytes > RECENT_BYTES and len(self._packed) > 1:
            self._bytes -= len(self._packed.popleft())

    def __iter__(self) -> Iterator[Closing]:
        """All of them, in their order; each bears its meter's last state."""
        for data in self._packed:
            for each in msgspec.msgpack.decode(zlib.decompress(data), type=list[Closing]):
                sample_id, state = self._states[each.device]
                yield replace(each, sample_id=sample_id, state=state)
