"""The file systems as this process sees them.

A service has a view of the mounts of its own. What was mounted read-only when it was made stays so
in it, also once it is mounted anew outside (mount_namespaces(7)).

Source: proc_pid_mountinfo(5).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")


# No Struct: where an update was torn and a library is missing, that is said with the help of this.
@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: Path
    kind: str
    source: str
    options: str
    """Of the file system, in whatever view."""
    view: str = ""
    """Of this mount of it."""

    @property
    def can_be_written(self) -> bool:
        """Whether the file system can be, by somebody."""
        return "ro" not in self.options.split(",")

    @property
    def is_shut_for_us(self) -> bool:
        """Whether others can write it, and this process cannot."""
        return self.can_be_written and "ro" in self.view.split(",")


def mount_of(path: Path, mounts: Sequence[Mount]) -> Mount | None:
    """The one that a path lies on: the deepest, and of two in one place the later one."""
    over = [mount for mount in mounts if path.is_relative_to(mount.point)]
    return max(
        enumerate(over), key=lambda each: (len(each[1].point.parts), each[0]), default=(0, None)
    )[1]


def resolved(path: Path) -> Path:
    """The path itself, as far as that can be found out."""
    try:
        return path.resolve()
    except OSError:
        return path.absolute()


def own_mounts() -> list[Mount]:
    """What this process sees; nothing where it may not look."""
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
            view = fields[5] if len(fields) > 5 else ""
            point = Path(_unescaped(fields[4]))
            found.append(Mount(point, kind, source, _unescaped(options), view))
    return found


def _unescaped(text: str) -> str:
    """Blanks and the like are written as `\\\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
