"""What systemd says of the daemon's unit."""

import shutil
import subprocess
from pathlib import Path

USER = "meter-gateway"
"""Under which the unit runs where systemd cannot be asked."""

_PATIENCE_S = 5.0


def unit_owner(unit: str) -> tuple[int, int] | None:
    """User and group id under which the unit runs; None where there is no such user."""
    import pwd

    name = shown(unit, "User").get("User") or USER
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def unit_passes_on(unit: str, file: Path) -> bool:
    """Whether the unit is given that file as a credential of systemd's, which is a copy."""
    return f":{file}" in shown(unit, "LoadCredential").get("LoadCredential", "")


def is_booted() -> bool:
    """Whether systemd is what started this machine (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def shown(unit: str, properties: str) -> dict[str, str]:
    """Properties of the unit, named with commas between; empty where systemd does not answer."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return {}
    command = [systemctl, "show", unit, f"--property={properties}"]
    try:
        done = subprocess.run(  # noqa: S603  nothing in it is anybody's input
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}
