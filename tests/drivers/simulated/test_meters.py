"""The simulated meters, asked over real ptys and sockets with bytes written by hand."""

import asyncio
import contextlib
import math
import os
import re
import socket
import struct
import time

import pytest
from pymodbus.constants import ExcCodes

from drivers.profile import decode_profile, load_profile, profile_ids, shipped_folder
from drivers.simulated.home import MJ_PER_WH
from drivers.simulated.meters import (
    HEAT_PUMP_ADDRESS,
    PV_ADDRESS,
    SILENCE_S,
    ModbusTwin,
    grid_telegram,
    modbus_rtu,
    modbus_tcp,
    modbus_udp,
    p1_meter,
    simulated_home,
)
from drivers.simulated.wire import paced_line
from drivers.strict_yaml import parse
from tests.drivers.modbus.frames import sealed

INTEGER_METER = b"""
maker: Test
model: Integers
manual: none
protocol: modbus
max_power_w: 20000
energy:
  energy_import_wh: {resolution_wh: 100, modulus_wh: 10000000}
modbus:
  function: 3
  type: int32
  word_order: little
  max_registers: 10
  serial_number: {address: 20, type: string, words: 4, function: 3}
  power_sign: import_positive
  identify: [{address: 1, values: [42]}]
  registers:
    power_w:          {address: 0, unit: W, scale: 0.1}
    voltage_l1_v:     {address: 2, unit: V, scale: 0.1, type: uint16}
    energy_import_wh: {address: 4, unit: kWh, scale: 0.1, type: uint64, word_order: big}
    frequency_hz:     {address: 8, unit: Hz, scale: 0.1, type: int16, invalid: 0x7FFF}
    energy_import_l1_wh: {address: 10, unit: kWh, scale: 0.1, type: uint16}
"""


def modbus_profiles():
    # By their text: a profile that cannot be loaded fails in its test, not here.
    return [
        i
        for i in profile_ids()
        if "protocol: modbus" in (shipped_folder() / f"{i}.yaml").read_text(encoding="utf-8")
    ]


def rtu_request(address, function, start, count):
    body = struct.pack(">BBHH", address, function, start, count)
    return sealed(body)


