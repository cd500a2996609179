"""Another protocol than the profile's is named on every profile that listens, with what reads it,
on a serial port and on a network alike.
"""

import asyncio
import random
import re
from collections.abc import Iterator

import pytest

from drivers.foreign import HEARD_BYTES, foreign
from drivers.line import BadReply, SerialSettings
from drivers.profile import DeviceAddress, load_profile
from drivers.simulated.sml import Entry, telegram
from tests.drivers.p1.telegrams.written import written
from tests.drivers.scripted import ScriptedLine, in_virtual_time

WRITTEN = {each.name: each for each in written()}


def x25(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def hdlc(content: bytes, destination: str = "ce ff", source: str = "03") -> bytes:
    """A frame of IEC 62056-46 with both its check sequences."""
    addresses = bytes.fromhex(destination) + bytes.fromhex(source)
    length = 2 + len(addresses) + 1 + 2 + len(content) + 2
    head = bytes((0xA0 | length >> 8, length & 0xFF)) + addresses + b"\x13"
    frame = head + x25(head) + content
    return b"\x7e" + frame + x25(frame) + b"\x7e"


def mbus(content: bytes) -> bytes:
    """A long frame of EN 13757-2."""
    body = b"\x53\xff\x00\x01\x67" + content
    size = bytes((len(body),))
    return b"\x68" + size * 2 + b"\x68" + body + bytes((sum(body) & 0xFF,)) + b"\x16"


def tic(*groups: tuple[str, str], gap: str = " ") -> bytes:
    lines = b""
    for label, value in groups:
        text = (label + gap + value + (gap if gap == "\t" else "")).encode()
        check = (sum(text) & 0x3F) + 0x20
        lines += b"\n" + text + (b"" if gap == "\t" else b" ") + bytes((check,)) + b"\r"
    return b"\x02" + lines + b"\x03"


PUSHED = bytes.fromhex("e6e7000f40000000090c07e30c10010013320aff80000002010600000e64")
SEALED = bytes.fromhex("db084b414d000000005e3000000001") + random.Random(1).randbytes(80)
HISTORIC = tic(("ADCO", "000000000000"), ("OPTARIF", "BASE"), ("BASE", "001234567"))
STANDARD = tic(("ADSC", "000000000000"), ("EAST", "001234567"), ("SINSTS", "00300"), gap="\t")
SML = telegram(
    bytes.fromhex("0a01454d480000010203"),
    [Entry(code="1-0:1.8.0*255", raw=12345, unit=30, scaler=-1)],
)
D0 = (
    b"/ESY5Q3DA1024 V3.04\r\n\r\n1-0:0.0.0*255(0273011003684)\r\n"
    b"1-0:1.8.0*255(00001234.5678901*kWh)\r\n1-0:61.7.255*255(000000.09*W)\r\n"
    b"1-0:96.5.5*255(82)\r\n!\r\n"
)
PUSHED_TEXT = D0.replace(b"1-0:61.7", b"1-0:2.8.0*255(00000000.0000000*kWh)\r\n1-0:61.7")
SEVEN_BITS = SerialSettings(baud=1200, parity="even", data_bits=7)


def with_parity(data: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)


def inverted(text: bytes, data_bits: int) -> bytes:
    """What a receiver makes of text in seven bits with even parity whose signal is inverted. It
    takes a stop bit that is low for the next start bit, as the usual ones do.
    """
    signal = []
    for byte in text:
        bits = [byte >> n & 1 for n in range(7)]
        signal += [1, *(1 - bit for bit in (*bits, sum(bits) % 2)), 0]
    came, at = bytearray(), 1
    while at + 9 < len(signal):
        if signal[at - 1 : at + 1] != [1, 0]:
            at += 1
            continue
        while at + 9 < len(signal):
            bits = signal[at + 1 : at + 1 + data_bits]
            came.append(sum(bit << n for n, bit in enumerate(bits)))
            at += 9
            if signal[at] or not any(signal[at - 9 : at]):
                break
    return bytes(came)


STRANGERS = {
    "hdlc": (hdlc(PUSHED), "HDLC frames.*no profile reads"),
    "hdlc, long": (hdlc(PUSHED + bytes(300)), "HDLC frames.*no profile reads"),
    "hdlc, sealed": (hdlc(b"\xe6\xe7\x00" + SEALED), "HDLC frames.*with a key or without"),
    "mbus": (mbus(b"\x0f\x00" + PUSHED), "M-Bus.*no profile reads"),
    "mbus, sealed": (mbus(SEALED), "M-Bus.*with a key or without"),
    "tic": (HISTORIC, "TIC.*Linky.*no profile reads"),
    "tic, parity": (with_parity(HISTORIC), "TIC.*Linky.*no profile reads"),
    "tic, standard": (STANDARD, "TIC.*Linky.*no profile reads"),
    "sml": (SML, "SML.*sml/auto"),
    "d0": (D0, "iec62056/mode_d"),
    "p1": (WRITTEN["nordic"].data, "P1.*p1/auto"),
    "inverted": (bytes(~byte & 0xFF for byte in WRITTEN["nordic"].data), "inverted"),
    "inverted in the receiver": (
        bytes((~byte & 0x7F) << 1 | 1 for byte in WRITTEN["nordic"].data),
        "inverted",
    ),
    "inverted, 7E1": (inverted(WRITTEN["dsmr2.2"].data, 7), "inverted"),
    "inverted, 7E1 read as 8N1": (inverted(WRITTEN["dsmr2.2"].data, 8), "inverted"),
    "inverted, 7E1, seven bits": (
        bytes(~byte & 0x7F for byte in WRITTEN["dsmr2.2"].data),
        "inverted",
    ),
    "inverted, optical port": (inverted(PUSHED_TEXT, 7), "inverted"),
}
LISTENING = ["p1/auto", "dsmr/dsmr5", "p1/austria", "sml/auto", "iec62056/mode_d"]
OWN = {"sml": "sml/", "d0": "iec62056/", "p1": ("p1/", "dsmr/", "iec62056/")}


def pairs() -> Iterator[tuple[str, str]]:
    for name in STRANGERS:
        for profile in LISTENING:
            if not profile.startswith(OWN.get(name, ())):
                yield name, profile


class Port(ScriptedLine):
    settings = SerialSettings(baud=115200)


def complaint(line: ScriptedLine, profile: str) -> str:
    words = []

    async def scenario() -> None:
        device = DeviceAddress(name="grid")
        with pytest.raises(BadReply) as caught:
            await load_profile(profile).open_driver(device, line).read(1000.0)
        words.append(str(caught.value))

    in_virtual_time(scenario)
    return words[0]


@pytest.mark.parametrize(("name", "profile"), list(pairs()))
@pytest.mark.parametrize("kind", [Port, ScriptedLine])
def test_another_protocol_is_named_with_what_reads_it(
    name: str, profile: str, kind: type[ScriptedLine]
) -> None:
    data, words = STRANGERS[name]
    line = kind(10 / 9600)
    for n in range(30):
        line.sends(1000.5 + 3 * n, data)
    said = complaint(line, profile)
    assert re.search(words, said), said
    assert "encryption_key" not in said
    assert "there is no key" not in said


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("at", [0, 1, 7, 50])
def test_a_protocol_is_known_wherever_one_began_to_listen(name: str, at: int) -> None:
    data, words = STRANGERS[name]
    found = foreign((data[at:] + data + data)[-HEARD_BYTES:])
    assert found is not None
    if "p1" not in name:
        assert re.search(words, found.text)


def test_noise_is_no_protocol() -> None:
    noise = random.Random(6)
    assert all(foreign(noise.randbytes(HEARD_BYTES)) is None for _ in range(200))
    assert foreign(b"") is None
    assert foreign(b"\x7e\xa0") is None
    assert foreign(b"\x68\x05\x05\x68") is None


def test_a_proper_meter_is_never_taken_for_another() -> None:
    for each in WRITTEN.values():
        assert foreign(each.data, frozenset({"p1"})) is None
    assert foreign(SML, frozenset({"sml"})) is None
    assert foreign(D0, frozenset({"d0"})) is None


def test_the_same_piece_of_a_telegram_again_and_again_is_not_taken_for_another_protocol() -> None:
    piece = b"/XMX5LGBBFFB231314239\r\n\r\n1-0:1.8.1(000001.000*kWh)\r\n"
    assert foreign(piece * 100, frozenset({"p1"})) is None
    assert foreign(piece * 100, frozenset({"sml"})) is not None


@pytest.mark.parametrize("name", sorted(WRITTEN))
@pytest.mark.parametrize("profile", ["p1/auto", "own"])
def test_the_rest_of_a_telegram_is_not_taken_for_another_protocol(name: str, profile: str) -> None:
    async def scenario() -> None:
        each = WRITTEN[name]
        for cut in range(5, len(each.data), 97):
            line = Port(10 / 9600)
            now_s = asyncio.get_running_loop().time()
            line.sends(now_s + 0.1, each.data[cut:] + each.data + each.data)
            device = DeviceAddress(name="grid")
            driver = load_profile(each.profile if profile == "own" else profile)
            reading = await driver.open_driver(device, line).read(now_s)
            assert each.values.items() <= reading.values.items()

    in_virtual_time(scenario)
