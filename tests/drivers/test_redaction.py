"""Whatever was recorded, of whichever protocol, cut and damaged as it may be: no number of a meter
is left in what is redacted.
"""

import importlib.util
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.profile import protocols
from drivers.recording import Passed, Recording, Told, write
from drivers.simulated.sml import Entry
from drivers.simulated.sml import telegram as sml_telegram
from tests.draws import draws
from tests.drivers.modbus.peer import mbap, rtu
from tests.drivers.shipped import shipped_profile

Line = list[tuple[str, bytes]]
"""What passed: `sent` or `came`, and the bytes."""

KEPT = 5
"""So many letters of a number, or bytes of an id, may be left where a recording is damaged."""


@dataclass(frozen=True)
class Conversation:
    """Of a meter whose numbers are these, as they are printed; `secret` as they travel."""

    profile: str
    line: Line
    numbers: tuple[str, ...]
    secret: tuple[bytes, ...]
    framing: str = "rtu"
    told: str = ""


def p1() -> Conversation:
    number, gas, message = "E0031007000098761", "4730303339303031", "Ring 0800-7654321"
    coded = number.encode().hex().upper()
    body = (
        f"/KMP5 KA6U001660297912\r\n\r\n0-0:96.1.1({coded})\r\n1-0:1.8.1(001234.567*kWh)\r\n"
        f"0-0:96.13.0({message})\r\n0-1:96.1.0({gas})({gas})\r\n0-0:C.1.0(87654329)\r\n!"
    ).encode()
    numbers = (number, gas, "001660297912", "87654329", "7654321")
    secret = (coded.encode(), gas.encode(), message.encode(), b"001660297912", b"87654329")
    return Conversation(
        "dsmr/dsmr5", [("came", body + b"1F2E\r\n")] * 3, numbers, secret, told=number
    )


def iec62056() -> Conversation:
    number, owner = "1EBZ0100987654", "00680476912"
    push = (
        f"/EBZ5DD32R06ETA_107\r\n\r\n1-0:0.0.0*255({number})\r\n0-0:96.1.255*255({owner})\r\n"
        f"1-0:1.8.0*255(001234.56700000*kWh)\r\nC.90.1({owner})\r\n!\r\n"
    ).encode()
    line = [("sent", f"/?{owner}!\r\n".encode()), *[("came", push)] * 3]
    secret = (number.encode(), owner.encode())
    return Conversation("iec62056/mode_d", line, (number, owner), secret, told=number)


def sml() -> Conversation:
    server = bytes.fromhex("0a01454d480000") + (12_345_678).to_bytes(3, "big")
    key = bytes(range(0x41, 0x71))
    entries = [
        Entry(code="1-0:96.1.0*255", raw=server),
        Entry(code="1-0:1.8.0*255", raw=1234, unit=30, scaler=-1),
        Entry(code="129-129:199.130.5*255", raw=key),
    ]
    return Conversation(
        "sml/auto",
        [("came", sml_telegram(server, entries))] * 3,
        ("1EMH0012345678",),
        (server[5:], key),
        told="1EMH0012345678",
    )


def modbus(framing: str = "rtu") -> Conversation:
    number = 9_876_543_21
    raw = struct.pack(">I", number)
    value = struct.pack(">ff", 1234.5, 2.0)
    exchanges = [(0xFC00, 2, 3, raw), (0x48, 4, 4, value), (0xFC00, 2, 3, raw)] * 2
    line: Line = []
    for n, (address, count, function, data) in enumerate(exchanges, 1):
        asked = struct.pack(">HH", address, count)
        if framing == "tcp":
            line += [("sent", mbap(n, 1, function, data=asked))]
            line += [("came", mbap(n, 1, function, len(data), data=data))]
        else:
            line += [("sent", rtu(1, function, data=asked))]
            line += [("came", rtu(1, function, len(data), data=data))]
    return Conversation("eastron/sdm120", line, (str(number),), (raw,), framing, str(number))


def modbus_tcp() -> Conversation:
    return modbus("tcp")


