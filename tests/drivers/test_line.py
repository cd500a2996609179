"""Lines: what their URLs mean, and how an open one reads, drains, and says that it is gone."""

import asyncio
import contextlib
import os
import re
import termios
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.line import Line, LineError, LineUrl, SerialSettings, open_line, why_not_allowed
from drivers.simulated.wire import Wire, paced_line
from tests.drivers.arrivals import arrived, heard
from tests.serving import hang_up, serving

DEFAULTS = SerialSettings(baud=9600, parity="even")


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with paced_line(0.0) as wire:
        yield wire


@pytest.fixture
async def line(wire: Wire) -> AsyncIterator[Line]:
    line = await open_line(LineUrl.parse(f"serial:{wire.gateway_end}?baud=115200"), DEFAULTS)
    yield line
    line.close()


@pytest.fixture
def meter_fd(wire: Wire) -> Iterator[int]:
    fd = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("text", "url", "key"),
    [
        ("serial:/dev/ttyUSB0", LineUrl("serial", "/dev/ttyUSB0"), "/dev/ttyUSB0"),
        (
            "serial:/dev/ttyUSB0?baud=19200&parity=E",
            LineUrl("serial", "/dev/ttyUSB0", None, 19200, "even"),
            "/dev/ttyUSB0",
        ),
        (
            "serial:/dev/./ttyS1?data_bits=7&stop_bits=2",
            LineUrl("serial", "/dev/ttyS1", data_bits=7, stop_bits=2),
            "/dev/ttyS1",
        ),
        ("tcp:meter.lan", LineUrl("tcp", "meter.lan", 502), "meter.lan:502"),
        ("tcp:Meter.lan:1502", LineUrl("tcp", "Meter.lan", 1502), "meter.lan:1502"),
        ("rtu+tcp:192.168.1.9:4196", LineUrl("rtu+tcp", "192.168.1.9", 4196), "192.168.1.9:4196"),
        ("tcp:[fd00::20]:503", LineUrl("tcp", "fd00::20", 503), "fd00::20:503"),
        ("tcp:[fd00::20]", LineUrl("tcp", "fd00::20", 502), "fd00::20:502"),
        (
            "tcp:meter.lan:502?connect=cycle",
            LineUrl("tcp", "meter.lan", 502, connect="cycle"),
            "meter.lan:502",
        ),
        ("rtu+udp:192.168.1.9:4196", LineUrl("rtu+udp", "192.168.1.9", 4196), "192.168.1.9:4196"),
        ("tls:meter.lan", LineUrl("tls", "meter.lan", 802), "meter.lan:802"),
        (
            "tls:meter.lan:8802?ca=/etc/ca.pem",
            LineUrl("tls", "meter.lan", 8802, ca_file="/etc/ca.pem"),
            "meter.lan:8802",
        ),
        ("usb:0403:6001?baud=2400", LineUrl("usb", "0403:6001", None, 2400), "0403:6001"),
        ("usb:1A86:55d4:A50285BI", LineUrl("usb", "1a86:55d4:A50285BI"), "1a86:55d4:A50285BI"),
        (
            "serial:/dev/serial/by-path/platform-fd500000.pcie-usb-0:1.3:1.0-port0?baud=9600",
            LineUrl(
                "serial",
                "/dev/serial/by-path/platform-fd500000.pcie-usb-0:1.3:1.0-port0",
                None,
                9600,
            ),
            "/dev/serial/by-path/platform-fd500000.pcie-usb-0:1.3:1.0-port0",
        ),
        (
            "replay:/tmp/grid.jsonl?pace=fast",
            LineUrl("replay", "/tmp/grid.jsonl", pace="fast"),
            "/tmp/grid.jsonl",
        ),
    ],
)
def test_a_url_says_scheme_target_and_settings_and_can_be_written_back(
    text: str, url: LineUrl, key: str
) -> None:
    assert LineUrl.parse(text) == url
    assert url.key == key
    assert LineUrl.parse(str(url)) == url
    assert re.match(str(LineUrl.json_schema["pattern"]), str(url))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "expected a line, found None — such as serial:/dev/ttyUSB0?baud=9600"),
        (502, "expected a line, found 502"),
        ("/dev/ttyUSB0", "write serial:/dev/ttyUSB0"),
        ("ttyUSB0", "does not begin with serial:, tcp: or rtu+tcp:"),
        ("192.168.1.5:502", "write tcp:192.168.1.5:502 (Modbus TCP) or rtu+tcp:192.168.1.5:502"),
        ("serail:/dev/ttyUSB0", "did you mean 'serial'?"),
        ("serial:ttyUSB0", "write serial:/dev/ttyUSB0"),
        ("serial:///dev/ttyUSB0", "write serial:/dev/ttyUSB0"),
        ("serial:/", "'/' is not the full path of a serial port — write serial:/dev/ttyUSB0"),
        ("serial:/dev/..", "'/dev/..' is not the full path of a serial port"),
        ("serial:/ /", "'/ /' ends with a blank"),
        ("replay:o/\x1c?pace=fast", "ends with a blank — leave it out"),
        ("serial:/.", "'/.' is not the full path of a serial port — write serial:/dev/ttyUSB0"),
        (
            "serial:/dev/ttyUSB0?bauds=9600",
            "'bauds' is not a setting of a serial line — did you mean 'baud'?",
        ),
        (
            "serial:/dev/ttyUSB0?baud=960",
            "baud of a serial line cannot be '960' — did you mean '9600'?",
        ),
        ("serial:/dev/ttyUSB0?baud", "baud of a serial line cannot be '' — known:"),
        ("serial:/dev/ttyUSB0?parity=evn", "did you mean 'even'?"),
        (
            "serial:/dev/ttyUSB0?stop_bits=3",
            "stop_bits of a serial line cannot be '3' — known: 1, 2",
        ),
        ("serial:/dev/ttyUSB0?baud=9600&baud=9600", "baud appears twice"),
        ("tcp://meter:502", "write tcp:meter:502"),
        ("tcp:", "'' is not the name or address of a host"),
        ("tcp:meter:modbus", "'modbus' is not a port — a number from 1 to 65535"),
        ("tcp:meter:65536", "'65536' is not a port"),
        ("tcp:fd00::20:502", "IPv6 addresses go in brackets"),
        ("tcp:[meter]:502", "'meter' is not an IPv6 address"),
        ("tcp:meter:502?baud=9600", "baud is set at the adapter"),
        ("rtu+tcp:meter", "needs the adapter's port — such as rtu+tcp:meter:4196"),
        ("rtu+udp:meter", "needs the adapter's port — such as rtu+udp:meter:4196"),
        (
            "rtu+udp:meter:4196?connect=cycle",
            "'connect' is not a setting of a line rtu+udp: — it has none",
        ),
        ("tcp:meter:502?connect=once", "connect=cycle connects for each round of questions only"),
        (
            "tls:meter?ca=ca.pem",
            "ca is not the full path of a file — such as ca=/etc/meter-gateway/ca.pem",
        ),
        ("tls:meter?key=/etc/key.pem", "key without cert"),
        ("tcp:meter?ca=/etc/ca.pem", "'ca' is not a setting of a line tcp:"),
        ("usb:0403", "'0403' is not VID:PID or VID:PID:SERIAL"),
        ("usb:0403:6001?bauds=9600", "did you mean 'baud'?"),
        ("replay:", "replay: needs a file"),
        ("replay:/tmp/x?pace=slow", "the only one is pace=fast"),
    ],
)
def test_a_wrong_url_is_told_what_is_wrong_and_what_to_write(raw: object, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        LineUrl.parse(raw)
    assert " — " in str(caught.value)


def test_the_urls_settings_go_before_the_profiles() -> None:
    url = LineUrl.parse("serial:/dev/ttyUSB0?baud=2400&parity=none")
    assert url.serial_settings(
        SerialSettings(baud=9600, parity="even", stop_bits=2)
    ) == SerialSettings(baud=2400, stop_bits=2)


async def test_bytes_pass_both_ways(line: Line, meter_fd: int) -> None:
    await line.write(b"question")
    assert await heard(meter_fd, 8) == b"question"
    os.write(meter_fd, b"answer")
    assert await line.read(now_s() + 5) == b"answer"
    assert line.char_s == pytest.approx(11 / 115200)
    assert line.framing == "rtu"


async def test_read_gives_nothing_when_nothing_comes_by_the_deadline(line: Line) -> None:
    before = now_s()
    assert await line.read(before + 0.03) == b""
    assert now_s() >= before + 0.03
    assert await line.read(before) == b""


async def test_drain_throws_away_all_that_has_arrived(
    line: Line, wire: Wire, meter_fd: int
) -> None:
    os.write(meter_fd, bytes(3000))
    await arrived(wire.gateway_end, 3000)
    assert line.drain() == 3000
    assert line.drain() == 0


async def test_a_vanished_port_ends_the_read_that_waits_for_it(line: Line, wire: Wire) -> None:
    asyncio.get_running_loop().call_later(0.02, wire.unplug)
    with pytest.raises(
        LineError,
        match=r"serial:/dev/pts/\d+\?baud=115200: the port has vanished.* — check the plug",
    ):
        await line.read(now_s() + 5)
    with pytest.raises(LineError):
        await line.write(b"x")
    with pytest.raises(LineError):
        line.drain()
    line.close()
    line.close()


async def test_closing_a_line_ends_the_read_that_waits_on_it(line: Line) -> None:
    asyncio.get_running_loop().call_later(0.02, line.close)
    with pytest.raises(LineError, match="has been closed"):
        await line.read(now_s() + 5)


async def test_a_line_can_be_opened_again(wire: Wire, meter_fd: int) -> None:
    url = LineUrl.parse(f"serial:{wire.gateway_end}")
    for _ in range(2):
        line = await open_line(url, DEFAULTS)
        os.write(meter_fd, b"hello")
        assert await line.read(now_s() + 5) == b"hello"
        line.close()


async def test_a_port_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        LineError,
        match=r"no-such-port: there is no such port — is the adapter plugged in\? ports seen: ",
    ):
        await open_line(LineUrl("serial", f"{tmp_path}/no-such-port"), DEFAULTS)


