"""`meter-gateway read`, from real ports and sockets."""

import asyncio
import json
import os
import signal
import sys

import pytest
import serial

from drivers.line import SerialSettings
from drivers.profile import load_profile
from drivers.simulated.meters import ModbusTwin, modbus_rtu, modbus_tcp, p1_meter
from drivers.simulated.telegram import GridReading, telegram
from drivers.simulated.wire import paced_line
from tests.drivers.modbus.frames import rtu
from tests.drivers.modbus.peer import Peer, line_server

VALUES = {
    "energy_import_wh": 12_345_678.0,
    "energy_export_wh": 4_000.0,
    "power_w": 1_234.5,
    "voltage_l1_v": 230.5,
}


@pytest.fixture
def read(home):
    """Start `meter-gateway read …` in a process of its own, while this one plays the meter."""

    async def start(*words):
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "--config", str(home.folder), "read", *words),
            env=dict(os.environ),  # not the COLUMNS that readline sets behind Python's back
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    return start


async def finish(process):
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


def twin():
    return ModbusTwin(load_profile("eastron/sdm630"), lambda: VALUES, serial_number=20_110_001)


async def test_a_meter_on_the_network_is_read_into_a_table_with_units(home, read):
    async with modbus_tcp({3: twin()}) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\n",
        )
        code, out, err = await finish(await read("heat"))
    assert (code, err) == (0, "")
    assert "heat: Eastron SDM630-Modbus V2, serial number 20110001" in out
    row = next(
        line.split() for line in out.splitlines() if line.strip().startswith("energy_import_wh")
    )
    assert (
        row[:3] == ["energy_import_wh", "12345678.71", "Wh"] or abs(float(row[1]) - 12_345_678) <= 1
    )
    assert " ".join(row[3:]) == "energy imported, total register"


async def test_json_is_one_object_per_line(home, read):
    async with modbus_tcp({3: twin()}) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\n",
        )
        code, out, _ = await finish(await read("heat", "--json"))
    found = json.loads(out)
    assert code == 0
    assert (found["meter"], found["serial_number"]) == ("heat", "20110001")
    assert found["values"]["power_w"] == 1234.5
    assert found["time_utc"].endswith("Z")


async def test_a_p1_port_is_read_from_its_next_telegram(home, read):
    reading = GridReading(
        utc_s=1_774_742_400,
        serial_number="E0031007000012345",
        import_wh=(1_000_000, 2_000_000),
        export_wh=(3_000, 4_000),
        tariff=1,
        phases_w=(100, 200, -50),
        voltages_v=(230.1, 231.0, 229.9),
        gas_l=5,
    )
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with (
        paced_line(0) as wire,
        p1_meter(wire.meter_end, lambda _: telegram(reading), lambda: 1000 + loop.time() - began_s),
    ):
        home.write("devices/grid.yaml", f"profile: dsmr/dsmr5\nline: serial:{wire.gateway_end}\n")
        code, out, err = await finish(await read("grid", "--json"))
    assert (code, err) == (0, "")
    assert json.loads(out)["values"]["energy_import_wh"] == 3_000_000


async def test_watch_goes_on_when_the_line_was_gone_for_a_while(home, read):
    async with modbus_tcp({3: twin()}) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\ninterval: 1s\n",
        )
        process = await read("heat", "--json", "--watch")
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    said = await asyncio.wait_for(process.stderr.readline(), 20)
    assert "connection refused — " in said.decode()
    assert "?connect=cycle" in said.decode()
    async with modbus_tcp({3: twin()}, port=port):
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        process.send_signal(signal.SIGINT)
        await finish(process)


@pytest.mark.parametrize("unit", [0, 255])
async def test_the_device_itself_may_be_asked_on_tcp(home, read, unit):
    async with line_server(Peer(data=bytes(160))) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: {unit}\n",
        )
        code, out, err = await finish(await read("heat", "--raw", "72"))
        assert (code, err) == (0, "")
        assert f"address {unit}, function 3" in out
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: rtu+tcp:127.0.0.1:{port}\naddress: {unit}\n",
        )
        code, _, err = await finish(await read("heat", "--raw", "72"))
        assert code != 0
        assert f"{unit} is no meter's address" in err


