"""The meters of docs/examples, read as CONTRIBUTING.md says: a new model, and new protocols over
each kind of line.
"""

import asyncio
import json
import os
import re
import select
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.line import BadReply, LineError, LineUrl, NoReply, open_any_line, open_line
from drivers.profile import DeviceAddress, Driver, ProfileError, load_profile, protocols
from drivers.sample import Reading
from drivers.simulated.meters import ModbusTwin, modbus_tcp
from drivers.simulated.wire import paced_line
from gateway.cli.recorder import Recorder
from gateway.cli.terminal import Refused
from gateway.delivery.kinds import load
from gateway.site.config import load_device
from gateway.site.credentials import ConfigError
from gateway.site.devices import Device, lines_of
from tests.drivers.net.http_server import http_server, reply
from tests.examples import PROFILE, PROTOCOL, ROOT, found_in


@pytest.fixture
def examples() -> Iterator[None]:
    """The examples of protocols are there."""
    with found_in(drivers, PROTOCOL):
        yield


# --- A meter model ---


def site(folder: Path, meter: str, line: str, profiles: Path) -> Path:
    """The configuration folder of a site that carries profiles of its own."""
    shutil.copytree(profiles / "acme", folder / "hardware_profiles" / "acme")
    (folder / "devices").mkdir()
    (folder / "devices" / "garage.yaml").write_text(
        f"profile: {meter}\nline: {line}\ninterval: 10s\n"
    )
    return folder


EM1_VALUES = {
    "energy_import_wh": 123_450.0,
    "energy_export_wh": 6_780.0,
    "power_w": -450.5,
    "voltage_l1_v": 230.2,
    "current_l1_a": 1.957,
    "frequency_hz": 49.98,
}


async def test_a_site_reads_a_model_of_its_own_without_a_change_to_the_software(
    tmp_path: Path,
) -> None:
    twin = ModbusTwin(load_profile("acme/em1", PROFILE), lambda: EM1_VALUES, serial_number=20260329)
    async with modbus_tcp({1: twin}) as port:
        folder = site(tmp_path, "acme/em1", f"tcp:127.0.0.1:{port}", PROFILE)
        reading = await reading_of(load_device(folder, "garage"))
        assert reading.serial_number == "20260329"
        assert reading.values == pytest.approx(EM1_VALUES)
        words = ["-m", "gateway", "read", "garage", "--json", "--config", str(folder)]
        command = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            output, _ = await command.communicate()
    assert command.returncode == 0
    said = json.loads(output)
    assert (said["meter"], said["serial_number"], said["values"]) == (
        "garage",
        "20260329",
        pytest.approx(EM1_VALUES),
    )


async def reading_of(device: Device, due_s: float = 0.0) -> Reading:
    """One reading as the collector takes it: line, driver and address from the device file."""
    line = await open_any_line(device.line, device.profile.serial)
    try:
        return await device.profile.open_driver(device.on_line, line).read(due_s)
    finally:
        line.close()


# --- A protocol ---

EP7 = b"E=000123.456*kWh;R=000007.890*kWh;P=-00450*W\r\n"
EP7_VALUES = {"energy_import_wh": 123_456.0, "energy_export_wh": 7_890.0, "power_w": -450.0}


@asynccontextmanager
async def pulse_meter(path: str, *answer: bytes) -> AsyncIterator[int]:
    """A pulse meter at its end of a line; gives its descriptor. Each question gets the pieces of
    the answer, 10 ms apart.
    """
    loop = asyncio.get_running_loop()
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    heard = bytearray()

    def hear() -> None:
        heard.extend(os.read(fd, 100))
        if heard.endswith(b"?\r\n"):
            heard.clear()
            for i, piece in enumerate(answer):
                loop.call_later(0.01 * i, os.write, fd, piece)

    loop.add_reader(fd, hear)
    try:
        yield fd
    finally:
        loop.remove_reader(fd)
        os.close(fd)