def sunspec() -> Conversation:
    numbers = b"7E1A2B3C4D", b"METER98765"
    bodies = [
        b"Maker".ljust(80, b"\0") + b"1.2".ljust(16, b"\0") + number.ljust(32, b"\0")
        for number in numbers
    ]
    line: Line = []
    for n, body in enumerate(bodies * 2):
        asked = struct.pack(">HH", 40004 + 100 * (n % 2), 64)
        line += [("sent", rtu(1, 3, data=asked)), ("came", rtu(1, 3, 128, data=body))]
    # The meter behind it is told by nobody.
    shown = tuple(number.decode() for number in numbers)
    return Conversation("sunspec/auto", line, shown, numbers, told=shown[0])


CONVERSATIONS: Mapping[str, Callable[[], Conversation]] = {
    "p1": p1,
    "iec62056": iec62056,
    "sml": sml,
    "modbus": modbus,
    "modbus over TCP": modbus_tcp,
    "sunspec": sunspec,
}


def recording(talk: Conversation, line: Line, *, told: bool) -> Recording:
    passed = tuple(
        Passed(n / 10, "sent" if way == "sent" else "came", data)
        for n, (way, data) in enumerate(line)
        if data
    )
    return Recording(
        profile=talk.profile,
        address=1,
        framing="tcp" if talk.framing == "tcp" else "rtu",
        serial=None,
        passed=passed,
        told=(Told(9.0, 8.0, {"power_w": 1.0}, talk.told),) if told else (),
    )


def redacted(before: Recording) -> Recording:
    profile = shipped_profile(before.profile)
    module = importlib.import_module(f"drivers.{profile.protocol}.redact")
    after: Recording = module.redact(before, profile.settings)
    assert after.redacted
    assert [len(each.data) for each in after.passed] == [len(each.data) for each in before.passed]
    return after


def left_of(talk: Conversation, after: Recording, parts: int = 0) -> list[str]:
    """What is left of its numbers; `parts`: how long a part of one counts."""
    text = write(after)
    came = b"".join(each.data for each in after.passed)
    found = [number for number in talk.numbers if number in text]
    for secret in talk.secret:
        size = parts or len(secret)
        pieces = [secret[at : at + size] for at in range(len(secret) - size + 1)]
        found += [str(piece) for piece in pieces if piece in came and len(set(piece)) > 2]
    return found


def test_every_protocol_that_can_be_redacted_is_tried_here() -> None:
    can = {
        protocol
        for protocol in protocols()
        if importlib.util.find_spec(f"drivers.{protocol}.redact") is not None
    }
    tried = {shipped_profile(make().profile).protocol for make in CONVERSATIONS.values()}
    assert can <= tried


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_no_number_is_left(name: str, told: bool) -> None:
    talk = CONVERSATIONS[name]()
    before = recording(talk, talk.line, told=told)
    assert left_of(talk, before)
    assert left_of(talk, redacted(before)) == []


@pytest.mark.parametrize("name", CONVERSATIONS)
@draws(25)
@given(data=st.data())
def test_no_number_is_left_where_it_is_cut_in_pieces(name: str, data: st.DataObject) -> None:
    """Also at both ends, where only a part of a number may have come."""
    talk = CONVERSATIONS[name]()
    line: Line = []
    for way, content in talk.line:
        size = data.draw(st.integers(1, len(content))) if way == "came" else len(content)
        line += [(way, content[at : at + size]) for at in range(0, len(content), size)]
    came = [n for n, (way, _) in enumerate(line) if way == "came"]
    for end in (came[0], came[-1]):
        way, content = line[end]
        cut = data.draw(st.integers(0, len(content)))
        line[end] = (way, content[cut:] if end == came[0] else content[:cut])

    after = redacted(recording(talk, line, told=data.draw(st.booleans())))
    assert left_of(talk, after, KEPT + 3) == []


@pytest.mark.parametrize("name", CONVERSATIONS)
@draws(25)
@given(data=st.data())
def test_no_number_is_left_where_a_byte_is_damaged(name: str, data: st.DataObject) -> None:
    talk = CONVERSATIONS[name]()
    line = list(talk.line)
    n = data.draw(st.sampled_from([n for n, (way, _) in enumerate(line) if way == "came"]))
    content = bytearray(line[n][1])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 6))
    line[n] = ("came", bytes(content))
    after = redacted(recording(talk, line, told=data.draw(st.booleans())))
    assert left_of(talk, after, KEPT + 3) == []
