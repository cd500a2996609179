"""Runs a command of ours as the service would run: as its user, with its groups, its credentials
and, where systemd is there, inside its walls.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import gateway
from gateway.cli.service import is_booted
from gateway.cli.terminal import Refused
from gateway.site.service_unit import Account, ServiceUnit

TOLD_VARIABLE = "METER_GATEWAY_TOLD"
"""Set for a command that need not repeat what whoever started it has told."""

PACKAGES = Path(gateway.__file__).parents[1]
"""Where another Python has to look for us: the Debian package is a tree that no Python knows."""

PATIENCE_S = 600.0
"""How long all of it may take: then it is ended."""

_WALLS = (
    "SupplementaryGroups", "StateDirectory", "StateDirectoryMode", "LoadCredential",
    "LoadCredentialEncrypted", "SetCredential", "Environment", "EnvironmentFile", "DevicePolicy",
    "DeviceAllow", "UMask", "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp",
    "ReadWritePaths", "ReadOnlyPaths", "BindPaths", "BindReadOnlyPaths", "RestrictAddressFamilies",
)  # fmt: skip
"""What is taken over from the unit: all that decides what can be read, written and reached."""


def run_as(words: Sequence[str], unit: ServiceUnit, account: Account) -> int:
    """Run `meter-gateway WORDS` as that account. Returns its exit code. Raises Refused where that
    cannot be done.
    """
    command = [sys.executable, "-P", "-m", "gateway", *words]
    told = {TOLD_VARIABLE: "1", "PYTHONPATH": str(PACKAGES)}
    sys.stdout.flush()
    if unit.is_installed and is_booted() and shutil.which("systemd-run"):
        done = _run(in_walls(command, unit, account, told))
        if not _never_began(done):
            sys.stderr.write(done.stderr)
            return done.returncode
        why = next(iter(done.stderr.splitlines()), f"status {done.returncode}")
        print(f"systemd-run could not start it ({why}): tried without the walls of the unit.")
        sys.stdout.flush()

    with passed_credentials(unit, account) as folder:
        passed = {"CREDENTIALS_DIRECTORY": str(folder)} if folder else {}
        done = _run(command, account, told | passed)
    sys.stderr.write(done.stderr)
    return done.returncode


def _never_began(done: "subprocess.CompletedProcess[str]") -> bool:
    """Whether systemd refused, or could not set up what the unit says (systemd.exec(5), "Process
    Exit Codes").
    """
    refused = done.stderr.startswith(("Failed to", "Unknown assignment", "Invalid"))
    return refused or done.returncode >= 200


def in_walls(
    command: Sequence[str],
    unit: ServiceUnit,
    account: Account,
    environ: Mapping[str, str] | None = None,
) -> list[str]:
    """The command line of systemd-run that gives a command what the unit gives the daemon."""
    settings = [f"--property={key}={value}" for key, value in unit.lines if key in _WALLS]
    return [
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect",
        f"--uid={account.name}", f"--gid={account.gid}", *settings,
        *(f"--setenv={name}={value}" for name, value in (environ or {}).items()),
        f"--property=RuntimeMaxSec={PATIENCE_S:g}", "--", *command,
    ]  # fmt: skip


def _run(
    command: Sequence[str], account: Account | None = None, more: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Standard output goes where ours does. Raises Refused."""
    kept = {key: value for key, value in os.environ.items() if key not in ("HOME", "LOGNAME")}
    try:
        return subprocess.run(  # noqa: S603 — this program, by its own interpreter
            command,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=sorted(account.gids) if account else None,
            env=kept | {"PYTHONDONTWRITEBYTECODE": "1"} | (more or {}),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE_S + 10,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"not done in {PATIENCE_S / 60:g} minutes — try again") from None
    except OSError as error:
        name = account.name if account else "root"
        raise Refused(
            f"{error.filename or command[0]}: the program cannot be run as {name}: "
            f"{error.strerror} — install it where every user may read it, such as "
            "/opt/meter-gateway"
        ) from error


@contextlib.contextmanager
def passed_credentials(unit: ServiceUnit, account: Account | None) -> Iterator[Path | None]:
    """A folder with what the unit loads as credentials, as systemd would make one. None where it
    loads nothing, or where we may not read it.
    """
    files = [(name, path) for name, path in unit.credentials() if path is not None]
    if not files or os.geteuid() != 0:
        yield None
        return
    with tempfile.TemporaryDirectory(dir="/run", prefix="meter-gateway-check-") as made:
        folder = Path(made)
        for name, path in files:
            with contextlib.suppress(OSError):  # that it is not there is told elsewhere
                (folder / Path(name).name).write_bytes(path.read_bytes())
                (folder / Path(name).name).chmod(0o400)
        for each in (folder, *folder.iterdir()):
            if account is not None:
                os.chown(each, account.uid, account.gid)
        yield folder
