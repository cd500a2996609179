"""Who uses something of this machine that has one user at a time, such as a line.

A claim is a socket that is bound to an abstract name (unix(7)). The kernel gives a name to one
process, and takes it back when that process ends, however it ends. It needs no folder that could
be written, and knows no users. A second socket says by its name who has it: /proc/net/unix lists
all names.

Names hold within one network namespace, as addresses of lines do. Where the system has no such
names, nothing is claimed.
"""

import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_PREFIX = "meter-gateway"
_SAYS_BYTES = 50
"""An abstract name has 107 bytes at most."""
_COMMAND_CHARACTERS = 100


class Holder(msgspec.Struct, frozen=True):
    """Who has something. What cannot be found out is None or empty."""

    pid: int | None = None
    says: str = ""
    """What it calls itself."""

    def __str__(self) -> str:
        return f"{self.name}{self.process}"

    @property
    def name(self) -> str:
        """What it calls itself, for a sentence."""
        return self.says or "another program"

    @property
    def process(self) -> str:
        """Its process, in brackets, to be put at the end; empty where that cannot be seen."""
        if self.pid is None:
            return ""
        command = command_of(self.pid)
        return f" (pid {self.pid}: {command})" if command else f" (pid {self.pid})"


class Held(Exception):
    """Another process has it."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


class Claim(msgspec.Struct):
    """What this process has, until it is closed. May be closed twice."""

    sockets: list[socket.socket] = msgspec.field(default_factory=list)

    def close(self) -> None:
        """Give it back."""
        while self.sockets:
            self.sockets.pop().close()


def claim(what: str, says: str) -> Claim:
    """Have `what` for this process alone. `says` is what the holder calls itself. What this process
    has already, it may have again. Raises Held.
    """
    mine = Claim()
    try:
        mine.sockets.append(_bound(_name(what)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return mine  # no such names here, or no descriptors left
        holder = holder_of(what) or Holder()
        if holder.pid == os.getpid():
            return mine
        raise Held(holder) from error

    mine.sockets.extend(announced(what, says).sockets)
    return mine


def announced(what: str, says: str) -> Claim:
    """Only say who has `what`: something else sees to it that nobody else does."""
    plain = " ".join(says.split()).encode()[:_SAYS_BYTES].decode(errors="ignore")
    with contextlib.suppress(OSError):
        return Claim([_bound(f"{_name(what)}:{os.getpid()}:{plain}")])
    return Claim()


def holder_of(what: str) -> Holder | None:
    """Who has `what`, by its own word."""
    begin = f"@{_name(what)}:"
    for line in _lines("/proc/net/unix"):
        _, found, rest = line.partition(begin)
        pid, _, says = rest.rstrip("\n").partition(":")
        if found and pid.isdecimal():
            return Holder(int(pid), says)
    return None


def locker_of(files: Sequence[os.stat_result], kinds: Sequence[str] = ("FLOCK",)) -> Holder | None:
    """Which other process has one of these files locked for itself (proc_locks(5))."""
    wanted = {
        f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}" for file in files
    }
    for line in _lines("/proc/locks"):
        words = line.split()
        if len(words) < 6 or words[1] not in kinds or words[3] != "WRITE":
            continue
        if words[5] in wanted and words[4] != str(os.getpid()):
            return Holder(int(words[4]) if words[4].isdecimal() and words[4] != "0" else None)
    return None


def command_of(pid: int | None) -> str:
    """The command line of a process; empty where it may not be seen."""
    if pid is None:
        return ""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    text = " ".join(" ".join(words).split())
    more = len(text) > _COMMAND_CHARACTERS
    return text[:_COMMAND_CHARACTERS] + "…" if more else text


def _name(what: str) -> str:
    return f"{_PREFIX}:{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _bound(name: str) -> socket.socket:
    """Raises OSError."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        bound.bind("\0" + name)
    except BaseException:
        bound.close()
        raise
    return bound


def _lines(path: str) -> Iterator[str]:
    with contextlib.suppress(OSError), Path(path).open(errors="replace") as file:
        yield from file
