"""The simulated home's meters, speaking on real ptys and sockets: any Modbus profile as a server,
and a P1 port.

A Modbus twin is made from the profile's own register table: each value is encoded by its type,
scale and word order when it is asked for, and energy registers step and wrap as the profile says.
pymodbus serves here; its names stand in `sunspec.py`, too, and nowhere in the daemon.
"""

import asyncio
import contextlib
import math
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.other_message import ReportDeviceIdRequest, ReportDeviceIdResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
)
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.line import SerialSettings
from drivers.modbus.codec import CODES
from drivers.modbus.digits import TO_DIGITS
from drivers.modbus.settings import WORDS, RegisterRow, Settings
from drivers.profile import Profile, load_profile
from drivers.simulated.home import DEMO_DAY_S, Household, meter_values
from drivers.simulated.push import Clock, p1_meter
from drivers.simulated.telegram import GridReading, telegram
from drivers.simulated.wire import Wire, paced_line

P1_SERIAL = SerialSettings(baud=115200)
PV_SERIAL = SerialSettings(baud=9600)
PV_ADDRESS = 2
HEAT_PUMP_ADDRESS = 1


class Twin(Protocol):
    """One simulated meter on a Modbus line."""

    def read(self, function: int, address: int, count: int) -> list[int] | ExcCodes:
        """The words of one read request, or why the meter refuses it."""


@dataclass(frozen=True, slots=True)
class ModbusTwin:
    """One Modbus meter: what it is (`profile`), what it measures now (`values`, by quantity), and
    its own number.

    A quantity that `values` lacks reads as the profile's "no value" pattern, or as 0.
    """

    profile: Profile
    values: Callable[[], Mapping[str, float]]
    serial_number: int | str = 12345678
    _layouts: dict[int, "_Layout"] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """By function, once it was asked."""

    def read(self, function: int, address: int, count: int) -> list[int] | ExcCodes:
        """The words of one read request, or why the meter refuses it."""
        settings: Settings = self.profile.settings
        identity = self._identity(function, address, count)
        if identity is not None:
            return identity
        layout = self._layouts.get(function)
        if layout is None:
            layout = self._layouts[function] = _layout(settings, function)
        if not layout.rows:
            return ExcCodes.ILLEGAL_FUNCTION
        if count > settings.max_registers:
            return ExcCodes.ILLEGAL_VALUE
        if address < layout.first or address + count > layout.beyond:
            return ExcCodes.ILLEGAL_ADDRESS
        values = self.values()
        words: list[int | None] = [0 if settings.holes else None] * count
        for start, length, name in layout.rows:
            if start < address + count and address < start + length:
                encoded = self._encoded(name, length, values)
                for at, word in enumerate(encoded, start - address):
                    if 0 <= at < count:
                        words[at] = word
        known = [word for word in words if word is not None]
        return known if len(known) == count else ExcCodes.ILLEGAL_ADDRESS

    @property
    def server_id(self) -> bytes:
        """What it answers to function 17; empty where it does not know that."""
        for each in self.profile.settings.identify:
            if each.asks_who and each.values:
                return bytes((each.values[0], 0))
        return b""

    def _identity(self, function: int, address: int, count: int) -> list[int] | None:
        """The words of a register that identifies the model, where just that is asked for: on some
        makes other reads give other words.
        """
        settings: Settings = self.profile.settings
        for each in settings.identify:
            if each.asks_who:
                continue
            if (each.function, each.address, each.count) == (function, address, count):
                measured = any(
                    row.address == address and settings.function_of(row) == function
                    for row in settings.registers.values()
                )
                if measured and each.is_plausibility:
                    return None
                if each.text is not None:
                    return _words(
                        each.text.encode("ascii").ljust(2 * each.words, b"\0"), each.word_order
                    )
                raw = each.values[0] if each.values else sum(each.between or ()) / 2
                if each.type in TO_DIGITS:
                    raw = TO_DIGITS[each.type](round(raw))
                code = CODES[each.type]  # type: ignore[index]  # a string has a text
                return _words(
                    struct.pack(">" + code, raw if code in "fd" else round(raw)), each.word_order
                )
        return None

    def _encoded(self, name: str, length: int, values: Mapping[str, float]) -> list[int]:
        """The words of a row, or of the serial number where it has no name."""
        if not name:
            return self._encode_serial_number()
        settings: Settings = self.profile.settings
        row = settings.registers[name]
        encoded = self._encode(name, row, values)
        if row.high_address is None:
            return encoded
        high, low = encoded if settings.word_order_of(row) == "big" else encoded[::-1]
        ends = (low, high) if row.address < row.high_address else (high, low)
        return [ends[0], *[0] * (length - 2), ends[1]]

    def _encode(self, quantity: str, row: RegisterRow, values: Mapping[str, float]) -> list[int]:
        settings: Settings = self.profile.settings
        kind, order = settings.type_of(row), settings.word_order_of(row)
        size = 2 * WORDS[kind]
        value = values.get(quantity)
        if value is None:
            return _words((row.invalid or 0).to_bytes(size, "big"), order)
        register = self.profile.energy.get(quantity)
        if register is not None:
            value = (
                math.floor(value / register.resolution_wh + 1e-9)
                * register.resolution_wh
                % register.modulus_wh
            )
        raw = value / settings.factor_of(quantity, row)
        if kind.startswith("float"):
            return _words(struct.pack(">f" if size == 4 else ">d", raw), order)
        # A counter shows what has been completed; anything else is rounded.
        whole = (
            math.floor(raw + 1e-6) if quantity.endswith(("_wh", "_varh", "_vah")) else round(raw)
        )
        # A register shows no more than it holds: one without a sign reads 0 while the energy flows
        # the other way.
        if kind in TO_DIGITS:
            most = 10 ** (4 * WORDS[kind]) - 1
            return _words(TO_DIGITS[kind](min(max(whole, 0), most)).to_bytes(size, "big"), order)
        signed, bits = kind.startswith("int"), 8 * size
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return _words(min(max(whole, least), most).to_bytes(size, "big", signed=signed), order)

    def _encode_serial_number(self) -> list[int]:
        number = self.profile.settings.serial_number
        if number.type == "string":
            return _words(
                str(self.serial_number)
                .encode("ascii")
                .ljust(2 * number.words, b"\0")[: 2 * number.words],
                "big",
            )
        data = int(self.serial_number).to_bytes(number.count * 2, "big")
        return _words(data, number.word_order)


