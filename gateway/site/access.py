"""Who may read and write what: whether the user of the daemon can use the files, folders and ports
that a configuration names. Judged by owners and modes, without being that user.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from drivers.line_url import LineUrl
from drivers.strict_yaml import Problem
from drivers.usb import UsbError, usb_port
from gateway.site.named_files import Kind, NamedFile, named_files
from gateway.site.service_unit import UNIT, Account, ServiceUnit, missing_groups
from gateway.site.settings import Settings

READ, WRITE, SEARCH = 4, 2, 1
"""Bits of a mode."""

_WORDS = {READ: "read", WRITE: "write", READ | WRITE: "read and write", SEARCH: "enter"}


def access_problems(
    folder: Path, settings: Settings | None, unit: ServiceUnit, account: Account
) -> Iterator[Problem]:
    """What that user cannot do with the configuration, and, where that has no mistakes, with the
    places it names.
    """
    seen: set[str] = set()
    for problem in _all(folder, settings, unit, account):
        if problem.file not in seen:  # a folder that is closed is closed to all that is in it
            seen.add(problem.file)
            yield problem


def _all(
    folder: Path, settings: Settings | None, unit: ServiceUnit, account: Account
) -> Iterator[Problem]:
    for group in missing_groups(unit):
        message = f"SupplementaryGroups names {group}, and there is no such group"
        hint = f"run: groupadd --system {group}"
        yield Problem(str(unit.path or UNIT), 0, "", message, hint)

    yield from _of_files(folder, unit, account)
    if settings is not None:
        yield from _of_state(settings.buffer_path, unit, account)
        if unit.runs(folder):
            yield from _behind_walls(settings.buffer_path.parent, unit)
        for device in settings.devices:
            yield from _of_port(device.line, account)


def _of_files(folder: Path, unit: ServiceUnit, account: Account) -> Iterator[Problem]:
    passed = {name for name, _ in unit.credentials()}
    stand_ins = {value.partition(":")[0] for value in unit.values("SetCredential")}
    for name, path in unit.credentials():
        if path is not None and not path.exists():
            hint = "systemd would not start the service: write the file, or remove the line"
            if name in stand_ins:
                hint = "the service gets what SetCredential= says instead: write the file"
            message = f"LoadCredential={name} names {path}, which is not there"
            yield Problem(str(unit.path), 0, "", message, hint)

    for place in (folder, folder / "devices"):
        if place.is_dir():
            yield from _lacking(place, READ | SEARCH, account)
    for file in named_files(folder):
        if file.kind == "credentials" and Path(file.name).name in passed:
            continue  # systemd reads it as root
        if file.kind == "profile" and (maker := file.path.parent).is_dir():
            yield from _lacking(maker, READ | SEARCH, account)
        if file.path.exists():
            yield from _lacking_file(file, account)


def _lacking_file(file: NamedFile, account: Account) -> Iterator[Problem]:
    yield from _lacking(file.path, READ, account, file.kind)


def _of_state(buffer: Path, unit: ServiceUnit, account: Account) -> Iterator[Problem]:
    """The folder of the buffer, and the files in it. What `StateDirectory=` names is made by
    systemd, and given to its user where it belongs to another.
    """
    folder = buffer.parent
    if not folder.exists():
        if not any(folder.is_relative_to(made) for made in unit.state_folders()):
            above = next(each for each in folder.parents if each.exists())
            yield from _lacking(above, WRITE | SEARCH, account, "state")
        return

    given = folder in unit.state_folders() and folder.stat().st_uid != account.uid
    if given:
        return
    closed = list(_lacking(folder, READ | WRITE | SEARCH, account, "state"))
    yield from closed
    for path in sorted(folder.glob(f"{buffer.name}*")):
        if not closed and path.is_file():
            yield from _lacking(path, READ | WRITE, account, "state")


def _behind_walls(state: Path, unit: ServiceUnit) -> Iterator[Problem]:
    """What systemd does not let the service see or write, whatever owners and modes say."""
    message, hint = "", f"in systemctl edit {UNIT}, write under [Service]: ReadWritePaths={state}"
    writable = [*unit.state_folders(), *map(Path, " ".join(unit.values("ReadWritePaths")).split())]
    if any(state.is_relative_to(place) for place in writable):
        return
    if unit.value("ProtectHome") in ("yes", "true") and _is_in(state, "/home", "/root"):
        message = "the service does not see this folder (ProtectHome=yes)"
        hint = "keep the buffer in /var/lib/meter-gateway"
    elif unit.value("PrivateTmp") in ("yes", "true") and _is_in(state, "/tmp", "/var/tmp"):  # noqa: S108
        message = (
            "the service has a folder of its own here, which goes when it ends (PrivateTmp=yes)"
        )
        hint = "keep the buffer in /var/lib/meter-gateway"
    elif unit.value("ProtectSystem") == "strict":
        message = "the service may not write to this folder (ProtectSystem=strict)"
    if message:
        yield Problem(str(state), 0, "", message, hint)


def _is_in(path: Path, *places: str) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _of_port(line: LineUrl, account: Account) -> Iterator[Problem]:
    """A serial port that is there. One that is not may be plugged in later."""
    if line.scheme not in ("serial", "usb"):
        return
    try:
        path = Path(usb_port(line.target) if line.scheme == "usb" else line.target)
        found = path.stat()
    except (OSError, UsbError):
        return
    if stat.S_ISCHR(found.st_mode):
        yield from _lacking(path, READ | WRITE, account, "port")


def _lacking(
    path: Path, wanted: int, account: Account, kind: Kind | str = "settings"
) -> Iterator[Problem]:
    """At most one problem: the first folder on the way that is closed, or the file itself."""
    real = path.resolve()
    ways = [*reversed(path.absolute().parents), *reversed(real.parents)]
    for folder in dict.fromkeys(ways):
        if not _may(folder, SEARCH, account):
            yield _problem(folder, SEARCH, account, "folder")
            return
    if not _may(real, wanted, account):
        yield _problem(real, wanted, account, kind)


def _may(path: Path, wanted: int, account: Account) -> bool:
    """Whether the mode allows it. A list of access rights (acl(5)) may allow more than the mode
    shows; then nothing is claimed.
    """
    if account.uid == 0:
        return True
    try:
        found = path.stat()
        if "system.posix_acl_access" in os.listxattr(path):
            return True
    except OSError as error:
        return error.errno != errno.EACCES
    if found.st_uid == account.uid:
        bits = found.st_mode >> 6
    elif found.st_gid in account.gids:
        bits = found.st_mode >> 3
    else:
        bits = found.st_mode
    return bits & wanted == wanted


def _problem(path: Path, wanted: int, account: Account, kind: Kind | str) -> Problem:
    found = path.stat()
    mode, owner, group = stat.S_IMODE(found.st_mode), _owner(found), _group_of(found)
    folder = path.is_dir()
    doing = _WORDS.get(wanted & ~SEARCH if wanted != SEARCH and folder else wanted, "use")
    what = "folder" if folder else "port" if kind == "port" else "file"
    message = (
        f"the service runs as {account.name}, who cannot {doing} this {what} (mode {mode:04o}, "
        f"owner {owner}:{group})"
    )
    return Problem(str(path), 0, "", message, _remedy(path, mode, group, account, kind, folder))


def _remedy(
    path: Path, mode: int, group: str, account: Account, kind: Kind | str, folder: bool
) -> str:
    name = account.name
    if kind == "port":
        if mode & 0o060 == 0o060 and group == "root":
            return f"run: chgrp dialout {path}"
        if mode & 0o060 == 0o060:
            return f"run: usermod -aG {group} {name}, and start the service anew"
        if path.is_relative_to("/dev/pts"):
            return f"start what is behind this pty as {name}, or run: chmod 666 {path}"
        return (
            f"its group {group} may not use it, as where a login waits on it: systemctl disable "
            f"--now serial-getty@{path.name}, then plug it in again or restart"
        )
    if kind == "credentials":
        return f"run: chown {name} {path}"
    if kind == "state":
        return f"run: chown {'-R ' if folder else ''}{name}: {path}"
    if kind == "folder":
        return f"run: chmod o+x {path}, or keep what it holds elsewhere"
    if folder:
        return f"run: chgrp {_gid_name(account)} {path} && chmod g+rx {path}"
    return f"run: chgrp {_gid_name(account)} {path} && chmod g+r {path}"


def _owner(found: os.stat_result) -> str:
    try:
        return pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        return str(found.st_uid)


def _group_of(found: os.stat_result) -> str:
    try:
        return grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        return str(found.st_gid)


def _gid_name(account: Account) -> str:
    try:
        return grp.getgrgid(account.gid).gr_name
    except KeyError:
        return str(account.gid)
