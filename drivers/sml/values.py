"""The values of an SML file: pure, one pass, exact in Wh, bounded in depth.

SML 1.04 (BSI TR-03109-1, annex IV). A file is a sequence of messages; a message is a list of six:
transaction, group, abort-on-error, body (a tag and its contents), checksum, end (00). Every element
begins with its type and length (6.3): bit 7 "more", bits 6–4 the type, the rest the length *with*
the type-length bytes, or for lists the number of elements. The values come in a GetListResponse
(tag 0701), as entries of seven: object (OBIS), status, time, unit, scaler, value, signature; a
value is the raw number × 10^scaler in the unit (DLMS UA Blue Book, 4.3.2: 27 W, 30 Wh, 33 A, 35 V,
44 Hz). A raw number has any width from one to eight bytes, also in one meter.

What makers do differently is judged by what the telegram itself says (see `_power` and `_dzg`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from drivers.sml.transport import checksums, excerpt
from drivers.tariffs import ENERGY, TOTALS, is_widened

MAX_DEPTH = 12
"""The deepest list. A meter's time stamp, the deepest there is, is at 7."""
MAX_SERIAL_CHARS = 64
"""Of a serial number that is none of DIN 43863-5; what is longer is cut off."""
WHOLE_KWH = 1000
"""A register in steps of so many Wh is what a meter shows before its PIN has been entered."""

# Units as they travel: an unsigned byte.
_WATT, _WATT_HOUR, _AMPERE, _VOLT, _HERTZ = (bytes((0x62, unit)) for unit in (27, 30, 33, 35, 44))

_UNSIGNED = {_WATT_HOUR, _VOLT, _HERTZ}  # a register or a voltage below zero is a broken field

# C D E of medium 1 → (quantity, unit)
_OBJECTS: Mapping[bytes, tuple[str, bytes]] = {
    **{bytes((c, 8, e)): (name, _WATT_HOUR) for (c, e), name in ENERGY.items()},
    bytes((16, 7, 0)): ("power_w", _WATT),
    # Other names for the power (see `_power`); they are no quantities.
    bytes((15, 7, 0)): ("15.7.0", _WATT),
    bytes((1, 7, 0)): ("1.7.0", _WATT),
    bytes((1, 7, 1)): ("1.7.0", _WATT),
    bytes((2, 7, 0)): ("2.7.0", _WATT),
    bytes((14, 7, 0)): ("frequency_hz", _HERTZ),
    **{
        bytes((group + shift, 7, 0)): (name.format(phase), unit)
        for phase, shift in (("l1", 0), ("l2", 20), ("l3", 40))
        for group, name, unit in (
            (36, "power_{}_w", _WATT),
            (31, "current_{}_a", _AMPERE),
            (32, "voltage_{}_v", _VOLT),
        )
    },
}
_CODES = {name: "1-0:{}.{}.{}".format(*code) for code, (name, _) in _OBJECTS.items()}
_UNITS = dict(_OBJECTS.values())
_STATUS_OF = (*TOTALS, *(name for names in TOTALS.values() for name in names))
_POWER_NAMES = {"15.7.0", "1.7.0", "2.7.0"}
_EXPORT_REGISTERS = ("energy_export", "_energy_export")
_PHASES = ("power_l1_w", "power_l2_w", "power_l3_w")
_IDS = {bytes((96, 1, 0)), bytes((0, 0, 9))}  # the meter's id (Holley, eBZ) and its server id (EMH)

QUANTITIES = frozenset(
    name for name, _ in _OBJECTS.values() if name not in _POWER_NAMES and not name.startswith("_")
)
"""Every quantity that may come out of a telegram."""

_GET_LIST_RESPONSE = 0x0701
_LIST, _SIGNED, _UNSIGNED_NUMBER = 0x70, 0x50, 0x60
# Scalers as they travel: a signed byte, or not set, which is 0. Beyond these a number is nonsense.
_SCALERS: Mapping[bytes, int] = {b"\x01": 0, **{bytes((0x52, n & 0xFF)): n for n in range(-12, 13)}}

# Bits of the status that comes with an energy register.
_EXPORTS = 0x20  # EMH: what 15.7.0 tells without sign flows to the grid
_DZG_EXPORTS = 0x800
# Serial numbers of DZG DVS74 meters that send a positive power in one bit less than it needs.
_DZG_SHORT = (range(42_000_000, 49_000_000), range(55_000_000, 59_000_000))