class _Layout(NamedTuple):
    """What is where, of what is read with one function."""

    rows: list[tuple[int, int, str]]
    """Address, words and quantity; empty for the serial number."""
    first: int
    beyond: int


def _layout(settings: Settings, function: int) -> _Layout:
    rows = {
        name: row
        for name, row in settings.registers.items()
        if settings.function_of(row) == function
    }
    table = [
        (row.address, WORDS[settings.type_of(row)], name)
        for name, row in rows.items()
        if row.high_address is None
    ]
    apart = {name: row for name, row in rows.items() if row.high_address is not None}
    for name, row in apart.items():
        low, *_, high = sorted(settings.addresses_of(row))
        table.append((low, high + 1 - low, name))
    number = settings.serial_number
    if number is not None and number.function == function:
        length = number.words if number.type == "string" else WORDS[number.type]
        table.append((number.address, length, ""))
    # What lies between two words that are apart is overwritten by what else is there.
    table.sort(key=lambda each: each[2] not in apart)
    first = min((start for start, _, _ in table), default=0)
    beyond = max((start + length for start, length, _ in table), default=0)
    return _Layout(table, first, beyond)


def _words(data: bytes, order: str) -> list[int]:
    words = [word for (word,) in struct.iter_unpack(">H", data)]
    return words if order == "big" else words[::-1]


class _Request(ModbusPDU):
    """A request as our meters take it: registers are read at the moment of the question, everything
    else is an illegal function.
    """

    def __init__(self, request: ModbusPDU, twins: Mapping[int, Twin]) -> None:
        super().__init__(
            dev_id=request.dev_id,
            transaction_id=request.transaction_id,
            address=request.address,
            count=request.count,
        )
        self.function_code = request.function_code
        self._request = request
        self._twins = twins

    async def datastore_update(self, context: Any, device_id: int) -> ModbusPDU:  # noqa: ARG002 — pymodbus's own store stays empty
        """Answer. Raises NoSuchIdException where the request is for another meter."""
        if device_id not in self._twins:
            raise NoSuchIdException(f"no meter has address {device_id}")
        if isinstance(self._request, ReportDeviceIdRequest):
            server_id: bytes = getattr(self._twins[device_id], "server_id", b"")
            if server_id:
                return ReportDeviceIdResponse(server_id)
        if not isinstance(
            self._request, ReadHoldingRegistersRequest
        ):  # or its subclass for input registers
            return ExceptionResponse(self.function_code, ExcCodes.ILLEGAL_FUNCTION)
        answer = self._twins[device_id].read(self.function_code, self.address, self.count)
        if isinstance(answer, ExcCodes):
            return ExceptionResponse(self.function_code, answer)
        response = (
            ReadInputRegistersResponse if self.function_code == 4 else ReadHoldingRegistersResponse
        )
        return response(registers=answer)


