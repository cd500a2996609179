"""dpkg installs, upgrades, removes and purges the package in a folder: what the maintainer scripts
do. Real are dpkg, the scripts and the launcher; the program and systemd are small ones.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.package.small_checkout import Checkout

pytestmark = [
    pytest.mark.xdist_group("package"),
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs as root only"),
]

SYSTEMCTL = Path(__file__).with_name("small_systemctl.py")


@dataclass(frozen=True, slots=True)
class Machine:
    """A folder that dpkg takes for a machine."""

    root: Path
    environ: dict[str, str]

    def dpkg(self, *words: str | Path, code: int = 0) -> str:
        """Runs dpkg; returns all that it said."""
        done = subprocess.run(
            [
                "dpkg", f"--root={self.root}", "--force-script-chrootless", "--force-depends",
                "--force-bad-path", *words,
            ],
            env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def configure(self) -> None:
        """As after `init`: there is a configuration and a buffer, and the service runs."""
        (self.root / "etc/meter-gateway/gateway.yaml").write_text("site: x\n")
        self.systemctl("start", "meter-gateway.service")
        assert self.ran() == "meter-gateway"
        (self.root / "calls.txt").unlink()

    def systemctl(self, *words: str) -> None:
        subprocess.run(["systemctl", *words], env=self.environ, check=True)

    def ran(self) -> str:
        """The folder of the program that the service ran last."""
        return Path((self.root / "etc/meter-gateway/ran.txt").read_text()).name

    def calls(self) -> list[str]:
        """What systemd was told, but for questions."""
        lines = (self.root / "calls.txt").read_text().splitlines()
        return [line.split()[0] for line in lines if line.split()[0] not in ("show", "is-active")]

    @property
    def store(self) -> Path:
        return self.root / "etc/meter-gateway/buffer.sqlite"

    def schema(self, store: Path | None = None) -> int:
        with closing(sqlite3.connect(store or self.store)) as buffer:
            found: int = buffer.execute("PRAGMA user_version").fetchone()[0]
        return found

    @property
    def in_use(self) -> Path:
        return self.root / "usr/lib/meter-gateway.previous/in-use"


@pytest.fixture
def machine(required_tool: Callable[[str], str], tmp_path: Path) -> Machine:
    for tool in ("dpkg", "systemd-sysusers", "deb-systemd-helper"):
        required_tool(tool)
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print(*sys.version_info[:2])"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    if version not in ("3 11", "3 13"):
        pytest.skip("/usr/bin/python3 is none that the package is for")
    root = tmp_path / "root"
    for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "run/systemd/system", "bin"):
        (root / name).mkdir(parents=True)
    for name in ("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/passwd", "etc/group"):
        (root / name).touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    stand_in = f'#!/bin/sh\nexec "{sys.executable}" "{SYSTEMCTL}" "{root}" "$@"\n'
    (tools / "systemctl").write_text(stand_in)
    (tools / "deb-systemd-invoke").write_text(stand_in)
    (tools / "sleep").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    return Machine(root, os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "LC_ALL": "C"})


@pytest.fixture
def installed(machine: Machine, checkout: Checkout) -> Machine:
    machine.dpkg("--install", checkout.build())
    return machine


def test_a_first_installation_says_what_to_do_next(machine: Machine, checkout: Checkout) -> None:
    said = machine.dpkg("--install", checkout.build())
    assert "sudo meter-gateway init" in said
    assert "meter-gateway:x:" in (machine.root / "etc/passwd").read_text()
    assert (machine.root / "etc/meter-gateway").stat().st_mode & 0o777 == 0o750
    assert list((machine.root / "usr/lib/meter-gateway").rglob("*.pyc")), "it starts faster"
    assert (
        machine.root / "etc/systemd/system/multi-user.target.wants/meter-gateway.service"
    ).is_symlink()
    assert machine.dpkg("--verify", "meter-gateway") == ""


def test_an_armv6_machine_is_refused_with_words(machine: Machine, checkout: Checkout) -> None:
    lock = checkout.folder / "systemd/debian/wheels.sha256"
    lock.write_text("".join(line for line in lock.read_text().splitlines(True) if "plain" in line))
    uname = Path(machine.environ["PATH"].split(":")[0]) / "uname"
    uname.write_text("#!/bin/sh\necho armv6l\n")
    uname.chmod(0o755)
    deb = checkout.build(architecture="armhf")
    said = machine.dpkg("--force-architecture", "--install", deb, code=1)
    assert "ARMv6" in said
    assert not (machine.root / "usr/lib/meter-gateway").exists()


def test_another_architecture_is_refused_by_dpkg(machine: Machine, checkout: Checkout) -> None:
    own = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True)
    other = "arm64" if own.stdout.strip() == b"amd64" else "amd64"
    said = machine.dpkg("--install", checkout.build(architecture=other), code=1)
    assert "does not match system" in said


def test_an_upgrade_restarts_once_and_keeps_the_version_before(
    installed: Machine, checkout: Checkout
) -> None:
    installed.configure()
    installed.dpkg("--install", checkout.build("+2"))
    assert [call for call in installed.calls() if call != "daemon-reload"] == ["stop", "start"]
    assert installed.ran() == "meter-gateway"
    assert (installed.in_use.parent / "version").read_text() == "0.1.0\n"
    assert not installed.store.with_name("buffer.sqlite.before-0.1.0+2").exists(), "same schema"


def test_a_version_that_refuses_the_configuration_never_touches_the_buffer(
    installed: Machine, checkout: Checkout
) -> None:
    installed.configure()
    (checkout.folder / "gateway/fails").write_text("check")
    checkout.add_migration(2)
    said = installed.dpkg("--install", checkout.build("+2"))
    assert "0.1.0+2 does not run here: it refuses the configuration: gateway.yaml:1: wrong" in said
    assert "The version before (0.1.0) goes on" in said
    assert installed.ran() == "meter-gateway.previous"
    assert installed.schema() == 1


def test_a_version_that_does_not_start_gives_the_buffer_back(
    installed: Machine, checkout: Checkout
) -> None:
    installed.configure()
    (checkout.folder / "gateway/fails").write_text("run")
    checkout.add_migration(2)
    said = installed.dpkg("--install", checkout.build("+2"))
    assert "it does not start: not started: as it said" in said
    assert installed.ran() == "meter-gateway.previous"
    assert installed.schema() == 1
    assert (installed.root / "active").exists()


def test_the_next_version_is_tried_again_and_what_ran_is_still_kept(
    installed: Machine, checkout: Checkout
) -> None:
    installed.configure()
    fails = checkout.folder / "gateway/fails"
    fails.write_text("run")
    installed.dpkg("--install", checkout.build("+2"))
    assert installed.in_use.exists()
    fails.unlink()
    checkout.add_migration(2)
    installed.dpkg("--install", checkout.build("+3"))
    assert installed.ran() == "meter-gateway"
    assert not installed.in_use.exists()
    assert (installed.in_use.parent / "version").read_text() == "0.1.0\n", "not that of +2"
    assert installed.schema() == 2
    assert installed.schema(installed.store.with_name("buffer.sqlite.before-0.1.0+3")) == 1


SMALL_DISK = """#!/bin/sh
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
case "$2" in
    */etc/meter-gateway) echo "disk 9000 8000 1000 89% /etc" ;;
    *) echo "disk 9000000 1000000 8000000 12% /" ;;
