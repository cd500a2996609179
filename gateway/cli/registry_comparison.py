"""What `gateway.yaml` says of an exchange's assets, beside what the exchange's registry says."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.strict_yaml import Document, Problem
    from gateway.delivery.kinds.exchange import Settings as Exchange
    from gateway.outbox.exchange.registry import Difference, Node
    from gateway.site.settings import Settings


def exchanges_of(settings: "Settings") -> Mapping[str, "Exchange"]:
    """The destinations that are exchanges, by name."""
    from gateway.delivery.kinds.exchange import Settings as Exchange

    return {
        name: each for name, each in settings.destinations.items() if isinstance(each, Exchange)
    }


def nodes_of(settings: "Settings", name: str) -> list["Node"]:
    """The registry of one exchange. Raises Refused."""
    from gateway.cli.terminal import Refused
    from gateway.delivery.destination import spoken
    from gateway.delivery.http_session import ExchangeError
    from gateway.delivery.kinds import exchange

    try:
        return asyncio.run(exchange.look_up(exchanges_of(settings)[name], settings))
    except ExchangeError as error:
        text = settings.secrets.masked(str(error))
        message = f"the registry of {spoken(name)} cannot be read: {text}"
        raise Refused(where(settings, name, message)) from error


def where(settings: "Settings", name: str, message: str) -> str:
    """The message with file and line of what it may be, where the exchange hints at that."""
    from gateway.outbox.item import EXCHANGE

    data = document_of(settings).data
    is_short = name == EXCHANGE and isinstance(data, dict) and "exchange" in data
    return where_of(settings, ("exchange",) if is_short else ("destinations", name), message)


def where_of(settings: "Settings", section: tuple[str, ...], message: str) -> str:
    """The same, for the section of gateway.yaml that names the account and the network."""
    from drivers.strict_yaml import Problem, key_text

    if "answered 403" in message:
        key = "credentials"
        hint = "has this account the role for it? Ask the exchange's operator"
    elif "answered 404" in message:
        key, hint = "canary_network", "is that the UUID of a network that this account can see?"
    else:
        return message
    document = document_of(settings)
    path = (*section, key)
    return str(Problem(document.file, document.line(path), key_text(path), message, hint))


def document_of(settings: "Settings") -> "Document":
    """`gateway.yaml` with its lines; it has been found to be right."""
    from drivers.settings_file import read_bounded
    from drivers.strict_yaml import parse

    path = settings.folder / "gateway.yaml"
    return parse(read_bounded(path)[0], str(path))


def differences(settings: "Settings", nodes: list["Node"]) -> list["Difference"]:
    """Where the registry says otherwise than `gateway.yaml`."""
    from gateway.delivery.kinds.exchange import wanted_of
    from gateway.outbox.exchange.registry import resolve

    return resolve(nodes, wanted_of(settings)).differences


def problems(settings: "Settings", found: list["Difference"]) -> Iterator["Problem"]:
    """The same, with file and line."""
    from drivers.strict_yaml import Problem, key_text

    document = document_of(settings)
    numbers = {asset.name: number for number, asset in enumerate(settings.assets)}
    for each in found:
        key = "assets", numbers[each.asset], each.key
        line = document.line(key)
        yield Problem(document.file, line, key_text(key), each.message, each.hint)


def silent(settings: "Settings", nodes: list["Node"]) -> Iterator[str]:
    """Assets from which nothing will be heard, though all is written rightly."""
    from gateway.delivery.kinds.exchange import wanted_of
    from gateway.outbox.exchange.registry import resolve

    wanted = wanted_of(settings)
    by_id = {each.id: each for each in wanted}
    for asset, node in resolve(nodes, wanted).nodes.items():
        if not node.registered:
            yield (
                f"{by_id[asset].name}: no account is registered for it in the exchange — register "
                "this one there, or what is sent may be refused"
            )
        if node.live is False:
            yield (
                f"{by_id[asset].name}: its live data is switched off in the exchange, which goes "
                "by uploaded profiles then: what is sent gets no verdict, and is kept — switch it "
                "on there"
            )
