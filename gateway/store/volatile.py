"""Whether a file lies in memory, and is gone with the power.

Source: proc_pid_mountinfo(5); overlayfs: docs.kernel.org/filesystems/overlayfs.html.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_RAM_DISK = re.compile(r"/dev/(ram|zram)\d+")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: Path
    kind: str
    source: str
    options: str


def volatile(path: Path, mounts: Sequence[Mount] | None = None) -> str:
    """What to say of a buffer that lies in memory; nothing where it does not, or where that cannot
    be found out.
    """
    found = _mounts() if mounts is None else mounts
    mount = _mount_of(_resolved(path), found)
    if mount is None or not _is_in_memory(mount, found):
        return ""
    return (
        f"{path}: lies in memory ({mount.kind} on {mount.point}): all of it is gone with the "
        "power, also what is still owed; let buffer.path in gateway.yaml name a file on a disk"
    )


def _is_in_memory(mount: Mount, mounts: Sequence[Mount]) -> bool:
    if mount.kind in _IN_MEMORY or _RAM_DISK.fullmatch(mount.source):
        return True
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options)
    if mount.kind != "overlay" or upper is None:
        return False
    # What is written lies in its upper folder.
    beneath = _mount_of(Path(upper[1]), [each for each in mounts if each != mount])
    return beneath is not None and beneath.kind in _IN_MEMORY


def _mount_of(path: Path, mounts: Sequence[Mount]) -> Mount | None:
    """The one that a path lies on: the deepest, and of two in one place the later one."""
    over = [mount for mount in mounts if path.is_relative_to(mount.point)]
    return max(
        enumerate(over), key=lambda each: (len(each[1].point.parts), each[0]), default=(0, None)
    )[1]


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except OSError:
        return path.absolute()


def _mounts() -> list[Mount]:
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return list(parsed(lines))


def parsed(lines: Sequence[str]) -> list[Mount]:
    """The lines of mountinfo."""
    found = []
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, (kind, source, options, *_) = left.split(" "), (*right.split(" "), "", "", "")
        if len(fields) > 4:
            found.append(Mount(Path(_unescaped(fields[4])), kind, source, _unescaped(options)))
    return found


def _unescaped(text: str) -> str:
    """Blanks and the like are written as `\\\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
