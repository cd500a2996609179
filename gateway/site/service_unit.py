"""The systemd unit that the daemon runs as, and the user it names: what one has to know to judge
as the daemon will see things.

The installed unit is read with its drop-ins (systemd.unit(5)), or else the one that comes with the
sources; where there is neither, the user is `meter-gateway`, in the group of serial ports.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

UNIT = "meter-gateway.service"
FOLDERS = tuple(
    map(
        Path,
        (
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
        ),
    )
)
"""Where units are, first one first (systemd.unit(5), "Unit File Load Path")."""

UNIT_VARIABLE = "METER_GATEWAY_UNIT"
"""Names the file of another unit: where the service is called otherwise, or to judge beforehand."""

SHIPPED = Path(__file__).parents[2] / "systemd" / UNIT

STATE_ROOT = Path("/var/lib")
"""Where `StateDirectory=` is."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, with all its groups."""

    name: str
    uid: int
    gid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """What the unit says in its section [Service]."""

    path: Path | None
    """None where there is no unit: then this is what it would say."""
    is_installed: bool
    lines: tuple[tuple[str, str], ...]
    """Keys and values in their order, those of drop-ins last."""

    def value(self, key: str, default: str = "") -> str:
        """The last value of a key."""
        return next((value for name, value in reversed(self.lines) if name == key), default)

    def values(self, key: str) -> list[str]:
        """All values of a key; an empty one takes back those before it."""
        found: list[str] = []
        for name, value in self.lines:
            if name == key:
                found = [*found, value] if value else []
        return found

    @property
    def user(self) -> str:
        """Its name, or number."""
        return self.value("User") or ("meter-gateway" if self.path is None else "root")

    @property
    def groups(self) -> list[str]:
        """The groups that its user is in beside its own."""
        return " ".join(self.values("SupplementaryGroups")).split()

    def credentials(self) -> Iterator[tuple[str, Path | None]]:
        """What systemd reads as root and passes on: the name of each credential, and its file."""
        for key in ("LoadCredential", "LoadCredentialEncrypted", "SetCredential"):
            for value in self.values(key):
                name, _, path = value.partition(":")
                is_file = key == "LoadCredential" and path.startswith("/")
                yield name, Path(path) if is_file else None

    def runs(self, folder: Path) -> bool:
        """Whether it is installed, and reads that configuration."""
        words = self.value("ExecStart").split()
        named = [after for word, after in pairwise(words) if word == "--config"]
        default = ["/etc/meter-gateway"]
        return self.is_installed and Path((named or default)[-1]) == folder.absolute()

    def state_folders(self) -> list[Path]:
        """What systemd makes for it, and gives to its user."""
        words = " ".join(self.values("StateDirectory")).split()
        return [STATE_ROOT / word.partition(":")[0] for word in words]


def service_unit(folders: tuple[Path, ...] | None = None) -> ServiceUnit:
    """The unit as it is on this machine."""
    folders = FOLDERS if folders is None else folders
    if named := os.environ.get(UNIT_VARIABLE):
        return ServiceUnit(Path(named), False, tuple(_lines([Path(named)])))

    installed = next((found for each in folders if (found := each / UNIT).is_file()), None)
    path = installed or (SHIPPED if SHIPPED.is_file() else None)
    if path is None:
        lines = (("SupplementaryGroups", "dialout"), ("StateDirectory", "meter-gateway"))
        return ServiceUnit(None, False, lines)

    # A drop-in of an earlier folder takes the place of one of the same name.
    drop_ins = {
        drop_in.name: drop_in
        for folder in reversed(folders)
        for drop_in in (folder / f"{UNIT}.d").glob("*.conf")
    }
    files = [path, *(drop_ins[name] for name in sorted(drop_ins))]
    return ServiceUnit(path, installed is not None, tuple(_lines(files)))


def account_of(unit: ServiceUnit) -> Account | None:
    """The user that the unit names. None where there is no such user, or no such group, yet."""
    try:
        found = pwd.getpwuid(int(unit.user)) if unit.user.isdigit() else pwd.getpwnam(unit.user)
        gid = _group(unit.value("Group")) if unit.value("Group") else found.pw_gid
        more = [_group(name) for name in unit.groups if _has_group(name)]
    except (KeyError, OverflowError):
        return None
    gids = frozenset({gid, *os.getgrouplist(found.pw_name, gid), *more})
    return Account(found.pw_name, found.pw_uid, gid, gids)


def missing_groups(unit: ServiceUnit) -> list[str]:
    """Groups that the unit names and that are not there: systemd would not start it."""
    return [name for name in unit.groups if not _has_group(name)]


def _group(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def _has_group(name: str) -> bool:
    try:
        _group(name)
    except KeyError:
        return False
    return True


def _lines(files: list[Path]) -> Iterator[tuple[str, str]]:
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        section = ""
        for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and "=" in line and line[0] not in "#;":
                key, _, value = line.partition("=")
                yield key.strip(), value.strip()
