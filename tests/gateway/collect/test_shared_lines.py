"""Which meters may share a line, and which may not."""

import pytest

from gateway.site.config import load
from gateway.site.credentials import ConfigError
from gateway.site.devices import lines_of


@pytest.fixture
def site(tmp_path):
    def write(**devices):
        (tmp_path / "gateway.yaml").write_text("site: home\n")
        (tmp_path / "devices").mkdir()
        for name, text in devices.items():
            (tmp_path / "devices" / f"{name}.yaml").write_text(text)
        return load(tmp_path)

    return write


def meter(profile, address=1, line="tcp:192.168.1.20:1502"):
    return f"profile: {profile}\nline: {line}\naddress: {address}\n"


def test_an_inverter_and_the_meter_behind_it_have_one_address(site):
    settings = site(
        pv=meter("sunspec/auto"), grid=meter("sunspec/meter"), heat=meter("eastron/sdm630", 2)
    )
    assert [device.name for device in settings.devices] == ["grid", "heat", "pv"]


def test_the_same_part_of_one_sunspec_device_is_read_once(site):
    with pytest.raises(ConfigError, match="grid already has address 1 on this line"):
        site(pv=meter("sunspec/auto"), grid=meter("sunspec/auto"))


@pytest.mark.parametrize(
    ("inverter", "meter_behind_it"),
    [("growatt/inverter", "growatt/hybrid_grid"), ("solax/x3_mic", "solax/x3_mic_grid")],
)
def test_two_profiles_of_one_inverter_have_one_address(site, inverter, meter_behind_it):
    settings = site(
        pv=meter(inverter), grid=meter(meter_behind_it), heat=meter("eastron/sdm630", 2)
    )
    assert [device.name for device in settings.devices] == ["grid", "heat", "pv"]


@pytest.mark.parametrize(
    "other",
    ["growatt/inverter", "growatt/tl_x", "growatt/tl_x_grid", "eastron/sdm630", "sunspec/auto"],
)
def test_only_parts_of_one_device_have_one_address(site, other):
    with pytest.raises(ConfigError, match=r"\w+ already has address 1 on this line"):
        site(pv=meter("growatt/inverter"), grid=meter("growatt/hybrid_grid"), other=meter(other))


def test_modbus_meters_of_one_line_need_an_address_each(site):
    with pytest.raises(ConfigError, match="grid already has address 1 on this line"):
        site(pv=meter("eastron/sdm120"), grid=meter("eastron/sdm630"))


def test_a_meter_that_pushes_needs_a_line_for_itself(site):
    with pytest.raises(ConfigError, match="two protocols on one line"):
        site(
            pv=meter("sunspec/auto", line="serial:/dev/ttyUSB0"),
            grid="profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n",
        )


def test_meters_of_one_line_may_have_serial_settings_of_their_own(site):
    at = "serial:/dev/ttyUSB0"
    settings = site(
        pv=meter("eastron/sdm120", 1, f"{at}?baud=2400"),
        heat=meter("eastron/sdm630", 2, f"{at}?baud=19200&parity=even"),
    )
    assert len(lines_of(settings.devices)) == 1


def test_an_endpoint_is_spoken_to_in_one_way(site):
    with pytest.raises(ConfigError, match="grid has this endpoint as tcp: — write both alike"):
        site(
            pv=meter("eastron/sdm120", 2, "rtu+tcp:192.168.1.20:1502"),
            grid=meter("eastron/sdm630", 1),
        )
