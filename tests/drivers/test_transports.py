"""Ways to a meter besides a serial port and plain TCP: UDP, TLS, one connection per round, USB
adapters by their ids.
"""

import asyncio
import ssl
import struct
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from drivers.line import Line, LineError, LineUrl, NoReply, SerialSettings, open_line
from drivers.modbus.bus import request
from drivers.usb import UsbError, usb_port, usb_ports
from tests.drivers.modbus.frames import sealed
from tests.drivers.papers import Papers, device_side, papers_in
from tests.serving import serving

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("transports")

WORDS = struct.pack(">HH", 7, 11)


async def opened(url: str) -> Line:
    return await open_line(LineUrl.parse(url), SerialSettings())


# --- RTU over UDP ---------------------------------------------------------------------------------


class SerialServer(asyncio.DatagramProtocol):
    """Answers each datagram with an empty one, which says nothing, and the reply."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        assert sealed(data[:-2]) == data
        self.transport.sendto(b"", addr)  # type: ignore[arg-type]
        self.transport.sendto(sealed(bytes((data[0], data[1], len(WORDS))) + WORDS), addr)  # type: ignore[arg-type]


async def test_rtu_frames_pass_over_udp() -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        SerialServer, local_addr=("127.0.0.1", 0)
    )
    line = await opened(f"rtu+udp:127.0.0.1:{transport.get_extra_info('sockname')[1]}")
    try:
        for _ in range(2):
            assert await request(line, 1, 4, 0, 2, timeout_s=5) == WORDS
    finally:
        line.close()
        transport.close()
        await asyncio.sleep(0)


async def test_nobody_at_a_udp_port_is_told() -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        SerialServer, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    transport.close()
    await asyncio.sleep(0)
    line = await opened(f"rtu+udp:127.0.0.1:{port}")
    with pytest.raises(LineError, match="nobody listens there"):
        await request(line, 1, 4, 0, 2, timeout_s=5)
    line.close()


# --- connections of their own ---------------------------------------------------------------------


@dataclass
class Device:
    """A Modbus TCP device (or a serial server, with `rtu`) that says which connection each request
    came on.
    """

    rtu: bool = False
    late_s: float = 0.0
    connections: int = 0
    asked_on: list[int] = field(default_factory=list)
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        mine = self.connections
        try:
            while True:
                frame = await reader.readexactly(8 if self.rtu else 12)
                self.asked_on.append(mine)
                await asyncio.sleep(self.late_s if mine == 1 else 0)
                body = bytes((frame[-8] if self.rtu else frame[6], 4, len(WORDS))) + (
                    WORDS if mine > 1 or not self.late_s else b"\xff" * 4
                )
                writer.write(
                    sealed(body) if self.rtu else frame[:4] + len(body).to_bytes(2, "big") + body
                )
        finally:
            self.open -= 1


def listening(
    device: Device, tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[int]:
    return serving(device.serve, tls=tls)


async def settle(device: Device, connections: int) -> None:
    async with asyncio.timeout(10):
        while device.open != connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("scheme", ["tcp", "rtu+tcp"])
async def test_a_device_for_one_client_is_connected_for_each_round_only(scheme: str) -> None:
    device = Device(rtu=scheme == "rtu+tcp")
    async with listening(device) as port:
        line = await opened(f"{scheme}:127.0.0.1:{port}?connect=cycle")
        for _ in range(2):
            for _ in range(2):
                assert await request(line, 1, 4, 0, 2, timeout_s=5) == WORDS
            line.rest()
            await settle(device, 0)
        line.close()
    assert device.asked_on == [1, 1, 2, 2]


async def test_other_connections_are_kept() -> None:
    device = Device()
    async with listening(device) as port:
        line = await opened(f"tcp:127.0.0.1:{port}")
        for _ in range(2):
            assert await request(line, 1, 4, 0, 2, timeout_s=5) == WORDS
            line.rest()
        line.close()
    assert device.connections == 1


async def test_a_late_reply_of_a_serial_server_finds_nobody() -> None:
    device = Device(rtu=True, late_s=0.3)
    async with listening(device) as port:
        line = await opened(f"rtu+tcp:127.0.0.1:{port}")
        with pytest.raises(NoReply):
            await request(line, 1, 4, 0, 2, timeout_s=0.1)
        assert await request(line, 1, 4, 0, 2, timeout_s=5) == WORDS, (
            "what comes late on the first connection holds 0xFFFF"
        )
        line.close()
        await settle(device, 0)
    assert device.asked_on == [1, 2]


async def test_a_server_that_is_gone_after_a_rest_is_a_line_error() -> None:
    device = Device()
    async with listening(device) as port:
        line = await opened(f"tcp:127.0.0.1:{port}?connect=cycle")
        line.rest()
        await settle(device, 0)
    with pytest.raises(LineError, match="connection refused"):
        await request(line, 1, 4, 0, 2, timeout_s=5)
    line.close()


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers_in(tmp_path_factory.mktemp("papers"))


async def test_modbus_passes_over_verified_tls(papers: Papers) -> None:
    device = Device()
    async with listening(device, device_side(papers, asks=True)) as port:
        line = await opened(f"tls:127.0.0.1:{port}?ca={papers.ca}&cert={papers.ours}")
        for _ in range(3):
            assert await request(line, 1, 4, 0, 2, timeout_s=5) == WORDS
        line.close()
        await settle(device, 0)
    assert device.connections == 1


async def test_a_certificate_of_somebody_else_is_not_trusted(papers: Papers) -> None:
    device = Device()
    async with listening(device, device_side(papers)) as port:
        with pytest.raises(
            LineError,
            match=r"the device's certificate is not trusted: .* — ca=FILE names the authority",
        ):
            await opened(f"tls:127.0.0.1:{port}")


async def test_a_certificate_for_another_host_is_not_trusted(papers: Papers) -> None:
    device = Device()
    async with listening(device, device_side(papers)) as port:
        with pytest.raises(LineError, match=r"not trusted: .*localhost"):
            await opened(f"tls:localhost:{port}?ca={papers.ca}")


async def test_a_device_that_wants_a_certificate_of_ours_says_so(papers: Papers) -> None:
    device = Device()
    async with listening(device, device_side(papers, asks=True)) as port:
        with pytest.raises(LineError, match=r"TLS failed|closed the connection"):
            line = await opened(f"tls:127.0.0.1:{port}?ca={papers.ca}")
            try:
                await request(line, 1, 4, 0, 2, timeout_s=5)
            finally:
                line.close()


async def test_a_device_without_tls_is_told(papers: Papers) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(chatter) as port:
        with pytest.raises(
            LineError, match=r"TLS failed: .* — does the device speak Modbus Security"
        ):
            await opened(f"tls:127.0.0.1:{port}?ca={papers.ca}")


async def test_files_that_cannot_be_used_are_named(papers: Papers, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    async with listening(Device()) as port:
        for query in (
            f"ca={tmp_path}/none.pem",
            f"ca={tmp_path}/empty.pem",
            f"ca={papers.ca}&cert={papers.ca}",
        ):
            with pytest.raises(LineError, match=r"cannot be used: .* PEM file"):
                await opened(f"tls:127.0.0.1:{port}?{query}")


# --- USB ------------------------------------------------------------------------------------------


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """/sys of a machine with two FTDI adapters, a CDC one, and a port that is no USB adapter's."""
    devices, tty = tmp_path / "devices", tmp_path / "class" / "tty"
    tty.mkdir(parents=True)

    def add(port: str, parents: str, vendor: str, product: str, number: str) -> None:
        usb = devices / port
        (usb / parents).mkdir(parents=True)
        for name, text in (("idVendor", vendor), ("idProduct", product), ("serial", number)):
            if text:
                (usb / name).write_text(text + "\n")
        (tty / port).mkdir()
        (tty / port / "device").symlink_to(usb / parents)

    add("ttyUSB0", "1-1:1.0/ttyUSB0", "0403", "6001", "A50285BI")
    add("ttyUSB1", "1-2:1.0/ttyUSB1", "0403", "6001", "B7000001")
    add("ttyACM0", "1-3:1.0", "1A86", "55d4", "")
    add("ttyS0", "serial8250", "", "", "")
    return tty