async def test_a_second_master_is_counted_and_said(home, read):
    theirs = [rtu(9, 4, 2, data=b"\0\1")]
    peer = Peer("rtu", before=lambda _: theirs.pop() if theirs else b"", data=bytes(200))
    async with line_server(peer) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: rtu+tcp:127.0.0.1:{port}\naddress: 3\n",
        )
        code, out, err = await finish(await read("heat"))
    assert code == 0, err
    assert "energy_import_wh" in out
    assert "heat: 1 frames came that nobody here has asked for — a second master" in err


async def test_watch_reads_at_the_interval_until_ctrl_c(home, read):
    async with modbus_tcp({3: twin()}) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\ninterval: 1s\n",
        )
        process = await read("heat", "--json", "--watch")
        assert process.stdout is not None
        lines = [await asyncio.wait_for(process.stdout.readline(), 30) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        code, _, err = await finish(process)
    assert (code, err) == (130, "")
    assert [json.loads(line)["meter"] for line in lines] == ["heat", "heat"]


async def test_a_port_that_another_program_holds_says_to_stop_the_daemon(home, read):
    async with paced_line(0) as wire:
        home.write("devices/grid.yaml", f"profile: dsmr/dsmr5\nline: serial:{wire.gateway_end}\n")
        with serial.Serial(wire.gateway_end, 115200, exclusive=True):
            code, _, err = await finish(await read("grid"))
    assert code == 1
    assert "the port is in use" in err
    assert "systemctl stop meter-gateway" in err
    assert "Traceback" not in err


async def test_a_silent_meter_is_named(home, read):
    settings = SerialSettings(baud=9600)
    async with paced_line(settings.char_s) as wire, modbus_rtu({9: twin()}, wire.meter_end):
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: serial:{wire.gateway_end}\naddress: 3\ntimeout: "
            "200ms\n",
        )
        code, _, err = await finish(await read("heat"))
    assert code == 1
    assert err.startswith("heat: ")
    assert "Traceback" not in err


def test_a_port_that_is_not_there_is_an_error_that_says_what_to_do(run, home):
    home.write("devices/grid.yaml", "profile: dsmr/dsmr5\nline: serial:/dev/nowhere\n")
    code, _, err = run("read", "grid")
    assert code == 1
    assert "there is no such port" in err


def test_an_unknown_meter_is_refused_with_the_nearest(run):
    code, _, err = run("read", "gird")
    assert code == 1
    assert "there is no meter 'gird' — did you mean 'grid'?" in err


def test_only_the_meter_s_own_file_must_be_right(run, home):
    home.write("gateway.yaml", "not: right\n")
    home.write(
        "devices/grid.yaml", "profile: dsmr/dsmr5\nline: serial:/dev/nowhere\nintervall: 10s\n"
    )
    _, _, err = run("read", "grid")
    assert (
        err.strip()
        == f"{home.folder}/devices/grid.yaml:3: intervall: unknown key — did you mean 'interval'?"
    )


async def test_raw_shows_what_registers_can_mean_side_by_side(home, read):
    async with modbus_tcp({3: twin()}) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\n",
        )
        code, out, err = await finish(
            await read("heat", "--raw", "0x34", "--function", "4", "--count", "2")
        )
        assert (code, err) == (0, "")
        assert next(line for line in out.splitlines() if "float32 big" in line).split() == [
            "float32",
            "big",
            "1234.5",
        ]
        assert "0x0034 (52)" in out
        code, _, err = await finish(await read("heat", "--raw", "60000"))
    assert code == 1
    assert "heat: address 3: refused registers 60000..60003 (function 3)" in err
    assert "— --function 4 asks its other registers" in err


@pytest.mark.parametrize("address", ["-1", "65536", "0x1FFFF", "forty"])
def test_raw_takes_registers_only(run, address):
    code, _, err = run("read", "grid", f"--raw={address}")
    assert code == 2
    assert "is not a register" in err


@pytest.mark.parametrize("count", ["0", "126", "-3", "many"])
def test_raw_asks_for_what_one_request_can_hold(run, count):
    code, _, err = run("read", "grid", "--raw", "1", f"--count={count}")
    assert code == 2
    assert err.endswith(
        "is not a number of registers — 1 to 125, which is what one request can ask for\n"
    )