@asynccontextmanager
async def pulse_driver(
    *answer: bytes, timeout_s: float = 5.0
) -> AsyncIterator[tuple[Driver, Any, int]]:
    """A driver, its line, and the descriptor of the meter at the other end of an instant wire."""
    profile = load_profile("acme/ep7", PROTOCOL)
    async with paced_line(0.0) as wire, pulse_meter(wire.meter_end, *answer) as meter_fd:
        line = await open_line(LineUrl.parse(f"serial:{wire.gateway_end}"), profile.serial)
        try:
            yield (
                profile.open_driver(DeviceAddress(name="garage", timeout_s=timeout_s), line),
                line,
                meter_fd,
            )
        finally:
            line.close()


async def test_a_site_reads_a_meter_through_a_new_protocol(examples: None, tmp_path: Path) -> None:
    assert "pulse" in protocols()
    async with paced_line(10 / 2400) as wire, pulse_meter(wire.meter_end, EP7):
        folder = site(tmp_path, "acme/ep7", f"serial:{wire.gateway_end}", PROTOCOL)
        assert (await reading_of(load_device(folder, "garage"))).values == EP7_VALUES


async def test_an_answer_may_come_in_any_pieces(examples: None) -> None:
    async with pulse_driver(EP7[:1], EP7[1:20], EP7[20:-1], EP7[-1:]) as (driver, _, _):
        assert (await driver.read(0.0)).values == EP7_VALUES


async def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(examples: None) -> None:
    async with pulse_driver(EP7) as (driver, line, meter_fd):
        os.write(meter_fd, EP7.replace(b"123", b"999"))
        async with asyncio.timeout(5):
            while not select.select([line.fd], [], [], 0)[0]:
                await asyncio.sleep(0.001)
        assert (await driver.read(0.0)).values == EP7_VALUES


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((), NoReply, "no byte came within 0.4 s"),
        ((EP7[:9],), NoReply, "only b'E=000123.' came"),
        ((b"U" * 300,), BadReply, "no end of the line"),
        ((EP7.replace(b"E=", b"E:"),), BadReply, "'E:000123.456*kWh' is not a field"),
        ((EP7.replace(b"*kWh", b"*kW"),), BadReply, "which is not a unit of energy_import_wh"),
        ((b"\xff\xfe\r\n",), BadReply, "is not a field"),
    ],
)
async def test_an_answer_that_is_none_says_what_is_wrong(
    examples: None, answer: tuple[bytes, ...], error: type[Exception], words: str
) -> None:
    async with pulse_driver(*answer, timeout_s=0.4 if error is NoReply else 5.0) as (driver, _, _):
        with pytest.raises(error) as caught:
            await driver.read(0.0)
    assert words in str(caught.value)


def test_the_section_of_a_new_protocol_is_checked_like_every_other(
    examples: None, tmp_path: Path
) -> None:
    text = (PROTOCOL / "acme" / "ep7.yaml").read_text()
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "bad.yaml").write_text(
        text.replace("E: energy_import_wh", "E1: energy_import_wh, Q: power_w, S: powr_w")
    )
    with pytest.raises(ProfileError) as caught:
        load_profile("acme/bad", tmp_path)
    said = str(caught.value)
    assert "pulse.fields.E1: fields are named by one capital letter" in said
    assert "pulse.fields.P: field Q already is power_w — keep one of them" in said
    assert "there is no quantity 'powr_w' — did you mean 'power_w'?" in said


# --- Over HTTP ---

PAGE = b'{"serial": "77", "import_wh": 123456.5, "power": -450, "more": [1]}'


def web_site(folder: Path, port: int, credentials: str = "") -> Path:
    """A site with the meter that shows a page, and its credentials."""
    folder = site(folder, "acme/web1", f"http://127.0.0.1:{port}", PROTOCOL)
    if credentials:
        with (folder / "devices" / "garage.yaml").open("a") as file:
            file.write("credentials: garage.login\n")
        (folder / "garage.login").write_text(credentials)
        (folder / "garage.login").chmod(0o600)
    return folder


