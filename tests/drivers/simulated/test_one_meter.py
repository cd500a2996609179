"""One simulated meter of any profile, read by the driver that reads real ones."""

import asyncio

import pytest

from drivers.line import LineUrl, SerialSettings, open_line
from drivers.p1.dialects import recognise, shipped
from drivers.profile import DeviceAddress
from drivers.simulated.one_meter import Load, serving, serving_bus, telegram_of, twin_of
from drivers.simulated.readout import readout_meter
from drivers.simulated.wire import paced_line
from tests.drivers.scripted import ScriptedLine, in_virtual_time
from tests.drivers.shipped import shipped_profile, sound_ids

SERVED = sound_ids("modbus", "sunspec")
HOUR_LATER_S = 1_774_742_400.0


async def reading_of(profile, reached, address):
    line = await open_line(reached, profile.serial)
    try:
        driver = profile.open_driver(
            DeviceAddress(name="meter", address=address, timeout_s=5), line
        )
        return await driver.read(0.0)
    finally:
        line.close()


@pytest.mark.parametrize("profile_id", SERVED)
async def test_every_profile_s_twin_tells_its_power_and_its_energy(profile_id):
    profile = shipped_profile(profile_id)
    # Some meters know no export.
    power_w, direction, began_wh = (
        (-2400, "export", 7_654)
        if "energy_export_wh" in profile.energy
        else (2400, "import", 1_234_567)
    )
    load = Load(power_w, HOUR_LATER_S - 3600, 3 if "voltage_l2_v" in profile.quantities else 1)
    async with serving(
        profile, LineUrl("tcp", "127.0.0.1", 0), 7, load, lambda: HOUR_LATER_S
    ) as reached:
        reading = await reading_of(profile, reached, 7)
    assert bool(reading.serial_number) == (
        profile.protocol == "sunspec" or profile.settings.serial_number is not None
    )
    shown_w = reading.values.get("power_w")
    if shown_w is None:
        shown_w = reading.values["power_import_w"] - reading.values["power_export_w"]
    assert shown_w == pytest.approx(power_w, abs=60)
    step_wh = profile.energy[f"energy_{direction}_wh"].resolution_wh
    assert reading.values[f"energy_{direction}_wh"] == pytest.approx(
        began_wh + 2_400, abs=step_wh + 0.5
    )


@pytest.mark.parametrize(
    "profile_id",
    [
        "eastron/sdm120",
        "schneider/iem3155",
        "sunspec/meter",
        "dsmr/dsmr5",
        "sml/auto",
        "iec62056/mode_c",
    ],
)
async def test_on_a_new_pty_it_is_read_by_the_path_it_gives(profile_id):
    profile = shipped_profile(profile_id)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    async with serving(
        profile,
        None,
        1,
        Load(1200, HOUR_LATER_S - 3600),
        lambda: HOUR_LATER_S + loop.time() - start_s,
    ) as reached:
        assert reached.scheme == "serial"
        reading = await reading_of(profile, reached, 1)
    assert reading.values["power_w"] == pytest.approx(1200, abs=1)
    assert reading.values["energy_import_wh"] == pytest.approx(1_234_567 + 1_200, abs=11)


PUSHED = [*sound_ids("sml"), "iec62056/mode_d", "iec62056/mode_d_2400"]


@pytest.mark.parametrize("profile_id", PUSHED)
def test_what_a_meter_pushes_is_what_its_driver_reads(profile_id):
    async def scenario():
        profile = shipped_profile(profile_id)
        line = ScriptedLine(profile.serial.char_s)
        line.sends(
            1000.1, telegram_of(profile, Load(-2400, HOUR_LATER_S - 3600))(int(HOUR_LATER_S))
        )
        reading = await profile.open_driver(DeviceAddress(name="meter"), line).read(1000.0)
        assert reading.serial_number in ("1SIM0012345678", "12345678")
        whole_kwh = profile_id == "sml/no_pin"
        assert reading.values["energy_export_wh"] == (10_000 if whole_kwh else 7_654 + 2_400)
        assert reading.values.get("power_w") == (None if whole_kwh else -2400)

    in_virtual_time(scenario)