class SmlError(ValueError):
    """A file with a right checksum that is not proper SML. The text says what is wrong and
    where.
    """


@dataclass(frozen=True, slots=True)
class Values:
    """What a file says: quantities of `drivers.sample.QUANTITIES`, and the meter's own serial
    number where it tells it.

    `steps_wh` has the step of each energy register, as the telegram's scaler tells it. `rounded` is
    true where the registers are whole kWh all the same and there is no power: so it is with some
    meters before their PIN has been entered, and now and then by chance. `unused` are the ids of
    numbers that are no quantity.
    """

    quantities: Mapping[str, float]
    serial_number: str | None
    steps_wh: Mapping[str, float]
    rounded: bool
    unused: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    """Energy totals that hold tariffs beyond the fourth (see `Reading`)."""


Tree = bytes | list["Tree"]
"""An element: a list of elements, or a scalar as one type-length byte and its contents."""


class _Entry(NamedTuple):  # a frozen dataclass takes five times as long to make
    """The number of one list entry, unscaled."""

    raw: int
    head: int
    """type and length of the raw number, as it travelled"""
    scaler: int
    status: Tree

    @property
    def value(self) -> float:
        """raw × 10^scaler, as near as a float gets."""
        return (
            float(self.raw * 10**self.scaler) if self.scaler >= 0 else self.raw / 10**-self.scaler
        )


def read_values(payload: bytes) -> Values:
    """The values of one SML file. Raises SmlError.

    An energy total is the meter's own (x.8.0) or, without one, the sum of the tariff registers in
    the same file.
    """
    found: dict[str, _Entry] = {}
    broken: set[str] = set()
    # A meter is known by one of its ids, always the same: the server id, which each response has,
    # goes before those in the list.
    server = listed = b""
    unused: list[str] = []
    at = 0
    while at < len(payload):
        if payload[at] == 0:  # fill bytes
            at += 1
            continue
        message, end = decode(payload, at)
        body = _body(payload, message, at, end)
        if body is not None:
            server = body[1][1:] if isinstance(body[1], bytes) else b""
            entries = body[4]
            if not isinstance(entries, list):
                raise SmlError(f"the list of values at byte {at} is not a list")
            for entry in entries:
                listed = _read_entry(entry, found, broken, unused) or listed
        at = end
    for name in broken:
        found.pop(name, None)
    widened = _add_totals(found, broken)
    unused += (_CODES[name] for name in sorted(broken))
    return _values(found, server or listed, tuple(unused), widened)


def decode(payload: bytes, at: int) -> tuple[list[Tree], int]:
    """The list that begins at `at`, and the index after it. Raises SmlError. It does not recurse:
    depth costs no stack.
    """
    root: list[Tree] = []
    tree, left = root, 1  # the list that is being filled, and how many elements it lacks
    outer: list[tuple[list[Tree], int]] = []
    try:
        while left or outer:
            if not left:
                tree, left = outer.pop()
                continue
            left -= 1
            head = payload[at]
            if head < _LIST:
                end = at + (head & 0x0F or 1)  # 00 is the end of a message
                tree.append(payload[at:end])
                at = end
                continue
            size, begin = head & 0x0F, at
            while payload[at] & 0x80:
                at += 1
                if at - begin > 3:
                    raise SmlError(
                        f"the element at byte {begin} has a length of more than four bytes"
                    )
                size = size << 4 | payload[at] & 0x0F
            at += 1
            if head & 0x70 == _LIST:
                if len(outer) >= MAX_DEPTH:
                    raise SmlError(f"lists are nested more than {MAX_DEPTH} deep at byte {begin}")
                inner: list[Tree] = []
                tree.append(inner)
                outer.append((tree, left))
                tree, left = inner, size
            else:
                end = begin + size
                if end < at:
                    raise SmlError(f"the element at byte {begin} is shorter than its own length")
                tree.append(bytes((head & 0x70,)) + payload[at:end])
                at = end
    except IndexError:
        raise SmlError(f"the file ends inside an element, at byte {len(payload)}") from None
    if at > len(payload):
        raise SmlError(f"the file ends inside an element, at byte {len(payload)}")
    if not isinstance(root[0], list):
        raise SmlError("a message does not begin with a list")
    return root[0], at


