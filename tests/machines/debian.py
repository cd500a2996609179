"""A Debian of its own, booted with systemd as its first process: made by debootstrap, started by
systemd-nspawn. It shares the network of this machine, so that a simulated meter and an exchange
here are on its loopback.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "meter-gateway-machines"
"""Where a Debian is kept once it was made: that takes minutes."""

PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,python3,ca-certificates,procps,iproute2,sudo,"
    "unattended-upgrades,systemd-timesyncd"
)
BOOT_S = 120.0
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter", "unshare", "pgrep")


def base(suite: str, architecture: str = "", packages: str = PACKAGES) -> Path:
    """The files of that Debian, as they are before anything was done to it. Another architecture
    than this machine's is made under emulation, which takes longer.
    """
    name = "-".join(filter(None, [suite, architecture, f"{zlib.crc32(packages.encode()):08x}"]))
    folder = CACHE / name
    if (folder / "made").exists():
        return folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = ["debootstrap", "--variant=minbase", f"--include={packages}"]
    words += [f"--arch={architecture}"] if architecture else []
    subprocess.run([*words, suite, str(folder / "root")], check=True, stdout=subprocess.DEVNULL)
    (folder / "made").touch()
    return folder / "root"


class Machine:
    """One that is booted."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def run(self, *words: str, code: int | None = 0, within_s: float = 300.0) -> str:
        """What a command in it says on both its outputs. None: any exit code will do."""
        done = subprocess.run(
            [*self._enter(), *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=within_s,
        )  # fmt: skip
        if code is not None and done.returncode != code:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def _enter(self) -> Sequence[str]:
        return (
            *("nsenter", "-t", str(self._leader), "-a", "env", "-i", "HOME=/root"),
            *("LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
            "DEBIAN_FRONTEND=noninteractive",
        )

    @contextlib.contextmanager
    def person(self, line: str) -> "Iterator[Person]":
        """Somebody who types that line at a terminal of it, and answers what it asks."""
        words = [*self._enter(), "script", "--quiet", "--flush", "--return", "--command", line]
        process = subprocess.Popen(
            [*words, "/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield Person(process)
        finally:
            process.kill()
            process.communicate()

    def cut_the_power(self) -> None:
        """Everything in it ends at this moment. What it had written stays: the disk of this machine
        has it.
        """
        os.kill(self._leader, signal.SIGKILL)

    def gateway(self, *words: str, code: int | None = 0) -> str:
        """The same, of our command."""
        return self.run("meter-gateway", *words, code=code)

    def shown(self, name: str) -> str:
        """What systemd says of our unit."""
        unit = "meter-gateway.service"
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").strip()

    def until(self, what: str, holds: Callable[[], object], within_s: float = 120.0) -> float:
        """Wait until that is so. Returns how long it took, in seconds."""
        began_s = time.monotonic()
        while not holds():
            if time.monotonic() - began_s > within_s:
                log = self.run("journalctl", "--no-pager", "-n", "40", "-u", "meter-gateway")
                raise AssertionError(f"never: {what}\n{log}")
            time.sleep(0.2)
        return time.monotonic() - began_s

    def install(self, deb: Path, code: int = 0) -> str:
        """As a person does it. Nothing can be fetched."""
        shutil.copy(deb, self.root / "root" / deb.name)
        offline = ["-o", "Acquire::http::Proxy=http://127.0.0.1:9", "--no-install-recommends"]
        return self.run("apt-get", "install", "-y", *offline, f"/root/{deb.name}", code=code)


class Person:
    """Somebody at a terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.heard = ""
        self._process = process
        self._attended = 0

    def answers(self, question: str, answer: str) -> None:
        """Waits for a question, and answers it. Raises AssertionError where it is never asked."""
        self.hears(question)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{answer}\n".encode())
        self._process.stdin.flush()

    def hears(self, text: str) -> None:
        """Waits until it has said this since the last time. Raises AssertionError."""
        self.hears_one_of(text)

    def hears_one_of(self, *texts: str, within_s: float = 120.0) -> str:
        """Waits until it has said the first of these. Raises AssertionError."""
        until_s = time.monotonic() + within_s
        while True:
            places = {self.heard.find(text, self._attended): text for text in texts}
            if found := [place for place in places if place >= 0]:
                text = places[min(found)]
                self._attended = min(found) + len(text)
                return text
            if not self._listens(until_s - time.monotonic()):
                raise AssertionError(f"never said {' or '.join(texts)}: {self.heard}")

    def _listens(self, within_s: float) -> bool:
        """For what it says next. False where it has ended, or says nothing any more."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, within_s))
        said = os.read(self._process.stdout.fileno(), 65536) if ready else b""
        self.heard += said.decode(errors="replace")
        return bool(said)

    def code(self) -> int:
        """Waits until it has ended. Returns its exit code."""
        while self._listens(60):
            pass
        return self._process.wait(60)


def fresh(suite: str, folder: Path) -> Path:
    """The files of a fresh machine, in that folder."""
    root = folder / suite
    subprocess.run(["cp", "-a", "--reflink=auto", str(base(suite)), str(root)], check=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {os.uname().nodename}\n")
    return root


@contextlib.contextmanager
def booted(suite: str, folder: Path, *flags: str) -> Iterator[Machine]:
    """A fresh one. `folder` is where its files go."""
    with running(fresh(suite, folder), *flags) as machine:
        yield machine


@contextlib.contextmanager
def running(root: Path, *flags: str) -> Iterator[Machine]:
    """The machine with these files, booted, with more flags for systemd-nspawn. It is shut down in
    the end, where its power was not cut before.
    """
    # Its boot clock begins when it does, as a machine's: not with this one's.
    since_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    words = ["unshare", "--time", "--boottime", f"-{since_s - 1}"]
    words += ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--boot", *flags]
    environ = os.environ | {"SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"}
    legacy = ["--setenv=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"] if root.name != "bookworm" else []
    with root.with_name(f"{root.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*words, *legacy, f"--machine=mg-{root.name}-{os.getpid()}", f"--directory={root}",
             "--console=passive"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ,
        )  # fmt: skip
    try:
        yield Machine(root, _leader(process))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _leader(process: "subprocess.Popen[bytes]") -> int:
    """Its first process, once all of it has started."""
    until_s = time.monotonic() + BOOT_S
    while time.monotonic() < until_s and process.poll() is None:
        leader = _first_in(process.pid)
        if leader and _is_up(leader):
            return int(leader)
        time.sleep(0.3)
    raise AssertionError("it does not boot")


def _first_in(pid: int) -> str:
    """Below unshare and systemd-nspawn."""
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    for child in said.stdout.split():
        name = Path(f"/proc/{child}/comm").read_text().strip()
        return child if name in ("systemd", "init") else _first_in(int(child))
    return ""


def _is_up(leader: str) -> bool:
    words: Sequence[str] = ["nsenter", "-t", leader, "-a", "systemctl", "is-system-running"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    return said in ("running", "degraded")
