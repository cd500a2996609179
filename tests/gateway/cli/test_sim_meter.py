"""`meter-gateway sim-meter`, in a process of its own, and `meter-gateway read`, which reads it by the device file it prints."""

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


@pytest.mark.parametrize("line", ["tcp:127.0.0.1:0", "rtu+tcp:127.0.0.1:0", "pty"])
async def test_it_is_read_by_the_device_file_it_prints_and_ends_with_ctrl_c(home, line):
    meter = await program(home, "sim-meter", "eastron/sdm630", "--line", line, "--address", "5", "--power", "3000")
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


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("eastron/sdm999",), 1, "there is no profile 'eastron/sdm999'"),
        (("eastron/sdm630", "--line", "serial:/dev/nowhere"), 1, "there is no such port"),
        (("eastron/sdm630", "--line", "serial:/dev/null"), 1, "cannot listen there"),
        (("eastron/sdm630", "--line", "nonsense"), 2, "does not begin with serial:"),
        (("eastron/sdm630", "--address", "0"), 2, "is not a Modbus address"),
        (("iec62056/mode_c",), 1, "there is no simulated iec62056 meter but those that push"),
    ],
)
def test_what_cannot_be_done_is_said(run, words, code, complaint):
    assert (found := run("sim-meter", *words))[0] == code
    assert complaint in found[2]
    assert "Traceback" not in found[2]
