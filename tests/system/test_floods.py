"""Peers that flood the real daemon: its meters are read on time all the while, it stays as small as
it was and has hardly anything to do, and the log says once who does it.
"""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.demo_home import Site
from gateway.monitoring.report import Report

if TYPE_CHECKING:
    from tests.system.conftest import StartSite

pytestmark = pytest.mark.long

MEASURED_S = 12.0
MAX_CPU = 0.25
"""Of one core; without floods it is 0.01. The machine that runs the tests is busy."""

MAX_GROWTH_MB = 6

MQTT = "mqtt: {{host: 127.0.0.1, port: {port}, tls: false, samples: 1s}}\n"
DEVICES = {
    "modbus tcp": "profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 1\n",
    "modbus rtu": "profile: eastron/sdm630\nline: rtu+tcp:127.0.0.1:{port}\naddress: 1\n",
    "p1 noise": "profile: dsmr/dsmr5\nline: tcp:127.0.0.1:{port}\n",
    "sml noise": "profile: sml/auto\nline: tcp:127.0.0.1:{port}\n",
}
SAID = {
    "mqtt acknowledgements": r"never asked for \(PUBACK\)",
    "mqtt messages nobody asked for": r"never asked for \(PUBLISH\)",
    "mqtt pongs": r"never asked for \(PINGRESP\)",
    "modbus tcp": "one answer after the other to nothing that was asked",
    "modbus rtu": r"floods us|never silent|bytes came, but no answer",
    "p1 noise": "no proper telegram",
    "sml noise": r"no (proper )?telegram|bytes",
    "http chunks": "more than 64 KiB",
    "http interim": "for ever",
}
"""What the log says, as a pattern."""


@contextlib.contextmanager
def flooder(kind: str) -> Iterator[int]:
    """A process that floods; its port."""
    program = Path(__file__).with_name("flooder.py")
    with subprocess.Popen(
        [sys.executable, str(program), kind], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def beside(ports: dict[str, int]) -> Callable[[Site], None]:
    """Changes a site so that it talks to the flooders."""

    def prepare(site: Site) -> None:
        settings = site.folder / "gateway.yaml"
        for n, (kind, port) in enumerate(ports.items()):
            text = settings.read_text()
            if kind in DEVICES:
                device = DEVICES[kind].format(port=port) + "interval: 1s\n"
                (site.folder / "devices" / f"flooded-{n}.yaml").write_text(device)
            elif kind.startswith("mqtt"):
                settings.write_text(text + MQTT.format(port=port))
            else:
                url = f"url: http://127.0.0.1:{port}"
                settings.write_text(re.sub(r"url: http://\S+", url, text))

    return prepare


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far, and resident megabytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / 100
    resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert resident is not None
    return cpu_s, int(resident[1]) / 1024


def samples(report: Report) -> dict[str, int]:
    return {m.name: m.samples for m in report.meters if not m.name.startswith("flooded")}


@pytest.mark.parametrize(
    "kinds",
    [
        ["modbus tcp", "modbus rtu", "p1 noise", "sml noise", "mqtt acknowledgements"],
        ["mqtt messages nobody asked for", "http interim"],
        ["mqtt pongs", "http chunks"],
    ],
    ids=["lines", "interim", "chunks"],
)
async def test_floods_cost_the_meters_nothing(
    kinds: list[str], start_site: "StartSite", tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        ports = {kind: stack.enter_context(flooder(kind)) for kind in kinds}
        async with start_site(tmp_path, prepare=beside(ports)) as site:
            before = await site.until(lambda r: min(samples(r).values()) >= 2, "all are read")
            assert site.daemon.process is not None
            pid, began_s = site.daemon.process.pid, time.monotonic()
            cpu_s, resident_mb = usage(pid)
            until_s = before.now_s + MEASURED_S
            after = await site.until(lambda r: r.now_s >= until_s, "time passes")
            now_cpu_s, now_resident_mb = usage(pid)

            for name, count in samples(after).items():
                assert count - samples(before)[name] >= 0.8 * MEASURED_S, name
            assert (now_cpu_s - cpu_s) / (time.monotonic() - began_s) <= MAX_CPU
            assert now_resident_mb - resident_mb <= MAX_GROWTH_MB
            assert site.daemon.starts == 1
            if not any(kind.startswith("http") for kind in kinds):
                assert after.destinations[0].accepted > 0

            said = site.log("WARNING")
            for kind in kinds:
                assert any(re.search(SAID[kind], line) for line in said), (kind, said)
            assert len(said) <= 2 * len(kinds), said
