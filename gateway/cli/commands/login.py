"""`meter-gateway login`: a new login for an exchange, tried before it is written down."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.delivery.kinds.exchange import Account
    from gateway.site.settings import Settings

SUMMARY = "give the exchange's login anew: it is tried, and then used at once"

GRID_OPERATOR = "grid_operator"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Asks for a user name and a password, logs in with them, and only where the exchange takes "
        "them writes them into the file that gateway.yaml names, in place of what was there. The "
        "running daemon uses them at once: nothing has to be started again. The password is "
        "neither shown nor kept by the terminal. Exit code 1 where the exchange does not take the "
        "login: the old one stays."
    )
    parser.epilog = (
        "examples:\n"
        "  sudo meter-gateway login\n"
        "  sudo meter-gateway login --username home-12@example.org --password-file /root/password\n"
        "  sudo meter-gateway login --destination grid_operator"
    )
    parser.add_argument(
        "--destination",
        metavar="NAME",
        default="exchange",
        help="whose login: a destination of gateway.yaml, or grid_operator (default: exchange)",
    )
    parser.add_argument("--username", metavar="NAME", help="of the account there")
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="its first line is the password; - is standard input (default: it is asked for)",
    )
    parser.add_argument(
        "--untried",
        action="store_true",
        help="write it down also where the exchange cannot be reached now",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 once it is written, 1 where it was not taken. Raises ConfigError or Refused."""
    import sys

    from gateway.cli.commissioning import account
    from gateway.cli.commissioning.exchange_step import password
    from gateway.cli.commissioning.files import cannot_write
    from gateway.cli.commissioning.interview import Interview
    from gateway.cli.service import unit_passes_on
    from gateway.cli.terminal import Refused
    from gateway.site.credentials import Credentials, read_credentials
    from gateway.site.service_unit import UNIT

    settings = _settings(args.config)
    its = _account(settings, args.destination)
    path = (args.config / its.credentials).absolute()
    ask = Interview(asks=sys.stdin.isatty())
    there, _ = read_credentials(path.parent, path.name) if path.exists() else (None, [])
    proposed = there.username if there is not None else ""
    username = args.username or ask.text("User name", proposed, "--username")
    login = Credentials(username, password(args, ask))
    answer = account.ask(account.Account(its.url, None, login))
    if answer.problem:
        print(answer.problem, file=sys.stderr)
        if answer.is_refused or not args.untried:
            hint = "" if answer.is_refused else "; --untried writes it down all the same"
            print(f"Nothing was changed{hint}.", file=sys.stderr)
            return 1
    try:
        problems = account.write_login(path, login)
    except OSError as error:
        raise cannot_write(path, error) from error
    if problems:
        raise Refused("\n".join(map(str, problems)))
    taken = "" if answer.problem else f"The exchange takes the login of {username}. "
    print(f"{taken}It is in {path} now, which only its owner can read.")
    if unit_passes_on(UNIT, path):
        print(f"The unit passes that file on when it starts: systemctl restart {UNIT}")
    else:
        print("A running daemon uses it at once.")
    return 0


def _settings(folder: Path) -> "Settings":
    """Logins that are wrong or missing are no mistake here: they are what is about to be mended.
    Raises ConfigError.
    """
    from gateway.operator.loading import load

    return load(folder, logins=False)


def _account(settings: "Settings", name: str) -> "Account":
    """Where that login belongs. Raises Refused."""
    from drivers.strict_yaml import nearest
    from gateway.cli.registry_comparison import exchanges_of
    from gateway.cli.terminal import Refused
    from gateway.operator.settings import GridOperator

    found: dict[str, Account] = dict(exchanges_of(settings))
    if isinstance(settings.grid_operator, GridOperator):
        found[GRID_OPERATOR] = settings.grid_operator.settings
    if name not in found:
        raise Refused(
            f"gateway.yaml has no exchange {name!r} — {nearest(name, found)}"
            if found
            else "gateway.yaml has no exchange: meter-gateway init adds one"
        )
    return found[name]
