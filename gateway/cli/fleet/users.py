"""`meter-gateway fleet users`: who may look at the manager's page."""

import argparse
import getpass
import sys

from gateway.cli.terminal import Refused, print_table
from gateway.fleet import migrating, users
from gateway.fleet.database import Connection, connect
from gateway.fleet.settings import FleetSettings


async def act(settings: FleetSettings, args: argparse.Namespace) -> int:
    """Returns the exit code. Raises Refused, ConfigError, DatabaseError."""
    action, *names = args.words or ["list"]
    if action not in ("list", "add", "remove"):
        args.usage_error(f"users {action}: list, add or remove")
    if action == "list" and names:
        args.usage_error("users list takes no names")
    if action == "add" and len(names) != 1:
        args.usage_error("users add: give one name")
    if action == "remove" and not names:
        args.usage_error("users remove: who?")
    for name in names:
        if why := users.why_not_name(name):
            raise Refused(why)
    # Before the database is asked: a person may take a while.
    password = _password(names[0]) if action == "add" else ""
    connection = await connect(settings)
    try:
        await migrating.require(connection)
        match action:
            case "list":
                return await _list(connection)
            case "add":
                return await _add(connection, settings, names[0], password)
            case _:
                return await _remove(connection, names)
    finally:
        await connection.close()


def _password(name: str) -> str:
    """Asked for twice at a terminal; otherwise the first line of standard input. Raises Refused."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password for {name}: ")
        if getpass.getpass("The same again: ") != password:
            raise Refused("those are two passwords — nothing was changed; run it again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if why := users.why_not_password(password):
        raise Refused(f"{why} — nothing was changed; it is asked for, or read from standard input")
    return password


async def _list(connection: Connection) -> int:
    found = await users.listed(connection)
    if not found:
        print("Nobody may look at the page yet: meter-gateway fleet users add NAME")
        return 0
    print_table(
        ["user", "added (UTC)", "password of (UTC)"],
        [
            [each.name, f"{each.added:%Y-%m-%d %H:%M}", f"{each.changed:%Y-%m-%d %H:%M}"]
            for each in found
        ],
    )
    return 0


async def _add(connection: Connection, settings: FleetSettings, name: str, password: str) -> int:
    if await users.put(connection, name, password):
        print(f"{name} may look at the page.")
    else:
        print(f"{name} has another password; logins of before have ended.")
    if settings.file.page is None:
        print("The page is not served yet: fleet.yaml has no section `page:`.")
    return 0


async def _remove(connection: Connection, names: list[str]) -> int:
    gone = await users.remove(connection, names)
    missing = sorted({*names} - {*gone})
    if gone:
        print(f"May not look any more, from now on: {', '.join(gone)}.")
    if missing:
        print(f"no such user: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0
