"""The commands of docs/install.md and docs/first-hour.md, typed as they stand there into a booted
Debian 12, in one life of a box. `make test-system` runs this, as root.

What a page says and this machine has otherwise is put in its place: the file of the package, where
the meters and the exchange are, a slot of seconds, a clock that nobody synchronises.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.machines.conftest import ROOT
from tests.machines.debian import Machine, booted
from tests.machines.world import SLOT_S, World
from tests.test_docs import the

PAGES = ("first-hour.md", "install.md")
COMMANDS = ("sudo ", "meter-gateway ", "make ", "ssh ", "gpg ")
"""How a line begins that is typed."""

NOT_RUN = {
    "make deb": "the package that is installed here is made by what it calls",
    "make deb ARCHITECTURE=armhf": "test_other_architectures.py installs what it calls makes",
    "sudo apt install python3 python3-venv make git": "it fetches from Debian's own archive",
    "sudo apt install gcc-arm-linux-gnueabihf": "it fetches from Debian's own archive",
    "sudo apt install unattended-upgrades": "it is on this machine from the beginning",
    "ssh -L 8080:127.0.0.1:8080 pi@home-12": "it is typed at another machine",
    "gpg --quick-generate-key 'meter-gateway repository' ed25519 sign never": (
        "the key of this test is made by the same command, without a passphrase"
    ),
    "make repository KEY=… CHANNEL=testing": "the repository here is made by what it calls",
    "sudo meter-gateway init": "it asks, and test_init.py answers; here it is run by flags",
}
"""Commands of the pages that this does not run, and why."""

INIT = (
    "sudo meter-gateway init --yes --site home-12 --meter grid=serial:/dev/ttyUSB0 "
    "--meter pv=tcp:192.168.1.20:502@1 --canary-network 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10 "
    "--username home-12@example.org --password-file /root/password"
)
UPDATES = (
    "sudo meter-gateway updates stable --repository https://example.org/debian "
    "--key meter-gateway.gpg"
)
"""Lines of the pages that are long."""


def commands(name: str) -> Iterator[str]:
    """What a page has one type, in its order."""
    for block in the(name).blocks:
        for line in re.sub(r" *\\\n *", " ", block).splitlines():
            if line.startswith(COMMANDS):
                yield line


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_pages_is_run_or_there_is_a_reason(name: str) -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    walk = source[source.index("class Walk") :]
    named = {INIT, UPDATES, *NOT_RUN}
    found = [line for line in commands(name) if line not in named and f'"{line}"' not in walk]
    assert found == [], "run these in this file, or say in NOT_RUN why not"


def test_what_is_not_run_is_still_on_a_page() -> None:
    assert NOT_RUN.keys() <= {line for name in PAGES for line in commands(name)}


class Walk:
    """A person who types what the pages say."""

    def __init__(self, machine: Machine, world: World) -> None:
        self.machine = machine
        self._here = {
            "serial:/dev/ttyUSB0": f"tcp:127.0.0.1:{world.port}@1",
            "tcp:192.168.1.20:502@1": f"tcp:127.0.0.1:{world.pv_port}@2",
            "home-12@example.org": world.exchange.username,
            "https://example.org/debian": "file:/srv/repository",
            "--key meter-gateway.gpg": "--key /srv/repository/meter-gateway.gpg",
        }
        self.page = ""

    def types(self, line: str, *more: str, says: str = "", code: int | None = 0) -> str:
        """A line of the page, with more words at its end."""
        assert line in list(commands(self.page)), f"{self.page} does not have it any more: {line}"
        for there, here in self._here.items():
            line = line.replace(there, here)
        said = self.machine.run("sh", "-c", "cd /root && " + " ".join([line, *more]), code=code)
        assert says in said, said
        return said

    def has(self, file: str, deb: Path) -> None:
        """That file of the page is this package, and lies in root's folder."""
        shutil.copy(deb, self.machine.root / "root" / deb.name)
        self._here[f"./{file}"] = f"-y ./{deb.name}"
        self._here["apt install meter-gateway"] = "apt install -y meter-gateway"

    def answers(self, line: str, *texts: str, says: str) -> None:
        """A line that asks, at a terminal: each text is typed a while after the one before."""
        typing = "; ".join(f"sleep 3; echo '{text}'" for text in texts)
        assert line in list(commands(self.page))
        said = self.machine.run("sh", "-c", f"({typing}; sleep 5) | script -qec '{line}' /dev/null")
        assert says in said, said


@pytest.mark.long
@pytest.mark.xdist_group("machines")
def test_the_commands_of_the_pages_do_what_the_pages_say(
    as_root: None,
    world: World,
    build: Callable[[str, bool], Path],
    tmp_path: Path,
) -> None:
    first, mended = build("", False), build("+mended", False)
    repository = signed_repository(tmp_path, mended)
    (tmp_path / "one").mkdir()
    with booted("bookworm", tmp_path / "one") as machine:
        (machine.root / "media/usb").mkdir()
        shutil.copytree(repository, machine.root / "srv/repository")
        walk = Walk(machine, world)
        _first_hour(walk, world, first)
        _updates(walk, world, build("+hopeless", True))
        _backups(walk, world)
        copy = (machine.root / "media/usb/home-12.sqlite").read_bytes()
        _removal(walk)
        _by_hand(walk, world, first)
        machine.run("systemctl", "stop", "meter-gateway")
    (tmp_path / "two").mkdir()
    with booted("bookworm", tmp_path / "two") as machine:
        (machine.root / "media/usb").mkdir()
        (machine.root / "media/usb/home-12.sqlite").write_bytes(copy)
        _new_card(Walk(machine, world), world, first)


