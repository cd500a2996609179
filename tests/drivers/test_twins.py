"""Every Modbus profile's simulated twin, asked by the real driver over a real socket, gives back
the values it was given.
"""

from pathlib import Path

import pytest

from drivers.line import LineUrl, SerialSettings, open_line
from drivers.modbus.settings import WORDS, RegisterRow, Settings
from drivers.profile import DeviceAddress, Profile, load_profile, profile_ids, shipped_folder
from drivers.simulated.meters import ModbusTwin, modbus_tcp

# By their text: a profile that cannot be loaded fails in its test, not here.
IDS = [
    each
    for each in profile_ids()
    if "\nprotocol: modbus\n" in Path(shipped_folder(), f"{each}.yaml").read_text(encoding="utf-8")
]

TYPICAL = {
    "wh": 1_234_567.0,
    "varh": 345_000.0,
    "vah": 1_345_000.0,
    "w": -1234.5,
    "va": 1345.6,
    "var": -345.6,
    "v": 230.4,
    "a": 5.43,
    "hz": 50.02,
}


def shown(profile: Profile, quantity: str, number: int) -> float:
    """A value that this register can hold, different from its neighbours'."""
    settings: Settings = profile.settings
    row: RegisterRow = settings.registers[quantity]
    kind = settings.type_of(row)
    value = TYPICAL.get(quantity.rpartition("_")[2], 0.9) * (1 + number / 100)
    if kind.startswith("u") or quantity.startswith(("power_import", "power_export", "demand")):
        value = abs(value) if settings.factor_of(quantity, row) > 0 else -abs(value)
    largest = (
        1e9
        if kind.startswith("float")
        else 2 ** (16 * WORDS[kind] - 1) * abs(settings.factor_of(quantity, row)) / 2
    )
    return max(-largest, min(largest, value))


def step(profile: Profile, quantity: str) -> float:
    """By how much the register may be off: one count, or the rounding of a float."""
    settings: Settings = profile.settings
    row = settings.registers[quantity]
    resolution = profile.energy[quantity].resolution_wh if quantity in profile.energy else 0.0
    return max(
        resolution,
        0.5
        if settings.type_of(row).startswith("float")
        else abs(settings.factor_of(quantity, row)),
    )


@pytest.mark.parametrize("profile_id", IDS)
async def test_what_the_twin_shows_is_what_the_driver_reads(profile_id: str) -> None:
    profile = load_profile(profile_id)
    values = {
        quantity: shown(profile, quantity, number)
        for number, quantity in enumerate(profile.settings.registers)
    }
    twin = ModbusTwin(profile, lambda: values)
    async with modbus_tcp({7: twin}) as port:
        line = await open_line(LineUrl.parse(f"tcp:127.0.0.1:{port}"), SerialSettings())
        try:
            reading = await profile.open_driver(DeviceAddress(name="meter", address=7), line).read(
                0.0
            )
        finally:
            line.close()
    assert reading.values.keys() >= values.keys(), "what is missing"
    for quantity, value in values.items():
        assert abs(reading.values[quantity] - value) <= step(profile, quantity) * 1.001, quantity
    has_serial_number = profile.settings.serial_number is not None
    assert (reading.serial_number is not None) is has_serial_number
