"""Reads one SunSpec device: its chain of models is walked first, every hour and after every
failure; then each reading is one request.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from drivers.export_sign import ExportSign
from drivers.line import BadReply, MeterError
from drivers.modbus.asking import ask, undisturbed
from drivers.modbus.bus import Refused
from drivers.sample import Reading
from drivers.sunspec.chain import Ask, Chain, ChainError, Owner, Part, choose, walk
from drivers.sunspec.models import decode
from drivers.sunspec.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

FUNCTION = 3
"""SunSpec maps are holding registers."""

_WALK_EVERY_S = 3600.0
_EXPORT_POSITIVE = "solaredge"
"""The maker whose meters count exported power as positive."""


class SunSpecDriver:
    """One inverter or meter on an open line."""

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        assert isinstance(profile.settings, Settings)
        self._settings = profile.settings
        self._unit = device.address
        self._line = line
        self._timeout_s = (
            profile.settings.timeout_s if device.timeout_s is None else device.timeout_s
        )
        self._part: Part | None = None
        self._sign = ExportSign()
        self._power_is_export = False
        self._walk_due_s = 0.0
        self._owner: Owner | None = None

    def follow(self, before: "Driver") -> None:
        """Know what the driver knew that read the same meter before the line was opened anew."""
        if isinstance(before, SunSpecDriver):
            self._sign.follow(before._sign)

    async def read(self, due_s: float) -> Reading:
        """One reading taken at or after `due_s` (event loop time, seconds), dated by the middle of
        the exchange.

        Raises MeterError or LineError, whose texts name the address.
        """
        loop = asyncio.get_running_loop()
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())
        try:
            part = self._part or await self._find()
            reading = await undisturbed(self._line, lambda: self._read(part))
            if loop.time() >= self._walk_due_s and await self._find() != part:
                raise BadReply(f"address {self._unit}: the device has changed — it is read anew")
        except ChainError as error:
            self._part = None
            raise BadReply(f"address {self._unit}: {error}") from error
        except MeterError:
            self._part = None
            raise
        return reading

    async def _find(self) -> Part:
        """Where what is wanted is now. Raises ChainError, MeterError or LineError."""
        timeout_s, turnaround_s = self._timeout_s, self._settings.turnaround_ms / 1000
        chain = await read_chain(self._line, self._unit, timeout_s, turnaround_s)
        part = choose(chain.parts, self._settings.part)
        sign = self._settings.meter_power
        exports = sign == "export" or (
            sign == "auto" and chain.owner.maker.lower() == _EXPORT_POSITIVE
        )
        self._power_is_export = exports or part.model.part == "inverter"
        if self._owner not in (None, part.owner):
            self._sign.forget()
        self._owner = part.owner
        self._part = part
        self._walk_due_s = asyncio.get_running_loop().time() + _WALK_EVERY_S
        return part

    async def _read(self, part: Part) -> Reading:
        turnaround_s = self._settings.turnaround_ms / 1000
        data = await ask(
            self._line,
            self._unit,
            FUNCTION,
            part.address,
            part.model.count,
            self._timeout_s,
            turnaround_s,
        )
        if int.from_bytes(data[:2], "big") != part.number:
            raise ChainError(
                f"SunSpec model {part.number} is no longer at register {part.address} — the "
                "chain is walked anew"
            )
        turns = self._line.turns
        values = decode(part.model, data, power_is_export=self._power_is_export, sign=self._sign)
        return Reading(
            (turns.asked_s + turns.last_frame_s) / 2,
            values,
            part.owner.serial_number or None,
            doubts=self._sign.doubts,
        )


async def read_chain(line: "Line", unit: int, timeout_s: float, turnaround_s: float = 0.0) -> Chain:
    """Walk the chain of the device at that address. Raises ChainError, MeterError or LineError."""

    async def asked(wanted: Ask) -> bytes | None:
        try:
            return await ask(
                line, unit, FUNCTION, wanted.address, wanted.count, timeout_s, turnaround_s
            )
        except Refused as refused:
            if not refused.concerns_registers:
                raise
            return None

    steps = walk()
    wanted = next(steps)
    while True:
        try:
            data = await asked(wanted)
        except MeterError:
            if not wanted.may_end:
                raise
            # Some say nothing there, or that they are busy. It may be a failure for once, too.
            with contextlib.suppress(MeterError):
                data = None
                data = await asked(wanted)
        try:
            wanted = steps.send(data)
        except StopIteration as done:
            chain: Chain = done.value
            return chain
