"""An account of an exchange: tried before its login is written down."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from drivers.strict_yaml import Problem
from gateway.cli.commissioning.files import write_secret
from gateway.delivery.exchange.look_up import log_in, look_up
from gateway.delivery.http_session import ExchangeError, LoginRefused, NotAllowed, Session
from gateway.delivery.kinds.exchange import LOGIN_WITHIN_S
from gateway.outbox.exchange.registry import Node
from gateway.site.credentials import Credentials, read_credentials

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """Where to log in, and as whom."""

    url: str
    network: UUID | None
    """None: only the login is tried."""
    login: Credentials = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the exchange said to a login."""

    nodes: tuple[Node, ...] = ()
    """The network's markets and assets."""
    problem: str = ""
    """Why they are not known. Empty: all went well."""
    is_refused: bool = False
    """The exchange was reached, and did not take it."""


def ask(account: Account) -> Answer:
    """Log in, and read the network's registry."""
    session = Session(account.url, lambda: account.login, TIMEOUT_S)
    try:
        if account.network is None:
            asyncio.run(log_in(session, LOGIN_WITHIN_S))
            return Answer()
        return Answer(tuple(asyncio.run(look_up(session, str(account.network), LOGIN_WITHIN_S))))
    except (LoginRefused, NotAllowed) as error:
        return Answer(problem=str(error), is_refused=True)
    except (ExchangeError, OSError, ValueError) as error:
        is_refused = "answered 404" in str(error) or "answered 403" in str(error)
        return Answer(problem=str(error), is_refused=is_refused)


def quoted(text: str) -> str:
    """A text in YAML's single quotes."""
    return "'" + text.replace("'", "''") + "'"


def write_login(path: Path, login: Credentials) -> list[Problem]:
    """Write a credentials file that only the daemon's user can read, and read it back. What is
    wrong with it as a file is returned: a line break in a password cannot be written. Raises
    OSError.
    """
    text = f"username: {quoted(login.username)}\npassword: {quoted(login.password)}\n"
    write_secret(path, text)
    found, problems = read_credentials(path.parent, path.name)
    if found is not None and found != login:
        hint = "it has a character that a line of text cannot hold: have it changed there"
        return [Problem(str(path), 0, "", "the login cannot be written down", hint)]
    return problems


def our_own(nodes: tuple[Node, ...]) -> Mapping[str, Node]:
    """The assets that energy can be delivered for, by their names: those that the account is
    registered for, or all where it is for none.
    """
    assets = [node for node in nodes if not node.is_market and node.uuid is not None]
    registered = [node for node in assets if node.registered]
    return {node.name: node for node in registered or assets}
