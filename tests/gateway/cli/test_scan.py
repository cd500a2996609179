"""`meter-gateway scan`, in a process of its own, while this one plays a cupboard of meters on real
lines.
"""

import asyncio
import contextlib
import signal
import sys
import time

import pytest
import serial

from drivers.line import SerialSettings
from drivers.profile import load_profile
from drivers.simulated.meters import modbus_rtu, modbus_tcp, p1_meter
from drivers.simulated.one_meter import Load, twin_of
from drivers.simulated.wire import paced_line

SETTINGS = SerialSettings(baud=9600)
FIRST_LINE = {1: "eastron/sdm630", 2: "abb/b23", 3: "carlo_gavazzi/em340"}
SECOND_LINE = {1: "eastron/sdm120", 2: "schneider/iem3155", 3: "eltako/dsz15dzmod"}


def twins(profiles, power_w=700):
    """Simulated meters by address, each with a serial number and a power of its own."""
    found = {}
    for address, profile_id in profiles.items():
        profile = load_profile(profile_id)
        phases = 3 if "voltage_l2_v" in profile.quantities else 1
        load = Load(power_w + address, time.time(), phases)
        found[address] = twin_of(
            profile, load, time.time, serial_number=71_000_000 + power_w + address
        )
    return found


@contextlib.asynccontextmanager
async def cupboard():
    """Eight meters of seven makes: three on each of two RS485 lines, a P1 port, and an inverter on
    the network.
    """
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(paced_line(SETTINGS.char_s))
        second = await stack.enter_async_context(paced_line(SETTINGS.char_s))
        p1 = await stack.enter_async_context(paced_line(SerialSettings(baud=115200).char_s))
        await stack.enter_async_context(modbus_rtu(twins(FIRST_LINE), first.meter_end))
        await stack.enter_async_context(modbus_rtu(twins(SECOND_LINE, 900), second.meter_end))
        await stack.enter_async_context(
            p1_meter(p1.meter_end, Load(1500, time.time()).telegram, time.time)
        )
        port = await stack.enter_async_context(modbus_tcp(twins({1: "sunspec/auto"}, -2000)))
        yield first.gateway_end, second.gateway_end, p1.gateway_end, port


async def program(folder, *words, wait=True):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "--config", str(folder), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if not wait:
        return process
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), err.decode()


async def every_one_is_read(folder, names):
    for name in names:  # a line has one reader at a time
        code, out, err = await program(folder, "read", name, "--json")
        assert (code, err) == (0, "")
        assert "energy_" in out


async def test_a_cupboard_of_eight_meters_is_found_written_checked_and_read(tmp_path):
    async with cupboard() as (first, second, p1, port):
        lines = [
            f"serial:{first}?baud=9600&parity=none&stop_bits=1",
            f"serial:{second}?baud=9600&parity=none&stop_bits=1",
            f"serial:{p1}",
            f"tcp:127.0.0.1:{port}",
        ]
        words = [word for line in lines for word in ("--line", line)]
        code, out, err = await program(tmp_path, "scan", "--fast", *words, "--write", str(tmp_path))
        assert code == 0, err
        assert "8 meters found" in out
        for profile_id in (
            *FIRST_LINE.values(),
            *SECOND_LINE.values(),
            "dsmr/dsmr5",
            "sunspec/auto",
        ):
            assert f": {profile_id}, " in out
        assert "serial number 71000701, 701 W" in out
        code, out, err = await program(tmp_path, "check")
        assert (code, err) == (0, ""), err
        devices: dict[str, list[str]] = {}
        for path in (tmp_path / "devices").glob("*.yaml"):
            devices.setdefault(
                path.read_text().partition("\nline: ")[2].partition("\n")[0], []
            ).append(path.stem)
        assert sorted(map(len, devices.values())) == [1, 1, 3, 3]
        await asyncio.gather(*(every_one_is_read(tmp_path, names) for names in devices.values()))
        # A second search finds them all again, and leaves their files as they are.
        code, out, _ = await program(
            tmp_path, "scan", "--fast", "--line", lines[3], "--write", str(tmp_path)
        )
        assert code == 0
        assert "written" not in out
        assert out.count(f"is there already: {tmp_path}/devices/") == 1
        assert out.count(f"is there already: {tmp_path}/gateway.yaml") == 1


async def test_a_port_that_another_process_holds_is_named_and_the_others_are_searched(tmp_path):
    async with paced_line(0) as held, modbus_tcp(twins({1: "eastron/sdm630"})) as port:
        with serial.Serial(held.gateway_end, 9600, exclusive=True):
            words = ("--line", f"serial:{held.gateway_end}", "--line", f"tcp:127.0.0.1:{port}")
            code, out, err = await program(tmp_path, "scan", "--fast", *words)
    assert code == 0
    assert "1 meter found" in out
    assert f"serial:{held.gateway_end}: another program has the port open" in err
    assert "Traceback" not in err


async def test_ctrl_c_keeps_what_was_found(tmp_path):
    async with modbus_tcp(twins({1: "eastron/sdm630"}), rtu=True) as port:
        process = await program(
            tmp_path,
            "scan",
            "--line",
            f"rtu+tcp:127.0.0.1:{port}",
            "--write",
            str(tmp_path / "devices"),
            wait=False,
        )
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert b"eastron/sdm630" in line
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130, err
    assert b"1 meter found, search not finished" in out
    assert (tmp_path / "devices" / "eastron-sdm630.yaml").is_file()
    assert (tmp_path / "gateway.yaml").is_file()


async def test_the_network_is_searched_only_where_one_says(tmp_path):
    async with modbus_tcp(twins({71: "kostal/ksem"})) as port:
        code, out, err = await program(
            tmp_path, "scan", "--fast", "--network", "127.0.0.1/32", "--port", str(port)
        )
    assert code == 0, err
    assert f"tcp:127.0.0.1:{port} address 71: kostal/ksem" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--network", "10.0.0.0/8"), "at most 256, which is a /24"),
        (("--network", "not a host"), "is not the address of a host or network"),
        (("--line", "ttyUSB0"), "does not begin with serial:"),
        (("--network", "127.0.0.1", "--port", "0"), "is not a port"),
    ],
)
def test_what_cannot_be_searched_is_said(run, words, complaint):
    code, _, err = run("scan", *words)
    assert code == 2
    assert complaint in err


def test_a_port_of_no_network_is_refused_before_any_port_is_opened(run):
    code, _, err = run("scan", "--port", "1502")
    assert code == 1
    assert "--port without --network — give the addresses to search" in err


def test_a_folder_that_cannot_be_written_is_told_before_the_search(run, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = run("scan", "--line", "tcp:127.0.0.1:1", "--write", tmp_path / "file")
    assert (code, out) == (1, "")
    assert err.startswith(
        f"{tmp_path}/file/devices: cannot be written: Not a directory — write to another folder"
    )
