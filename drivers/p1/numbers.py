"""A number and its unit in a P1 telegram: pure, exact. Units are taken from the telegram, never
assumed: relatives of DSMR send Wh for kWh.
"""

from collections.abc import Mapping

# unit in lower case → (its dimension, power of ten)
UNITS: Mapping[bytes, tuple[str, int]] = {
    b"wh": ("wh", 0),
    b"kwh": ("wh", 3),
    b"varh": ("varh", 0),
    b"kvarh": ("varh", 3),
    b"w": ("w", 0),
    b"kw": ("w", 3),
    b"var": ("var", 0),
    b"kvar": ("var", 3),
    b"v": ("v", 0),
    b"kv": ("v", 3),
    b"a": ("a", 0),
    b"ka": ("a", 3),
    b"hz": ("hz", 0),
    b"khz": ("hz", 3),
    b"m3": ("m3", 0),
    b"m\xb3": ("m3", 0),
    b"gj": ("gj", 0),
    b"": ("", 0),
}
_MINUS = ord("-")

_SIGNED = {"w", "a", ""}  # a register or a voltage below zero is a broken field


# A number and its unit: `*` may be missing, blanks may stand before the bracket. The length is
# bounded so that a float holds it exactly. Possessive (`+` after a repetition): what has matched is
# not tried again in other ways, which would find nothing and cost half the time. Within brackets no
# pattern here asks for a certain digit: `Reader` relies on that.
NUMBER = rb"(-?\d{1,12}+)(?:\.(\d{0,6}+))?+ *+\*?+ *+([A-Za-z][A-Za-z0-9\xb3]*+|) *+\)"


def scaled(whole: bytes, fraction: bytes, unit: bytes, dimension: str) -> float | None:
    """The number in the quantity's own unit, as near as a float gets (a whole number of Wh
    exactly); None where the unit is another's.
    """
    found, power = UNITS.get(unit.lower(), (None, 0))
    if found != dimension or (whole[0] == _MINUS and dimension not in _SIGNED):
        return None
    value: float = int(whole + fraction) * 10**power / 10 ** len(fraction)
    return value
