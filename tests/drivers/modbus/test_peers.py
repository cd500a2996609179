"""Devices on the network that close connections, that are deaf at first, that say another number or
length than they should, or that speak in other frames: a right answer, or what is wrong in plain
words.
"""

import asyncio
import re

import pytest

from drivers.line import BadReply, Line, LineClosed, LineError, LineUrl, NoReply
from drivers.modbus import bus
from drivers.modbus.asking import ask
from drivers.modbus.bus import request
from tests.drivers.modbus.frames import mbap, rtu
from tests.drivers.modbus.peer import GOOD, Peer, line_to, scheme_of
from tests.drivers.papers import Papers, papers_in

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("peers")

FRAMINGS = pytest.mark.parametrize("framing", ["tcp", "rtu"])


async def once(line: Line, unit: int = 2, timeout_s: float = 5.0) -> bytes:
    """Four registers from 72 on."""
    return await ask(line, unit, 4, 72, 4, timeout_s)


@pytest.fixture
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's second is a quarter here."""
    monkeypatch.setattr(bus, "SETTLE_S", 0.25)


# --- connections that end -------------------------------------------------------------------------


@FRAMINGS
async def test_a_peer_that_closes_after_each_answer_is_read_on(framing: str) -> None:
    peer = Peer(framing, closes_after_answer=True)
    async with line_to(peer) as line:
        for _ in range(4):
            assert await once(line) == GOOD
            await asyncio.sleep(0.02)
    assert peer.connections == peer.answered == 4


@FRAMINGS
async def test_a_peer_that_closes_when_idle_is_read_on(framing: str) -> None:
    peer = Peer(framing, closes_when_idle_s=0.05)
    async with line_to(peer) as line:
        for _ in range(3):
            assert await once(line) == GOOD
            await asyncio.sleep(0.1)
    assert peer.answered == 3


@FRAMINGS
async def test_a_peer_that_closes_before_anything_was_asked_is_asked_on_a_new_connection(
    framing: str,
) -> None:
    peer = Peer(framing, closes_when_idle_s=0.05)
    async with line_to(peer) as line:
        await asyncio.sleep(0.1)
        assert await once(line) == GOOD
        assert line.turns.settle_s == 0


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize("drops", [True, False])
@FRAMINGS
async def test_a_peer_that_is_deaf_after_connecting_is_found_out_about(
    framing: str, drops: bool
) -> None:
    peer = Peer(framing, deaf_s=0.2, drops_early=drops)
    async with line_to(peer) as line:
        for _ in range(2):
            assert await once(line, timeout_s=0.1) == GOOD
            line.renew()
    assert peer.connections == 3, "one too early, and each later one is given its time"


@FRAMINGS
async def test_a_line_may_say_how_long_a_connection_is_left_alone(framing: str) -> None:
    peer = Peer(framing, deaf_s=0.2, drops_early=True)
    async with line_to(peer, query="?settle=300ms") as line:
        for _ in range(2):
            assert await request(line, 2, 4, 72, 4, 5.0) == GOOD
            line.renew()
    assert peer.connections == 2


@pytest.mark.usefixtures("little_time")
@FRAMINGS
async def test_a_peer_that_takes_no_question_is_told_with_what_may_help(framing: str) -> None:
    peer = Peer(framing, deaf_s=60, drops_early=True)
    async with line_to(peer) as line:
        with pytest.raises(
            LineClosed, match=r"closed the connection.*another.*\?connect=cycle.*\?settle=1s"
        ):
            await once(line)
    assert peer.connections == 3, "the last one for a question in the other frames"


@pytest.mark.usefixtures("little_time")
@FRAMINGS
async def test_a_silent_peer_is_tried_in_other_ways_once_while_the_line_is_open(
    framing: str,
) -> None:
    peer = Peer(framing, deaf_s=60)
    async with line_to(peer) as line:
        for _ in range(2):
            with pytest.raises(NoReply, match=r"address 2: no answer within 0\.05 s"):
                await once(line, timeout_s=0.05)
        asked = line.turns.requests
    assert asked == 3


def test_settle_is_a_length_of_time() -> None:
    url = LineUrl.parse("tcp:10.0.0.1:502?connect=cycle&settle=1s")
    assert (url.settle_s, url.connect) == (1.0, "cycle")
    assert LineUrl.parse(str(url)) == url
    for wrong in ("1", "0s", "31s", "-1s", "fast"):
        with pytest.raises(ValueError, match=r"settle cannot be .* such as settle=1s"):
            LineUrl.parse(f"rtu+tcp:10.0.0.1:502?settle={wrong}")


# --- the same inside TLS and over UDP -------------------------------------------------------------


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers_in(tmp_path_factory.mktemp("papers"))


@pytest.mark.parametrize("ends", ["after_answer", "when_idle"])
async def test_a_peer_that_closes_a_connection_inside_tls_is_read_on(
    papers: Papers, ends: str
) -> None:
    peer = Peer(closes_after_answer=ends == "after_answer")
    peer.closes_when_idle_s = 0.1 if ends == "when_idle" else None
    async with line_to(peer, papers=papers) as line:
        for _ in range(3):
            assert await once(line) == GOOD
            await asyncio.sleep(0.15 if ends == "when_idle" else 0.02)
    assert peer.answered == 3


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize("drops", [True, False])
async def test_a_peer_that_is_deaf_after_tls_is_found_out_about(
    papers: Papers, drops: bool
) -> None:
    peer = Peer(deaf_s=0.2, drops_early=drops)
    async with line_to(peer, papers=papers) as line:
        for _ in range(2):
            assert await once(line, timeout_s=0.1) == GOOD
            line.renew()
    assert peer.connections == 3


