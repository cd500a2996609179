"""Meters on a paced serial wire, in a process of their own: `python -m tests.benchmarks.slave BAUD
ADDRESS=PROFILE …`.

Prints the path of the line's near end, and answers until its standard input ends. It keeps to the
standard and loses no time: a reply begins as soon as 3.5 characters of silence have ended the
request.
"""

import asyncio
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from drivers.modbus.load import REQUEST_CHARS, silence_s
from drivers.profile import load_profile
from drivers.simulated.home import meter_values
from drivers.simulated.meters import ModbusTwin
from drivers.simulated.wire import paced_line
from tests.drivers.modbus.frames import sealed

CHAR_BITS = 10
"""8N1: start bit, 8 data bits, stop bit."""


@contextmanager
def slave(baud: int, meters: Mapping[int, str]) -> Iterator[str]:
    """Meters by address (profile ids) on a wire of that pace; gives the path of the line."""
    words = [f"{address}={profile}" for address, profile in meters.items()]
    command = [sys.executable, "-m", "tests.benchmarks.slave", str(baud), *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        path = process.stdout.readline().strip()
        if not path:
            raise RuntimeError("the simulated meters did not start")
        try:
            yield path
        finally:
            process.stdin.close()


class _Slave:
    def __init__(self, fd: int, char_s: float, twins: Mapping[int, ModbusTwin]) -> None:
        self._fd = fd
        self._silence_s = silence_s(char_s)
        self._twins = twins
        self._heard = b""

    def hear(self) -> None:
        self._heard += os.read(self._fd, 256)
        while len(self._heard) >= REQUEST_CHARS:
            frame, self._heard = self._heard[:REQUEST_CHARS], self._heard[REQUEST_CHARS:]
            asyncio.get_running_loop().call_later(
                self._silence_s, os.write, self._fd, self._reply(frame)
            )

    def _reply(self, frame: bytes) -> bytes:
        unit, function = frame[0], frame[1]
        if sealed(frame[:6]) != frame or unit not in self._twins:
            return b""
        found = self._twins[unit].read(
            function, int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        )
        if not isinstance(found, list):
            return sealed(bytes((unit, function | 0x80, found)))
        return sealed(
            bytes((unit, function, 2 * len(found)))
            + b"".join(word.to_bytes(2, "big") for word in found)
        )


def twin(profile_id: str, serial_number: int) -> ModbusTwin:
    """A meter with plausible values."""
    profile = load_profile(profile_id)
    phases_w = (1200, 300, 50) if "power_l3_w" in profile.settings.registers else (1200,)
    values = meter_values(phases_w, (230.1, 229.4, 231.0)[: len(phases_w)], 1_234_567, 7_654)
    return ModbusTwin(profile, lambda: values, serial_number)


async def _serve(baud: int, meters: Mapping[int, str]) -> None:
    char_s = CHAR_BITS / baud
    loop = asyncio.get_running_loop()
    async with paced_line(char_s) as wire:
        fd = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        bus = _Slave(
            fd,
            char_s,
            {address: twin(profile, 1000 + address) for address, profile in meters.items()},
        )
        loop.add_reader(fd, bus.hear)
        print(wire.gateway_end, flush=True)
        ended = asyncio.Event()
        loop.add_reader(0, lambda: os.read(0, 100) or ended.set())
        await ended.wait()
        loop.remove_reader(fd)
        os.close(fd)


def _precise_loop() -> asyncio.AbstractEventLoop:
    """A loop that keeps time to the microsecond, as a wire does; asyncio's own rounds every wait up
    to the millisecond.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(
            _serve(
                int(sys.argv[1]),
                {
                    int(address): profile
                    for address, _, profile in (word.partition("=") for word in sys.argv[2:])
                },
            )
        )
