"""The values of a P1 telegram: pure, exact in Wh. Where they stand is worked out once, and holds
for the telegrams that follow.

An unreadable field is left out, and so is everything that would be computed from it.
"""

from collections.abc import Collection, Mapping

from drivers.p1.layout import DataLine, Layout, layout_of
from drivers.p1.obis import EITHER_WAY
from drivers.p1.told import Values, told
from drivers.tariffs import is_widened

_ZEROS = bytes.maketrans(b"123456789", b"000000000")

LAYOUTS = 8
"""How many looks of a meter's telegrams are remembered: in summer and in winter, with and without a
message or a minus.
"""


class Reader:
    """Reads the telegrams of one meter. They look alike, so where the values stand is worked out
    anew only where one looks different.

    Two telegrams have their values in the same places if they are the same but for digits, and
    before the brackets of each line, where the ids stand, the same to the digit.

    An energy total is the meter's own (x.8.0) or, without one, the sum of the tariff registers in
    the same telegram; of all of `tariffs` at least: where one of them is missing or unreadable,
    there is no total. `utc_offset_h` is what the meter's clock is ahead of UTC in winter.
    """

    def __init__(self, tariffs: Collection[int] = (), utc_offset_h: float = 1) -> None:
        self._tariffs = tariffs
        self._utc_offset_h = utc_offset_h
        # By a telegram's shape: itself, with every digit a 0.
        self._layouts: dict[bytes, Layout] = {}
        # The other lines of the last telegram, and what they tell: without a clock among them, they
        # stay the same for long.
        self._last: Layout | None = None
        self._brackets: list[bytes] = []
        self._told = Values({}, None)

    def read(self, raw: bytes) -> Values:
        """The values of one telegram (from its `/` to its `!`)."""
        if b"\n" not in raw:
            raw = raw.replace(b"\r", b"\n")  # something on the way rewrote the line ends

        layout = self._layout_of(raw)
        found, widened = _numbers(raw, layout)
        brackets = [raw[place] for place in layout.brackets]
        if brackets != self._brackets or layout is not self._last:
            self._last, self._brackets = layout, brackets
            self._told = told(layout.others, brackets, self._utc_offset_h)
        found.update(self._told.quantities)
        return Values(found, self._told.serial_number, self._told.meter_utc_s, widened)

    @property
    def lines(self) -> tuple[DataLine, ...]:
        """The lines of the telegram that was read last."""
        return self._last.lines if self._last is not None else ()

    def _layout_of(self, raw: bytes) -> Layout:
        shape = raw.translate(_ZEROS)
        layout = self._layouts.get(shape)
        if layout is None or layout.pick_ids(raw) != layout.ids:
            layout = layout_of(raw, self._tariffs)
            if layout.lasting:
                self._layouts[shape] = layout
            if len(self._layouts) > LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
        return layout


def _numbers(raw: bytes, layout: Layout) -> tuple[dict[str, float], tuple[str, ...]]:
    """What the telegram's numbers say, and what is computed of them; and which totals hold tariffs
    beyond the fourth.
    """
    joined = raw.translate(None, b".")  # digits before and after the point
    found = {
        name: int(joined[place]) * factor / divisor
        for name, place, factor, divisor in layout.numbers
    }

    for name, plus, minus in layout.differences:
        value = found[plus] - found[minus]
        found[name] = value if value.is_integer() else round(value, 3)

    for name, parts in layout.sums:
        value = sum([found[part] for part in parts], 0.0)
        found[name] = value if value.is_integer() else round(value, 3)

    widened: tuple[str, ...] = ()
    if layout.hidden:
        widened = tuple(name for name, parts in layout.sums if is_widened(parts, found))
        if layout.either_way and not _exports(found):
            found["power_w"] = found[EITHER_WAY]
        for name in layout.hidden:
            del found[name]
    return found, widened


def _exports(found: Mapping[str, float]) -> bool:
    """Whether a meter has ever exported. 15.7.0 has no sign: it tells the power only of one that
    has not.
    """
    return any(value for name, value in found.items() if "energy_export_" in name)


def read_values(raw: bytes, tariffs: Collection[int] = (), utc_offset_h: float = 1) -> Values:
    """The values of one telegram on its own, as a `Reader` gives them."""
    return Reader(tariffs, utc_offset_h).read(raw)


class Leftovers:
    """The lines of a meter's telegrams of which nothing is made: worked out anew only where a
    telegram looks different.
    """

    def __init__(self) -> None:
        self._lines: tuple[DataLine, ...] = ()
        self._ids: tuple[str, ...] = ()

    def of(self, lines: tuple[DataLine, ...], wanted: Collection[str]) -> tuple[str, ...]:
        """Their ids, in the telegram's order."""
        if lines is not self._lines:
            self._lines = lines
            self._ids = tuple(line.id for line in lines if not line.is_used(wanted))
        return self._ids
