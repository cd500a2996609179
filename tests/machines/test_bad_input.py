"""What may go wrong around the package on a booted machine: each is named with its remedy, nothing
is half-installed, and nothing is lost. `make test-system` runs this, as root.
"""

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines.debian import Machine, booted, fresh, running
from tests.machines.world import NETWORK, SLOT_S, World

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("machines")]

LIBRARY = "usr/lib/meter-gateway"

HOLDS = """import os, pty, time
end, theirs = pty.openpty()
open("/root/port", "w").write(os.ttyname(theirs))
os.set_inheritable(theirs, True)
if os.fork():
    os.close(theirs)
    time.sleep(600)
os.execv("/root/NAME", ["NAME", "-c", "import time; time.sleep(600)"])
"""
"""A program of that name with a serial port open, whose other end stays silent."""


def test_a_machine_that_is_not_fit_is_left_as_it_was(
    as_root: None, build: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    """No network either: all of it is done without one."""
    deb = build("", False)
    with booted("bookworm", tmp_path, "--private-network") as machine:
        _of_another_architecture(machine, _relabelled(deb, tmp_path))
        _full_disk(machine, deb)
        _read_only(machine, deb)
        machine.run("groupdel", "dialout")
        machine.install(deb)
        assert machine.run("getent", "group", "dialout"), "the package's own rule makes it"
        _read_only_configuration(machine)
        _port_of_another(machine, "agetty", "systemctl disable --now serial-getty@")
        _port_of_another(machine, "ModemManager", "systemctl disable --now ModemManager")
        _without_network(machine)
        _missing_group(machine)


def _is_not_there(machine: Machine) -> bool:
    status = machine.run("dpkg-query", "--show", "-f${Status}", "meter-gateway", code=None)
    return "installed" not in status.replace("not-installed", "") and not (
        (machine.root / "usr/bin/meter-gateway").exists()
    )


def _relabelled(deb: Path, folder: Path) -> Path:
    """The same for arm64, as far as apt can tell."""
    tree, file = folder / "tree", folder / "meter-gateway_0.1.0_arm64.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("Architecture: amd64", "Architecture: arm64"))
    words = ["dpkg-deb", "-Zgzip", "-z1", "--build", str(tree), str(file)]
    subprocess.run(words, check=True, capture_output=True)
    return file


def _of_another_architecture(machine: Machine, deb: Path) -> None:
    said = machine.install(deb, code=100)
    assert "arm64" in said
    assert _is_not_there(machine)


def _full_disk(machine: Machine, deb: Path) -> None:
    where = f"/{LIBRARY}"
    machine.run("mkdir", where)
    machine.run("mount", "-t", "tmpfs", "-o", "size=30M", "tmpfs", where)
    said = machine.install(deb, code=100)
    assert "MB are needed in /usr/lib/meter-gateway, and 30 MB are free" in said, said
    assert "sudo apt clean" in said
    assert "Nothing has been changed" in said
    machine.run("umount", where)
    machine.run("rmdir", where)
    assert _is_not_there(machine)


def _read_only(machine: Machine, deb: Path) -> None:
    _mount_read_only(machine, "/etc")
    said = machine.install(deb, code=100)
    assert "/etc cannot be written" in said, said
    assert "mount -o remount,rw /" in said
    machine.run("umount", "/etc")
    assert _is_not_there(machine)


def _mount_read_only(machine: Machine, folder: str) -> None:
    machine.run("mount", "--bind", folder, folder)
    machine.run("mount", "-o", "remount,bind,ro", folder)


def _read_only_configuration(machine: Machine) -> None:
    _mount_read_only(machine, "/etc/meter-gateway")
    said = machine.gateway("init", "--yes", "--no-exchange", "--no-scan", code=1)
    assert "cannot be written" in said, said
    assert "mount -o remount,rw /" in said
    machine.run("umount", "/etc/meter-gateway")
    assert not list((machine.root / "etc/meter-gateway").iterdir())


def _port_of_another(machine: Machine, name: str, remedy: str) -> None:
    """A program of that name has a port open; `init` says so, and what to do."""
    (machine.root / "root/hold.py").write_text(HOLDS.replace("NAME", name))
    machine.run("ln", "-sf", "/usr/bin/python3", f"/root/{name}")
    machine.run("systemd-run", "--quiet", "--unit=hold", "python3", "/root/hold.py")
    port = machine.root / "root/port"
    machine.until("the port is open", port.exists)
    said = machine.gateway(
        *("init", "--yes", "--no-exchange", "--no-start"),
        *("--meter", f"grid=serial:{port.read_text()}?baud=9600"),
        code=1,
    )
    assert "another program has the port open" in said, said
    assert remedy in said, said
    machine.run("systemctl", "stop", "hold")
    port.unlink()
    machine.run("find", "/etc/meter-gateway", "-mindepth", "1", "-delete")


def _without_network(machine: Machine) -> None:
    """The exchange cannot be reached: what is known already is written, and it is said."""
    machine.run(
        *("systemd-run", "--quiet", "--unit=meter", "meter-gateway", "sim-meter"),
        *("eastron/sdm630@1", "--line", "tcp:127.0.0.1:1502"),
    )
    (machine.root / "root/password").write_text("xyz\n")
    said = machine.gateway(
        *("init", "--yes", "--clock", "assured", "--site", "home-12", "--slot", f"{SLOT_S}s"),
        *("--meter", "grid=tcp:127.0.0.1:1502@1", "--canary-network", str(NETWORK)),
        *("--username", "me", "--password-file", "/root/password"),
        *("--asset", "House load:load=grid.import"),
        code=1,
    )
    assert "cannot be reached" in said or "cannot be resolved" in said, said
    assert "ok grid: import" in said, "the meter is read all the same"
    assert machine.shown("ActiveState") == "active"


def _missing_group(machine: Machine) -> None:
    machine.run("groupdel", "dialout")
    machine.run("systemctl", "restart", "meter-gateway", code=1)
    said = machine.gateway("doctor", code=1)
    assert "216/GROUP" in said or "group" in said, said
    assert "dialout" in said, said
    machine.run("groupadd", "--system", "dialout")
    machine.run("systemctl", "restart", "meter-gateway")
    assert machine.shown("ActiveState") == "active"


@pytest.mark.parametrize("moment", ["unpacking", "configuring"])
def test_a_power_cut_in_an_update_loses_nothing(
    moment: str,
    as_root: None,
    world: World,
    build: Callable[[str, bool], Path],
    tmp_path: Path,
) -> None:
    root = fresh("bookworm", tmp_path)
    shutil.copy(build("+next", False), root / "root/next.deb")
    with running(root) as machine:
        machine.install(build("", False))
        (root / "root/password").write_text(f"{world.exchange.password}\n")
        machine.gateway(
            *("init", "--yes", "--clock", "assured", "--site", "home-12"),
            *("--slot", f"{SLOT_S}s", "--meter", f"grid=tcp:127.0.0.1:{world.port}@1"),
            *("--url", world.exchange.url, "--canary-network", str(NETWORK)),
            *("--username", world.exchange.username, "--password-file", "/root/password"),
            *("--asset", "House load=grid.import"),
        )
        machine.until("a slot is accepted", lambda: world.accepted)
        updating = threading.Thread(target=_update_until_it_dies, args=[machine])
        updating.start()
        machine.until(moment, lambda: _is_at(machine, moment), 60)
        machine.cut_the_power()
        updating.join()
    before = dict(world.accepted)

    with running(root) as machine:
        status = machine.run("dpkg-query", "--show", "-f${Status}", "meter-gateway")
        assert not status.endswith(" installed"), "the cut came too late to show anything"
        # The old version or the new one runs, or says that it is not whole; doctor names the rest.
        if machine.shown("ActiveState") == "active":
            said = machine.gateway("doctor", code=1)
            assert "its installation was interrupted" in said, said
            assert "dpkg --configure -a" in said
        machine.run("dpkg", "--configure", "-a", code=None)
        machine.run("apt-get", "install", "-y", "--no-install-recommends", "/root/next.deb")
        assert "+next" in machine.run("dpkg-query", "--show", "meter-gateway")
        assert machine.run("dpkg", "--verify", "meter-gateway") == ""
        wanted = len(before) + 3
        machine.until("slots go on", lambda: len(world.accepted) >= wanted)
        machine.gateway("buffer", "check")
    after = world.accepted
    assert {key: after[key] for key in before} == before, "sent again with another number"
    missing = set(range(min(after), max(after), SLOT_S)) - after.keys()
    assert not missing, "slots of the time without power"


def _update_until_it_dies(machine: Machine) -> None:
    try:
        machine.run("dpkg", "--install", "/root/next.deb", code=None)
    except subprocess.SubprocessError:
        return


def _is_at(machine: Machine, moment: str) -> bool:
    if moment == "unpacking":
        return any((machine.root / LIBRARY).rglob("*.dpkg-new"))
    return bool(machine.run("pgrep", "-f", "meter-gateway.postinst configure", code=None))
