"""`sudo meter-gateway init` on a booted Debian, as an installer meets it: with its questions, and
on a box that believes to be in 1970. `make test-system` runs this, as root.
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines.debian import Machine, Person, booted
from tests.machines.world import NETWORK, SLOT_S, World

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("machines")]

DAY_S = 86_400
AHEAD = "/etc/clock-ahead"
"""How far the clock is ahead of the machine's that it shares, in seconds."""
SHIM = """#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t ahead(void)
{
    char text[32] = "";
    int file = open("/etc/clock-ahead", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) < 0)
        abort();
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += ahead();
    return failed;
}

time_t time(time_t *now)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (now)
        *now = at.tv_sec;
    return at.tv_sec;
}
"""
"""The C library's clock, with that added at every look."""
PRELOAD = "LD_PRELOAD=/usr/lib/clock.so"


def here(world: World, port: str) -> str:
    """What an installer would not say: on this machine no serial port has a name that is looked
    for, slots are short, and nobody synchronises the clock.
    """
    lines = f"--line tcp:127.0.0.1:{world.port} --line serial:{port}"
    return f"{lines} --url {world.exchange.url} --slot {SLOT_S}s --clock assured"


def test_answered_at_a_terminal_it_leads_to_an_accepted_slot(
    as_root: None, world: World, build: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    deb = build("", False)
    with booted("trixie", tmp_path) as machine:
        machine.install(deb)
        port = _serial_meter(machine)
        with machine.person(f"sudo meter-gateway init {here(world, port)}") as person:
            _names_the_meters(person)
            person.answers("Name of this site", "home-12")
            person.answers("Time zone", "Europe/Berlin")
            person.answers("Deliver to an exchange? [Y/n]", "")
            person.answers("Exchange [", "")
            person.answers("UUID of the network there", str(NETWORK))
            person.answers("User name there", world.exchange.username)
            person.answers("Password (it is not shown)", "a mistake")
            person.hears("does not take this user name and password")
            person.answers("User name there", world.exchange.username)
            person.answers("Password (it is not shown)", world.exchange.password)
            person.hears("House load")
            person.answers("[grid.import - grid.export + pv.export]", "")
            person.answers("[pv.export]", "")
            person.hears("Starting the service")
            heard = {person.hears_one_of("ok grid: ", "ok pv: ") for _ in range(2)}
            assert heard == {"ok grid: ", "ok pv: "}
            person.hears("The first whole slot ends at")
            assert person.code() == 0
        assert world.exchange.password not in person.heard, "it is not shown"
        machine.until("a slot is accepted", lambda: world.accepted)
        # Through the unit's walls: the user, its group, PrivateUsers, DevicePolicy.
        assert "serial:/dev/pts/" in machine.gateway("status")
        assert "Nothing needs attention." in machine.gateway("doctor")

        # Once more: nothing is overwritten unasked.
        site = machine.root / "etc/meter-gateway/gateway.yaml"
        before = site.read_bytes()
        with machine.person("sudo meter-gateway init --no-scan") as person:
            person.answers("Keep it? [Y/n]", "")
            assert person.code() == 0
        assert site.read_bytes() == before


def _serial_meter(machine: Machine) -> str:
    """One at the panels, on a serial port of that machine as its kernel has them without hardware:
    a pseudo-terminal, of the group that serial ports have. The unit names the other kinds.
    """
    machine.run(
        *("systemd-run", "--quiet", "--unit=wire", "meter-gateway", "sim-meter"),
        *("eastron/sdm120@2", "--power", "-900"),
    )
    found: list[str] = []

    def is_there() -> bool:
        log = machine.run("journalctl", "-u", "wire", "--no-pager", "-o", "cat")
        found[:] = re.findall(r"/dev/pts/\d+", log)
        return bool(found)

    machine.until("the port is there", is_there)
    machine.run("chgrp", "dialout", found[0])
    machine.run("chmod", "660", found[0])
    folder = machine.root / "etc/systemd/system/meter-gateway.service.d"
    folder.mkdir(parents=True)
    (folder / "port.conf").write_text("[Service]\nDeviceAllow=char-pts rw\n")
    machine.run("systemctl", "daemon-reload")
    return found[0]


def _names_the_meters(person: Person) -> None:
    """In whichever order they are found."""
    models = {"What does Eastron SDM630": "grid", "What does Eastron SDM120": "pv"}
    for _ in models:
        model = person.hears_one_of(*models, within_s=300)  # it tries many settings of a port
        person.answers("Number or word", models[model])


def test_a_box_that_begins_in_1970_loses_no_slot(
    as_root: None,
    required_tool: Callable[[str], str],
    world: World,
    build: Callable[[str, bool], Path],
    tmp_path: Path,
) -> None:
    """The clock of a container is that of its machine, so another one stands in front of it, for
    `init` and for the service.
    """
    compiler = required_tool("cc")
    deb = build("", False)
    with booted("bookworm", tmp_path) as machine:
        machine.install(deb)
        _turn_back(machine, compiler)
        (machine.root / "root/password").write_text(f"{world.exchange.password}\n")
        began_s = time.time()
        said = machine.run(
            *("env", PRELOAD, "meter-gateway", "init", "--yes", "--clock", "assured"),
            *("--site", "home-12", "--slot", f"{SLOT_S}s"),
            *("--meter", f"grid=tcp:127.0.0.1:{world.port}@1"),
            *("--url", world.exchange.url, "--canary-network", str(NETWORK)),
            *("--username", world.exchange.username, "--password-file", "/root/password"),
            *("--asset", "House load=grid.import"),
            code=None,
        )
        assert "This machine believes that it is 1970-01-13" in said, said
        assert "timedatectl set-time" in said
        assert "ok grid: import" in said, "it is read all the same"
        assert "The first whole slot ends" not in said
        assert machine.shown("ActiveState") == "active"
        time.sleep(2 * SLOT_S)
        assert not world.accepted, "no slot is dated by such a clock"
        assert "1970" in machine.gateway("status", code=None)

        (machine.root / AHEAD[1:]).write_text("0\n")  # somebody sets the clock
        machine.until("slots are accepted", lambda: len(world.accepted) >= 3)
    first = -(-int(began_s + 60) // SLOT_S) * SLOT_S
    assert min(world.accepted) >= began_s - SLOT_S
    assert min(world.accepted) <= first, "what was measured before counts"
    assert set(range(min(world.accepted), max(world.accepted), SLOT_S)) <= world.accepted.keys()


def _turn_back(machine: Machine, compiler: str) -> None:
    """To the 13th of January, 1970."""
    source = machine.root / "root/clock.c"
    source.write_text(SHIM)
    words = [compiler, "-shared", "-fPIC", "-O2", "-o", str(machine.root / "usr/lib/clock.so")]
    subprocess.run([*words, str(source)], check=True)
    (machine.root / AHEAD[1:]).write_text(f"-{int(time.time()) - 12 * DAY_S}\n")
    folder = machine.root / "etc/systemd/system/meter-gateway.service.d"
    folder.mkdir(parents=True)
    (folder / "clock.conf").write_text(f"[Service]\nEnvironment={PRELOAD}\n")
    machine.run("systemctl", "daemon-reload")
