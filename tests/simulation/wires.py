"""The simulated cables between the gateway and its meters: real frames, at the pace of the wire,
and all faults of a line.

A wire outlives the lines that the gateway opens on it. Meters answer at the moment they are asked;
P1 meters push.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol

from pymodbus.constants import ExcCodes

from drivers import crc16
from drivers.intake import Intake
from drivers.line import Framing, LineError, LineFlooded, LineUrl, SerialSettings, Turns
from drivers.profile import Profile
from drivers.simulated.home import meter_values
from drivers.simulated.meters import ModbusTwin
from drivers.simulated.telegram import GridReading, telegram
from gateway.energy.assets import Direction
from tests.simulation.truth import TrueMeter

_NETWORK_S = 0.002
_ACK_S = 15.0
"""Data that nobody acknowledges ends a TCP connection after this long (the gateway's
TCP_USER_TIMEOUT).
"""
_KERNEL_BYTES = 4096
_READ_BYTES = 4096
_FLOOD_BYTES_S = 10_000_000
_STRANGE_ANSWER = bytes.fromhex("f00d 0000 0005 63 03 02 0000")
"""From another address to nothing that was asked: Modbus TCP."""

Flood = Literal["", "noise", "answers"]
_FLOODING: Mapping[Flood, bytes] = {
    "noise": bytes(range(1, 256)) * 16,
    "answers": _STRANGE_ANSWER * (_READ_BYTES // len(_STRANGE_ANSWER)),
}


@dataclass(slots=True)
class Trouble:
    """What is wrong with a wire now. Shares are of frames."""

    noise: float = 0.0
    """A bit is turned round."""
    lost: float = 0.0
    """A byte is missing."""
    checksum: float = 0.0
    """The checksum is wrong."""
    stranger: float = 0.0
    """Another address answers."""
    late_s: float = 0.0
    """Answers come this much later."""
    silent: bool = False
    gone: bool = False
    half_open: bool = False
    flood: Flood = ""
    """The other end sends that, as fast as the network carries it."""


class Meter(Protocol):
    """What hangs on a wire."""

    def answer(self, function: int, address: int, count: int, t_ms: int) -> list[int] | ExcCodes:
        """The words of one read request at that true time, or why the meter refuses it."""


@dataclass(slots=True)
class ModbusMeter:
    """A twin of a profile over a true meter."""

    profile: Profile
    truth: TrueMeter
    phases: int
    _twin: ModbusTwin | None = None
    """The last one that answered."""
    _asked: Callable[[], Mapping[str, float]] = dict
    """What it measures at the moment of the last question."""

    def answer(self, function: int, address: int, count: int, t_ms: int) -> list[int] | ExcCodes:
        """As `Meter`."""
        rows = self.profile.settings.registers
        asked = range(address, address + count)
        # A request for power alone is no reading of the registers: what the next one shows stays to
        # be shown.
        shown = (
            self.truth.reading_wh
            if any(rows[name].address in asked for name in self.profile.energy)
            else self.truth.registers_wh
        )
        self._asked = lambda: self._values(t_ms, shown(t_ms))
        return self._twin_now().read(function, address, count)

    def _twin_now(self) -> ModbusTwin:
        """One is made only where another device hangs there: it knows where its registers are."""
        serial_number = int(self.truth.serial_number)
        twin = self._twin
        is_other = twin is None or twin.profile is not self.profile
        if twin is None or is_other or twin.serial_number != serial_number:
            twin = self._twin = ModbusTwin(self.profile, self._measured, serial_number)
        return twin

    def _measured(self) -> Mapping[str, float]:
        return self._asked()

    def _values(self, t_ms: int, shown: Mapping[Direction, int]) -> Mapping[str, float]:
        imported_w, exported_w = self.truth.watts(t_ms)
        third = (imported_w - exported_w) // self.phases
        phases_w = (imported_w - exported_w - (self.phases - 1) * third,) + (third,) * (
            self.phases - 1
        )
        values = meter_values(
            phases_w, (230.0,) * self.phases, shown.get("import", 0), shown.get("export", 0)
        )
        if not shown:
            values = {n: value for n, value in values.items() if n not in self.profile.energy}
        return {**values, "power_import_w": imported_w, "power_export_w": exported_w}


@dataclass(slots=True)
class Wire:
    """One cable, by the target of its URL."""

    name: str
    now_ms: Callable[[], int]
    """True time."""
    rng: Random
    meters: dict[int, Meter] = field(default_factory=dict)
    turnaround_s: float = 0.02
    trouble: Trouble = field(default_factory=Trouble)
    line: "SimulatedLine | None" = None
    floods: int = 0
    """How often a reader got something of a flood."""

    async def open(self, url: LineUrl, defaults: SerialSettings) -> "SimulatedLine":
        """As `drivers.line.open_line`. Raises LineError."""
        await asyncio.sleep(_NETWORK_S)
        if self.trouble.gone:
            raise LineError(f"{url}: there is no such port — is the adapter plugged in?")
        if self.trouble.half_open:
            await asyncio.sleep(5)
            raise LineError(f"{url}: no answer within 5 s — is the meter on, and on this network?")
        settings = None if url.port is not None else url.serial_settings(defaults)
        self.line = SimulatedLine(self, str(url), url.framing, settings)
        return self.line

    def vanish(self) -> None:
        """Unplugged: whoever reads gets an error."""
        self.trouble.gone = True
        if self.line is not None:
            self.line.lose()

    def ask(self, frame: bytes, line: "SimulatedLine") -> None:
        """A request has been written: the answer arrives when it would on the wire."""
        if self.trouble.silent or self.trouble.half_open or self.trouble.gone:
            return
        tcp = line.framing == "tcp"
        head, pdu = (frame[:6], frame[6:]) if tcp else (b"", frame[:-2])
        if not tcp and crc16.modbus(pdu) != int.from_bytes(frame[-2:], "little"):
            return
        unit, function, address, count = struct.unpack(">BBHH", pdu)
        meter = self.meters.get(unit)
        if meter is None:
            return
        asked_s = len(frame) * line.char_s + (_NETWORK_S if tcp else self.turnaround_s)
        words = meter.answer(function, address, count, self.now_ms() + round(asked_s * 1000))
        if isinstance(words, ExcCodes):
            reply = bytes((unit, function | 0x80, words))
        else:
            reply = struct.pack(f">BBB{len(words)}H", unit, function, 2 * len(words), *words)
        if self.rng.random() < self.trouble.stranger:
            reply = bytes((unit % 247 + 1,)) + reply[1:]
        if tcp:
            reply = head[:4] + len(reply).to_bytes(2, "big") + reply
        else:
            reply += crc16.modbus(reply).to_bytes(2, "little")
        reply = self._damaged(reply, line)
        late_s = self.trouble.late_s
        asyncio.get_running_loop().call_later(
            asked_s + len(reply) * line.char_s + late_s, line.arrive, reply, line.generation
        )

    def push(self, data: bytes) -> None:
        """A meter has sent something by itself; its last byte arrives now."""
        if self.line is not None and not (
            self.trouble.silent or self.trouble.gone or self.trouble.half_open
        ):
            self.line.arrive(self._damaged(data, self.line), self.line.generation)

    def _damaged(self, data: bytes, line: "SimulatedLine") -> bytes:
        trouble, rng = self.trouble, self.rng
        if trouble.noise and rng.random() < trouble.noise:
            at = rng.randrange(len(data))
            data = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
        if trouble.lost and rng.random() < trouble.lost:
            at = rng.randrange(len(data))
            data = data[:at] + data[at + 1 :]
        if trouble.checksum and rng.random() < trouble.checksum:
            if line.framing == "tcp":
                # the network's own checksums are before ours: what does not keep them never arrives
                return b""
            data = data[:-3] + bytes((data[-3] ^ 0x01,)) + data[-2:]
        return data


class SimulatedLine:
    """What the gateway holds of a wire: see `drivers.line_protocol.Line`."""

    def __init__(
        self, wire: Wire, name: str, framing: Framing, settings: SerialSettings | None
    ) -> None:
        self.name = name
        self.framing = framing
        self.settings = settings
        self.turns = Turns()
        self.generation = 0
        self._wire = wire
        self._unread = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = self._lost = False
        self._unacknowledged_s: float | None = None
        self._intake = Intake()

    @property
    def char_s(self) -> float:
        """Seconds per character."""
        return self.settings.char_s if self.settings else 0.0

    def arrive(self, data: bytes, generation: int) -> None:
        """Bytes have come; those of a connection that was let go have not."""
        if not self._closed and generation == self.generation:
            self._unread = (self._unread + data)[:_KERNEL_BYTES]
            self._wake()

    def lose(self) -> None:
        """Unplugged."""
        self._lost = True
        self._wake()

    async def write(self, data: bytes) -> None:
        """As `Line`."""
        self._check()
        if self._wire.trouble.half_open and self._unacknowledged_s is None:
            self._unacknowledged_s = asyncio.get_running_loop().time()
        self._wire.ask(data, self)

    async def read(self, deadline_s: float) -> bytes:
        """As `Line`."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while True:
            self._check()
            if self._wire.trouble.flood:
                await asyncio.sleep(_READ_BYTES / _FLOOD_BYTES_S)
                return self._of_flood(_FLOODING[self._wire.trouble.flood])
            if self._unread:
                data = bytes(self._unread[:_READ_BYTES])
                del self._unread[:_READ_BYTES]
                return data
            if loop.time() >= deadline_s:
                return b""
            self._waiter = loop.create_future()
            timer = loop.call_at(deadline_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None

    def drain(self) -> int:
        """As `Line`."""
        self._check()
        count = len(self._unread)
        self._unread.clear()
        if self._wire.trouble.flood:
            # What the kernel holds.
            return sum(len(self._of_flood(bytes(_READ_BYTES))) for _ in range(16))
        return count

    async def configure(self, settings: SerialSettings) -> None:
        """As `Line`."""
        self._check()
        if self.settings is not None:
            self.settings = settings

    async def ready(self) -> None:
        """As `Line`: it is never let go for long."""
        self._check()

    def rest(self) -> None:
        """As `Line`: connections are kept."""

    def renew(self) -> None:
        """As `Line`."""
        if self.settings is None:
            self.generation += 1
            self._unread.clear()
            self.turns.unread = b""

    def close(self) -> None:
        """As `Line`."""
        self._closed = True
        self._wake()
        if self._wire.line is self:
            self._wire.line = None

    def _of_flood(self, data: bytes) -> bytes:
        self._wire.floods += 1
        self._intake.take(len(data), asyncio.get_running_loop().time())
        if self._intake.is_flood:
            raise LineFlooded(f"{self.name}: floods us, with {self._intake}")
        return data

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self._closed:
            raise LineError(f"{self.name}: the line has been closed — open it again")
        unheard = (
            self._unacknowledged_s is not None
            and asyncio.get_running_loop().time() - self._unacknowledged_s > _ACK_S
        )
        if self._lost or self._wire.trouble.gone or unheard:
            raise LineError(f"{self.name}: the other end is gone — check the plug and the cable")


def p1_telegram(meter: TrueMeter, t_ms: int) -> bytes:
    """What a P1 meter sends at that true time."""
    imported_w, exported_w = meter.watts(t_ms - 1)
    shown = meter.reading_wh(t_ms)
    net_w = imported_w - exported_w
    phases_w = (
        (imported_w, -exported_w, 0)
        if imported_w and exported_w
        else (net_w - 2 * (net_w // 3), net_w // 3, net_w // 3)
    )
    return telegram(
        GridReading(
            utc_s=t_ms // 1000 + meter.clock_error_s,
            serial_number=meter.serial_number,
            import_wh=(0, shown["import"]),
            export_wh=(0, shown["export"]),
            tariff=2,
            phases_w=phases_w,
            voltages_v=(230.0, 230.0, 230.0),
            gas_l=0,
        )
    )


async def push_p1(wire: Wire, meter: TrueMeter, period_s: int, phase_s: float) -> None:
    """A telegram every `period_s` of true time, for ever. One that nobody listens to costs
    nothing.
    """
    while True:
        now_ms = wire.now_ms()
        due_ms = round((now_ms // 1000 // period_s * period_s + phase_s) * 1000)
        if due_ms <= now_ms:
            due_ms += period_s * 1000
        await asyncio.sleep((due_ms - now_ms) / 1000)
        if wire.line is not None:
            data = p1_telegram(meter, due_ms)
            await asyncio.sleep(len(data) * wire.line.char_s)
            wire.push(data)
