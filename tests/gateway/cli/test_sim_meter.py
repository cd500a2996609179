"""`meter-gateway sim-meter`, in a process of its own, and `meter-gateway read`, which reads it by
the device file it prints.
"""

import asyncio
import json
import signal
import sys

import pytest


async def program(home, *words):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "--config", str(home.folder), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("line", "address"),
    [("tcp:127.0.0.1:0", 5), ("rtu+tcp:127.0.0.1:0", 5), ("pty", 5), ("tcp:127.0.0.1:0", 255)],
)
async def test_it_is_read_by_the_device_file_it_prints_and_ends_with_ctrl_c(home, line, address):
    where = ("--line", line, "--address", str(address))
    meter = await program(home, "sim-meter", "eastron/sdm630", *where, "--power", "3000")
    try:
        printed = b""
        while b"address:" not in printed:
            printed += await asyncio.wait_for(meter.stdout.readline(), 30)
        home.write("devices/heat.yaml", printed.decode().split("\n\n")[1].replace("    ", ""))
        reader = await program(home, "read", "heat", "--json")
        out, err = await asyncio.wait_for(reader.communicate(), 30)
        assert json.loads(out)["values"]["power_w"] == 3000.0, err
    finally:
        meter.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(meter.communicate(), 30)
    assert (meter.returncode, err) == (130, b"")


async def test_a_cupboard_of_meters_on_one_line_is_read_by_the_device_files_it_prints(home):
    meter = await program(
        home, "sim-meter", "eastron/sdm630", "eastron/sdm120", "abb/b23@2", "growatt/tl_x"
    )
    try:
        printed = b""
        while printed.count(b"address:") < 4:
            printed += await asyncio.wait_for(meter.stdout.readline(), 30)
        files = printed.decode().replace("    ", "").split("\n\n")[1:]
        assert [file.strip().splitlines()[-1] for file in files] == [
            f"address: {n}" for n in (1, 3, 2, 4)
        ]
        assert "?baud=9600" in files[1], "its own would be 2400"
        for name, file, power_w in zip(
            ("one", "two", "three", "four"), files, (1200, 1200, 1200, -1200), strict=True
        ):
            home.write(f"devices/{name}.yaml", file)
            out, err = await asyncio.wait_for(
                (await program(home, "read", name, "--json")).communicate(), 30
            )
            assert json.loads(out)["values"]["power_w"] == power_w, err
    finally:
        meter.send_signal(signal.SIGINT)
        await asyncio.wait_for(meter.communicate(), 30)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("eastron/sdm999",), 1, "there is no profile 'eastron/sdm999'"),
        (("eastron/sdm630", "--line", "serial:/dev/nowhere"), 1, "there is no such port"),
        (("eastron/sdm630", "--line", "serial:/dev/null"), 1, "cannot listen there"),
        (("eastron/sdm630", "--line", "nonsense"), 2, "does not begin with serial:"),
        (("eastron/sdm630", "--address", "0"), 2, "is not a Modbus address"),
        (
            ("iec62056/mode_c", "--line", "tcp:127.0.0.1:0"),
            1,
            "iec62056/mode_c is not simulated on tcp:",
        ),
        (("eastron/sdm630@255",), 2, "255 is not a Modbus address there: it is that of a device"),
        (("eastron/sdm630", "--line", "tcp:127.0.0.1:0", "--address", "256"), 2, "not a Modbus ad"),
        (("eastron/sdm630@248",), 2, "'248' is not a Modbus address"),
        (
            ("eastron/sdm630@3", "abb/b23@3"),
            1,
            "abb/b23: address 3 is taken already — write another: abb/b23@7",
        ),
        (("eastron/sdm630", "dsmr/dsmr5"), 1, "dsmr/dsmr5 has a line for itself"),
    ],
)
def test_what_cannot_be_done_is_said(run, words, code, complaint):
    assert (found := run("sim-meter", *words))[0] == code
    assert complaint in found[2]
    assert "Traceback" not in found[2]
