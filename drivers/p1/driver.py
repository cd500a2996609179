"""Reads a P1 meter: it pushes telegrams by itself, and a reading is the first proper one that began when it was due.

`read` listens all the time, also before a reading is due: telegrams that come too early are only framed, not checked or parsed.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from drivers.line import BadReply, MeterError, NoReply
from drivers.listen import Listener
from drivers.p1.obis import read_values
from drivers.p1.settings import Settings
from drivers.p1.telegram import Damaged, Framer, Telegram, diagnose, excerpt, fault
from drivers.sample import Reading

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Profile

PATIENCE_PERIODS = 3


class P1Driver:
    """One P1 meter on an open line.

    `damaged` counts the telegrams that came damaged (while a reading was due; of earlier ones, those without a proper beginning and
    end), `last_damage` says what was wrong with the last, and `noise_bytes` counts what came outside telegrams.
    """

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        settings: Settings = profile.settings
        self.damaged = 0
        self.last_damage: str | None = None
        self._settings = settings
        self._wanted = settings.quantities()
        self._tariffs = settings.tariffs()
        self._patience_s = max(PATIENCE_PERIODS * settings.period_s, device.timeout_s or 0.0)
        self._framer = Framer()
        self._listener: Listener[Telegram | Damaged] = Listener(line, self._framer)

    @property
    def noise_bytes(self) -> int:
        """Bytes that came outside telegrams."""
        return self._framer.noise_bytes

    async def read(self, due_s: float) -> Reading:
        """The first proper telegram whose first byte arrived at or after `due_s`; `taken_s` is when it arrived.

        Raises NoReply where no byte comes until three periods of the meter (or the device's timeout, if longer) after `due_s`, BadReply
        where only noise or damaged telegrams come, LineError where the line is gone. Call it again at once: bytes that nobody takes for
        0.3 s are dropped, because no one could say when they came.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._listener.resume()
        deadline_s = max(due_s, began_s) + self._patience_s
        damaged_before, offset_before = self.damaged, self._framer.offset
        self._framer.noise_sample = b""
        while True:
            if (reading := self._take(due_s)) is not None:
                damaged = self.damaged - damaged_before
                return replace(reading, damaged=damaged, damage=self.last_damage or "") if damaged else reading
            if loop.time() >= deadline_s:
                raise self._complaint(loop.time() - began_s, damaged_before, offset_before)
            await self._listener.listen(deadline_s)

    def _take(self, due_s: float) -> Reading | None:
        """A reading from what has come, if it holds one; the rest of it stays for the next."""
        while self._listener.events:
            event, taken_s = self._listener.events.popleft()
            if isinstance(event, Damaged):
                self._note(f"{event.reason} (it begins {event.text!r})")
                continue
            if taken_s < due_s:
                continue
            reason = fault(event, self._settings.checksum)
            reading = None if reason else self._reading(event, taken_s)
            if reading is not None:
                return reading
            self._note(f"{reason or self._lack(event)} (it begins {excerpt(event.raw)!r})")
        return None

    def _reading(self, telegram: Telegram, taken_s: float) -> Reading | None:
        values = read_values(telegram.raw, self._tariffs)
        quantities = {name: value for name, value in values.quantities.items() if name in self._wanted}
        # Nothing but its own completeness vouches for a telegram without a checksum.
        if not quantities or (self._unproven(telegram) and "energy_import_wh" in self._wanted and "energy_import_wh" not in quantities):
            return None
        return Reading(taken_s, quantities, values.serial_number)

    def _unproven(self, telegram: Telegram) -> bool:
        return telegram.checksum is None or self._settings.checksum == "ignored"

    def _lack(self, telegram: Telegram) -> str:
        if self._unproven(telegram):
            return "a telegram without checksum lacks the energy register: truncated, or not this profile's"
        return "a telegram holds none of the profile's quantities: is the profile the right one?"

    def _note(self, reason: str) -> None:
        self.damaged += 1
        self.last_damage = reason

    def _complaint(self, waited_s: float, damaged_before: int, offset_before: int) -> MeterError:
        damaged, came = self.damaged - damaged_before, self._framer.offset - offset_before
        if not came:
            return NoReply(
                f"no byte for {waited_s:.0f} s: is the cable in the P1 port, the port enabled by the network operator, "
                "and its request line (RTS or +5 V) powered?"
            )
        if damaged:
            return BadReply(f"{damaged} damaged and no proper telegram in {waited_s:.0f} s; check the cable; the last: {self.last_damage}")
        if self._framer.open_start is not None:
            return BadReply(f"a telegram began and did not end: {self._framer.open_bytes} bytes of it in {waited_s:.0f} s; check the cable")
        if self._framer.noise_sample:
            return BadReply(f"{came} bytes but no telegram in {waited_s:.0f} s: {diagnose(self._framer.noise_sample)}")
        return NoReply(f"no telegram in {waited_s:.0f} s, though the meter sent before: does its request line (RTS or +5 V) drop?")
