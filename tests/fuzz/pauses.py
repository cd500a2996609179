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

# P1 text as an optical port's profile reads it: its checksum alone tells of a damaged digit.
_SEALED = [each for each in _PROPER if each.data.isascii() and b"!\r" not in each.data]
_DIGIT = re.compile(rb"(-\d:1\.8\.[01]\()\d")


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


async def _read(copies: list[bytes], cuts: bytes, profile: str) -> dict[str, float] | str:
    come = [piece for data in copies for piece in [*_cut(data, cuts), (2.0, b"")]]
    driver = load_profile_once(profile).open_driver(DeviceAddress(name="grid"), _Pausing(come))
    try:
        return dict((await driver.read(asyncio.get_running_loop().time())).values)
    except BadReply as error:
        return str(error)


def paused(data: bytes) -> None:
    """The first byte says what is sent, the others how it is cut."""
    which, cuts = data[0] if data else 0, data[1 : 1 + 2 * MOST_CUTS]
    if which < 0x40:
        each = _PROPER[which % len(_PROPER)]
        told = loop().run_until_complete(_read([each.data] * 3, cuts, "p1/auto"))
        assert isinstance(told, dict), told
        assert each.values.items() <= told.items()
    elif which < 0x80:
        each = _SEALED[which % len(_SEALED)]
        damaged = _DIGIT.sub(rb"\g<1>9", each.data, count=1)
        told = loop().run_until_complete(
            _read([damaged, each.data, each.data], cuts, "iec62056/mode_d")
        )
        assert isinstance(told, dict), told
        assert told["energy_import_wh"] == each.values["energy_import_wh"]
    else:
        sent, words = _FOREIGN[which % len(_FOREIGN)]
        told = loop().run_until_complete(_read([sent] * 3, cuts, "p1/auto"))
        assert isinstance(told, str), told
        assert re.search(words, told), told


def seeds() -> Iterable[bytes]:
    proper = (*range(len(_PROPER)), *range(0x40, 0x40 + len(_SEALED)))
    for which in (*proper, *range(0x80, 0x80 + len(_FOREIGN))):
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
