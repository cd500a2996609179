"""The package on Debian 12 and 13, booted: from nothing to an accepted slot, and all that may
become of it afterwards. `make test-system` runs this, as root.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines.debian import Machine, booted
from tests.machines.world import NETWORK, SLOT_S, World

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("machines")]

STATE = "var/lib/meter-gateway"


def init(machine: Machine, world: World) -> str:
    (machine.root / "root/password").write_text(f"{world.exchange.password}\n")
    return machine.gateway(
        *("init", "--yes", "--clock", "assured", "--site", "home-12", "--slot", f"{SLOT_S}s"),
        *("--meter", f"grid=tcp:127.0.0.1:{world.port}@1", "--url", world.exchange.url),
        *("--canary-network", str(NETWORK), "--username", world.exchange.username),
        *("--password-file", "/root/password", "--asset", "House load=grid.import"),
    )


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_box_lives_from_its_first_minute_to_its_removal(
    suite: str,
    as_root: None,
    world: World,
    build: Callable[[str, bool], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures: dict[str, str] = {}
    deb = build("", False)
    with booted(suite, tmp_path) as machine:
        _begins(machine, world, deb, figures)
        _survives(machine, world)
        figures["restarted"] = f"{_restarted_s(machine):.2f} s"
        _reloads(machine)
        _upgrades(machine, world, build)
        _goes(machine, world)
    with capsys.disabled():
        print(f"\n{suite}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))


def _begins(machine: Machine, world: World, deb: Path, figures: dict[str, str]) -> None:
    """Two commands, and the first slot is accepted."""
    began_s = time.monotonic()
    said = machine.install(deb)
    assert "sudo meter-gateway init" in said
    assert machine.shown("ActiveState") == "inactive", "skipped, not failed"
    assert machine.shown("ConditionResult") == "no"

    said = init(machine, world)
    assert "ok grid: import" in said and "The first whole slot ends at" in said
    commands_s = time.monotonic() - began_s
    machine.until("a slot is accepted", lambda: "accepted" in slots(machine))
    figures["to the first accepted slot"] = f"{time.monotonic() - began_s:.0f} s"
    figures["both commands"] = f"{commands_s:.0f} s"
    assert time.monotonic() - began_s < 120 + 2 * SLOT_S

    figures["READY after"] = f"{_ready_s(machine):.2f} s, its buffer made"
    figures["RSS"] = f"{_rss_mib(machine):.1f} MiB"
    pages = int(machine.run("python3", "-c", _LOOKS_AT_ALL))
    assert pages >= LEAST_PAGES
    figures[f"RSS with {pages} pages looked at"] = f"{_rss_mib(machine):.1f} MiB"
    said = machine.run("systemd-analyze", "security", "meter-gateway", "--no-pager")
    level = re.search(r"exposure level.*: ([\d.]+)", said)
    assert level is not None and float(level[1]) <= 1.3
    figures["exposure"] = level[1]

    assert "Nothing needs attention." in machine.gateway("doctor")
    fields = machine.run("journalctl", "-u", "meter-gateway", "-o", "export", "--no-pager")
    assert "LOGGER=gateway." in fields and "MESSAGE_ID=" in fields
    assert "There is a configuration already" in machine.gateway("init", "--yes", "--no-scan")


def _rss_mib(machine: Machine) -> float:
    status = machine.run("cat", f"/proc/{machine.shown('MainPID')}/status")
    rss = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert rss is not None
    return int(rss[1]) / 1024


LEAST_PAGES = 20
_LOOKS_AT_ALL = """
import re
from urllib.parse import urljoin
from urllib.request import urlopen

home = "http://127.0.0.1:8080/"
seen, ahead = set(), [home + path for path in ("", "status", "metrics", "api/v1/now")]
while ahead and len(seen) < 60:
    url = ahead.pop(0)
    seen.add(url)
    with urlopen(url) as answer:
        text = answer.read().decode(errors="replace")
    if "html" in answer.headers["Content-Type"]:
        links = {urljoin(url, link) for link in re.findall('<a[^>]* href="([^"#]+)', text)}
        ahead += sorted(link for link in links - seen - {*ahead} if link.startswith(home))