def test_an_adapter_is_found_by_its_ids(sysfs: Path) -> None:
    assert usb_port("1a86:55d4", sysfs) == "/dev/ttyACM0"
    assert usb_port("0403:6001:B7000001", sysfs) == "/dev/ttyUSB1"
    assert [port.name for port in usb_ports(sysfs)] == ["ttyACM0", "ttyUSB0", "ttyUSB1"]


def test_adapters_that_are_alike_need_their_serial_number(sysfs: Path) -> None:
    with pytest.raises(
        UsbError,
        match=r"there are 2 such ports: usb:0403:6001:A50285BI \(ttyUSB0\), .* — add the serial "
        r"number",
    ):
        usb_port("0403:6001", sysfs)


def test_an_adapter_that_is_not_there_is_told_with_those_that_are(sysfs: Path) -> None:
    with pytest.raises(
        UsbError,
        match=r"no such USB adapter — is it plugged in\? adapters seen: usb:1a86:55d4 \(ttyACM0\)",
    ):
        usb_port("0403:6015", sysfs)


async def test_a_line_on_an_adapter_that_is_not_there_is_a_line_error() -> None:
    with pytest.raises(
        LineError, match=r"usb:ffff:ffff.*: there is no such USB adapter — is it plugged in"
    ):
        await opened("usb:FFFF:ffff?baud=9600")
