"""Every dialect: telegrams written by hand give exactly their values, and tell which profile they
belong to.
"""

import pytest

from drivers.p1.dialects import recognise, shipped
from drivers.p1.reader import read_values
from drivers.p1.settings import Settings
from drivers.p1.telegram import Framer
from drivers.text_telegram import Telegram, fault
from tests.drivers.p1.telegrams.written import Written, written
from tests.drivers.shipped import shipped_profile, sound_ids

WRITTEN = [pytest.param(each, id=each.name) for each in written()]
IDS = sound_ids("p1")


def telegram_of(data: bytes) -> Telegram:
    framer = Framer()
    [event] = framer.feed(data) + framer.silence()
    assert isinstance(event, Telegram)
    return event


@pytest.mark.parametrize("each", WRITTEN)
def test_a_telegram_gives_exactly_its_values(each: Written) -> None:
    settings: Settings = shipped_profile(each.profile).settings
    telegram = telegram_of(each.data)
    assert fault(telegram, settings.checksum) is None
    values = read_values(telegram.raw, settings.summed_tariffs(), settings.utc_offset_h)
    assert {
        name: value for name, value in values.quantities.items() if name in settings.quantities()
    } == each.values
    assert (values.serial_number, values.meter_utc_s) == (each.serial_number, each.meter_utc_s)


@pytest.mark.parametrize("each", WRITTEN)
def test_a_telegram_tells_its_dialect(each: Written) -> None:
    dialect = recognise(telegram_of(each.data).raw, shipped())
    assert dialect is not None
    assert dialect.id == each.recognised


@pytest.mark.parametrize("each", WRITTEN)
def test_rewritten_line_ends_do_not_hide_the_dialect(each: Written) -> None:
    for line_end in (b"\n", b"\r"):
        dialect = recognise(each.data.replace(b"\r\n", line_end), shipped())
        assert dialect is not None
        assert dialect.id == each.recognised


def test_every_profile_has_a_telegram() -> None:
    assert {each.profile for each in written()} == set(IDS) - {"p1/auto"}


def test_the_profile_that_detects_may_hold_whatever_the_others_hold() -> None:
    auto = shipped_profile("p1/auto")
    assert auto.settings.detect
    for dialect in shipped():
        assert dialect.settings.quantities() <= auto.quantities
        assert not dialect.settings.detect
        for quantity, register in shipped_profile(dialect.id).energy.items():
            assert auto.energy[quantity].modulus_wh >= register.modulus_wh


def test_tariff_1_is_low_in_the_netherlands_and_day_in_belgium() -> None:
    assert shipped_profile("dsmr/dsmr5").settings.tariffs == ["low", "normal"]
    assert shipped_profile("p1/belgium").settings.tariffs == ["day", "night"]


def test_a_telegram_of_no_dialect_is_recognised_as_none() -> None:
    assert recognise(b"/GWY5\r\n\r\n1-0:1.99.0(000001.000*kWh)\r\n!", shipped()) is None