def _hook(twins: Mapping[int, Twin]) -> Callable[[bool, ModbusPDU], ModbusPDU]:
    """pymodbus shows us each PDU on its way: what comes in is answered by the twins."""
    return lambda sending, pdu: pdu if sending else _Request(pdu, twins)


def _empty_store() -> SimDevice:
    return SimDevice(0, SimData(0, values=[0], datatype=DataType.REGISTERS))


SILENCE_S = 0.1
"""Longer than a busy machine needs between the parts of one request."""


class _OnBus(ServerRequestHandler):
    """A bus goes by silence: what is no whole frame by then is forgotten, and the next byte begins
    one. (Modbus over Serial Line 1.02, 2.5.1.1; pymodbus has no clock there, and after five bytes
    that were none of its own it would be out of step for ever.)
    """

    _heard_s = 0.0

    def datagram_received(self, data: bytes, addr: tuple[str, int] | None) -> None:
        """Also what comes over TCP and a serial line goes through here."""
        now_s = time.monotonic()
        if now_s - self._heard_s > SILENCE_S:
            self.recv_buffer = b""
        self._heard_s = now_s
        super().datagram_received(data, addr)


def _goes_by_silence(server: ModbusTcpServer | ModbusUdpServer | ModbusSerialServer) -> None:
    traces = server.trace_packet, server.trace_pdu, server.trace_connect
    server.callback_new_connection = partial(_OnBus, server, *traces)  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def modbus_tcp(
    twins: Mapping[int, Twin], *, host: str = "127.0.0.1", port: int = 0, rtu: bool = False
) -> AsyncIterator[int]:
    """Meters by address behind one TCP endpoint; gives its port. `rtu`: RTU frames over TCP, as a
    serial server sends them.

    For an address nobody has it answers exception 11, as a Modbus TCP gateway does; with `rtu`, it
    stays silent. Raises RuntimeError where the port is taken.
    """
    framer = FramerType.RTU if rtu else FramerType.SOCKET
    server = ModbusTcpServer(
        _empty_store(),
        framer=framer,
        address=(host, port),
        ignore_missing_devices=rtu,
        trace_pdu=_hook(twins),
    )
    if rtu:
        _goes_by_silence(server)
    await server.serve_forever(background=True)
    listener: Any = server.transport  # an asyncio.Server, whatever pymodbus's annotation says
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        await _all_known(listener)
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(
            0
        )  # the closed connections let go of their sockets in the loop's next turn


