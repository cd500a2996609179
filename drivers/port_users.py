"""Programs that have a serial port open beside us, and take a meter's bytes away: a login that
waits on it, ModemManager, another reader of meters. The kernel lets any number of them open it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from drivers.claim import command_of

_OURS = ("meter-gateway", "-m gateway")
_PSEUDO = range(136, 144)
"""Majors of pseudo-terminals (the kernel's Documentation/admin-guide/devices.txt)."""
_LOGINS = ("agetty", "getty", "login")


def port_taken(path: str) -> str:
    """Which other program has that port open, and what to do; empty where none has, or where we may
    not see it (only root sees those of others). One of ours claims its lines, which is told where
    they are opened.
    """
    for pid in _users(path):
        command = command_of(pid)
        if command and not any(ours in command for ours in _OURS):
            what = f"another program has the port open (pid {pid}: {command})"
            return f"{what} — {_remedy(path, pid)}"
    return ""


def _remedy(path: str, pid: int) -> str:
    name = ""
    with suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    if name in _LOGINS:
        port = Path(path).resolve().name
        return f"take the login off it: systemctl disable --now serial-getty@{port}"
    if name == "ModemManager":
        return "it takes the adapter for a modem: systemctl disable --now ModemManager"
    return "end it, or give the meter another port"


def _users(path: str) -> Iterator[int]:
    """The processes that have it open, but for this one (proc(5), /proc/pid/fd)."""
    try:
        wanted = _device(Path(path))
    except OSError:
        return
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        if pid != os.getpid() and wanted[-1] and _has_open(folder, wanted):
            yield pid


def _has_open(folder: Path, wanted: tuple[int, ...]) -> bool:
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError):
                if _device(file) == wanted:
                    return True
    return False


def _device(path: Path) -> tuple[int, ...]:
    """What a file is a name of: a port is the same one in a container, under a node of its own.
    Of pseudo-terminals each container has its own. Raises OSError.
    """
    found = path.stat()
    if os.major(found.st_rdev) in _PSEUDO:
        return found.st_dev, found.st_ino, found.st_rdev
    return (found.st_rdev,)