async def test_a_port_that_is_in_use_is_not_opened_twice(line: Line, wire: Wire) -> None:
    with pytest.raises(LineError, match="another program has the port open — stop it"):
        await open_line(LineUrl("serial", wire.gateway_end), DEFAULTS)


async def test_a_file_that_is_no_port_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a port")
    with pytest.raises(LineError, match="this is not a serial port"):
        await open_line(LineUrl("serial", str(path)), DEFAULTS)


async def test_a_seven_bit_meter_can_be_simulated_on_a_pty(wire: Wire, meter_fd: int) -> None:
    line = await open_line(
        LineUrl("serial", wire.gateway_end), SerialSettings(parity="even", data_bits=7)
    )
    os.write(meter_fd, b"/KFM5")
    assert await line.read(now_s() + 5) == b"/KFM5"
    line.close()


def baud_of(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        return termios.tcgetattr(fd)[4]
    finally:
        os.close(fd)


async def test_a_port_is_set_anew_while_it_is_open_and_keeps_what_has_arrived(
    line: Line, wire: Wire, meter_fd: int
) -> None:
    os.write(meter_fd, b"/early")
    await arrived(wire.gateway_end, 6)
    for settings, baud in (
        (SerialSettings(baud=300, parity="even", data_bits=7), termios.B300),
        (SerialSettings(baud=9600), termios.B9600),
    ):
        await line.configure(settings)
        assert (line.settings, line.char_s) == (settings, settings.char_s)
        assert baud_of(wire.gateway_end) == baud
    assert await line.read(now_s() + 5) == b"/early"
    await line.write(b"after")
    assert await heard(meter_fd, 5) == b"after"


async def test_a_port_is_set_anew_only_when_what_was_written_has_had_its_time(line: Line) -> None:
    await line.configure(SerialSettings(baud=300))
    before_s = now_s()
    await line.write(b"123456")
    await line.configure(SerialSettings(baud=9600))
    assert now_s() - before_s > 5.9 * 10 / 300


async def test_a_closed_or_vanished_port_is_not_set_anew(line: Line, wire: Wire) -> None:
    wire.unplug()
    with contextlib.suppress(LineError):
        await line.configure(SerialSettings(baud=300))
    line.close()
    with pytest.raises(LineError, match="open it again"):
        await line.configure(SerialSettings(baud=2400))


async def test_tcp_passes_bytes_and_a_closed_connection_is_a_line_error() -> None:
    async def meter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(5)).upper())

    async with serving(meter) as port:
        line = await open_line(LineUrl.parse(f"tcp:127.0.0.1:{port}"), DEFAULTS)
        await line.write(b"hello")
        assert await line.read(now_s() + 5) == b"HELLO"
        assert (line.char_s, line.framing, line.settings) == (0.0, "tcp", None)
        await line.configure(SerialSettings(baud=300))
        assert line.char_s == 0.0
        with pytest.raises(LineError, match="the other end has closed the connection"):
            await line.read(now_s() + 5)
        line.close()


