"""Writes the files of a configuration folder: all of a file or nothing, with the owner and the mode
that the daemon needs.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.service import unit_owner
from gateway.cli.terminal import Refused
from gateway.site.service_unit import UNIT

SETTINGS_MODE, SECRET_MODE = 0o640, 0o600


def daemon_owner() -> tuple[int, int] | None:
    """User and group id of the daemon, for whoever may give files away; else None."""
    return unit_owner(UNIT) if os.geteuid() == 0 else None


def write_settings(path: Path, text: str) -> None:
    """Write a file that is root's and that the daemon's group may read; where a person without
    root's rights writes it, it is theirs. Raises OSError.
    """
    write_kept(path, text.encode(), is_secret=False)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only the daemon's user can read, and at no time anybody else. Raises
    OSError.
    """
    write_kept(path, text.encode(), is_secret=True)


def write_kept(path: Path, data: bytes, *, is_secret: bool) -> None:
    """Either of both. Raises OSError."""
    owner = daemon_owner()
    if is_secret:
        _write(path, data, SECRET_MODE, owner)
    else:
        _write(path, data, SETTINGS_MODE, None if owner is None else (0, owner[1]))


def make_folder(path: Path) -> None:
    """Make a folder that the daemon may look into, and those above it, where they are not there.
    Raises OSError.
    """
    made = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    if (owner := daemon_owner()) is not None:
        for each in made:
            each.chmod(0o750)
            os.chown(each, 0, owner[1])


def set_aside(path: Path, now_s: float) -> Path:
    """Give a file another name beside it, that tells when: `gateway.yaml.before-20261129T211500Z`.
    Returns it. Raises OSError.
    """
    when = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.before-{when}")
    path.rename(aside)
    return aside


def _write(path: Path, data: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    written = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, SECRET_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def cannot_write(path: Path, error: OSError) -> Refused:
    """What to say of that."""
    return Refused(
        f"{path}: cannot be written: {error.strerror or error} — run this with sudo; where the "
        "disk is mounted read-only: mount -o remount,rw /"
    )
