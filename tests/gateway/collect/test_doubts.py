"""A value that nobody can vouch for yet is no part of a sample, and is said once."""

import asyncio
import logging
import struct
from dataclasses import replace

import pytest

from drivers.line import LineUrl, open_line
from drivers.modbus.settings import RegisterRow, Settings
from drivers.profile import load_profile
from drivers.sample import Sample
from gateway.collect.collector import Collector
from gateway.site.devices import Device
from gateway.timing.clock import Clock
from tests.drivers.modbus.peer import Peer, line_server

SETTINGS = Settings(
    registers={
        "energy_import_wh": RegisterRow(address=0, unit="Wh"),
        "energy_export_wh": RegisterRow(address=2, unit="Wh"),
    },
    type="uint32",
)


async def test_an_export_that_may_be_minus_is_settled_once_that_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    exported = 700

    def move(reply: bytes) -> bytes:
        nonlocal exported
        exported += 1
        peer.data = struct.pack(">II", 1234, (1 << 32) - exported)
        return reply

    peer = Peer(mend=move, data=struct.pack(">II", 1234, (1 << 32) - exported))
    samples: list[Sample] = []
    async with line_server(peer) as port:
        device = Device(
            name="pv",
            file="",
            profile=replace(load_profile("eastron/sdm120"), settings=SETTINGS),
            line=LineUrl.parse(f"tcp:127.0.0.1:{port}"),
            address=2,
            interval_s=0.1,
            invert=False,
            max_power_w=1e6,
            timeout_s=None,
        )
        collector = Collector([device], Clock("assured"), 900, open_line, samples.append, float)
        task = asyncio.create_task(collector.run())
        async with asyncio.timeout(10):
            while len(samples) < 5:
                await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [each.values.get("energy_export_wh") for each in samples[:5]] == [
        None,
        None,
        702.0,
        703.0,
        704.0,
    ]
    assert all(each.values["energy_import_wh"] == 1234 for each in samples)
    said = [each for each in caplog.messages if "counts down (minus the export)" in each]
    assert len(said) == 1
    assert said[0].startswith("pv: energy_export_wh: its register holds 4,294,966,596")
    assert collector.meter_reports({"pv": 0})[0].errors == 0