async def test_a_refused_connection_says_what_to_check() -> None:
    async with serving(hang_up) as port:
        pass
    with pytest.raises(
        LineError, match=f"tcp:127.0.0.1:{port}: connection refused — is the meter's network access"
    ):
        await open_line(LineUrl("tcp", "127.0.0.1", port), DEFAULTS)


async def test_a_host_that_is_not_known_is_named() -> None:
    with pytest.raises(
        LineError, match=r"the name 'no-such-meter\.invalid' is not known — check it"
    ):
        await open_line(LineUrl("tcp", "no-such-meter.invalid", 502), DEFAULTS)


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (0o600, "its mode 0600 is for its owner alone: start what is behind this pty as"),
        (0o620, "its mode 0620 is for its owner alone"),
        (0o660, ""),
    ],
)
def test_the_remedy_for_a_closed_port_depends_on_what_its_group_may_do(
    mode: int, says: str
) -> None:
    master, port = os.openpty()
    try:
        path = os.ttyname(port)
        os.chmod(path, mode)  # noqa: PTH101 — a device
        told = why_not_allowed(path)
    finally:
        os.close(master)
        os.close(port)
    assert told.startswith("no permission to open the port — ")
    assert says in told
    assert ("usermod" in told or "chgrp" in told) == (not says)


def test_a_terminal_that_is_no_pty_is_told_to_lose_its_login(
    tmp_path: Path,
) -> None:
    port = tmp_path / "ttyS0"
    port.touch()
    port.chmod(0o620)
    assert "systemctl disable --now serial-getty@ttyS0" in why_not_allowed(str(port))