def _body(payload: bytes, message: list[Tree], at: int, end: int) -> list[Tree] | None:
    """The seven fields of a GetListResponse, None for another message. Raises SmlError where the
    message's own checksum is wrong.
    """
    if len(message) != 6 or not isinstance(message[3], list) or not isinstance(message[4], bytes):
        raise SmlError(f"what begins at byte {at} is not a message")
    stated = message[4]
    checked = payload[at : end - len(stated) - 1]
    # A number: a meter may leave out its first byte where that is zero.
    if _number(stated) not in {int.from_bytes(each, "big") for each in checksums(checked)}:
        raise SmlError(
            f"the message at byte {at} has a wrong checksum of its own ({excerpt(stated[1:])})"
        )
    if len(message[3]) != 2 or _number(message[3][0]) != _GET_LIST_RESPONSE:
        return None
    body = message[3][1]
    if not isinstance(body, list) or len(body) != 7:
        raise SmlError(f"the GetListResponse at byte {at} does not have seven fields")
    return body


def _number(tree: Tree) -> int | None:
    """A signed or unsigned number; None for anything else."""
    if isinstance(tree, bytes) and 2 <= len(tree) <= 9:
        kind = tree[0] & 0x70
        if kind in (_SIGNED, _UNSIGNED_NUMBER):
            return int.from_bytes(tree[1:], "big", signed=kind == _SIGNED)
    return None


def _read_entry(
    entry: Tree, found: dict[str, _Entry], broken: set[str], unused: list[str]
) -> bytes | None:
    """Takes one list entry in. Returns the meter's id where it is that."""
    if not isinstance(entry, list) or len(entry) != 7:
        return None
    name, status, _, unit, scaler, value, _ = entry
    if (
        not isinstance(name, bytes)
        or len(name) != 7
        or name[6] != 0xFF
        or not isinstance(value, bytes)
    ):  # *96 … *100 are past values
        return None
    known = _OBJECTS.get(name[3:6]) if name[1] == 1 else None
    if known is None:
        if _number(value) is not None:
            unused.append("{}-{}:{}.{}.{}".format(*name[1:6]))
        return value[1:] if name[3:6] in _IDS and value[0] < 0x10 and len(value) > 1 else None
    raw = _number(value)
    quantity, expected = known
    if raw is None:  # not set: before the PIN has been entered, say
        if quantity not in TOTALS:
            broken.add(quantity)  # a total that lacks one of its parts would be wrong
        return None
    scale = _SCALERS.get(scaler) if isinstance(scaler, bytes) else None
    if unit != expected or scale is None or (raw < 0 and expected in _UNSIGNED):
        broken.add(quantity)
        return None
    number = _Entry(raw, value[0], scale, status)
    before = found.setdefault(quantity, number)
    if before.raw != raw or before.scaler != scale:
        broken.add(quantity)  # there twice with different values
    return None


def _add_totals(found: dict[str, _Entry], broken: set[str]) -> tuple[str, ...]:
    """Totals that the meter does not tell itself, exact. Returns which of them are widened."""
    raws = {name: entry.raw for name, entry in found.items()}
    widened = []
    for total, names in TOTALS.items():
        present = [found[name] for name in names if name in found]
        if present and total not in found and broken.isdisjoint((total, *names)):
            scaler = min(entry.scaler for entry in present)
            raw = sum(entry.raw * 10 ** (entry.scaler - scaler) for entry in present)
            found[total] = present[0]._replace(raw=raw, scaler=scaler)
            if is_widened((name for name in names if name in raws), raws):
                widened.append(total)
    return tuple(widened)


def _values(
    found: Mapping[str, _Entry], server: bytes, unused: tuple[str, ...], widened: tuple[str, ...]
) -> Values:
    quantities = {
        name: entry.value
        for name, entry in found.items()
        if name not in _POWER_NAMES and not name.startswith("_")
    }
    steps_wh = {
        name: 10.0 ** found[name].scaler for name in quantities if _UNITS.get(name) == _WATT_HOUR
    }
    power_w = _power(found, server)
    quantities.pop("power_w", None)
    if power_w is not None:
        quantities["power_w"] = power_w
    if _is_dzg(server):
        quantities.update(_dzg_phases(found, power_w, server))
    energies_wh = [quantities[name] for name in steps_wh]
    rounded = (
        power_w is None
        and any(energies_wh)
        and all(energy_wh % WHOLE_KWH == 0 for energy_wh in energies_wh)
    )
    return Values(quantities, serial_number(server), steps_wh, rounded, unused, widened)


