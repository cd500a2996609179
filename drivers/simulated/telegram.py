"""Writes DSMR 5 telegrams as a Dutch smart meter sends them on its P1 port. Pure.

Source: DSMR 5.0.2 P1 companion standard: sections 5.2 (framing, CRC-16 over everything from `/` to
`!`) and 6.12 (objects).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

from drivers import crc16

IDENT = "/ISK5\\2M550T-1012"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridReading:
    """What a three-phase DSMR 5 meter shows at one second."""

    utc_s: int
    serial_number: str
    import_wh: tuple[int, int]
    """per tariff: low, normal"""
    export_wh: tuple[int, int]
    tariff: int
    phases_w: tuple[int, int, int]
    """import positive"""
    voltages_v: tuple[float, float, float]
    gas_l: int


def telegram(reading: GridReading) -> bytes:
    """One telegram with its checksum. Totals have no line of their own: they are the sums over the
    tariffs.
    """
    power_w = sum(reading.phases_w)
    meter = _hex(reading.serial_number)
    (low_import, import_), (low_export, export) = reading.import_wh, reading.export_wh
    (w1, w2, w3), (v1, v2, v3) = reading.phases_w, reading.voltages_v
    # One text, because days of telegrams are written in the simulation. The current has no sign and
    # comes in whole amperes.
    body = f"""{IDENT}

1-3:0.2.8(50)
0-0:1.0.0({local_time(reading.utc_s)})
0-0:96.1.1({meter})
1-0:1.8.1({_k(low_import, 6)}*kWh)
1-0:1.8.2({_k(import_, 6)}*kWh)
1-0:2.8.1({_k(low_export, 6)}*kWh)
1-0:2.8.2({_k(export, 6)}*kWh)
0-0:96.14.0({reading.tariff:04d})
1-0:1.7.0({_k(max(power_w, 0), 2)}*kW)
1-0:2.7.0({_k(max(-power_w, 0), 2)}*kW)
0-0:96.7.21(00024)
0-0:96.7.9(00003)
1-0:99.97.0(1)(0-0:96.7.19)(210226092319W)(0000001247*s)
1-0:32.32.0(00002)
1-0:52.32.0(00002)
1-0:72.32.0(00002)
1-0:32.36.0(00000)
1-0:52.36.0(00000)
1-0:72.36.0(00000)
0-0:96.13.0()
1-0:32.7.0({v1:05.1f}*V)
1-0:52.7.0({v2:05.1f}*V)
1-0:72.7.0({v3:05.1f}*V)
1-0:31.7.0({round(abs(w1) / v1):03d}*A)
1-0:51.7.0({round(abs(w2) / v2):03d}*A)
1-0:71.7.0({round(abs(w3) / v3):03d}*A)
1-0:21.7.0({_k(max(w1, 0), 2)}*kW)
1-0:41.7.0({_k(max(w2, 0), 2)}*kW)
1-0:61.7.0({_k(max(w3, 0), 2)}*kW)
1-0:22.7.0({_k(max(-w1, 0), 2)}*kW)
1-0:42.7.0({_k(max(-w2, 0), 2)}*kW)
1-0:62.7.0({_k(max(-w3, 0), 2)}*kW)
0-1:24.1.0(003)
0-1:96.1.0({_GAS_METER})
0-1:24.2.1({local_time(reading.utc_s // 300 * 300)})({_k(reading.gas_l, 5)}*m3)
!""".replace("\n", "\r\n").encode("ascii")
    return body + f"{crc16.arc(body):04X}\r\n".encode("ascii")


@lru_cache(maxsize=8)
def local_time(utc_s: int) -> str:
    """A P1 timestamp, YYMMDDhhmmssX: Central European local time, X = S in summer and W in winter
    (DSMR 5.0.2, section 6.4).
    """
    utc = datetime.fromtimestamp(utc_s, UTC)
    # Directive 2000/84/EC: summer time runs from 01:00 UTC on the last Sunday of March to 01:00 UTC
    # on the last Sunday of October.
    summer = _last_sunday(utc.year, 3) <= utc < _last_sunday(utc.year, 10)
    return (utc + timedelta(hours=2 if summer else 1)).strftime("%y%m%d%H%M%S") + (
        "S" if summer else "W"
    )


@cache
def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=last.isoweekday() % 7)


def _k(value: int, digits: int) -> str:
    """Thousandths as a number with three decimals: 1234 → `000001.234`. Beyond the last digit a
    register starts again from 0.
    """
    whole, rest = divmod(value, 1000)
    return f"{whole % 10**digits:0{digits}d}.{rest:03d}"


@lru_cache(maxsize=64)
def _hex(text: str) -> str:
    return text.encode("ascii").hex().upper()


_GAS_METER = _hex("G0053003358048471")
