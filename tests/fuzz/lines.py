"""Lines on which others speak, too: whatever comes beside the meter's answers, a value is the
meter's own, or there is none. On an RTU line the meter always answers: where it does not, and the
answer to another master's question of the same shape comes instead, nothing tells.

Each pair of bytes of an input says what happens at one question: what else comes, and when.
"""

import asyncio
import struct
from collections.abc import Iterable
from itertools import cycle

from drivers.line_protocol import LineError, MeterError, Turns
from drivers.line_url import Framing, SerialSettings
from drivers.modbus.asking import ask, undisturbed
from tests.drivers.modbus.frames import mbap, rtu
from tests.drivers.scripted import in_virtual_time
from tests.fuzz.target import Target, check_message, split

UNIT = 2
BLOCKS = (72, 80)
"""First registers of the two blocks of a reading, of four registers each."""

ECHOES = (4, 5)
GAPS_S = (0.0, 0.01, 0.05, 0.1)
SIZES = (1 << 20, 1, 3, 7)


def truth(address: int) -> bytes:
    """What the meter's registers hold."""
    return struct.pack(">4H", *(address + n for n in range(4)))


class Bus:
    """A line with one meter and, as the script says, others. Answers come in virtual time."""

    name = "rtu+tcp:fuzz:4196"
    settings: SerialSettings | None = None
    char_s = 0.0

    def __init__(self, framing: Framing, script: bytes) -> None:
        self.framing = framing
        self.turns = Turns()
        self._script = cycle([*zip(script[::2], script[1::2], strict=False)] or [(0, 0)])
        self._come: list[tuple[float, bytes]] = []

    async def write(self, data: bytes) -> None:
        what, when = next(self._script)
        own, others = self._said(data, what & 15)
        gap_s, size = GAPS_S[when & 3], SIZES[when >> 2 & 3]
        now_s = asyncio.get_running_loop().time()
        early, late = (others, own) if when & 16 else (own, others)
        if self.framing == "rtu" and what & 15 in ECHOES:  # an adapter makes them at once
            early, late = others + own, b""
        for at_s, frame in ((0.005, early), (0.005 + gap_s, late)):
            pieces = [frame[at : at + size] for at in range(0, len(frame), size)]
            self._come += [(now_s + at_s, piece) for piece in pieces]

    def _said(self, asked: bytes, kind: int) -> tuple[bytes, bytes]:
        """The meter's answer, and what comes beside it."""
        if self.framing == "tcp":
            return self._said_in_tcp(asked, kind)
        address, wrong = int.from_bytes(asked[2:4], "big"), b"\0\x09" * 4
        own = rtu(UNIT, 4, 8, data=truth(address))
        theirs = rtu(UNIT, 4, 8, data=wrong)
        beside = (
            b"",
            theirs,
            rtu(UNIT, 4, 0, 0, 0, 4) + theirs,
            rtu(9, 4, 8, data=wrong),
            asked,
            b"\0\xff" + asked + b"\x80",
            own,
            rtu(UNIT, 0x84, 2),
            theirs[:-3],
            own[:5],
            bytes(13),
            theirs[:-1] + bytes((theirs[-1] ^ 1,)),
        )
        return own, beside[kind % len(beside)]

    def _said_in_tcp(self, asked: bytes, kind: int) -> tuple[bytes, bytes]:
        number, address = int.from_bytes(asked[:2], "big"), int.from_bytes(asked[8:10], "big")
        own, wrong = mbap(number, UNIT, 4, 8, data=truth(address)), b"\0\x09" * 4
        beside = (
            b"",
            mbap(number - 1, UNIT, 4, 8, data=wrong),
            mbap(number + 100, UNIT, 4, 8, data=wrong),
            mbap(number, 9, 4, 8, data=wrong),
            asked,
            own[:4] + b"\0\6" + own[6:],
            own[:4] + b"\0\x17" + own[6:],
            rtu(UNIT, 4, 8, data=wrong),
            own[:7],
        )
        lies = kind in (5, 6)
        return (b"", b"") if kind == 15 else (b"" if lies else own, beside[kind % len(beside)])

    async def read(self, deadline_s: float) -> bytes:
        now_s = asyncio.get_running_loop().time()
        at_s = min((at_s for at_s, _ in self._come), default=deadline_s)
        await asyncio.sleep(max(0.0, min(at_s, deadline_s) - now_s))
        return self._take(1)

    def _take(self, most: int) -> bytes:
        now_s = asyncio.get_running_loop().time()
        there = [each for each in sorted(self._come, key=lambda one: one[0]) if each[0] <= now_s]
        taken = there[:most]
        for each in taken:
            self._come.remove(each)
        return b"".join(piece for _, piece in taken)

    def drain(self) -> int:
        self.turns.drained = self._take(1000)
        return len(self.turns.drained)

    async def configure(self, settings: SerialSettings) -> None: ...

    async def ready(self) -> None: ...

    def rest(self) -> None: ...

    def renew(self) -> None:
        """A serial port stays as it is: what is late comes all the same."""

    def close(self) -> None: ...


async def _readings(bus: Bus) -> None:
    async def one() -> list[bytes]:
        return [await ask(bus, UNIT, 4, address, 4, 0.3) for address in BLOCKS]

    for _ in range(3):
        try:
            found = await undisturbed(bus, one)
        except (MeterError, LineError) as error:
            check_message(str(error))
            if isinstance(error, LineError):
                return
        else:
            assert found == [truth(address) for address in BLOCKS], "a value of somebody else"
        await asyncio.sleep(1.0)


def others_speak(data: bytes) -> None:
    """The first byte says in which frames."""
    options, script = split(data)
    bus = Bus("tcp" if options & 1 else "rtu", script[:40])
    in_virtual_time(lambda: _readings(bus))


def seeds() -> Iterable[bytes]:
    for framing in (0, 1):
        for kind in range(16):
            for when in (0, 1, 4, 16, 17, 18, 19):
                yield bytes((framing, 0, 0, kind, when, 0, 0))
            yield bytes((framing, kind, 16, kind, 17))


TARGETS = (
    Target(
        "lines",
        "other masters' frames, echoes, transaction ids and lengths beside a meter's answers",
        others_speak,
        seeds,
        longest=41,
    ),
)