def id_of(quantity: str) -> str:
    """The OBIS id of a quantity."""
    return _CODES.get(quantity, quantity)


def _power(found: Mapping[str, _Entry], server: bytes) -> float | None:
    """Active power, import positive. 16.7.0 has a sign; meters without it send 1.7.0 (with a sign,
    unless 2.7.0 comes too) or 15.7.0.

    15.7.0 has no sign: the status of the energy register tells the direction (EMH ED300L, eHZ-HW8),
    or that the meter has only one.
    """
    status = _status(found)
    if (entry := found.get("power_w")) is not None:
        return _dzg(entry, status, server).value
    if (entry := found.get("1.7.0")) is not None:
        opposite = found.get("2.7.0")
        return round(entry.value - opposite.value, 6) if opposite is not None else entry.value
    if (entry := found.get("15.7.0")) is not None:
        if status is not None:
            return -entry.value if status & _EXPORTS else entry.value
        imports, exports = (
            any(name.startswith(f"energy_{d}") for name in found) for d in ("import", "export")
        )
        return entry.value if not exports else -entry.value if not imports else None
    return None


def _status(found: Mapping[str, _Entry]) -> int | None:
    """What comes with the energy registers and tells the direction; None where nothing does."""
    return next(
        (
            status
            for name in _STATUS_OF
            if name in found and (status := _number(found[name].status)) is not None
        ),
        None,
    )


def _counts_import_alone(found: Mapping[str, _Entry]) -> bool:
    """Whether a DZG meter has no export register, and a status that does not speak of export."""
    status = _status(found)
    exports = any(name.startswith(_EXPORT_REGISTERS) for name in found)
    return not exports and status is not None and not status & _DZG_EXPORTS


def _is_dzg(server: bytes) -> bool:
    return server[2:5] == b"DZG" and len(server) == 10


def _dzg(entry: _Entry, status: int | None, server: bytes) -> _Entry:
    """DZG DVS74 of some years send a positive power with too few bits: 356.24 W arrives as -299.12
    W. The status tells the direction.
    """
    affected = _is_dzg(server) and _is_short(server)
    if affected and entry.raw < 0 and status is not None and not status & _DZG_EXPORTS:
        return _lengthened(entry)
    return entry


def _is_short(server: bytes) -> bool:
    return any(int.from_bytes(server[6:], "big") in each for each in _DZG_SHORT)


def _lengthened(entry: _Entry) -> _Entry:
    """The positive number whose sign has been taken for a bit of it."""
    return entry._replace(raw=entry.raw + (1 << 8 * ((entry.head & 0x0F) - 1)))


def _dzg_phases(
    found: Mapping[str, _Entry], power_w: float | None, server: bytes
) -> Mapping[str, float]:
    """The same fault in the power of phases.

    A meter that counts import alone has no negative power (WS74: 507 W arrives as -148.36 W). Of
    one that counts both ways no status tells a phase's direction, but their sum is the total.
    """
    phases = {name: found[name] for name in _PHASES if name in found}
    negative = [name for name, entry in phases.items() if entry.raw < 0]
    if _counts_import_alone(found):
        return {name: _lengthened(phases[name]).value for name in negative}

    if not _is_short(server) or power_w is None or len(phases) < len(_PHASES):
        return {}
    ways = [
        {name: _lengthened(phases[name]).value for name in longer}
        for count in range(len(negative) + 1)
        for longer in combinations(negative, count)
    ]
    plain = {name: entry.value for name, entry in phases.items()}
    return min(ways, key=lambda way: abs(sum({**plain, **way}.values()) - power_w))


def serial_number(server: bytes) -> str | None:
    """A server id as it is printed on the meter (DIN 43863-5: 1EMH0012345678), as text where it is
    that, or in hex.
    """
    if not server:
        return None
    maker, number = server[2:5], int.from_bytes(server[6:], "big")
    if (
        len(server) == 10
        and server[0] in (9, 10)
        and server[1] < 10
        and maker.isalpha()
        and maker.isupper()
        and number < 10**8
    ):
        return f"{server[1]}{maker.decode('ascii')}{server[5]:02X}{number:08d}"
    text = server.decode("latin-1")
    return (
        text[:MAX_SERIAL_CHARS]
        if text.isascii() and text.isprintable()
        else server.hex().upper()[:MAX_SERIAL_CHARS]
    )
