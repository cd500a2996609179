"""What meters push, cut anywhere and with pauses in between: the right values, or the protocol's
name. A checksum that comes late is one of these cuts.
"""

import asyncio
import re
from collections.abc import Iterable

from drivers.line_protocol import BadReply
from drivers.profile import DeviceAddress
from tests.drivers.p1.telegrams.written import written
from tests.drivers.test_foreign import STRANGERS
from tests.fuzz.meter_drivers import Speaker, load_profile_once, loop
from tests.fuzz.target import Target

PAUSES_S = (0.0, 0.01, 0.03, 0.06, 0.12, 0.31, 0.4, 1.2)
MOST_CUTS = 6

_PROPER = list(written())
_FOREIGN = [each for name, each in STRANGERS.items() if name != "p1"]


class _Pausing(Speaker):
    """Pieces come with a pause of its own before each."""

    def __init__(self, come: list[tuple[float, bytes]]) -> None:
        super().__init__([])
        self._at_s = asyncio.get_running_loop().time()
        self._due: list[tuple[float, bytes]] = []
        for pause_s, piece in come:
            self._at_s += pause_s + len(piece) * self.char_s
            self._due.append((self._at_s, piece))
        self._due.reverse()

    async def read(self, deadline_s: float) -> bytes:
        now_s = asyncio.get_running_loop().time
        until_s = min(deadline_s, self._due[-1][0]) if self._due else deadline_s
        await asyncio.sleep(max(0.0, until_s - now_s()))
        came = b""
        while self._due and self._due[-1][0] <= now_s() + 1e-9:
            came += self._due.pop()[1]
        return came


def _cut(data: bytes, cuts: bytes) -> list[tuple[float, bytes]]:
    """Each two bytes of `cuts` say where, and how long the pause is; an odd where is just behind
    the end mark.
    """
    end = data.find(b"!") + 1
    places = {0: 0.35}
    for where, pause in zip(cuts[::2], cuts[1::2], strict=False):
        at = end + where // 2 % 5 if where % 2 and end else where * len(data) // 256
        places.setdefault(at, PAUSES_S[pause % len(PAUSES_S)])
    begins = sorted(places)
    ends = [*begins[1:], len(data)]
    return [(places[at], data[at:to]) for at, to in zip(begins, ends, strict=True)]


async def _read(data: bytes, cuts: bytes) -> dict[str, float] | str:
    come = [piece for _ in range(3) for piece in [*_cut(data, cuts), (2.0, b"")]]
    driver = load_profile_once("p1/auto").open_driver(DeviceAddress(name="grid"), _Pausing(come))
    try:
        return dict((await driver.read(asyncio.get_running_loop().time())).values)
    except BadReply as error:
        return str(error)


def paused(data: bytes) -> None:
    """The first byte says what is sent, the others how it is cut."""
    which, cuts = data[0] if data else 0, data[1 : 1 + 2 * MOST_CUTS]
    if which < 0x80:
        each = _PROPER[which % len(_PROPER)]
        told = loop().run_until_complete(_read(each.data, cuts))
        assert isinstance(told, dict), told
        assert each.values.items() <= told.items()
    else:
        sent, words = _FOREIGN[which % len(_FOREIGN)]
        told = loop().run_until_complete(_read(sent, cuts))
        assert isinstance(told, str), told
        assert re.search(words, told), told


def seeds() -> Iterable[bytes]:
    for which in (*range(len(_PROPER)), *range(0x80, 0x80 + len(_FOREIGN))):
        yield bytes((which, 1, 4, 100, 6, 5, 3))


TARGETS = (
    Target(
        "meter-pauses",
        "what meters push, cut anywhere and with pauses: late checksums, foreign protocols",
        paused,
        seeds,
        longest=1 + 2 * MOST_CUTS,
    ),
)
