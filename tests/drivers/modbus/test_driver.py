"""The driver against pymodbus's own servers, on a paced serial line and on TCP."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.line import Line, LineError, LineUrl, NoReply, SerialSettings, open_line
from drivers.modbus.bus import Refused
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import RegisterRow, SerialNumber, Settings
from drivers.profile import DeviceAddress, Profile, load_profile
from drivers.simulated.wire import Wire, paced_line

DEVICE = DeviceAddress(name="pv", address=2)


def floats(*numbers: float) -> list[int]:
    """Numbers as the registers of big-endian 32-bit floats."""
    return list(struct.unpack(f">{2 * len(numbers)}H", struct.pack(f">{len(numbers)}f", *numbers)))


@dataclass
class Meter:
    """The registers of a simulated meter at address 2, by their first address, and what it was
    asked: (function, address, count).
    """

    registers: dict[int, list[int]]
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    answer: Callable[[ModbusPDU], ModbusPDU] = lambda pdu: pdu
    silent_units: frozenset[int] = frozenset()

    def device(self) -> SimDevice:
        blocks = [
            SimData(at, values=words, datatype=DataType.REGISTERS)
            for at, words in sorted(self.registers.items())
        ]
        return SimDevice(2, simdata=blocks)

    def trace_packet(self, sending: bool, data: bytes) -> bytes:
        return b"" if sending and data[0] in self.silent_units else data

    def trace(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if sending:
            return self.answer(pdu)
        self.asked.append((pdu.function_code, pdu.address, pdu.count))
        return pdu


@contextlib.asynccontextmanager
async def on_tcp(meter: Meter) -> AsyncIterator[Line]:
    server = ModbusTcpServer(meter.device(), address=("127.0.0.1", 0), trace_pdu=meter.trace)
    await server.serve_forever(background=True)
    line = await open_line(
        LineUrl("tcp", "127.0.0.1", server.transport.sockets[0].getsockname()[1]), SerialSettings()
    )
    try:
        yield line
    finally:
        line.close()
        await server.shutdown()
        await asyncio.sleep(0.01)  # the server's connection ends in the next turns of the loop


@contextlib.asynccontextmanager
async def on_serial(meter: Meter) -> AsyncIterator[tuple[Line, Wire]]:
    async with paced_line(10 / 9600) as wire:
        server = ModbusSerialServer(
            [meter.device(), replace(meter.device(), id=3)],
            port=wire.meter_end,
            baudrate=9600,
            reconnect_delay=0,
            trace_pdu=meter.trace,
            trace_packet=meter.trace_packet,
        )
        await server.serve_forever(background=True)
        line = await open_line(LineUrl("serial", wire.gateway_end), SerialSettings(baud=9600))
        try:
            yield line, wire
        finally:
            line.close()
            await server.shutdown()
            await asyncio.sleep(0.01)


def profile(settings: Settings) -> Profile:
    return replace(load_profile("eastron/sdm120"), settings=settings)


def sdm120() -> Meter:
    """230.5 V, 2 A, 461 W and so on; 1234.5 kWh in, 67.25 kWh out; serial number 20000001."""
    registers = [0] * 80
    for address, number in {
        0: 230.5,
        6: 2.0,
        12: 461.0,
        18: 462.0,
        24: 8.0,
        30: 1.0,
        70: 50.0,
        72: 1234.5,
        74: 67.25,
        76: 1.5,
    }.items():
        registers[address : address + 2] = floats(number)
    return Meter({0: registers, 0xFC00: list(struct.unpack(">HH", struct.pack(">I", 20000001)))})


SDM120_VALUES = {
    "energy_import_wh": 1234500.0,
    "energy_export_wh": 67250.0,
    "power_w": 461.0,
    "voltage_l1_v": 230.5,
    "current_l1_a": 2.0,
    "apparent_power_va": 462.0,
    "reactive_power_var": 8.0,
    "power_factor": 1.0,
    "frequency_hz": 50.0,
    "reactive_energy_import_varh": 1500.0,
    "reactive_energy_export_varh": 0.0,
}


async def test_a_whole_profile_is_read_over_a_paced_serial_line_in_few_requests() -> None:
    meter = sdm120()
    async with on_serial(meter) as (line, _):
        driver = ModbusDriver(load_profile("eastron/sdm120"), DEVICE, line)
        reading = await driver.read(0.0)
        assert reading.values == SDM120_VALUES
        assert reading.serial_number == "20000001"
        meter.asked.clear()
        due_s = asyncio.get_running_loop().time() + 0.1
        reading = await driver.read(due_s)
        assert reading.values == SDM120_VALUES
        assert due_s < reading.taken_s < asyncio.get_running_loop().time()
        assert 1 <= len(meter.asked) <= 3, "eleven quantities, and the serial number is known"
        function, address, count = meter.asked[0]
        assert function == 4 and address <= 72 < address + count, "energy first"


async def test_a_whole_profile_is_read_over_tcp() -> None:
    meter = sdm120()
    async with on_tcp(meter) as line:
        reading = await ModbusDriver(load_profile("eastron/sdm120"), DEVICE, line).read(0.0)
        assert reading.values == SDM120_VALUES
        assert reading.serial_number == "20000001"
        assert 1 <= len(meter.asked) <= 1 + 3


def _three_values(**other: object) -> Settings:
    rows = {
        "energy_import_wh": RegisterRow(address=0, unit="kWh"),
        "power_w": RegisterRow(address=10, unit="W"),
        "frequency_hz": RegisterRow(address=12, unit="Hz"),
    }
    return Settings(registers=rows, holes=True, turnaround_ms=0, **other)


async def test_a_block_that_is_refused_for_its_hole_is_split_once_and_for_all() -> None:
    meter = Meter({0: floats(1.5), 10: floats(461.0, 50.0)})
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(_three_values()), DEVICE, line)
        for expected in ([(4, 0, 14), (4, 0, 2), (4, 10, 4)], [(4, 0, 2), (4, 10, 4)]):
            meter.asked.clear()
            reading = await driver.read(0.0)
            assert reading.values == {
                "energy_import_wh": 1500.0,
                "power_w": 461.0,
                "frequency_hz": 50.0,
            }
            assert meter.asked == expected


async def test_a_value_the_meter_does_not_have_is_missing_and_the_rest_goes_on() -> None:
    meter = Meter({0: floats(1.5), 10: floats(461.0)})
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(_three_values()), DEVICE, line)
        assert (await driver.read(0.0)).values == {"energy_import_wh": 1500.0, "power_w": 461.0}
        meter.asked.clear()
        assert (await driver.read(0.0)).values == {"energy_import_wh": 1500.0, "power_w": 461.0}
        assert meter.asked == [(4, 0, 2), (4, 10, 2)]


async def test_a_reading_whose_energy_is_refused_fails_and_is_tried_anew() -> None:
    meter = Meter({10: floats(461.0, 50.0)})
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(_three_values()), DEVICE, line)
        for _ in range(2):
            with pytest.raises(
                Refused,
                match=r"address 2: refused registers 0\.\.1 \(function 4\) with exception 2",
            ):
                await driver.read(0.0)


async def test_a_meter_that_refuses_its_energy_may_be_a_sister_model() -> None:
    """As a COUNTIS E50 that is read as one of those with finer energies."""
    meter = Meter({10: floats(461.0, 50.0)})
    async with on_tcp(meter) as line:
        sisterly = replace(profile(_three_values()), sister="socomec/countis_e50")
        with pytest.raises(Refused, match=r"right one\? Sister models are socomec/countis_e50"):
            await ModbusDriver(sisterly, DEVICE, line).read(0.0)


async def test_energy_registers_that_hold_nothing_are_told_and_may_be_a_sister_models() -> None:
    """As a COUNTIS E50 that answers all ones or zero where the others have finer energies."""
    plain = load_profile("socomec/countis_e")
    energies = (0xC702, 0xC708)
    rest = {50514: [0] * 12, 50528: [0] * 34, 50772: [0, 0]}
    for sister, words, doubted in (
        ("socomec/countis_e50", (0xFFFF, 0xFFFF), "no value"),
        ("socomec/countis_e50", (0, 0), "zero"),
        ("", (0xFFFF, 0xFFFF), "no value"),
        ("", (0, 0), ""),
        ("socomec/countis_e50", (0, 7), ""),
    ):
        meter = Meter({**rest, **{each: [*words] for each in energies}})
        async with on_tcp(meter) as line:
            reading = await ModbusDriver(replace(plain, sister=sister), DEVICE, line).read(0.0)
        assert bool(reading.doubts) is bool(doubted)
        for why in reading.doubts.values():
            assert doubted in why
            assert sister in why
        assert set(reading.doubts) in (set(), {"energy_import_wh", "energy_export_wh"})


@pytest.mark.parametrize("code", [5, 6, 8, 10, 11])
async def test_an_optional_block_that_fails_otherwise_costs_its_values_this_time(code: int) -> None:
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0)})
    failing = True

    def refuse(pdu: ModbusPDU) -> ModbusPDU:
        if meter.asked[-1][1] == 0 or not failing:
            return pdu
        return ExceptionResponse(4, code, device_id=pdu.dev_id, transaction=pdu.transaction_id)

    meter.answer = refuse
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(replace(_three_values(), max_registers=4)), DEVICE, line)
        assert (await driver.read(0.0)).values == {"energy_import_wh": 1500.0}
        failing = False
        assert len((await driver.read(0.0)).values) == 3


@pytest.mark.parametrize("code", [1, 2, 3, 4])
async def test_an_optional_block_that_is_refused_costs_its_values_only_and_once(code: int) -> None:
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0)})
    asked: list[int] = []

    def refuse(pdu: ModbusPDU) -> ModbusPDU:
        _, address, count = meter.asked[-1]
        asked.append(address)
        if address + count <= 10:
            return pdu
        return ExceptionResponse(4, code, device_id=pdu.dev_id, transaction=pdu.transaction_id)

    meter.answer = refuse
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(_three_values()), DEVICE, line)
        assert (await driver.read(0.0)).values == {"energy_import_wh": 1500.0}
        asked.clear()
        assert (await driver.read(0.0)).values == {"energy_import_wh": 1500.0}
        assert asked == [0]


async def test_a_meter_that_fails_altogether_is_asked_for_everything_again() -> None:
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0)})
    meter.answer = lambda pdu: ExceptionResponse(
        4, 4, device_id=pdu.dev_id, transaction=pdu.transaction_id
    )
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(_three_values()), DEVICE, line)
        with pytest.raises(Refused, match="exception 4: it failed"):
            await driver.read(0.0)
        assert meter.asked == [(4, 0, 14), (4, 0, 2)], "without its energy the rest says nothing"
        meter.answer = lambda pdu: pdu
        meter.asked.clear()
        assert len((await driver.read(0.0)).values) == 3
        assert meter.asked == [(4, 0, 14)]


async def test_a_busy_meter_fails_the_reading_without_a_split() -> None:
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0)})
    meter.answer = lambda pdu: ExceptionResponse(
        4, 6, device_id=pdu.dev_id, transaction=pdu.transaction_id
    )
    async with on_tcp(meter) as line:
        driver = ModbusDriver(profile(_three_values()), DEVICE, line)
        with pytest.raises(Refused, match="it is busy"):
            await driver.read(0.0)
        meter.answer = lambda pdu: pdu
        await driver.read(0.0)
        assert meter.asked == [(4, 0, 14), (4, 0, 14)]


async def test_a_meter_without_a_serial_number_is_read_all_the_same() -> None:
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0)})
    async with on_tcp(meter) as line:
        driver = ModbusDriver(
            profile(_three_values(serial_number=SerialNumber(address=0xFC00))), DEVICE, line
        )
        for _ in range(2):
            reading = await driver.read(0.0)
            assert reading.serial_number is None
            assert len(reading.values) == 3
        assert [question for question in meter.asked if question[1] == 0xFC00] == [
            (3, 0xFC00, 2)
        ], "not asked again at once"


async def test_after_a_failure_the_serial_number_is_read_again_for_the_meter_may_be_another() -> (
    None
):
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0), 0xFC00: [0, 7]})
    async with on_tcp(meter) as line:
        driver = ModbusDriver(
            profile(_three_values(serial_number=SerialNumber(address=0xFC00))), DEVICE, line
        )
        assert (await driver.read(0.0)).serial_number == "7"

        def broken(pdu: ModbusPDU) -> ModbusPDU:
            pdu.dev_id = 9
            return pdu

        def swapped(pdu: ModbusPDU) -> ModbusPDU:
            if list(pdu.registers) == [0, 7]:
                pdu.registers = [0, 8]
            return pdu

        meter.answer = broken
        driver_with_little_patience = ModbusDriver(
            profile(_three_values()), replace(DEVICE, timeout_s=0.05), line
        )
        with pytest.raises(Exception, match="address 9 answered instead"):
            await driver_with_little_patience.read(0.0)
        with pytest.raises(Exception, match="address 9 answered instead"):
            await driver.read(0.0)
        meter.answer = swapped
        assert (await driver.read(0.0)).serial_number == "8"


async def test_one_wrong_answer_makes_no_other_meter_of_this_one() -> None:
    meter = Meter({0: floats(1.5), 2: [0] * 8, 10: floats(461.0, 50.0), 0xFC00: [0, 7]})
    async with on_tcp(meter) as line:
        driver = ModbusDriver(
            profile(_three_values(serial_number=SerialNumber(address=0xFC00))), DEVICE, line
        )
        assert (await driver.read(0.0)).serial_number == "7"
        driver._serial_due_s = -1e9  # an hour later
        wrong = iter(([0, 9], [0, 7]))

        def once_wrong(pdu: ModbusPDU) -> ModbusPDU:
            if list(pdu.registers) == [0, 7]:
                pdu.registers = next(wrong)
            return pdu

        meter.answer = once_wrong
        assert (await driver.read(0.0)).serial_number == "7"


async def test_a_silent_meter_loses_only_its_own_turn() -> None:
    meter = sdm120()
    meter.silent_units = frozenset({3})
    async with on_serial(meter) as (line, _):
        silent = ModbusDriver(
            load_profile("eastron/sdm120"),
            DeviceAddress(name="gone", address=3, timeout_s=0.05),
            line,
        )
        alive = ModbusDriver(load_profile("eastron/sdm120"), DEVICE, line)
        for _ in range(2):
            with pytest.raises(
                NoReply,
                match=r"address 3: no answer within 0\.05 s to registers \d+\.\.\d+ \(function 4\)",
            ):
                await silent.read(0.0)
            assert (await alive.read(0.0)).values == SDM120_VALUES


async def test_a_port_that_vanishes_is_a_line_error() -> None:
    meter = sdm120()
    async with on_serial(meter) as (line, wire):
        driver = ModbusDriver(load_profile("eastron/sdm120"), DEVICE, line)
        await driver.read(0.0)
        asyncio.get_running_loop().call_later(0.02, wire.unplug)
        with pytest.raises(LineError, match="the port has vanished"):
            await driver.read(0.0)
