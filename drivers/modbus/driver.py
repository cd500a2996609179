"""Reads one Modbus meter: the planned blocks, energy first, and now and then its serial number."""

import asyncio
from collections.abc import Mapping
from math import inf

import msgspec

from drivers.export_sign import ExportSign
from drivers.line import BadReply, Line, MeterError
from drivers.modbus.asking import ask, undisturbed
from drivers.modbus.bus import FAILED, Refused
from drivers.modbus.codec import Decoder, add_sums, decode_serial
from drivers.modbus.load import energy_settings
from drivers.modbus.plan import Block, plan, split
from drivers.modbus.settings import Settings
from drivers.profile import ENERGY_QUANTITIES, DeviceAddress, Driver, Profile
from drivers.sample import Reading

_SERIAL_EVERY_S = 3600.0
_SERIAL_TRIES = 3


class ModbusDriver:
    """One meter on an open line.

    A block that the meter refuses for its registers is split, and the split remembered for as long
    as the line is open. A single value that it refuses is missing from the readings; it is asked
    for again every hour, energy every time. A meter that fails altogether (exception 4) is asked
    next time as if it had refused nothing.

    The serial number is read at first, every hour, and after every failure, for the meter may have
    been exchanged meanwhile.
    """

    def __init__(self, profile: Profile, device: DeviceAddress, line: Line) -> None:
        assert isinstance(profile.settings, Settings)
        self._settings = profile.settings
        self._sister = profile.sister
        self._unit = device.address
        self._line = line
        self._timeout_s = (
            profile.settings.timeout_s if device.timeout_s is None else device.timeout_s
        )
        self._sign = ExportSign()
        self._all = self._planned(profile.settings)
        self._energy = self._planned(energy_settings(profile.settings))
        self._serial_number: str | None = None
        self._serial_due_s = -inf
        self._serial_tries = 0

    def _planned(self, settings: Settings) -> "_Blocks":
        return _Blocks(_energy_first(plan(settings, self._line.char_s), self._sign))

    def follow(self, before: Driver) -> None:
        """Know what the driver knew that read the same meter before the line was opened anew."""
        if isinstance(before, ModbusDriver):
            self._sign.follow(before._sign)

    async def read(self, due_s: float) -> Reading:
        """One reading taken at or after `due_s` (event loop time, seconds), dated by the middle of
        the energy registers' exchange.

        Raises MeterError or LineError, whose texts name the address and the registers.
        """
        await _sleep_until(due_s)
        check = asyncio.get_running_loop().time() >= self._serial_due_s
        if check:
            self._all.forgive()
            self._energy.forgive()
        return await self._read(self._all, check)

    async def read_energy(self, due_s: float) -> Reading:
        """As `read`, but energy registers and power alone. Whose they are is asked only where that
        is not known.
        """
        await _sleep_until(due_s)
        return await self._read(self._energy, self._serial_due_s == -inf)

    async def _read(self, blocks: "_Blocks", check_serial_number: bool) -> Reading:
        try:
            return await undisturbed(self._line, lambda: self._ask(blocks, check_serial_number))
        except MeterError:
            self._serial_due_s = -inf
            raise

    async def _ask(self, blocks: "_Blocks", check_serial_number: bool) -> Reading:
        taken_s, values = await self._read_blocks(blocks)
        if check_serial_number:
            await self._read_serial_number()
        doubts = {**self._sign.doubts, **self._empty_registers(blocks, values)}
        return Reading(taken_s, values, self._serial_number, doubts=doubts)

    async def _read_blocks(self, blocks: "_Blocks") -> tuple[float, dict[str, float]]:
        turns = self._line.turns
        values: dict[str, float] = {}
        energy_from_s, energy_to_s = inf, -inf
        refusal: Refused | None = None
        at = 0
        while at < len(blocks.decoders):
            decoder = blocks.decoders[at]
            try:
                data = await self._request(
                    decoder.block.function, decoder.block.address, decoder.block.count
                )
            except Refused as this:
                if not this.concerns_registers:
                    if energy_to_s == -inf or _has_energy(decoder.block):
                        raise
                    at += 1  # it is busy, say: what is optional is missing this time
                    continue
                refusal = this
                at += blocks.narrow(at)
                if energy_to_s == -inf and not blocks.have_energy_from(at):
                    break  # what is optional says nothing without
                continue
            values |= decoder.decode(data)
            if _has_energy(decoder.block) or energy_from_s == inf:
                energy_from_s, energy_to_s = min(energy_from_s, turns.asked_s), turns.last_frame_s
            at += 1
        if refusal and not any(quantity in values for quantity in ENERGY_QUANTITIES):
            if refusal.code == FAILED:
                blocks.begin_anew()
            raise self._with_sister(refusal)
        add_sums(values, self._settings.sums)
        return (energy_from_s + energy_to_s) / 2, values

    def _empty_registers(self, blocks: "_Blocks", values: Mapping[str, float]) -> dict[str, str]:
        """The energy registers that hold "no value", where none holds one; and those at zero, where
        a sister model has its energy elsewhere. In words why, and what to do.
        """
        if any(values.get(quantity) for quantity in ENERGY_QUANTITIES):
            return {}
        is_there = any(quantity in values for quantity in ENERGY_QUANTITIES)
        if is_there and not self._sister:
            return {}

        what = (
            "it is zero, as on a meter that has never counted, and is not settled before it moves"
            if is_there
            else "its register says that it has no value"
        )
        remedy = "compare with the meter's display, and look for the right profile"
        if self._sister:
            remedy += f"; sister models, whose registers lie elsewhere, are {self._sister}"
        asked = {row.quantity for each in blocks.decoders for row in each.block.rows}
        return {q: f"{what} — {remedy}" for q in ENERGY_QUANTITIES if q in asked}

    def _with_sister(self, refusal: Refused) -> Refused:
        """What a meter says that has other energy registers, as its sister models have."""
        if not self._sister:
            return refusal
        return Refused(f"{refusal} Sister models are {self._sister}", refusal.code)

    async def _read_serial_number(self) -> None:
        """Raises MeterError while it cannot be said whose reading this is; after three failures
        goes on with what is known.
        """
        spec = self._settings.serial_number
        first_or_after_failure = self._serial_due_s == -inf
        if spec:
            try:
                number = decode_serial(
                    spec, await self._request(spec.function, spec.address, spec.count)
                )
                if self._serial_number not in (None, number):
                    # One wrong answer must not make another meter of this one: a number that has
                    # changed is asked for again.
                    again = decode_serial(
                        spec, await self._request(spec.function, spec.address, spec.count)
                    )
                    if again != number:
                        who = (
                            f"address {self._unit}: two serial numbers in a row, {number} and "
                            f"{again}"
                        )
                        raise BadReply(f"{who} — check wiring, termination and earthing")
                    self._sign.forget()
                self._serial_number = number
            except Refused:
                pass  # this one does not tell it; the reading is good without
            except MeterError:
                self._serial_tries += 1
                if first_or_after_failure and self._serial_tries < _SERIAL_TRIES:
                    raise
        self._serial_tries = 0
        self._serial_due_s = asyncio.get_running_loop().time() + _SERIAL_EVERY_S

    async def _request(self, function: int, address: int, count: int) -> bytes:
        turnaround_s = self._settings.turnaround_ms / 1000
        return await ask(
            self._line, self._unit, function, address, count, self._timeout_s, turnaround_s
        )


