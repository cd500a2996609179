"""`meter-gateway token`: a new token for the status page."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.site.settings import StatusSettings

SUMMARY = "make a new token for the status page, in place of the one before"

UNIT = "meter-gateway.service"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Writes a new token into the file that `status: {credentials: …}` in gateway.yaml names "
        "(status.credentials in the configuration folder). Where the status page listens beyond "
        "this machine, it asks for it. The token before is of no use any more. Only the daemon's "
        "user can read the file, and no one is shown the token."
    )
    parser.epilog = (
        "examples:\n  sudo meter-gateway token\n  meter-gateway --config ./docs/examples/home token"
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 once it is written. Raises Refused."""
    import secrets

    from gateway.cli.commissioning.files import daemon_owner, write_secret
    from gateway.cli.service import unit_passes_on
    from gateway.cli.terminal import Refused

    status = _status(args)
    path = (args.config / status.credentials).absolute()
    owner = daemon_owner()
    is_new = not path.exists()
    try:
        write_secret(path, f"token: '{secrets.token_urlsafe(32)}'\n")
    except OSError as error:
        raise Refused(
            f"{path}: the token cannot be written: {error.strerror or error} — run this as root "
            "(with sudo), or give --config the configuration folder"
        ) from error

    done = "There is a token now, in" if is_new else "There is a new token in"
    whose = f", owner {_name(owner[0])}" if owner else ""
    print(f"{done} {path} (mode 0600{whose}).")
    for line in _advice(status, path, passed_on=unit_passes_on(UNIT, path)):
        print(line)
    return 0


def _status(args: argparse.Namespace) -> "StatusSettings":
    """What gateway.yaml says of the page. Mistakes elsewhere do not matter here: without a token
    the daemon may not start.
    """
    from gateway.delivery import kinds
    from gateway.site.credentials import ConfigError
    from gateway.site.settings import StatusSettings

    try:
        return kinds.load(args.config, logins=False).status
    except ConfigError:
        return StatusSettings()


def _advice(status: "StatusSettings", path: Path, *, passed_on: bool) -> list[str]:
    from drivers.net.addresses import is_loopback

    lines = []
    if is_loopback(status.host):
        lines.append(
            f"The page listens on {status.host}, for this machine only, and asks for no token. "
            "Set `status: {host: …}` in gateway.yaml to open it to the network."
        )
    if passed_on:
        restart = f"systemctl restart {UNIT.removesuffix('.service')}"
        lines.append(f"The unit passes that file on when it starts: {restart}")
    else:
        lines.append("The daemon takes it at once: nothing has to be started again.")
    lines.append(
        "A browser is asked for it once, by the page itself; for Prometheus it is a bearer "
        f"token. See it with: cat {path}"
    )
    return lines


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
