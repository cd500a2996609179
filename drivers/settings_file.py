"""Files that people write: read as far as such a file can be, and no further. A FIFO would make
whoever reads it wait for ever, and `/dev/zero` has no end.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from drivers.strict_yaml import MAX_FILE_BYTES, Problem

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_bounded(path: Path, most: int = MAX_FILE_BYTES) -> tuple[bytes, int]:
    """What a regular file holds, and its mode. One byte more than such a file may have is enough
    for whoever reads it (`parse`, of a settings file) to refuse it.

    Raises OSError, also where the file is none.
    """
    _refuse_others(path, path.stat().st_mode)
    # It may have been replaced since: opening a FIFO must not wait for who writes to it.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as stream:
        mode = os.fstat(file).st_mode
        _refuse_others(path, mode)
        data: bytes | None = stream.read(most + 1)
    if data is None:  # some files of /proc would have us wait
        raise OSError(errno.EINVAL, "it cannot be read like a file", str(path))
    return data, stat.S_IMODE(mode)


def _refuse_others(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def settings_files(folder: Path) -> list[Path]:
    """The settings files in a folder, by name; none where it cannot be looked into. What begins
    with a dot is not one of ours: macOS (`._grid.yaml`) and editors (`.#grid.yaml`) leave such
    things behind.
    """
    return [path for path in entries(folder) if path.suffix == ".yaml"]


def entries(folder: Path) -> list[Path]:
    """What is in a folder, by name, but for what begins with a dot."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def is_closed(folder: Path) -> bool:
    """Whether that folder is there and cannot be looked into."""
    try:
        with os.scandir(folder):
            return False
    except PermissionError:
        return True
    except OSError:
        return False


def is_borrowed(path: Path, home: Path) -> bool:
    """Whether that file is a link to something private, or to something outside `home`, the folder
    of settings. Whoever put the link there may not be allowed to read what it points to.
    """
    try:
        real, top = path.resolve(), home.resolve()
        inside = real.is_relative_to(top)
        if inside and real == top / path.relative_to(home):
            return False
        return not (inside and real.stat().st_mode & 0o044)
    except (OSError, RuntimeError, ValueError):
        return True


def unquoted(problems: list[Problem], what: str) -> Iterator[Problem]:
    """The first problem of each file, by its line alone, for one that `is_borrowed`: nothing of it
    is shown. It is borne where all of that file's are.
    """
    hint = "it is a link, and what it points to is not shown here: put the file itself in its place"
    for file in sorted({problem.file for problem in problems}):
        its = sorted(problem for problem in problems if problem.file == file)
        borne = all(problem.is_borne for problem in its)
        message = "holds a value that cannot be" if borne else f"is not {what}"
        yield Problem(file, its[0].line, "", message, hint, borne)