class Port:
    """Our end of a pty, read without blocking the loop."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.arrived = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self.fd, self._take)

    def _take(self):
        self.arrived.put_nowait(os.read(self.fd, 4096))

    async def read(self, enough, timeout_s=5):
        data = b""
        async with asyncio.timeout(timeout_s):
            while not enough(data):
                data += await self.arrived.get()
        return data

    async def ask(self, request, length):
        os.write(self.fd, request)
        return await self.read(lambda data: len(data) >= length)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)


@contextlib.asynccontextmanager
async def tcp_client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(unit, function, start, count):
        writer.write(struct.pack(">HHHBBHH", 77, 0, 6, unit, function, start, count))
        async with asyncio.timeout(5):
            transaction, protocol, length = struct.unpack(">HHH", await reader.readexactly(6))
            assert (transaction, protocol) == (77, 0)
            return await reader.readexactly(length)

    try:
        yield ask
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def float_at(data, offset):
    return struct.unpack_from(">f", data, offset)[0]


def integer_meter(values):
    return ModbusTwin(
        decode_profile("test/integers", parse(INTEGER_METER, "integers.yaml")),
        lambda: values,
        serial_number=4711,
    )


def test_values_are_encoded_by_type_scale_and_word_order():
    twin = integer_meter(
        {
            "power_w": -1234.56,
            "voltage_l1_v": 230.04,
            "energy_import_wh": 9_876_599,
            "energy_import_l1_wh": 1_234_599,
        }
    )
    assert twin.read(3, 0, 3) == [*reversed(struct.unpack(">HH", struct.pack(">i", -12346))), 2300]
    assert twin.read(3, 4, 4) == [0, 0, *divmod(98_765, 65_536)]
    assert twin.read(3, 10, 1) == [12_345]
    assert twin.read(3, 20, 4) == list(struct.unpack(">4H", b"4711\0\0\0\0"))


def test_a_register_wraps_at_its_modulus_and_a_missing_value_is_the_invalid_pattern():
    twin = integer_meter({"energy_import_wh": 10_000_250})
    assert twin.read(3, 4, 4) == [0, 0, 0, 2]
    assert twin.read(3, 8, 1) == [0x7FFF]


@pytest.mark.parametrize(
    ("function", "address", "count", "refusal"),
    [
        (4, 0, 2, ExcCodes.ILLEGAL_FUNCTION),
        (3, 2, 2, ExcCodes.ILLEGAL_ADDRESS),  # word 3 is a hole
        (3, 23, 2, ExcCodes.ILLEGAL_ADDRESS),
        (3, 0, 11, ExcCodes.ILLEGAL_VALUE),
    ],
)
def test_what_the_meter_does_not_have_is_refused(function, address, count, refusal):
    assert integer_meter({}).read(function, address, count) is refusal


@pytest.mark.parametrize("profile_id", modbus_profiles())
def test_every_modbus_profile_has_a_twin_that_serves_all_its_quantities(profile_id):
    profile = load_profile(profile_id)
    twin = ModbusTwin(profile, lambda: dict.fromkeys(profile.quantities, 1.0))
    for row in profile.settings.registers.values():
        answer = twin.read(profile.settings.function_of(row), row.address, 1)
        assert isinstance(answer, list)
    number = profile.settings.serial_number
    if number is not None:
        assert isinstance(twin.read(number.function, number.address, 2), list)


def test_a_register_without_a_sign_reads_0_while_the_energy_flows_the_other_way():
    power_w = 250.0
    twin = ModbusTwin(load_profile("solax/x3_mic"), lambda: {"power_w": power_w})
    assert twin.read(4, 1038, 1) == [0]
    power_w = -250.0
    assert twin.read(4, 1038, 1) == [250]
    power_w = -1e6
    assert twin.read(4, 1038, 1) == [0xFFFF]


async def test_a_meter_on_a_serial_line_answers_with_the_values_of_that_moment():
    values = {"energy_export_wh": 12_345_678, "power_w": -2500.0}
    async with (
        paced_line(10 / 115_200) as wire,
        modbus_rtu({2: ModbusTwin(load_profile("eastron/sdm120"), lambda: values)}, wire.meter_end),
    ):
        port = Port(wire.gateway_end)
        try:
            reply = await port.ask(rtu_request(2, 4, 0x4A, 2), 9)
            assert reply[:3] == bytes([2, 4, 4])
            assert reply == sealed(reply[:7])
            assert float_at(reply, 3) == pytest.approx(12_345.678, abs=0.0005)
            values["energy_export_wh"] = 12_345_679
            assert float_at(await port.ask(rtu_request(2, 4, 0x4A, 2), 9), 3) == pytest.approx(
                12_345.679, abs=0.0005
            )
            block = await port.ask(
                rtu_request(2, 4, 0, 60), 125
            )  # across unlisted addresses, which read 0
            assert float_at(block, 3 + 2 * 0x0C) == -2500.0
            assert float_at(block, 3 + 2 * 0x02) == 0.0
            assert (await port.ask(rtu_request(2, 3, 0xFC00, 2), 9))[3:7] == struct.pack(
                ">I", 12345678
            )
            assert (await port.ask(rtu_request(2, 1, 0, 8), 5))[:3] == bytes([2, 0x81, 1])
            assert (await port.ask(rtu_request(2, 4, 0x5000, 2), 5))[:3] == bytes([2, 0x84, 2])
        finally:
            port.close()


async def test_two_meters_share_a_serial_line_and_a_request_for_a_third_meets_silence():
    profile = load_profile("eastron/sdm120")
    twins = {n: ModbusTwin(profile, lambda n=n: {"power_w": 100.0 * n}) for n in (1, 2)}
    async with paced_line(0) as wire, modbus_rtu(twins, wire.meter_end):
        port = Port(wire.gateway_end)
        try:
            os.write(port.fd, rtu_request(3, 4, 0x0C, 2))
            with pytest.raises(TimeoutError):
                await port.read(bool, timeout_s=0.2)
            for n in twins:
                reply = await port.ask(rtu_request(n, 4, 0x0C, 2), 9)
                assert (reply[0], float_at(reply, 3)) == (n, 100.0 * n)
        finally:
            port.close()


@pytest.mark.parametrize("noise", [b"/?!\r\n", bytes(3), bytes(200), rtu_request(9, 4, 0, 2)[:-1]])
async def test_a_silence_ends_what_was_no_frame_and_the_next_question_is_answered(noise: bytes):
    """As scans begin, which ask optical heads on the same port."""
    twins = {2: integer_meter({"voltage_l1_v": 229.9})}
    async with paced_line(0) as wire, modbus_rtu(twins, wire.meter_end):
        port = Port(wire.gateway_end)
        try:
            os.write(port.fd, noise)
            await asyncio.sleep(2 * SILENCE_S)
            reply = await port.ask(rtu_request(2, 3, 2, 1), 7)
            assert reply == sealed(struct.pack(">BBBH", 2, 3, 2, 2299))
        finally:
            port.close()


async def test_behind_a_serial_server_that_sends_datagrams_it_is_the_same():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        async with modbus_udp({2: integer_meter({"voltage_l1_v": 229.9})}) as port:
            client.connect(("127.0.0.1", port))
            client.send(b"/?!\r\n")
            await asyncio.sleep(2 * SILENCE_S)
            client.send(rtu_request(2, 3, 2, 1))
            async with asyncio.timeout(5):
                reply = await asyncio.get_running_loop().sock_recv(client, 100)
    assert reply == sealed(struct.pack(">BBBH", 2, 3, 2, 2299))


async def test_a_meter_on_tcp_answers_and_its_gateway_says_when_there_is_no_such_meter():
    async with (
        modbus_tcp({5: integer_meter({"voltage_l1_v": 229.9})}) as port,
        tcp_client(port) as ask,
    ):
        assert await ask(5, 3, 2, 1) == struct.pack(">BBBH", 5, 3, 2, 2299)
        assert await ask(9, 3, 2, 1) == bytes([9, 0x83, 11])
        assert await ask(5, 4, 2, 1) == bytes([5, 0x84, 1])


async def test_a_serial_server_carries_rtu_frames_over_tcp():
    async with modbus_tcp({5: integer_meter({"voltage_l1_v": 229.9})}, rtu=True) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rtu_request(5, 3, 2, 1))
        async with asyncio.timeout(5):
            assert (await reader.readexactly(7))[:5] == struct.pack(">BBBH", 5, 3, 2, 2299)
        writer.close()
        await writer.wait_closed()


async def test_the_p1_port_sends_one_telegram_for_each_second_and_stops_quietly_when_unplugged():
    offset_s = (
        math.ceil(time.time()) - time.time() - 0.05
    )  # a second begins in 50 ms: no long wait for the first

    def now():
        return time.time() + offset_s

    async with (
        paced_line(10 / 115_200) as wire,
        p1_meter(wire.meter_end, lambda second: b"/%d!\r\n" % second, now),
    ):
        port = Port(wire.gateway_end)
        try:
            start_s = now()
            data = await port.read(lambda data: data.count(b"!") >= 2)
        finally:
            port.close()
        seconds = [int(s) for s in re.findall(rb"/(\d+)!", data)]
        assert seconds == sorted(set(seconds))
        assert start_s <= seconds[0] <= seconds[-1] <= now() + 0.01
        wire.unplug()
        await asyncio.sleep(1.1)


async def test_the_home_speaks_on_all_its_lines_with_one_truth():
    async with simulated_home(seed=3, extra_meters=1) as home:
        grid, pv = Port(home.grid_path), Port(home.pv_path)
        try:
            before_s = time.time()
            reply = await pv.ask(rtu_request(PV_ADDRESS, 4, 0x48, 4), 13)
            assert_shown(home.truth, "pv.export", float_at(reply, 7), before_s)
            assert float_at(reply, 3) == pytest.approx(
                4.321
            )  # a PV meter imports almost nothing: it stands still here
            for port in (home.heat_pump_port, *home.extra_ports):
                async with tcp_client(port) as ask:
                    assert_shown(
                        home.truth,
                        "heat_pump.import",
                        float_at(await ask(HEAT_PUMP_ADDRESS, 4, 0x48, 2), 3),
                        before_s,
                    )
            data = await grid.read(lambda data: re.search(rb"/[^!]+!....\r\n", data))
            telegram = re.search(rb"/[^!]+!....\r\n", data)[0]
            assert telegram in {
                grid_telegram(home.truth, s)
                for s in range(math.floor(before_s) - 3, math.ceil(time.time()) + 1)
            }
            assert home.truth.energy_mj("pv", "export", before_s - 60, before_s) > MJ_PER_WH
        finally:
            grid.close()
            pv.close()


def assert_shown(truth, register, shown_kwh, since_s):
    low, high = truth.register_wh(register, since_s), truth.register_wh(register, time.time())
    assert (
        low - 0.5 <= shown_kwh * 1000 <= high + 0.5
    )  # float32 rounds by up to half a watt-hour here


async def test_the_home_leaves_no_task_and_no_open_file_behind():
    def open_files():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    files, tasks = open_files(), asyncio.all_tasks()
    for _ in range(2):
        async with simulated_home() as home, tcp_client(home.heat_pump_port) as ask:
            await ask(HEAT_PUMP_ADDRESS, 4, 0, 2)
        await asyncio.sleep(0.01)
        assert (open_files(), asyncio.all_tasks()) == (files, tasks)