def asks_for(authorization: str) -> Any:
    """A page for whoever says that, and a refusal that repeats what was said for all others."""

    def answer(head: str) -> bytes:
        if f"\r\nAuthorization: {authorization}\r\n" in head:
            return reply(PAGE)
        return reply(head.encode(), "401 Unauthorized")

    return answer


async def test_a_page_is_read_with_the_sites_own_login(examples: None, tmp_path: Path) -> None:
    login = "username: 'Aladdin'\npassword: 'open sesame'\n"
    answers = {"/api/data": asks_for("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")}
    async with http_server(answers) as server:
        device = load_device(web_site(tmp_path, server.port, login), "garage")
        reading = await reading_of(device)
    assert reading.values == {"energy_import_wh": 123_456.5, "power_w": -450.0}
    assert reading.serial_number == "77"


async def test_a_token_that_the_meter_does_not_take_is_named_and_not_shown(
    examples: None, tmp_path: Path
) -> None:
    async with http_server({"/api/data": asks_for("Bearer right")}) as server:
        device = load_device(web_site(tmp_path, server.port, "token: 'S3cret.wrong'\n"), "garage")
        with pytest.raises(BadReply, match=r"answers 401: .* credentials:") as caught:
            await reading_of(device)
    assert "S3cret" in server.heads[0]
    assert "S3cret" not in str(caught.value) + repr(device) + repr(device.on_line)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("username: 'Aladdin'\n", "password is missing"),
        ("tokn: 'S3cret'\n", "did you mean 'token'?"),
    ],
)
def test_credentials_that_the_protocol_does_not_know_are_named(
    examples: None, tmp_path: Path, entries: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_device(web_site(tmp_path, 80, entries), "garage")
    assert said in str(caught.value)
    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (reply(b"<html>"), BadReply, "b'<html>' … is not JSON"),
        (reply(b"[1]"), BadReply, "is not an object"),
        (reply(b'{"power": "much"}'), BadReply, "power is 'much', which is not a number"),
        (reply(b'{"power": NaN}'), BadReply, "power is 'nan', which is not a number"),
        (reply(b'{"power": true}'), BadReply, "power is 'True', which is not a number"),
        (reply(b'{"else": 1}'), BadReply, "none of the profile's numbers"),
        (reply(b"busy", "503 Busy"), BadReply, "/api/data answers 503"),
        (reply(b"x" * 70_000), BadReply, "is longer than 64 KiB"),
        (None, NoReply, "was not answered within 0.2 s"),
        (b"SSH-2.0-dropbear\r\n", LineError, "cannot be reached"),
    ],
)
async def test_a_page_that_is_none_says_what_is_wrong(
    examples: None, answer: bytes | None, error: type[Exception], words: str
) -> None:
    profile = load_profile("acme/web1", PROTOCOL)
    async with http_server({"/api/data": answer}) as server:
        url = LineUrl.parse(f"http://127.0.0.1:{server.port}")
        line = await open_any_line(url, profile.serial)
        device = DeviceAddress(name="garage", timeout_s=20.0 if answer else 0.2)
        with pytest.raises(error, match=re.escape(words)):
            await profile.open_driver(device, line).read(0.0)
        line.close()


# --- Over datagrams ---

GROUP = "239.255.31.7"
BEACON = struct.pack(">4sIQQi", b"BCN1", 77, 123_456, 7_890, -450)