async def _all_known(listener: asyncio.Server) -> None:
    """No more connections are taken, and pymodbus knows of all that were: it closes no others. Of
    one that was accepted it hears in the third turn of the loop after that.
    """
    for each in listener.sockets:
        asyncio.get_running_loop().remove_reader(each)
    for _ in range(3):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def modbus_udp(
    twins: Mapping[int, Twin], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Meters by address behind a serial server that passes RTU frames in datagrams; gives its port.
    Raises RuntimeError.
    """
    server = ModbusUdpServer(
        _empty_store(),
        framer=FramerType.RTU,
        address=(host, port),
        ignore_missing_devices=True,
        trace_pdu=_hook(twins),
    )
    _goes_by_silence(server)
    await server.serve_forever(background=True)
    endpoint: Any = server.transport
    try:
        yield endpoint.get_extra_info("sockname")[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)


def _is_pty(path: str) -> bool:
    """A pseudo-terminal has no wire, and refuses to be set for parity."""
    return Path(path).resolve().is_relative_to("/dev/pts")


@contextlib.asynccontextmanager
async def modbus_rtu(
    twins: Mapping[int, Twin], path: str, serial: SerialSettings = PV_SERIAL
) -> AsyncIterator[None]:
    """Meters by address on one serial line; `path` is the meters' end. Requests for other addresses
    meet silence, as on a real bus.
    """
    server = ModbusSerialServer(
        _empty_store(),
        framer=FramerType.RTU,
        port=path,
        baudrate=serial.baud,
        parity="N" if _is_pty(path) else serial.parity[0].upper(),
        stopbits=serial.stop_bits,
        ignore_missing_devices=True,
        trace_pdu=_hook(twins),
    )
    _goes_by_silence(server)
    await server.serve_forever(background=True)
    await asyncio.sleep(0)  # it begins to read in the loop's next turn
    try:
        yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Home:
    """A running home: where its meters can be reached, and the truth to judge by."""

    truth: Household
    grid_wire: Wire
    pv_wire: Wire
    heat_pump_port: int
    extra_ports: tuple[int, ...]

    @property
    def grid_path(self) -> str:
        """The serial port the P1 cable is in: 115200 8N1."""
        return self.grid_wire.gateway_end

    @property
    def pv_path(self) -> str:
        """The serial port the PV meter's RS-485 adapter is in: 9600 8N1, address PV_ADDRESS."""
        return self.pv_wire.gateway_end

    def device_files(self, interval: str) -> dict[str, str]:
        """The text of each meter's device file, by the meter's name; further ones are `m1`,
        `m2` …
        """
        files = {
            "grid": f"profile: dsmr/dsmr5\nline: serial:{self.grid_path}\n",
            "pv": f"profile: eastron/sdm120\nline: serial:{self.pv_path}?baud=9600\naddress: "
            f"{PV_ADDRESS}\n",
        }
        for name, port in {
            "heat-pump": self.heat_pump_port,
            **{f"m{n}": port for n, port in enumerate(self.extra_ports, 1)},
        }.items():
            files[name] = (
                f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: "
                f"{HEAT_PUMP_ADDRESS}\n"
            )
        return {name: f"{text}interval: {interval}\n" for name, text in files.items()}


@contextlib.asynccontextmanager
async def simulated_home(
    seed: int = 1, now: Clock = time.time, *, day_s: int = DEMO_DAY_S, extra_meters: int = 0
) -> AsyncIterator[Home]:
    """A home with three meters: P1 DSMR 5 (grid), Eastron SDM120 on RTU (PV, as export), Eastron
    SDM630 on TCP (heat pump, address 1).

    `now` is the home's true time, whatever clock the gateway believes in. `day_s` is the length of
    its day; it begins in the morning, so there is sun from the start. `extra_meters` adds so many
    copies of the heat pump's meter, each on a TCP port of its own. The truth reaches back an hour
    before the start.
    """
    start_s = math.floor(now())
    household = Household(
        seed, start_s - 3600, day_s=day_s, sun_offset_s=day_s * 35 // 100 - start_s
    )
    pv = ModbusTwin(
        load_profile("eastron/sdm120"),
        lambda: pv_values(household, now()),
        serial_number=19_040_002,
    )
    async with contextlib.AsyncExitStack() as stack:
        grid_wire = await stack.enter_async_context(paced_line(P1_SERIAL.char_s))
        pv_wire = await stack.enter_async_context(paced_line(PV_SERIAL.char_s))
        await stack.enter_async_context(
            p1_meter(grid_wire.meter_end, lambda second: grid_telegram(household, second), now)
        )
        await stack.enter_async_context(modbus_rtu({PV_ADDRESS: pv}, pv_wire.meter_end))
        ports = []
        for n in range(1 + extra_meters):
            twin = ModbusTwin(
                load_profile("eastron/sdm630"),
                lambda: heat_pump_values(household, now()),
                serial_number=20_110_001 + n,
            )
            ports.append(await stack.enter_async_context(modbus_tcp({HEAT_PUMP_ADDRESS: twin})))
        yield Home(household, grid_wire, pv_wire, ports[0], tuple(ports[1:]))


def grid_telegram(household: Household, second: int) -> bytes:
    """The grid meter's telegram as `second` begins. Its powers are those of the second that has
    just ended.
    """
    return telegram(
        GridReading(
            utc_s=second,
            serial_number="E0031007000012345",
            import_wh=(
                household.register_wh("grid.import.t1", second),
                household.register_wh("grid.import.t2", second),
            ),
            export_wh=(
                household.register_wh("grid.export.t1", second),
                household.register_wh("grid.export.t2", second),
            ),
            tariff=household.flow(second).tariff,
            phases_w=household.flow(second - 1).grid_phases_w,
            voltages_v=household.voltages_v(second),
            gas_l=household.gas_l(second),
        )
    )


def pv_values(household: Household, t_s: float) -> dict[str, float]:
    """What the PV meter shows: production is export, so its power is negative."""
    second = math.floor(t_s)
    return meter_values(
        (-household.flow(second).pv_w,),
        household.voltages_v(second)[:1],
        household.register_wh("pv.import", t_s),
        household.register_wh("pv.export", t_s),
    )


def heat_pump_values(household: Household, t_s: float) -> dict[str, float]:
    """What the heat pump's three-phase meter shows."""
    second = math.floor(t_s)
    return meter_values(
        household.flow(second).heat_pump_phases_w,
        household.voltages_v(second),
        household.register_wh("heat_pump.import", t_s),
        household.register_wh("heat_pump.export", t_s),
    )
