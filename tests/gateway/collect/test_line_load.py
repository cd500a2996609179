"""What a line has to carry, worked out by hand from the standard."""

import pytest

from drivers.line_protocol import LISTEN_S
from drivers.modbus.load import exchange_s, silence_s
from gateway.collect.line_load import Load, load_of
from gateway.site.config import load


def test_an_exchange_is_its_characters_the_silences_and_the_meter_s_own_time():
    char_s = 11 / 9600
    assert exchange_s(10, char_s) == pytest.approx((8 + 3.5 + 25 + 3.5) * char_s)
    assert exchange_s(10, char_s, turnaround_s=0.1) == pytest.approx((8 + 3.5 + 25) * char_s + 0.1)
    assert exchange_s(10, char_s, reply_s=0.05) == pytest.approx((8 + 25 + 3.5) * char_s + 0.05)
    assert silence_s(11 / 115200) == 0.00175, "above 19200 baud it no longer shrinks"
    assert exchange_s(10, 0.0, reply_s=0.02) == 0.02, "on a network only the meter takes time"


@pytest.fixture
def line(tmp_path):
    def of(count, baud, interval):
        (tmp_path / "gateway.yaml").write_text("site: home\n")
        (tmp_path / "devices").mkdir()
        for n in range(1, count + 1):
            text = (
                f"profile: eastron/sdm120\nline: serial:/dev/ttyUSB0?baud={baud}\naddress: "
                f"{n}\ninterval: {interval}\n"
            )
            (tmp_path / "devices" / f"meter{n}.yaml").write_text(text)
        return load_of(load(tmp_path).devices)

    return of


def test_ten_meters_fit_on_a_line_of_9600_baud_every_10_s(line):
    found = line(10, 9600, "10s")
    assert found.available_ms == 10_000
    assert 500 < found.needed_ms < 3000
    assert not found.too_much
    assert "of 10,000 ms per cycle" in str(found)


def test_ten_meters_do_not_fit_on_a_line_of_2400_baud_every_second(line):
    assert line(10, 2400, "1s").too_much


def test_a_line_is_listened_to_only_as_long_as_there_is_time_for_it(line):
    relaxed = line(10, 9600, "10s")
    assert relaxed.listen_s(10) == LISTEN_S
    busy = Load(needed_ms=9_000, available_ms=10_000)
    assert busy.listen_s(10) == pytest.approx(0.025)
    assert Load(needed_ms=11_000, available_ms=10_000).listen_s(10) == 0