@asynccontextmanager
async def beacon_group(*datagrams: bytes) -> AsyncIterator[str]:
    """A group to which these are sent, one after the other, again and again; its line."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        port = sender.getsockname()[1]
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))

        async def send() -> None:
            while True:
                for data in datagrams:
                    sender.sendto(data, (GROUP, port))
                    await asyncio.sleep(0.01)

        task = asyncio.create_task(send()) if datagrams else None
        yield f"multicast:{GROUP}:{port}?interface=lo"
        if task is not None:
            task.cancel()


async def test_a_meter_that_sends_datagrams_is_heard(examples: None, tmp_path: Path) -> None:
    async with beacon_group(b"noise", BEACON, BEACON[:-1]) as line:
        device = load_device(site(tmp_path, "acme/beacon1", line, PROTOCOL), "garage")
        due_s = asyncio.get_running_loop().time() + 0.2
        reading = await reading_of(device, due_s)
    assert reading.values == EP7_VALUES
    assert reading.serial_number == "77"
    assert reading.taken_s >= due_s


async def test_meters_of_one_group_are_told_apart_by_their_numbers(
    examples: None, tmp_path: Path
) -> None:
    other = BEACON.replace(struct.pack(">I", 77), struct.pack(">I", 78))
    profile = load_profile("acme/beacon1", PROTOCOL)
    async with beacon_group(other, BEACON) as url:
        line = await open_any_line(LineUrl.parse(url), profile.serial)
        for number in ("77", "78"):
            address = DeviceAddress(name="garage", number=number)
            assert (await profile.open_driver(address, line).read(0.0)).serial_number == number
        line.close()

    folder = site(tmp_path, "acme/beacon1", url, PROTOCOL)
    (folder / "gateway.yaml").write_text("site: home\n")
    file = folder / "devices" / "garage.yaml"
    for number, words in (("", "already has this group"), ("number: '77'\n", "its own number")):
        (folder / "devices" / "shed.yaml").write_text(file.read_text() + number)
        with pytest.raises(ConfigError, match=words):
            load(folder)
    file.write_text(file.read_text() + "number: '78'\n")
    settings = load(folder)
    assert [len(each) for each in lines_of(settings.devices).values()] == [2]


@pytest.mark.parametrize(
    ("datagrams", "error", "words"),
    [
        ((), NoReply, "no datagram came within 3 s"),
        ((b"noise", BEACON[:-1]), BadReply, "datagrams came, and none of its kind"),
    ],
)
async def test_a_group_without_the_meter_says_so(
    examples: None, datagrams: tuple[bytes, ...], error: type[Exception], words: str
) -> None:
    profile = load_profile("acme/beacon1", PROTOCOL)
    async with beacon_group(*datagrams) as url:
        line = await open_any_line(LineUrl.parse(url), profile.serial)
        with pytest.raises(error, match=words):
            await profile.open_driver(DeviceAddress(name="garage"), line).read(0.0)
        line.close()


# --- The right line for each ---


@pytest.mark.parametrize(
    ("meter", "line", "said"),
    [
        (
            "acme/web1",
            "tcp:192.168.1.20",
            "garage.yaml:2: line: acme/web1 is not read over tcp: — its lines are such as "
            "http://192.168.1.20",
        ),
        (
            "acme/ep7",
            "http://192.168.1.20",
            "acme/ep7 is not read over http: — its lines are such as serial:/dev/ttyUSB0",
        ),
        ("acme/beacon1", "mqtt://broker/meter", "its lines are such as multicast:"),
        (
            "acme/web1",
            "replay:/tmp/grid.jsonl",
            "there are no recordings of pages: only bytes are recorded — write the meter's own "
            "line, such as http://192.168.1.20",
        ),
    ],
)
def test_a_line_of_another_kind_is_refused_with_one_that_fits(
    examples: None, tmp_path: Path, meter: str, line: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_device(site(tmp_path, meter, line, PROTOCOL), "garage")
    assert said in str(caught.value)


async def test_what_is_not_bytes_cannot_be_recorded(examples: None, tmp_path: Path) -> None:
    device = load_device(web_site(tmp_path, 80), "garage")
    with pytest.raises(Refused, match="what passes on http: cannot be recorded"):
        Recorder(tmp_path / "grid.jsonl", device, redacts=False)