class _Blocks(msgspec.Struct):
    """What one reading asks for, energy first, and the single values among it that the meter has
    refused.
    """

    decoders: list[Decoder]
    refused: list[Decoder] = msgspec.field(default_factory=list)
    planned: tuple[Decoder, ...] = ()

    def __post_init__(self) -> None:
        self.planned = tuple(self.decoders)

    def forgive(self) -> None:
        """Ask again for what was refused."""
        self.decoders += self.refused
        self.refused = []

    def begin_anew(self) -> None:
        """Ask again as planned: what was refused is not known to be missing."""
        self.decoders, self.refused = list(self.planned), []

    def have_energy_from(self, at: int) -> bool:
        """Whether an energy register is still to be asked for."""
        return any(_has_energy(decoder.block) for decoder in self.decoders[at:])

    def narrow(self, at: int) -> int:
        """Make less of a refused block, and say how far to go on: 0 where there is something in its
        place, 1 past it.
        """
        block = self.decoders[at].block
        parts = split(block)
        if parts:
            self.decoders[at : at + 1] = _energy_first(parts, self.decoders[at].sign)
            return 0
        if _has_energy(block):
            return 1
        self.refused.append(self.decoders.pop(at))
        return 0


async def _sleep_until(due_s: float) -> None:
    """Wait until then (event loop time), if that is still to come."""
    wait_s = due_s - asyncio.get_running_loop().time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)


def _has_energy(block: Block) -> bool:
    return any(row.quantity in ENERGY_QUANTITIES for row in block.rows)


def _energy_first(blocks: tuple[Block, ...], sign: ExportSign) -> list[Decoder]:
    return [
        Decoder(block, sign) for block in sorted(blocks, key=lambda block: not _has_energy(block))
    ]