@pytest.mark.parametrize("profile_id", sound_ids("p1"))
def test_every_p1_profile_s_twin_speaks_its_dialect(profile_id):
    async def scenario():
        profile = shipped_profile(profile_id)
        data = telegram_of(profile, Load(-2400, HOUR_LATER_S - 3600))(int(HOUR_LATER_S))
        line = ScriptedLine(profile.serial.char_s)
        line.sends(1000.1, data)
        reading = await profile.open_driver(DeviceAddress(name="meter"), line).read(1000.0)
        assert reading.serial_number == "E0031007000012345"
        assert (reading.values["energy_import_wh"], reading.values["energy_export_wh"]) == (
            1_234_567,
            7_654 + 2_400,
        )
        assert reading.values["power_w"] == -2400
        spoken = recognise(data, shipped())
        assert spoken is not None
        if profile.settings.marks:
            assert spoken.id == profile_id

    in_virtual_time(scenario)


@pytest.mark.parametrize("profile_id", ["dsmr/dsmr5", "sml/auto", "iec62056/mode_d"])
async def test_what_pushes_is_heard_over_tcp_by_everybody_who_connects(profile_id):
    profile = shipped_profile(profile_id)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    load = Load(1200, HOUR_LATER_S - 3600)
    async with serving(
        profile,
        LineUrl("tcp", "127.0.0.1", 0),
        1,
        load,
        lambda: HOUR_LATER_S + loop.time() - start_s,
    ) as reached:
        readings = await asyncio.gather(
            reading_of(profile, reached, 1), reading_of(profile, reached, 1)
        )
    assert [reading.values["power_w"] for reading in readings] == [1200, 1200]


async def test_modbus_meters_answer_over_udp_and_share_a_line():
    profiles = {1: shipped_profile("eastron/sdm630"), 7: shipped_profile("abb/b23")}
    loads = {address: Load(1000 + address, HOUR_LATER_S) for address in profiles}
    twins = {
        address: twin_of(profile, loads[address], lambda: HOUR_LATER_S)
        for address, profile in profiles.items()
    }
    for line in (LineUrl("rtu+udp", "127.0.0.1", 0), None):
        async with serving_bus(twins, line, SerialSettings(baud=9600)) as reached:
            for address, profile in profiles.items():
                assert (await reading_of(profile, reached, address)).values[
                    "power_w"
                ] == 1000 + address


async def test_a_readout_begins_anew_after_an_answer_that_no_meter_takes():
    profile = shipped_profile("iec62056/mode_c")
    async with (
        paced_line(0) as wire,
        readout_meter(wire.meter_end, profile.serial, lambda: b"1.8.0(000001.000*kWh)\r\n"),
    ):
        line = await open_line(LineUrl("serial", wire.gateway_end), profile.serial)
        now_s = asyncio.get_running_loop().time
        await line.write(b"noise /?!\r\n")
        came = b""
        while b"\n" not in came:
            came += await line.read(now_s() + 5)
        await line.write(b"\x06090\r\n")
        await asyncio.sleep(0.5)  # the meter listens to one thing at a time
        reading = await profile.open_driver(DeviceAddress(name="meter", timeout_s=5), line).read(
            0.0
        )
        line.close()
    assert reading.values == {"energy_import_wh": 1000}


@pytest.mark.parametrize(
    ("profile_id", "line", "complaint"),
    [
        (
            "iec62056/mode_c",
            LineUrl("tcp", "127.0.0.1", 0),
            "iec62056/mode_c is not simulated on tcp: — write serial:/dev/…, pty$",
        ),
        (
            "dsmr/dsmr5",
            LineUrl("rtu+udp", "127.0.0.1", 0),
            "dsmr/dsmr5 is not simulated on rtu.udp: — write serial:/dev/…, pty or tcp:",
        ),
        ("abb/b23", LineUrl("tls", "127.0.0.1", 0), "nothing is simulated on tls:"),
    ],
)
async def test_what_cannot_be_simulated_says_so(profile_id, line, complaint):
    with pytest.raises(ValueError, match=complaint):
        async with serving(shipped_profile(profile_id), line, 1, Load(0, 0.0), lambda: 0.0):
            pass