def test_raw_is_for_modbus(run, home):
    code, _, err = run("read", "grid", "--raw", "1")
    assert code == 1
    assert "grid: --raw reads Modbus registers, and dsmr/dsmr5 speaks p1" in err


async def test_what_was_recorded_is_played_back_redacted_or_not(home, read):
    name = "devices/heat.yaml"
    async with modbus_tcp({3: twin()}) as port:
        home.write(name, f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\n")
        for file in ("plain.jsonl", "shared.jsonl"):
            words = (
                "--record",
                str(home.folder / file),
                *(["--redact"] if file == "shared.jsonl" else []),
            )
            code, first, err = await finish(await read("heat", "--json", *words))
            assert code == 0
            assert err.startswith(f"{home.folder / file}: ")
            assert "1 reading" in err
    plain, shared = ((home.folder / file).read_text() for file in ("plain.jsonl", "shared.jsonl"))
    for number in ("20110001", "01 32 DE 71", "127.0.0.1", "heat"):
        assert number not in shared
    assert "20110001" in plain
    for file, number in (("plain.jsonl", "20110001"), ("shared.jsonl", "1")):
        home.write(
            name,
            f"profile: eastron/sdm630\nline: replay:{home.folder / file}?pace=fast\naddress: 3\n",
        )
        code, out, err = await finish(await read("heat", "--json"))
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert (found["values"], found["serial_number"]) == (json.loads(first)["values"], number)


def test_a_recording_does_not_overwrite_another(run, home):
    old = home.write("old.jsonl", "precious")
    code, _, err = run("read", "grid", "--record", old)
    assert code == 1
    assert "is there already" in err
    assert old.read_text() == "precious"


def test_redact_without_record_is_refused(run):
    code, _, err = run("read", "grid", "--redact")
    assert code == 1
    assert "give the file: --record FILE --redact" in err


def test_a_recording_that_is_none_is_told_with_its_line(run, home):
    home.write(
        "noise.jsonl",
        '{"recording": 1, "profile": "x/y", "address": 1, "framing": "rtu", "serial": '
        'null}\n{"at_s": 1}\n',
    )
    home.write(
        "devices/grid.yaml", f"profile: dsmr/dsmr5\nline: replay:{home.folder}/noise.jsonl\n"
    )
    code, _, err = run("read", "grid")
    assert code == 1
    assert "noise.jsonl:2: cannot be read (KeyError('values'))" in err


@pytest.mark.parametrize(
    "written", ["devices/heat.yaml", "heat.yaml", "{folder}/devices/heat.yaml"]
)
async def test_a_meter_may_be_named_by_its_file(home, read, written):
    async with modbus_tcp({3: twin()}) as port:
        home.write(
            "devices/heat.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\n",
        )
        code, out, err = await finish(await read(written.format(folder=home.folder)))
    assert (code, err) == (0, "")
    assert out.startswith("heat: Eastron")


async def test_the_file_of_another_configuration_is_not_taken_for_ours(home, read, tmp_path):
    other = tmp_path / "other" / "devices" / "pv.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("profile: eastron/sdm120\nline: tcp:127.0.0.1:1502\n")
    code, _, err = await finish(await read(str(other)))
    assert code == 1
    assert f"name its folder: --config {tmp_path / 'other'} read pv" in err


async def test_what_is_of_another_protocol_is_not_taken_for_redacted(home, read):
    frame = "7E A0 27 01 02 01 10 5A 87 E6 E7 00 0F 40 00 00 00 09 0C 07 E6 01 02 07 0E 25 12 FF 80"
    frame += " 00 00 02 01 06 00 00 10 15 F5 FF 7E"
    head = {"recording": 1, "profile": "p1/auto", "address": 1, "framing": "rtu", "serial": None}
    came = [{"at_s": 0.2 + n, "came": frame} for n in range(9)]
    lines = [{**head, "redacted": False}, *came]
    path = home.write("hdlc.jsonl", "".join(json.dumps(each) + "\n" for each in lines))
    home.write("devices/grid.yaml", f"profile: p1/auto\nline: replay:{path}\n")
    file = home.folder / "shared.jsonl"
    code, _, err = await finish(await read("grid", "--record", str(file), "--redact"))
    assert code == 1
    assert "they are HDLC frames" in err
    assert "record without --redact" in err
    assert not file.exists()
