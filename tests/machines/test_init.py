"""`sudo meter-gateway init` on a booted Debian, as an installer meets it: with its questions, and
on a box that believes to be in 1970. `make test-system` runs this, as root.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines.debian import Machine, Person, booted
from tests.machines.world import NETWORK, SLOT_S, World

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("machines")]

DAY_S = 86_400
FAKETIME = "/etc/faketime"
"""What all that is preloaded with libfaketime adds to the clock, in seconds, at every look."""
PRELOADED = {
    "LD_PRELOAD": "/usr/lib/libfaketime.so.1",
    "FAKETIME_TIMESTAMP_FILE": FAKETIME,
    "FAKETIME_NO_CACHE": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_DISABLE_SHM": "1",
}


def here(world: World) -> str:
    """What an installer would not say: on this machine no meter is on a serial port, slots are
    short, and nobody synchronises the clock.
    """
    lines = f"--line tcp:127.0.0.1:{world.port} --line tcp:127.0.0.1:{world.pv_port}"
    return f"{lines} --url {world.exchange.url} --slot {SLOT_S}s --clock assured"


def test_answered_at_a_terminal_it_leads_to_an_accepted_slot(
    as_root: None, world: World, build: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    deb = build("", False)
    with booted("trixie", tmp_path) as machine:
        machine.install(deb)
        with machine.person(f"sudo meter-gateway init {here(world)}") as person:
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
            person.hears("ok grid: import")
            person.hears("The first whole slot ends at")
            assert person.code() == 0
        assert world.exchange.password not in person.heard, "it is not shown"
        machine.until("a slot is accepted", lambda: world.accepted)
        assert "Nothing needs attention." in machine.gateway("doctor")

        # Once more: nothing is overwritten unasked.
        site = machine.root / "etc/meter-gateway/gateway.yaml"
        before = site.read_bytes()
        with machine.person("sudo meter-gateway init --no-scan") as person:
            person.answers("Keep it? [Y/n]", "")
            assert person.code() == 0
        assert site.read_bytes() == before


def _names_the_meters(person: Person) -> None:
    """In whichever order they are found."""
    for _ in range(2):
        model = person.hears_one_of("What does eastron/sdm630", "What does eastron/sdm120")
        person.answers("Number or word", "grid" if model.endswith("630") else "pv")
        if model.endswith("120"):
            person.answers("Turn it round? [Y/n]", "")


def test_a_box_that_begins_in_1970_loses_no_slot(
    as_root: None,
    required_tool: Callable[[str], str],
    world: World,
    build: Callable[[str, bool], Path],
    tmp_path: Path,
) -> None:
    """The clock of a container is that of its machine, so libfaketime stands in front of it, for
    `init` and for the service.
    """
    required_tool("faketime")
    deb = build("", False)
    with booted("bookworm", tmp_path) as machine:
        machine.install(deb)
        _turn_back(machine)
        (machine.root / "root/password").write_text(f"{world.exchange.password}\n")
        began_s = time.time()
        said = machine.run(
            *("env", *(f"{name}={value}" for name, value in PRELOADED.items())),
            *("meter-gateway", "init", "--yes", "--clock", "assured", "--site", "home-12"),
            *("--slot", f"{SLOT_S}s", "--meter", f"grid=tcp:127.0.0.1:{world.port}@1"),
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

        (machine.root / FAKETIME[1:]).write_text("+0\n")  # somebody sets the clock
        machine.until("slots are accepted", lambda: len(world.accepted) >= 3)
    first = -(-int(began_s + 60) // SLOT_S) * SLOT_S
    assert min(world.accepted) >= began_s - SLOT_S
    assert min(world.accepted) <= first, "what was measured before counts"
    assert set(range(min(world.accepted), max(world.accepted), SLOT_S)) <= world.accepted.keys()


def _turn_back(machine: Machine) -> None:
    """To the 13th of January, 1970."""
    library = next(Path("/usr/lib").glob("*-linux-gnu*/faketime/libfaketimeMT.so.1"))
    shutil.copy(library, machine.root / PRELOADED["LD_PRELOAD"][1:])
    (machine.root / FAKETIME[1:]).write_text(f"-{int(time.time()) - 12 * DAY_S}\n")
    folder = machine.root / "etc/systemd/system/meter-gateway.service.d"
    folder.mkdir(parents=True)
    lines = [f"Environment={name}={value}" for name, value in PRELOADED.items()]
    (folder / "faketime.conf").write_text("\n".join(["[Service]", *lines, ""]))
    machine.run("systemctl", "daemon-reload")
