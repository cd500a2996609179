"""An SML telegram from its bytes to checked values, by us and, where it is installed, by smllib."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from drivers.simulated.sml import AMPERE, HERTZ, VOLT, WATT, WATT_HOUR, Entry, telegram
from drivers.sml.transport import Frame, Framer
from drivers.sml.values import Values, read_values
from tests.benchmarks.figure import Figure, progress

TITLE = "parse and checksums of an SML telegram, beside smllib on the same bytes"

ROUNDS = 100
PER_ROUND = 10

_MISSING = (
    "smllib is not installed (it is GPL, so no dependency of ours); to see it beside: "
    ".venv/bin/pip install smllib==1.7"
)


def _registers() -> list[Entry]:
    """What a one-phase-display meter sends: registers with tariffs, and power."""
    energies = [
        ("1.8.0", 153_385_557),
        ("2.8.0", 1_234),
        ("1.8.1", 100_000_000),
        ("1.8.2", 53_385_557),
    ]
    found = [
        Entry(code=f"1-0:{code}*255", raw=raw, unit=WATT_HOUR, scaler=-1, status=0x1C0104, width=8)
        for code, raw in energies
    ]
    return [*found, Entry(code="1-0:16.7.0*255", raw=5635, unit=WATT, scaler=-1, width=4)]


def _phases() -> list[Entry]:
    """What a three-phase meter sends beside it."""
    found = [
        Entry(code=f"1-0:{n}.7.0*255", raw=180 + n, unit=WATT, scaler=0, width=4)
        for n in (36, 56, 76)
    ]
    found += [
        Entry(code=f"1-0:{n}.7.0*255", raw=2280 + n, unit=VOLT, scaler=-1, width=2, signed=False)
        for n in (32, 52, 72)
    ]
    found += [
        Entry(code=f"1-0:{n}.7.0*255", raw=n, unit=AMPERE, scaler=-2, width=2, signed=False)
        for n in (31, 51, 71)
    ]
    return [*found, Entry(code="1-0:14.7.0*255", raw=499, unit=HERTZ, scaler=-1)]


def figures() -> Iterator[Figure]:
    """The medians of many rounds, ours and theirs in turn."""
    meter = bytes.fromhex("0a01454d480000bc614e")
    yield _compare("registers and power", telegram(meter, _registers()))
    yield _compare("three phases", telegram(meter, _registers() + _phases()))


def _compare(name: str, data: bytes) -> Figure:
    def ours() -> Values:
        (event,) = Framer().feed(data)
        if not isinstance(event, Frame):
            raise RuntimeError("our parser does not take its telegram")
        return read_values(event.payload)

    values = len(ours().quantities)
    if importlib.util.find_spec("smllib") is None:
        progress(_MISSING)
        (ours_us,) = _medians_us(ours)
        return Figure(
            f"one telegram: {name} ({len(data)} bytes, {values} values)",
            ours_us,
            "µs",
            1000,
            "low",
            _MISSING,
        )
    reader: Any = importlib.import_module("smllib").SmlStreamReader

    def theirs() -> Any:
        stream = reader()
        stream.add(data)
        return stream.get_frame().parse_frame()

    entries = {str(each.obis): each for each in theirs()[1].message_body.val_list}
    if (
        entries["0100100700ff"].value * 10 ** entries["0100100700ff"].scaler
        != ours().quantities["power_w"]
    ):
        raise RuntimeError("the two parsers do not read the same")
    ours_us, theirs_us = _medians_us(ours, theirs)
    beside = (
        f"{ours_us:.0f} µs framed, checked and read into {values} values; smllib {theirs_us:.0f} µs"
    )
    return Figure(
        f"times as fast: {name} ({len(data)} bytes)", theirs_us / ours_us, "×", 4, "high", beside
    )


def _medians_us(*works: Callable[[], object]) -> list[float]:
    """Median time of each work. They take turns, so that what disturbs the machine disturbs them
    alike.
    """
    times_us: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, found in zip(works, times_us, strict=True):
            began_s = time.perf_counter()
            for _ in range(PER_ROUND):
                work()
            found.append((time.perf_counter() - began_s) * 1e6 / PER_ROUND)
    return [median(found) for found in times_us]
