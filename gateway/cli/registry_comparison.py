"""What `gateway.yaml` says of an exchange's assets, beside what the exchange's registry says."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.strict_yaml import Problem
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
        raise Refused(
            f"the registry of {spoken(name)} cannot be read: {text}"
            + hint_of(text, exchanges_of(settings)[name])
        ) from error


def hint_of(text: str, exchange: "Exchange") -> str:
    """What it may be, where a status alone is told."""
    if "answered 403" in text:
        return " — has this account the role for it (Exchange SDK access to this network)?"
    if "answered 404" in text:
        return f" — is there a network {exchange.canary_network}?"
    return ""


def differences(settings: "Settings", nodes: list["Node"]) -> list["Difference"]:
    """Where the registry says otherwise than `gateway.yaml`."""
    from gateway.delivery.kinds.exchange import wanted_of
    from gateway.outbox.exchange.registry import resolve

    return resolve(nodes, wanted_of(settings)).differences


def problems(settings: "Settings", found: list["Difference"]) -> Iterator["Problem"]:
    """The same, with file and line."""
    from drivers.settings_file import read_bounded
    from drivers.strict_yaml import Problem, key_text, parse

    path = settings.folder / "gateway.yaml"
    document = parse(read_bounded(path)[0], str(path))
    numbers = {asset.name: number for number, asset in enumerate(settings.assets)}
    for each in found:
        key = "assets", numbers[each.asset], each.key
        line = document.line(key)
        yield Problem(str(path), line, key_text(key), each.message, each.hint)


def silent(settings: "Settings", nodes: list["Node"]) -> Iterator[str]:
    """Assets from which nothing will be heard, though all is written rightly."""
    from gateway.delivery.kinds.exchange import wanted_of
    from gateway.outbox.exchange.registry import resolve

    wanted = wanted_of(settings)
    by_id = {each.id: each for each in wanted}
    for asset, node in resolve(nodes, wanted).nodes.items():
        if node.live is False:
            yield (
                f"{by_id[asset].name}: its live data is switched off in the exchange, which goes "
                "by uploaded profiles then: what is sent gets no verdict, and is kept — switch it "
                "on there"
            )