async def test_a_line_of_tls_may_say_how_a_connection_is_used(papers: Papers) -> None:
    peer = Peer(deaf_s=0.2, drops_early=True)
    async with line_to(peer, query="?connect=cycle&settle=300ms", papers=papers) as line:
        for _ in range(2):
            assert await request(line, 2, 4, 72, 4, 5.0) == GOOD
            line.rest()
    assert peer.connections == peer.answered == 2


@pytest.mark.usefixtures("little_time")
async def test_frames_of_a_serial_line_inside_tls_are_told(papers: Papers) -> None:
    async with line_to(Peer("rtu"), "tls", papers=papers) as line:
        with pytest.raises(LineError, match="set it to Modbus TCP"):
            await once(line, timeout_s=0.1)


async def test_a_datagram_that_is_lost_costs_one_reading_only() -> None:
    peer = Peer("rtu")
    async with line_to(peer, "rtu+udp") as line:
        assert await once(line) == GOOD
        peer.mend = lambda _: b""
        with pytest.raises(NoReply, match=r"address 2: no answer within 0\.05 s"):
            await once(line, timeout_s=0.05)
        peer.mend = lambda reply: reply
        assert await once(line) == GOOD


# --- numbers and lengths --------------------------------------------------------------------------


async def test_an_answer_to_another_transaction_says_so() -> None:
    def next_number(reply: bytes) -> bytes:
        return (int.from_bytes(reply[:2], "big") + 1).to_bytes(2, "big") + reply[2:]

    async with line_to(Peer(mend=next_number)) as line:
        with pytest.raises(NoReply, match=r"address 2: .*transaction 2 answers 1 — .*timeout"):
            await once(line, timeout_s=0.1)


@pytest.mark.parametrize("said", [0, 6, 10, 600])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_header_that_says_another_length_is_told_and_the_line_goes_on(
    said: int, pieces: int
) -> None:
    lies = [True]

    def lie(reply: bytes) -> bytes:
        return reply[:4] + said.to_bytes(2, "big") + reply[6:] if lies.pop() else reply

    peer = Peer(mend=lie)
    if pieces > 1:
        peer.mend = lambda reply: lie(reply)[:-3]
    async with line_to(peer) as line:
        if pieces == 1:
            with pytest.raises(BadReply, match=f"the header says {said} bytes, 11 came"):
                await once(line)
        else:
            with pytest.raises(NoReply, match=f"the header says {said} bytes, 8 came"):
                await request(line, 2, 4, 72, 4, 0.1)
            line.renew()
        peer.mend = lambda reply: reply
        assert await once(line) == GOOD


@pytest.mark.parametrize("unit", [0, 255])
async def test_the_device_itself_may_answer_with_any_unit(unit: int) -> None:
    def as_one(reply: bytes) -> bytes:
        return reply[:6] + b"\1" + reply[7:]

    for mend in (as_one, lambda reply: reply):
        async with line_to(Peer(mend=mend)) as line:
            assert await once(line, unit) == GOOD


# --- the other frames -----------------------------------------------------------------------------


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize(
    ("speaks", "scheme", "hint"),
    [("rtu", "tcp", "write the line as rtu+tcp:"), ("tcp", "rtu+tcp", "write the line as tcp:")],
)
async def test_a_peer_that_speaks_in_the_other_frames_is_told(
    speaks: str, scheme: str, hint: str
) -> None:
    async with line_to(Peer(speaks), scheme) as line:
        with pytest.raises(LineError, match=re.escape(hint)):
            await once(line, timeout_s=0.1)


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize(("speaks", "scheme"), [("rtu", "tcp"), ("tcp", "rtu+tcp")])
async def test_a_peer_that_hangs_up_at_the_other_frames_is_told(speaks: str, scheme: str) -> None:
    async with line_to(Peer(speaks, at_nonsense="hangs up"), scheme) as line:
        with pytest.raises(LineError, match=rf"write the line as {re.escape(scheme_of(speaks))}:"):
            await once(line, timeout_s=0.1)


async def test_an_echo_on_tcp_is_no_answer() -> None:
    peer = Peer()
    async with line_to(peer) as line:
        peer.before = lambda request: request
        assert await once(line) == GOOD
        peer.mend = lambda _: b""
        with pytest.raises(NoReply, match="only the echo of the question came back"):
            await once(line, timeout_s=0.1)


@pytest.mark.usefixtures("little_time")
@FRAMINGS
async def test_an_echo_alone_speaks_in_no_other_frames(framing: str) -> None:
    peer = Peer(framing, mend=lambda _: b"", before=lambda request: request, at_nonsense="echoes")
    async with line_to(peer) as line:
        with pytest.raises(NoReply, match="only the echo of the question came back"):
            await once(line, timeout_s=0.05)


async def test_frames_of_a_serial_line_on_tcp_are_told_however_short() -> None:
    async with line_to(Peer(mend=lambda _: rtu(2, 0x84, 2))) as line:
        with pytest.raises(LineError, match=r"write the line as rtu\+tcp:"):
            await request(line, 2, 4, 72, 4, 0.1)


async def test_frames_of_modbus_tcp_on_a_serial_line_are_told() -> None:
    # Some servers take the beginning of our question for their header, and repeat it.
    for reply in (mbap(0x0204, 2, 0x84, 1), bytes((2, 4, 0, 72, 0, 3, 2, 0x84, 1))):
        async with line_to(Peer("rtu", mend=lambda _, reply=reply: reply)) as line:
            with pytest.raises(BadReply, match="write the line as tcp:"):
                await request(line, 2, 4, 72, 4, 0.1)
