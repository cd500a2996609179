"""The energy registers of a telegram, by direction and tariff. Pure.

IEC 62056-61: 1.8.e is import, 2.8.e export; e = 0 is the total, 1 to 63 are the tariffs.
"""

from collections.abc import Iterable, Mapping

TARIFFS = range(1, 5)
"""Those whose registers are quantities of their own."""

_MORE = range(5, 64)  # those that are only part of a total: their names begin with `_`

_DIRECTIONS = {1: "import", 2: "export"}

ENERGY: Mapping[tuple[int, int], str] = {
    **{(c, 0): f"energy_{direction}_wh" for c, direction in _DIRECTIONS.items()},
    **{(c, e): f"energy_{d}_t{e}_wh" for c, d in _DIRECTIONS.items() for e in TARIFFS},
    **{(c, e): f"_energy_{d}_t{e}_wh" for c, d in _DIRECTIONS.items() for e in _MORE},
}
"""Groups C and E of an id → the quantity. One that begins with `_` is only part of a total."""

TOTALS: Mapping[str, tuple[str, ...]] = {
    ENERGY[c, 0]: tuple(ENERGY[c, e] for e in (*TARIFFS, *_MORE)) for c in _DIRECTIONS
}
"""A total → the tariffs of which it is the sum, where a meter does not tell it itself."""


def is_widened(parts: Iterable[str], values: Mapping[str, float]) -> bool:
    """Whether a sum of these parts holds energy of tariffs that are only part of a total."""
    return any(part.startswith("_") and values[part] for part in parts)