print(len(seen))
"""
"""Goes from page to page, in the order of their links; prints how many it saw."""


def _ready_s(machine: Machine) -> float:
    """How long it took from its start until it said that it is ready."""
    started, ready = (
        int(machine.shown(f"{name}TimestampMonotonic")) for name in ("InactiveExit", "ActiveEnter")
    )
    return (ready - started) / 1e6


def slots(machine: Machine) -> str:
    return machine.gateway("slots", "--last", "40", code=None)


def _restarted_s(machine: Machine) -> float:
    """The same with a buffer that is there: the fastest of three starts."""
    found = []
    for _ in range(3):
        machine.run("systemctl", "restart", "meter-gateway")
        found.append(_ready_s(machine))
    return min(found)


def _survives(machine: Machine, world: World) -> None:
    """A kill, and a process that hangs."""
    pid = machine.shown("MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", "meter-gateway")
    machine.until("it is there again", lambda: _runs(machine, other_than=pid))

    pid = machine.shown("MainPID")
    machine.run("kill", "-STOP", pid)
    machine.until("the watchdog ends it", lambda: _runs(machine, other_than=pid), 180)
    before = len(world.accepted)
    machine.until("slots go on", lambda: len(world.accepted) > before)


def _runs(machine: Machine, other_than: str) -> bool:
    pid = machine.shown("MainPID")
    return machine.shown("ActiveState") == "active" and pid not in ("0", other_than)


def _reloads(machine: Machine) -> None:
    """A configuration that is right, one that is half-written, and what only a restart changes."""
    site = machine.root / "etc/meter-gateway/gateway.yaml"
    text, pid = site.read_text(), machine.shown("MainPID")
    site.write_text(text + "mqtt: {host: 127.0.0.1, port: 1, tls: false}\n")
    machine.run("systemctl", "reload", "meter-gateway")
    machine.until(
        "it is used", lambda: '"mqtt":{' in machine.gateway("status", "--json", code=None)
    )

    site.write_text(text[: len(text) // 2])
    machine.run("systemctl", "reload", "meter-gateway")
    machine.until("it is refused", lambda: "reload refused" in machine.shown("StatusText"))
    assert "reload refused" in machine.gateway("doctor", code=1)

    site.write_text(text.replace(f"slot: {SLOT_S}s", "slot: 60s"))
    machine.run("systemctl", "reload", "meter-gateway")
    machine.until("its slot is named", lambda: "market.slot" in machine.shown("StatusText"))
    site.write_text(text)
    machine.run("systemctl", "reload", "meter-gateway")
    machine.until("all is well", lambda: "reload refused" not in machine.shown("StatusText"))
    assert machine.shown("MainPID") == pid


def _upgrades(machine: Machine, world: World, build: Callable[[str, bool], Path]) -> None:
    """A version that runs, one that does not, and none of a wrong architecture."""
    said = machine.install(build("+good", False))
    assert "does not run here" not in said, said
    assert "+good" in machine.run("dpkg-query", "--show", "meter-gateway")
    before = len(world.accepted)
    machine.until("slots go on", lambda: len(world.accepted) > before)

    said = machine.install(build("+hopeless", True))
    assert "does not run here" in said
    assert "The version before (0.1.0+good) goes on, until the next upgrade" in said
    assert machine.shown("ActiveState") == "active"
    before = len(world.accepted)
    machine.until("slots go on with the version before", lambda: len(world.accepted) > before)

    said = machine.install(build("+mended", False))
    assert not (machine.root / "usr/lib/meter-gateway.previous/in-use").exists(), said
    assert machine.shown("ActiveState") == "active"


def _goes(machine: Machine, world: World) -> None:
    """Removed, all that is theirs stays; purged, what was not delivered does."""
    world.go_down()
    machine.until("something is owed", lambda: "pending" in slots(machine))
    machine.run("apt-get", "remove", "-y", "meter-gateway")
    assert (machine.root / "etc/meter-gateway/gateway.yaml").exists()
    assert (machine.root / STATE / "buffer.sqlite").exists()
    said = machine.run("apt-get", "purge", "-y", "meter-gateway")
    assert not (machine.root / "etc/meter-gateway").exists()
    (kept,) = (machine.root / "var/backups").glob("meter-gateway-*")
    assert kept.name in said
    assert "pending" in (kept / "outbox.json").read_text()
    # The exchange's form has no slots of seconds, so that the buffer is kept as well.
    assert "slots of 20 s" in (kept / "errors.txt").read_text()
    assert (kept / "buffer.sqlite").exists()
