"""A DSMR 5 telegram from its bytes to checked values, by us and by dsmr-parser."""

import time
from collections.abc import Callable, Iterator
from statistics import median

from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser
from fastcrc import crc16

from drivers.p1.obis import Values, read_values
from drivers.p1.telegram import Framer, Telegram, fault
from drivers.profile import load_profile
from gateway.sandbox.house import Household
from gateway.sandbox.meters import grid_telegram
from tests.benchmarks.figure import Figure

TITLE = "parse and checksum of a DSMR 5 telegram, beside dsmr-parser on the same bytes"

ROUNDS = 200
PER_ROUND = 10

_THREE_PHASES = """\
/KFM5KAIFA-METER

1-3:0.2.8(50)
0-0:1.0.0(250311184205W)
0-0:96.1.1(4530303236303030303135363831363136)
1-0:1.8.1(004321.987*kWh)
1-0:1.8.2(003210.654*kWh)
1-0:2.8.1(000987.321*kWh)
1-0:2.8.2(002109.876*kWh)
0-0:96.14.0(0002)
1-0:1.7.0(02.413*kW)
1-0:2.7.0(00.000*kW)
0-0:96.7.21(00011)
0-0:96.7.9(00004)
1-0:99.97.0(3)(0-0:96.7.19)(230414101530S)(0000000412*s)(240102030405W)(0000007301*s)(241130222222W)(0000000199*s)
1-0:32.32.0(00003)
1-0:52.32.0(00002)
1-0:72.32.0(00005)
1-0:32.36.0(00000)
1-0:52.36.0(00001)
1-0:72.36.0(00000)
0-0:96.13.0(4D61696E74656E616E6365206F6E204672696461792C2030383A3030)
1-0:32.7.0(231.2*V)
1-0:52.7.0(229.8*V)
1-0:72.7.0(233.0*V)
1-0:31.7.0(004*A)
1-0:51.7.0(003*A)
1-0:71.7.0(005*A)
1-0:21.7.0(00.871*kW)
1-0:41.7.0(00.502*kW)
1-0:61.7.0(01.040*kW)
1-0:22.7.0(00.000*kW)
1-0:42.7.0(00.000*kW)
1-0:62.7.0(00.000*kW)
0-1:24.1.0(003)
0-1:96.1.0(4730303339303031373532333433363137)
0-1:24.2.1(250311184000W)(01234.567*m3)
!"""


def figures() -> Iterator[Figure]:
    """The medians of many rounds, ours and theirs in turn."""
    typed = _THREE_PHASES.replace("\n", "\r\n").encode("ascii")
    yield _compare("simulated house", grid_telegram(Household(1, 0), 40_000))
    yield _compare("three phases, typed by hand", typed + f"{crc16.arc(typed):04X}\r\n".encode("ascii"))


def _compare(name: str, data: bytes) -> Figure:
    tariffs = load_profile("dsmr/dsmr5").settings.summed_tariffs()
    parser = TelegramParser(telegram_specifications.V5)

    def ours() -> Values:
        (event,) = Framer().feed(data)
        if not isinstance(event, Telegram) or fault(event, "required"):
            raise RuntimeError("our parser does not take its telegram")
        return read_values(event.raw, tariffs)

    def theirs() -> object:
        return parser.parse(data.decode("ascii"), throw_ex=True)

    imported_kwh = float(getattr(theirs(), "ELECTRICITY_USED_TARIFF_1").value)  # noqa: B009 — made at run time
    if ours().quantities["energy_import_t1_wh"] != round(imported_kwh * 1000):
        raise RuntimeError("the two parsers do not read the same")
    ours_us, theirs_us = _medians_us(ours, theirs)
    return Figure(
        f"times as fast: {name} ({len(data)} bytes)",
        theirs_us / ours_us,
        "×",
        10,
        "high",
        f"{ours_us:.0f} µs framed, checked and read into {len(ours().quantities)} values; dsmr-parser {theirs_us:.0f} µs",
    )


def _medians_us(*works: Callable[[], object]) -> list[float]:
    """Median time of each work. They take turns, so that what disturbs the machine disturbs them alike."""
    times_us: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, found in zip(works, times_us, strict=True):
            began_s = time.perf_counter()
            for _ in range(PER_ROUND):
                work()
            found.append((time.perf_counter() - began_s) * 1e6 / PER_ROUND)
    return [median(found) for found in times_us]
