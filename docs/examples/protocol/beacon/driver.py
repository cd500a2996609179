"""Reads a meter that sends datagrams by itself."""

import asyncio
from typing import TYPE_CHECKING

from drivers.line_protocol import BadReply, NoReply
from drivers.sample import Reading

from .settings import Settings, read_datagram

if TYPE_CHECKING:
    from drivers.line_protocol import DatagramLine
    from drivers.profile import DeviceAddress, Profile

PATIENCE_PERIODS = 3


class BeaconDriver:
    """One meter in its group."""

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "DatagramLine") -> None:
        settings: Settings = profile.settings
        self._patience_s = max(PATIENCE_PERIODS * settings.period_s, device.timeout_s or 0.0)
        self._number = device.number
        self._line = line

    async def read(self, due_s: float) -> Reading:
        """The first datagram that comes when it is due, dated by its arrival.

        Raises NoReply, BadReply, or LineError where the network is gone.
        """
        loop = asyncio.get_running_loop()
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())
        self._line.drain()  # nobody knows when that came
        deadline_s = loop.time() + self._patience_s
        others = 0
        while (data := await self._line.receive(deadline_s)) is not None:
            found = read_datagram(data)
            if found is not None and self._number in ("", found[1]):
                return Reading(loop.time(), *found)
            others += 1
        if others:
            which = f"of the meter with number {self._number}" if self._number else "of its kind"
            raise BadReply(f"{others} datagrams came, and none {which}")
        raise NoReply(
            f"no datagram came within {self._patience_s:g} s: is the meter on this network, and "
            "does the network pass multicast on?"
        )
