"""An export register that is minus the export counts down: read as such, or not at all."""

import struct
from dataclasses import replace

import pytest

from drivers.export_sign import ExportSign
from drivers.line import LineUrl, SerialSettings, open_line
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import RegisterRow, Settings
from drivers.profile import DeviceAddress, load_profile
from drivers.sunspec.models import MODELS, decode
from tests.drivers.modbus.peer import Peer, line_server

FULL = 1 << 32


def exports(*raws: int, bits: int = 32) -> list[int]:
    sign = ExportSign()
    return [sign.export(raw, bits) for raw in raws]


def test_what_is_below_half_of_the_register_is_the_export() -> None:
    assert exports(0, 5000, FULL // 2 - 1, 3) == [0, 5000, FULL // 2 - 1, 3]


def doubted(*raws: int) -> list[bool]:
    sign = ExportSign()
    return [bool(sign.export(raw, 32) and sign.doubts) for raw in raws]


def test_above_it_there_is_doubt_until_it_has_moved_twice_in_one_direction() -> None:
    down = [FULL - 7, FULL - 8, FULL - 8, FULL - 9, FULL - 9]
    assert exports(*down) == [*down[:3], 9, 9]
    assert doubted(*down) == [True] * 3 + [False] * 2
    up = [FULL - 9, FULL - 8, FULL - 7, FULL - 7]
    assert exports(*up) == up
    assert doubted(*up) == [True] * 2 + [False] * 2


def test_one_wrong_reading_decides_nothing() -> None:
    down = [FULL - 10, FULL - 900, FULL - 10, FULL - 11, FULL - 12]
    assert exports(*down) == [*down[:4], 12]
    assert doubted(FULL - 10, 3, FULL - 11, FULL - 12) == [True, False, True, True]


def test_what_is_known_outlasts_wrong_readings_and_the_line_but_not_the_meter() -> None:
    sign = ExportSign()
    for down in (1, 2, 3):
        sign.export(FULL - down, 32)
    assert [sign.export(raw, 32) for raw in (7, FULL - 2, FULL - 4)] == [7, 2, 4]

    after = ExportSign()
    after.follow(sign)
    assert after.export(FULL - 5, 32) == 5
    after.forget()
    assert after.export(FULL - 5, 32) == FULL - 5
    why = after.doubts["energy_export_wh"]
    assert f"its register holds {FULL - 5:,}" in why
    assert " or 5 on one that counts down" in why
    assert after.export(5, 32) == 5
    assert not after.doubts


def test_of_64_bits_the_upper_half_can_be_minus_only() -> None:
    assert exports((1 << 64) - 5000, bits=64) == [5000]


def test_sunspec_accumulators_may_count_down() -> None:
    sign = ExportSign()
    found = []
    for export in (5000, 5001, 5001, 5002):
        words = [0] * 55
        words[0], words[38:40] = 203, struct.unpack(">HH", struct.pack(">I", FULL - export))
        data = struct.pack(">55H", *words)
        found.append(decode(MODELS[203], data, power_is_export=False, sign=sign))
    assert found[-1]["energy_export_wh"] == 5002.0
    assert not sign.doubts


@pytest.mark.parametrize("scale", [1.0, 0.1])
async def test_the_driver_says_that_it_is_in_doubt_until_it_is_known(scale: float) -> None:
    settings = Settings(
        registers={
            "energy_import_wh": RegisterRow(address=0, unit="Wh", scale=scale),
            "energy_export_wh": RegisterRow(address=2, unit="Wh", scale=scale),
        },
        type="uint32",
    )
    profile = replace(load_profile("eastron/sdm120"), settings=settings)
    peer = Peer()
    async with line_server(peer) as port:
        before = None
        for exported, known in ((700, False), (701, False), (702, True), (703, True)):
            # The line is opened anew each time.
            url = LineUrl.parse(f"tcp:127.0.0.1:{port}")
            line = await open_line(url, SerialSettings())
            driver = ModbusDriver(profile, DeviceAddress(name="pv", address=2), line)
            if before is not None:
                driver.follow(before)
            before = driver
            peer.data = struct.pack(">II", 1234, FULL - exported)
            reading = await driver.read(0.0)
            line.close()
            assert reading.values["energy_import_wh"] == pytest.approx(1234 * scale)
            shown = exported if known else FULL - exported
            assert reading.values["energy_export_wh"] == pytest.approx(shown * scale)
            assert ("energy_export_wh" in reading.doubts) is not known
