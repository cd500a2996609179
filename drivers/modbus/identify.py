"""What a register holds → whether it is this model's. Pure."""

import struct

from drivers.modbus.codec import CODES
from drivers.modbus.digits import FROM_DIGITS
from drivers.modbus.settings import Identity


def matches(identity: Identity, data: bytes) -> bool:
    """Whether the register bytes `data` (2 × `identity.count`) are what this model gives there.
    Bytes of another length are not. Of function 17 they are its answer, empty where there was none.
    """
    if identity.asks_who:
        if identity.none_of is not None:
            return not data or data[0] not in identity.none_of
        return bool(data) and data[0] in (identity.values or ())
    if len(data) != 2 * identity.count:
        return False
    if identity.word_order == "little":
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    if identity.type == "string":
        # Some meters write one letter into each register, some pad in front.
        text = data.replace(b"\0", b"").decode("latin-1").casefold()
        return identity.text is not None and text.startswith(identity.text.casefold())
    (raw,) = struct.unpack(">" + CODES[identity.type], data)
    if identity.type in FROM_DIGITS and (raw := FROM_DIGITS[identity.type](raw)) is None:
        return False
    if identity.values is not None:
        return raw in identity.values
    if identity.between is None:
        return False
    low, high = identity.between
    return bool(low <= raw <= high)  # not a number is in no bounds
