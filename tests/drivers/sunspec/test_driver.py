"""The driver against pymodbus's own server, which serves images of devices typed by hand from
published dumps and the model definitions.
"""

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field

import pytest
from pymodbus.pdu import ExceptionResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.line import BadReply, LineUrl, NoReply, SerialSettings, open_line
from drivers.profile import DeviceAddress, load_profile


def text(word, registers):
    return list(struct.unpack(f">{registers}H", word.encode().ljust(2 * registers, b"\0")))


def filled(number, length, values):
    """A model: its number, its length, and words at their offsets from the number. All else is not
    implemented (0x8000, 0 for energy).
    """
    words = [number, length] + [0x8000] * length
    for at, word in values.items():
        words[at] = word & 0xFFFF
    return words


# "SunS", model 1 of 65 registers, "SolarEdge": the first integers of a SE3000 as its owner
# published them. What follows is by the maker's technical note: model 103 at 40069, a meter's model
# 1 at 40121 and its model 203 at 40188, whose texts, current, power factors and energies are
# another owner's published values.
SOLAREDGE_COMMON = [
    21365,
    28243,
    1,
    65,
    21359,
    27745,
    29253,
    25703,
    25888,
    *[0] * 11,
    *text("SE3000", 16),
    *[0] * 8,
    *text("4.10.29", 8),
]
SOLAREDGE_COMMON += [*text("7E1B2C3D", 16), 1]
SOLAREDGE_INVERTER = filled(
    103,
    50,
    {
        2: 1106,
        6: -2,
        10: 2301,
        11: 2302,
        12: 2303,
        13: -1,
        14: 25480,
        15: -1,
        16: 50010,
        17: -3,
        24: 0x00F4,
        25: 0x2400,
        26: 0,
    }
    | dict.fromkeys((3, 4, 5, 7, 8, 9), 0xFFFF),  # unsigned and not implemented
)
METER_COMMON = [
    1,
    65,
    *text("SolarEdge", 16),
    *text("PRO380-Mod", 16),
    *[0] * 8,
    *text("2.19", 8),
    *text("19032098", 16),
    2,
]
METER = filled(
    203,
    105,
    {
        2: 5,  # A: 0.5 A with its scale factor of -1
        6: -1,
        18: 1500,  # W: the meter counts exported power as positive
        22: 0,
        35: 2800,  # power factors of phases 2 and 3, in hundredths of a per cent
        36: 3300,
        37: -2,
        38: 0,  # exported: 6619 Wh; phases 3070, 2260, 2790
        39: 6619,
        41: 3070,
        43: 2260,
        45: 2790,
        46: 0,  # imported: 15640 Wh
        47: 15640,
        54: 0,
    },
)
END = [0xFFFF, 0]
SOLAREDGE = [*SOLAREDGE_COMMON, *SOLAREDGE_INVERTER, *METER_COMMON, *METER, *END]


@dataclass
class Device:
    """Registers from `base` on, at address 1, and what was asked: (function, address, count)."""

    words: list[int]
    base: int = 40000
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    answer = staticmethod(lambda pdu: pdu)

    def trace(self, sending, pdu):
        if sending:
            return self.answer(pdu)
        self.asked.append((pdu.function_code, pdu.address, pdu.count))
        return pdu


@contextlib.asynccontextmanager
async def served(device):
    store = SimDevice(
        1, simdata=[SimData(device.base, values=device.words, datatype=DataType.REGISTERS)]
    )
    server = ModbusTcpServer(store, address=("127.0.0.1", 0), trace_pdu=device.trace)
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


def driver_of(profile_id, line, timeout_s=5.0):
    return load_profile(profile_id).open_driver(
        DeviceAddress(name="pv", address=1, timeout_s=timeout_s), line
    )


@pytest.mark.parametrize("code", [1, 4, 5, 6, 10, 11])
async def test_what_lies_behind_the_readable_parts_may_be_refused_in_any_way(code):
    device = Device([*SOLAREDGE_COMMON, *SOLAREDGE_INVERTER, 0, 0])

    def refuse(pdu):
        if device.asked[-1][1] < 40000 + len(device.words) - 2:
            return pdu
        return ExceptionResponse(3, code, device_id=pdu.dev_id, transaction=pdu.transaction_id)

    device.answer = refuse
    async with served(device) as line:
        reading = await driver_of("sunspec/auto", line).read(0.0)
    assert reading.values["energy_export_wh"] == 16_000_000.0


async def test_where_nothing_is_said_behind_the_readable_parts_the_chain_ends():
    device = Device([*SOLAREDGE_COMMON, *SOLAREDGE_INVERTER, 0, 0])

    def fall_silent(pdu):
        if device.asked[-1][1] >= 40000 + len(device.words) - 2:
            pdu.dev_id = 9  # an answer of somebody else is none
        return pdu

    device.answer = fall_silent
    async with served(device) as line:
        reading = await driver_of("sunspec/auto", line, timeout_s=0.1).read(0.0)
    assert reading.values["energy_export_wh"] == 16_000_000.0


