"""IEC 62056-21 recordings without the meter's numbers: what is left gives the same values, under
right checks.
"""

import pytest

from drivers.iec62056.redact import redact
from drivers.iec62056.settings import Settings
from drivers.iec62056.telegram import Framer, block_check, find_block, seven_bits
from drivers.iec62056.values import read_values
from drivers.recording import Passed, Recording, Told, write
from drivers.text_telegram import Telegram, fault
from tests.drivers.p1.telegrams.written import crc16_arc, sealed

SETTINGS = Settings(mode="d", values=["energy_import_wh"])
NUMBER = "1EBZ0100000001"
TEXT = (
    b"/EBZ5DD32R06ETA_107\r\n\r\n1-0:0.0.0*255(1EBZ0100000001)\r\n1-0:96.1.0*255(1EBZ0100000001)\r\n"
    b"1-0:1.8.0*255(001234.56700000*kWh)\r\n"
    b"1-0:16.7.0*255(-00318.42*W)\r\n0-0:96.1.255*255(0000680476)\r\n0-0:96.13.0*255(call "
    b"us)\r\n!\r\n"
)
BLOCK = (
    b"C.1.0(87654321)\r\n0.0(00680476)\r\n1.8.0(0001234.567*kWh)\r\n"
    b"2.8.0(0000000.001*kWh)\r\n!\r\n\x03"
)


def with_parity(data: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)


def recording(stream: bytes, number: str) -> Recording:
    passed = (
        Passed(0.0, "sent", b"/?!\r\n"),
        *(Passed(at / 10, "came", stream[at : at + 30]) for at in range(0, len(stream), 30)),
    )
    told = (
        Told(9.0, 0.0, {"energy_import_wh": 1234567.0}, number),
        Told(10.0, 1.0, {}, None, "an error"),
    )
    return Recording(
        profile="iec62056/mode_d", address=1, framing="rtu", serial=None, passed=passed, told=told
    )


def bytes_of(shown: Recording) -> bytes:
    return b"".join(each.data for each in shown.passed if each.way == "came")


@pytest.mark.parametrize("carried", [bytes, with_parity])
def test_a_right_checksum_of_a_pushed_telegram_is_right_afterwards(carried):
    text = TEXT[: TEXT.rindex(b"!") + 1]
    damaged = text + b"%04X\r\n" % (crc16_arc(text) ^ 1)
    after = redact(recording(carried(sealed(text) + damaged), NUMBER), SETTINGS)
    first, second = Framer().feed(bytes_of(after))
    assert isinstance(first, Telegram)
    assert isinstance(second, Telegram)
    assert fault(first, "required") is None
    assert fault(second, "required") is not None
    assert NUMBER not in write(after)


@pytest.mark.parametrize("carried", [bytes, with_parity])
def test_a_pushed_telegram_keeps_its_values_and_its_parity(carried):
    after = redact(recording(carried(TEXT), NUMBER), SETTINGS)
    [telegram] = Framer().feed(bytes_of(after))
    assert isinstance(telegram, Telegram)
    was, now = read_values(TEXT), read_values(telegram.raw)
    assert (now.quantities, now.serial_number) == (was.quantities, "0" * 14)
    assert [each.serial_number for each in after.told] == ["0" * 14, None]
    for private in (NUMBER, "0000680476", "680476", "call us"):
        assert private not in write(after)
        assert private.encode() not in seven_bits(bytes_of(after))[0]


@pytest.mark.parametrize("carried", [bytes, with_parity])
def test_a_readout_keeps_its_values_and_its_block_check(carried):
    stream = b"/EMH5 MT174\r\n\x02" + BLOCK + bytes((block_check(BLOCK),))
    after = bytes_of(redact(recording(carried(stream), "87654321"), SETTINGS))
    block = find_block(after)
    assert block is not None
    assert read_values(block).quantities == {"energy_import_wh": 1234567.0, "energy_export_wh": 1.0}
    assert read_values(block).serial_number == "00000000"
    assert b"680476" not in seven_bits(after)[0]


def test_a_wrong_block_check_stays_wrong():
    stream = b"/EMH5 MT174\r\n\x02" + BLOCK + bytes((block_check(BLOCK) ^ 1,))
    with pytest.raises(ValueError, match="wrong block check"):
        find_block(bytes_of(redact(recording(stream, "87654321"), SETTINGS)))


def test_the_number_that_a_meter_is_called_by_is_taken_out() -> None:
    passed = (Passed(0.0, "sent", b"/?00 123A!\r\n"), Passed(0.5, "came", b"/?00 123A!\r\n"))
    before = recording(TEXT, NUMBER)
    shown = redact(
        Recording(
            profile="iec62056/mode_c",
            address=1,
            framing="rtu",
            serial=None,
            passed=passed,
            told=before.told,
        ),
        SETTINGS,
    )
    assert [each.data for each in shown.passed] == [b"/?00 0000!\r\n"] * 2
