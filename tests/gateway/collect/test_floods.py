"""A meter that floods: its line is left alone for longer and longer, and the log says so once."""

import asyncio
import contextlib
import logging
import struct
from itertools import pairwise

import pytest

from drivers.line import LineUrl, open_line
from drivers.profile import load_profile
from drivers.sample import Sample
from gateway.collect.collector import Collector
from gateway.site.devices import Device
from gateway.timing.clock import Clock
from tests.serving import serving

STRANGE = b"\x00\x00\x00\x00\x00\x05\x01\x03\x02\x00\x00"


async def test_it_is_said_once_and_the_waits_grow_though_it_answers_in_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    connected_s: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected_s.append(asyncio.get_running_loop().time())
        for _ in range(4):
            question = await reader.readexactly(12)
            count = struct.unpack(">H", question[10:])[0]
            body = question[6:8] + bytes((2 * count,)) + bytes(2 * count)
            writer.write(question[:4] + len(body).to_bytes(2, "big") + body)
        while True:
            writer.write(STRANGE * 1000)
            await writer.drain()

    async with serving(serve) as port:
        url = LineUrl.parse(f"tcp:127.0.0.1:{port}")
        device = Device(
            name="meter",
            file="devices/meter.yaml",
            profile=load_profile("eastron/sdm630"),
            line=url,
            address=1,
            interval_s=0.5,
            invert=False,
            max_power_w=25_000,
            timeout_s=0.5,
        )
        samples: list[Sample] = []
        collector = Collector(
            [device], Clock("assured"), 900, open_line, samples.append, lambda: 0.0
        )
        task = asyncio.create_task(collector.run())
        try:
            async with asyncio.timeout(30):
                while len(connected_s) < 3:
                    await asyncio.sleep(0.05)
            report = collector.report()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    first_s, second_s = (b - a for a, b in pairwise(connected_s[:3]))
    assert first_s >= 2.0
    assert second_s >= first_s + 1.5
    assert samples, "it does answer"
    assert "one answer after the other to nothing that was asked" in report.last_error
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(lines) == 1, lines
    assert "left alone for a while" in lines[0]
    assert "works again" not in caplog.text