async def test_a_device_that_is_busy_once_while_its_chain_is_walked_loses_no_part_of_it():
    device = Device(SOLAREDGE)
    busy = [True]

    def answer(pdu):
        if device.asked[-1][1:] == (40121, 2) and busy and busy.pop():
            return ExceptionResponse(3, 6, device_id=pdu.dev_id, transaction=pdu.transaction_id)
        return pdu

    device.answer = answer
    async with served(device) as line:
        reading = await driver_of("sunspec/meter", line).read(0.0)
    assert not busy
    assert reading.serial_number == "19032098"


async def test_an_inverter_is_read_in_one_request_once_its_chain_is_known():
    device = Device(SOLAREDGE)
    async with served(device) as line:
        driver = driver_of("sunspec/auto", line)
        first = await driver.read(0.0)
        device.asked.clear()
        due_s = asyncio.get_running_loop().time() + 0.05
        reading = await driver.read(due_s)
    assert device.asked == [(3, 40069, 27)]
    assert reading.taken_s >= due_s
    assert reading.serial_number == first.serial_number == "7E1B2C3D"
    assert reading.values == first.values
    assert reading.values == {
        "energy_export_wh": 16_000_000.0,  # 0x00F42400
        "power_w": -2548.0,
        "current_a": 11.06,
        "voltage_l1_v": 230.1,
        "voltage_l2_v": 230.2,
        "voltage_l3_v": 230.3,
        "frequency_hz": 50.01,
    }


async def test_the_meter_behind_an_inverter_is_another_series_with_its_sign_turned():
    async with served(Device(SOLAREDGE)) as line:
        reading = await driver_of("sunspec/meter", line).read(0.0)
    assert reading.serial_number == "19032098"
    assert reading.values == {
        "energy_import_wh": 15640.0,
        "energy_export_wh": 6619.0,
        "power_w": -1500.0,
        "current_a": 0.5,
    }


async def test_a_meter_of_another_maker_keeps_its_sign():
    common = [
        21365,
        28243,
        1,
        66,
        *text("TQ-Systems", 16),
        *text("EM420", 16),
        *[0] * 8,
        *text("2.6", 8),
        *text("72907", 16),
        1,
        0x8000,
    ]
    async with served(Device([*common, *METER, *END])) as line:
        reading = await driver_of("sunspec/auto", line).read(0.0)
    assert reading.values["power_w"] == 1500.0
    assert reading.serial_number == "72907"


@pytest.mark.parametrize("base", [50000, 0])
async def test_a_device_with_its_marker_elsewhere_is_found(base):
    async with served(Device(SOLAREDGE, base=base)) as line:
        assert (await driver_of("sunspec/auto", line).read(0.0)).values["power_w"] == -2548.0


async def test_a_device_whose_models_have_moved_fails_once_and_is_walked_anew():
    device = Device(list(SOLAREDGE))
    moved = False

    def answer(pdu):
        # An update of the firmware adds the pad register of model 1: all that follows moves by one.
        if moved and getattr(pdu, "registers", None):
            _, address, count = device.asked[-1]
            shifted = [*SOLAREDGE[:3], 66, *SOLAREDGE[4:69], 0x8000, *SOLAREDGE[69:]]
            pdu.registers = shifted[address - 40000 : address - 40000 + count]
        return pdu

    device.answer = answer
    async with served(device) as line:
        driver = driver_of("sunspec/auto", line)
        await driver.read(0.0)
        moved = True
        with pytest.raises(
            BadReply, match="address 1: SunSpec model 103 is no longer at register 40069"
        ):
            await driver.read(0.0)
        assert (await driver.read(0.0)).values["power_w"] == -2548.0
        assert device.asked[-1] == (3, 40070, 27)


async def test_a_chain_that_never_ends_is_a_bad_reply_after_bounded_requests():
    device = Device([*SOLAREDGE_COMMON, *[120, 0] * 200])
    async with served(device) as line:
        with pytest.raises(
            BadReply, match="address 1: its chain of SunSpec models does not end within 64 models"
        ):
            await driver_of("sunspec/auto", line).read(0.0)
    assert len(device.asked) <= 2 + 64 + 2


async def test_a_device_that_does_not_speak_sunspec_is_told_what_to_do():
    async with served(Device([0] * 200, base=0)) as line:
        with pytest.raises(
            BadReply, match=r"no SunSpec marker .* is SunSpec switched on at the device"
        ):
            await driver_of("sunspec/auto", line).read(0.0)


async def test_a_device_that_is_busy_is_a_bad_reply_not_a_missing_model():
    device = Device(SOLAREDGE)
    device.answer = lambda pdu: ExceptionResponse(
        3, 6, device_id=pdu.dev_id, transaction=pdu.transaction_id
    )
    async with served(device) as line:
        with pytest.raises(BadReply, match="it is busy"):
            await driver_of("sunspec/auto", line).read(0.0)


async def test_an_inverter_that_sleeps_is_silent_and_read_again_when_it_wakes():
    device = Device(SOLAREDGE)
    silent = True

    def answer(pdu):
        if silent:
            pdu.dev_id = 9  # an answer of somebody else is none
        return pdu

    device.answer = answer
    async with served(device) as line:
        driver = driver_of("sunspec/auto", line, timeout_s=0.2)
        with pytest.raises((NoReply, BadReply)):
            await driver.read(0.0)
        silent = False
        assert (await driver_of("sunspec/auto", line).read(0.0)).values["power_w"] == -2548.0