def signed_repository(folder: Path, deb: Path) -> Path:
    """Signed with a key that was made just now."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    environ = {"GNUPGHOME": str(home), "PATH": "/usr/bin:/bin"}
    words = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "us", "ed25519", "sign"]
    subprocess.run([*words, "never"], env=environ, check=True, capture_output=True)
    made = folder / "repository"
    subprocess.run(
        [sys.executable, ROOT / ".ci/repository.py", "--key", "us", "--output", made, deb],
        env=environ, check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["gpgconf", "--kill", "all"], env=environ, check=True)
    return made


def _first_hour(walk: Walk, world: World, deb: Path) -> None:
    walk.page = "first-hour.md"
    walk.has("meter-gateway_0.1.0_arm64.deb", deb)
    says = "sudo meter-gateway init"
    walk.types("sudo apt install ./meter-gateway_0.1.0_arm64.deb", says=says)
    (walk.machine.root / "root/password").write_text(f"{world.exchange.password}\n")
    walk.types(
        INIT,
        *("--url", world.exchange.url, "--slot", f"{SLOT_S}s", "--clock assured"),
        says="The first whole slot ends at",
        code=None,  # on a busy machine a meter may be heard later than it waits
    )
    _until_accepted(walk, world)
    walk.types("meter-gateway slots", says="accepted")
    walk.answers(
        "sudo meter-gateway login",
        *(world.exchange.username, world.exchange.password),
        says="A running daemon uses it at once.",
    )


def _until_accepted(walk: Walk, world: World, more: int = 1) -> None:
    wanted = len(world.accepted) + more
    walk.machine.until("slots are accepted", lambda: len(world.accepted) >= wanted)


def _updates(walk: Walk, world: World, hopeless: Path) -> None:
    """As installed, changed, updated by a version that does not run, and from a repository."""
    walk.page = "install.md"
    walk.types("meter-gateway --version", says="meter-gateway 0.1.0")
    walk.types("sudo meter-gateway check", says="home-12")
    walk.types("sudo meter-gateway check --try")
    walk.types("sudo meter-gateway read pv", says="export")
    walk.types("meter-gateway status", says="PV")
    said = walk.types("meter-gateway token")
    site = walk.machine.root / "etc/meter-gateway/gateway.yaml"
    (line,) = [line for block in the("install.md").blocks for line in block.splitlines()
               if line.startswith("status: {host: 0.0.0.0}")]  # fmt: skip
    site.write_text(site.read_text() + line + "\n")
    walk.types("sudo systemctl restart meter-gateway")
    assert "token" in said
    walk.machine.until(
        "it listens to all", lambda: "0.0.0.0:8080" in walk.machine.run("ss", "-ltn")
    )
    site.write_text(site.read_text().replace(line, "status: {port: 8081}"))
    walk.types("sudo systemctl reload meter-gateway")
    walk.machine.until("it is used", lambda: ":8081" in walk.machine.run("ss", "-ltn"))

    walk.has("meter-gateway_0.2.0_arm64.deb", hopeless)
    says = "does not run here"
    walk.types("sudo apt install ./meter-gateway_0.2.0_arm64.deb", says=says)
    _until_accepted(walk, world)
    walk.types("sudo rm /usr/lib/meter-gateway.previous/in-use")
    walk.types("sudo systemctl restart meter-gateway", code=1)
    walk.types(UPDATES, says="Channel stable of file:/srv/repository")


def _backups(walk: Walk, world: World) -> None:
    walk.types("sudo apt update && sudo apt install meter-gateway")
    assert "+mended" in walk.machine.run("dpkg-query", "--show", "meter-gateway")
    _until_accepted(walk, world)
    (walk.machine.root / "media/usb/home-12.sqlite").unlink(missing_ok=True)
    walk.types("sudo meter-gateway backup /media/usb/home-12.sqlite", says="undamaged")
    walk.types("sudo systemctl stop meter-gateway")
    walk.types("sudo meter-gateway restore /media/usb/home-12.sqlite", says="Start the daemon")
    walk.types("sudo systemctl start meter-gateway")
    _until_accepted(walk, world)

    walk.types("sudo meter-gateway backup /root/old.sqlite")
    walk.types("sudo systemctl stop meter-gateway")
    walk.types(
        "sudo meter-gateway restore /root/old.sqlite --accepted-until $(date -u +%FT%H:%MZ)",
        says="count as accepted",
    )
    walk.types("sudo systemctl enable --now meter-gateway")
    _until_accepted(walk, world)


def _removal(walk: Walk) -> None:
    etc, lib = walk.machine.root / "etc", walk.machine.root / "usr/lib"
    walk.types("sudo apt remove meter-gateway", "-y")
    assert (etc / "meter-gateway/gateway.yaml").exists()
    walk.types("sudo apt purge meter-gateway", "-y")
    assert not (etc / "meter-gateway").exists()
    assert not (etc / "apt/sources.list.d/meter-gateway.sources").exists()
    assert not (lib / "meter-gateway.previous").exists()

    # What an installation of an earlier version left.
    (etc / "systemd/system/meter-gateway.service").write_text("[Service]\nExecStart=/bin/true\n")
    for name in ("etc/udev/rules.d/70-meter-gateway.rules", "etc/sysusers.d/meter-gateway.conf",
                 "usr/local/bin/meter-gateway", "opt/meter-gateway/bin/python"):  # fmt: skip
        path = walk.machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    walk.types("sudo systemctl disable --now meter-gateway")
    walk.types("sudo rm -r /etc/systemd/system/meter-gateway.service")
    walk.types(
        "sudo rm /etc/udev/rules.d/70-meter-gateway.rules /etc/sysusers.d/meter-gateway.conf"
    )
    walk.types("sudo rm -r /usr/local/bin/meter-gateway /opt/meter-gateway")
    walk.types("sudo systemctl daemon-reload")


def _by_hand(walk: Walk, world: World, deb: Path) -> None:
    """Sections 4 to 6: the files that the page shows are the ones that are used."""
    walk.has("meter-gateway_0.1.0_arm64.deb", deb)
    walk.types("sudo apt install ./meter-gateway_0.1.0_arm64.deb")
    walk.types("sudo cp -r /usr/share/doc/meter-gateway/docs/examples/home/. /etc/meter-gateway/")
    walk.types("sudo sh -c 'rm /etc/meter-gateway/devices/*.yaml'")
    # No serial port is here: it says so.
    said = walk.types("sudo meter-gateway scan --fast --write /etc/meter-gateway", code=None)
    assert "serial port" in said, said

    folder = walk.machine.root / "etc/meter-gateway"
    for name, text in _device_files().items():
        (folder / "devices" / name).write_text(_at(text, name, world))
    site = next(block for block in the("install.md").blocks if block.startswith("site: home-12"))
    site = site.replace("slot: 15min", f"slot: {SLOT_S}s")
    site = site.replace("  dialect: sdk", f"  url: {world.exchange.url}\n  dialect: sdk")
    (folder / "gateway.yaml").write_text(site + "\nclock: {trust: assured}\n")
    walk.machine.run("chown", "-R", "root:meter-gateway", "/etc/meter-gateway")
    walk.types(
        "sudo install -m 600 -o meter-gateway /dev/null /etc/meter-gateway/exchange.credentials"
    )
    login = f"username: '{world.exchange.username}'\npassword: '{world.exchange.password}'\n"
    (folder / "exchange.credentials").write_text(login)
    walk.types("sudo meter-gateway check", says="home-12")
    walk.types("sudo meter-gateway check --try")
    walk.types("sudo meter-gateway read pv", says="export")
    walk.types("sudo systemctl restart meter-gateway")
    walk.types("meter-gateway status", says="PV")
    _until_accepted(walk, world, 2)
    walk.types("meter-gateway slots", says="accepted")


def _device_files() -> dict[str, str]:
    """Of the page, by their names."""
    block = next(block for block in the("install.md").blocks if "# devices/pv.yaml" in block)
    parts = re.split(r"^# devices/(\S+)\n", block, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _at(text: str, name: str, world: World) -> str:
    """Where the meters are here, and the model of the one that has another."""
    port = world.port if name == "grid.yaml" else world.pv_port
    text = re.sub(r"^line: .*$", f"line: tcp:127.0.0.1:{port}", text, flags=re.MULTILINE)
    if name == "grid.yaml":
        text = re.sub(r"^key: .*$", "address: 1", text, flags=re.MULTILINE)
        text = re.sub(r"^profile: .*$", "profile: eastron/sdm630", text, flags=re.MULTILINE)
    return text


def _new_card(walk: Walk, world: World, deb: Path) -> None:
    """The old box has gone; this one gets its copy."""
    time.sleep(4 * SLOT_S)  # so long that what the exchange took has been applied
    before = world.accepted
    walk.page = "install.md"
    walk.has("meter-gateway_0.1.0_arm64.deb", deb)
    walk.types("sudo apt install ./meter-gateway_0.1.0_arm64.deb")
    said = walk.types(
        "sudo meter-gateway restore /media/usb/home-12.sqlite", says="those after it are missing"
    )
    assert "The first whole slot ends at" in said
    assert walk.machine.shown("ActiveState") == "active"
    _until_accepted(walk, world, 6)
    after = world.accepted
    assert {key: after[key] for key in before} == before, "sent again with another number"
    starts = sorted(after)
    missing = set(range(max(before), starts[-1], SLOT_S)) - after.keys()
    assert not missing, "slots of the time in which there was no box"