esac
"""
"""A df that tells of room everywhere but beside the buffer."""


def test_where_there_is_no_room_for_a_copy_it_says_so_before_anything_is_changed(
    installed: Machine, checkout: Checkout
) -> None:
    installed.configure()
    df = Path(installed.environ["PATH"].split(":")[0]) / "df"
    df.write_text(SMALL_DISK)
    df.chmod(0o755)
    said = installed.dpkg("--install", checkout.build("+2"))
    assert "no room" not in said, "the form of the buffer stays"
    checkout.add_migration(2)
    said = installed.dpkg("--install", checkout.build("+3"))
    assert f"there is no room for a copy of\n{installed.store}" in said
    told = said.index("if the new version does not run, there is no way back")
    assert told < said.index("Unpacking meter-gateway")


def test_without_a_copy_the_buffer_stays_with_the_version_that_changed_it(
    installed: Machine, checkout: Checkout
) -> None:
    installed.configure()
    (installed.root / "usr/lib/meter-gateway/gateway/fails").write_text("backup")
    (checkout.folder / "gateway/fails").write_text("run")
    checkout.add_migration(2)
    said = installed.dpkg("--install", checkout.build("+2"))
    assert "there is no copy of the buffer, and so no way back" in said
    assert "0.1.0+2 does not run (it does not start" in said
    assert not installed.in_use.exists()
    assert installed.schema() == 2


def test_what_does_not_run_is_not_started_by_an_upgrade(
    installed: Machine, checkout: Checkout
) -> None:
    installed.dpkg("--install", checkout.build("+2"))
    assert not (installed.root / "active").exists()


def test_removing_keeps_configuration_and_buffer(installed: Machine) -> None:
    installed.configure()
    installed.dpkg("--remove", "meter-gateway")
    assert installed.store.exists()
    assert not (installed.root / "usr/lib/meter-gateway").exists()
    assert not (installed.root / "active").exists()


@pytest.mark.parametrize(
    ("outbox", "kept"), [('[\n {"state": "pending"}\n]', ["PV.csv", "outbox.json"]), ("[]", [])]
)
def test_purging_keeps_what_was_not_delivered(
    installed: Machine, outbox: str, kept: list[str]
) -> None:
    installed.configure()
    (installed.root / "etc/meter-gateway/outbox.json").write_text(outbox)
    (installed.root / "var/lib/meter-gateway").mkdir(parents=True)
    said = installed.dpkg("--purge", "meter-gateway")
    assert not (installed.root / "etc/meter-gateway").exists()
    assert not (installed.root / "var/lib/meter-gateway").exists()
    found = [path.name for path in (installed.root / "var/backups").glob("*/*")]
    assert sorted({*kept} & {*found}) == kept
    assert bool(found) == bool(kept)
    assert ("1 items were not delivered" in said) == bool(kept)


def test_purging_keeps_the_buffer_where_nobody_can_tell_what_was_delivered(
    installed: Machine,
) -> None:
    state = installed.root / "var/lib/meter-gateway"
    state.mkdir(parents=True)
    (state / "buffer.sqlite").write_bytes(b"damaged")
    (installed.root / "etc/meter-gateway/gateway.yaml").write_text("site: x\n")
    (installed.root / "etc/meter-gateway/outbox.json").mkdir()
    said = installed.dpkg("--purge", "meter-gateway")
    assert "could not be told what was delivered" in said
    found = [path.read_bytes() for path in (installed.root / "var/backups").glob("*/*.sqlite")]
    assert found == [b"damaged"]
