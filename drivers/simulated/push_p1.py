"""Writes telegrams as the P1 meter of any profile sends them, from the profile's own data. Pure.

Source: DSMR 5.0.2 P1 companion standard: sections 6.2 (framing, checksum), 6.4 (formats), 6.12
(objects).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from drivers import crc16
from drivers.p1.obis import ELECTRICITY
from drivers.p1.settings import Settings
from drivers.tariffs import TARIFFS

_FORMATS = {
    "wh": ("{:010.3f}*kWh", 1000),
    "varh": ("{:010.3f}*kvarh", 1000),
    "w": ("{:06.3f}*kW", 1000),
    "var": ("{:06.3f}*kvar", 1000),
}
_FORMATS |= {
    "v": ("{:05.1f}*V", 1),
    "a": ("{:06.2f}*A", 1),
    "hz": ("{:05.2f}*Hz", 1),
    "": ("{:05.3f}", 1),
}


def push_p1(
    settings: Settings, values: Mapping[str, float], serial_number: str, utc_s: int
) -> bytes:
    """One telegram of a meter that shows these values (`drivers.sample.QUANTITIES`): those that the
    profile lists, and its marks.

    All energy is in tariff 1. A total has a line of its own where the profile's marks say so, or
    where it knows no tariffs.
    """
    idents = [mark for mark in settings.marks if mark.startswith("/")]
    local = datetime.fromtimestamp(utc_s, UTC) + timedelta(hours=settings.utc_offset_h)
    lines = [
        *(idents or ["/SIM5METER"]),
        "",
        f"0-0:1.0.0({local:%y%m%d%H%M%S}W)",
        f"0-0:96.1.1({serial_number.encode('ascii').hex().upper()})",
        *_electricity(settings, values),
    ]
    lines += [
        mark if mark.endswith(")") else f"{mark})"
        for mark in settings.marks
        if not any(line.startswith(mark) for line in lines)
    ]
    body = ("\r\n".join(lines) + "\r\n!").encode("ascii")
    return body + (b"%04X\r\n" % crc16.arc(body) if settings.checksum == "required" else b"\r\n")


def _electricity(settings: Settings, values: Mapping[str, float]) -> Iterator[str]:
    shown = dict(values)
    for direction in ("import", "export"):
        total = f"energy_{direction}_wh"
        tariffs = [n for n in TARIFFS if f"energy_{direction}_t{n}_wh" in settings.values]
        shown |= {f"energy_{direction}_t{n}_wh": values[total] if n == 1 else 0.0 for n in tariffs}
        if tariffs and not any(mark.endswith(":1.8.0(") for mark in settings.marks):
            del shown[total]
    if "power_import_w" in settings.values:
        del shown["power_w"]  # the meter tells the two it is made of
    medium = "1-1" if any(mark.startswith("1-1:") for mark in settings.marks) else "1-0"
    for code, (name, dimension) in ELECTRICITY.items():
        if name in shown and name in settings.values:
            text, unit = _FORMATS[dimension]
            yield f"{medium}:{code.decode('ascii')}({text.format(shown[name] / unit)})"
