"""A pulse meter's reply → values. Pure.

    ?␍␊   →   E=000123.456*kWh;R=000007.890*kWh;P=-00450*W␍␊

A field is a letter, `=`, a decimal number, `*` and its unit; `;` stands between fields (Pulse Meter
Manual, revision 2, section 4).
"""

import re
from collections.abc import Mapping

from drivers.sample import unit_of

END = b"\r\n"
MAX_REPLY_BYTES = 200
"""A reply has a dozen fields at most."""

_FIELD = re.compile(r"([A-Z])=(-?\d{1,9}(?:\.\d{1,3})?)\*(k?)(Wh|W|V|A|Hz)", re.ASCII)


def read_reply(reply: bytes, fields: Mapping[str, str]) -> dict[str, float]:
    """The quantities that `fields` (letter → quantity) names, in their own units. Fields that it
    does not name are left out.

    `reply` comes without its end. Raises ValueError, whose text quotes the part that cannot be
    read.
    """
    values: dict[str, float] = {}
    for part in reply.decode("ascii", errors="replace").split(";"):
        match = _FIELD.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not a field such as E=000123.456*kWh")
        letter, number, kilo, unit = match.groups()
        quantity = fields.get(letter)
        if quantity is None:
            continue
        if unit != unit_of(quantity):
            raise ValueError(
                f"{part!r} is in {kilo}{unit}, which is not a unit of {quantity}: is the profile "
                "the right one?"
            )
        # Through thousandths, for 0.001 kWh are 1 Wh and not 1.0000000000000002.
        thousandths = round(float(number) * 1000)
        values[quantity] = float(thousandths) if kilo else thousandths / 1000
    return values
