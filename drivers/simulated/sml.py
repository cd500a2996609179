"""Writes SML telegrams as German household meters push them. Pure.

Source: SML 1.04 (BSI TR-03109-1, annex IV): 6.3 (type and length), 8 (transport version 1). Written
apart from drivers/sml, checksums included, so that one mistake cannot hide on both sides.
"""

import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WATT_HOUR, WATT, AMPERE, VOLT, HERTZ = 30, 27, 33, 35, 44

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

Checksum = Callable[[bytes], bytes]


def x25(data: bytes) -> bytes:
    """CRC-16/X-25, low byte first: what the standard says."""
    return _reflected(data, 0xFFFF, 0xFFFF).to_bytes(2, "little")


def kermit(data: bytes) -> bytes:
    """CRC-16/KERMIT, high byte first: what some Holley meters send."""
    return _reflected(data, 0, 0).to_bytes(2, "big")


def _reflected(data: bytes, start: int, flip: int) -> int:
    """A reflected CRC of 0x1021: the plain one over bytes whose bits are reversed."""
    plain = binascii.crc_hqx(data.translate(_REVERSED), start)
    return int(f"{plain:016b}"[::-1], 2) ^ flip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One value of the list. `raw` × 10^`scaler` is in `unit` (DLMS number); bytes are an octet
    string, None is "not set".
    """

    code: str
    """A-B:C.D.E*F"""
    raw: int | bytes | None
    unit: int | None = None
    scaler: int | None = None
    status: int | None = None
    width: int = 0
    """bytes of the raw number; 0: as few as hold it"""
    signed: bool = True


def telegram(
    server_id: bytes,
    entries: Sequence[Entry],
    *,
    uptime_s: int = 104_804_149,
    checksum: Checksum = x25,
    bare_time: bool = False,
) -> bytes:
    """One SML file: open, values, close."""
    seconds = b"\x65" + uptime_s.to_bytes(4, "big")
    time = seconds if bare_time else b"\x72\x62\x01" + seconds
    values = _list(*(_entry(each) for each in entries))
    body = (
        _message(
            1,
            0x0101,
            _list(
                _NOT_SET, _NOT_SET, octets(b"\x06\x3f\x3f"), octets(server_id), _NOT_SET, _NOT_SET
            ),
            checksum,
        )
        + _message(
            2,
            0x0701,
            _list(
                _NOT_SET,
                octets(server_id),
                octets(b"\x01\x00\x62\x0a\xff\xff"),
                time,
                values,
                _NOT_SET,
                _NOT_SET,
            ),
            checksum,
        )
        + _message(3, 0x0201, _list(_NOT_SET), checksum)
    )
    return transport(body, checksum)


# How a household meter writes its quantities: code, unit, scaler.
_WRITTEN: Mapping[str, tuple[str, int, int]] = {
    "energy_import_wh": ("1.8.0", WATT_HOUR, -1),
    "energy_export_wh": ("2.8.0", WATT_HOUR, -1),
    "power_w": ("16.7.0", WATT, 0),
    **{f"power_l{n}_w": (f"{16 + 20 * n}.7.0", WATT, 0) for n in (1, 2, 3)},
    **{f"voltage_l{n}_v": (f"{12 + 20 * n}.7.0", VOLT, -1) for n in (1, 2, 3)},
    **{f"current_l{n}_a": (f"{11 + 20 * n}.7.0", AMPERE, -2) for n in (1, 2, 3)},
    "frequency_hz": ("14.7.0", HERTZ, -1),
}


def household(values: Mapping[str, float], server_id: bytes, *, whole_kwh: bool = False) -> bytes:
    """The telegram of a meter that shows these values (`drivers.sample.QUANTITIES`); with
    `whole_kwh`, before its PIN has been entered.
    """
    entries = []
    for name, (code, unit, fine) in _WRITTEN.items():
        if name not in values or (whole_kwh and unit != WATT_HOUR):
            continue
        scaler = 3 if whole_kwh else fine
        raw = int(values[name] // 10**scaler) if scaler > 0 else round(values[name] * 10**-scaler)
        entries.append(Entry(code=f"1-0:{code}*255", raw=raw, unit=unit, scaler=scaler))
    return telegram(server_id, entries)


def transport(body: bytes, checksum: Checksum = x25, *, extra_fill: int = 0) -> bytes:
    """A file in its frame. `extra_fill`: with 4, a full body is followed by four fill bytes, as by
    DZG meters.
    """
    body = body.replace(b"\x1b\x1b\x1b\x1b", b"\x1b\x1b\x1b\x1b" * 2)
    fill = -len(body) % 4 or extra_fill
    framed = (
        b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
        + body
        + bytes(fill)
        + b"\x1b\x1b\x1b\x1b\x1a"
        + bytes((fill,))
    )
    return framed + checksum(framed)


_NOT_SET = b"\x01"


def octets(data: bytes) -> bytes:
    """An octet string with its type and length; over 14 bytes, the length takes two."""
    if len(data) < 15:
        return bytes((len(data) + 1,)) + data
    size = len(data) + 2
    return bytes((0x80 | size >> 4, size & 0x0F)) + data


def _list(*elements: bytes) -> bytes:
    count = len(elements)
    head = bytes((0x70 | count,)) if count < 16 else bytes((0xF0 | count >> 4, count & 0x0F))
    return head + b"".join(elements)


def _number(value: int | None, width: int = 0, *, signed: bool = False) -> bytes:
    if value is None:
        return _NOT_SET
    while not width or not (
        -(1 << 8 * width - 1) <= value < 1 << 8 * width - 1 if signed else value < 1 << 8 * width
    ):
        width += 1
    return bytes(((0x50 if signed else 0x60) | width + 1,)) + value.to_bytes(
        width, "big", signed=signed
    )


def _entry(entry: Entry) -> bytes:
    code = bytes(
        int(part)
        for part in entry.code.replace("-", ".").replace(":", ".").replace("*", ".").split(".")
    )
    value = (
        octets(entry.raw)
        if isinstance(entry.raw, bytes)
        else _number(entry.raw, entry.width, signed=entry.signed)
    )
    return _list(
        octets(code),
        _number(entry.status),
        _NOT_SET,
        _number(entry.unit),
        _number(entry.scaler, signed=True),
        value,
        _NOT_SET,
    )


def _message(number: int, tag: int, contents: bytes, checksum: Checksum) -> bytes:
    begun = (
        b"\x76"
        + octets(number.to_bytes(4, "big"))
        + b"\x62\x00\x62\x00"
        + _list(_number(tag, 2), contents)
    )
    return begun + b"\x63" + checksum(begun) + b"\x00"
