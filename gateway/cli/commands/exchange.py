"""`meter-gateway exchange`: what the exchange knows of us."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.outbox.exchange.registry import Node, Wanted
    from gateway.site.settings import Settings

SUMMARY = "show the exchange's markets and assets, with their kinds and UUIDs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "assets: logs in to the exchange and shows the tree of its markets and assets: what each "
        "is, its UUID, whether this account is registered for it or an aggregator acts for it, "
        "whether its live data is switched on, and which asset of gateway.yaml it is. What "
        "gateway.yaml says otherwise is named below. Nothing is sent. "
        "Exit code 1 where something is otherwise, or the exchange does not answer."
    )
    parser.epilog = (
        "examples:\n"
        "  sudo meter-gateway exchange assets\n"
        "  meter-gateway exchange assets --destination second --json\n"
        "  sudo meter-gateway check --online       (the differences, with file and line)"
    )
    parser.add_argument("action", choices=["assets"], help="what to show")
    parser.add_argument(
        "--destination",
        metavar="NAME",
        default="exchange",
        help="of which exchange (default: exchange)",
    )
    parser.add_argument("--json", action="store_true", help="for programs: a list of objects")


def run(args: argparse.Namespace) -> int:
    """Returns 0 where all is as gateway.yaml says. Raises ConfigError or Refused."""
    from drivers.strict_yaml import nearest
    from gateway.cli.registry_comparison import differences, exchanges_of, nodes_of, silent
    from gateway.cli.terminal import Refused
    from gateway.delivery import kinds

    settings = kinds.load(args.config)
    exchanges = exchanges_of(settings)
    if args.destination not in exchanges:
        hint = nearest(args.destination, exchanges)
        raise Refused(f"gateway.yaml has no exchange {args.destination!r} — {hint}")
    nodes = nodes_of(settings, args.destination)
    found = differences(settings, nodes)
    if args.json:
        _print_json(settings, nodes)
        for each in found:
            print(f"otherwise: {each}", file=sys.stderr)
    else:
        exchange = exchanges[args.destination]
        print(f"Network {exchange.canary_network} at {exchange.url}")
        _print_tree(settings, nodes)
        for each in found:
            print(f"otherwise: {each}")
        for text in silent(settings, nodes):
            print(f"warning: {text}")
    return 1 if found else 0


def _ours(settings: "Settings", nodes: list["Node"]) -> dict[int, "Wanted"]:
    """The asset of gateway.yaml that a node is, by the node's place in the list."""
    from gateway.delivery.kinds.exchange import wanted_of
    from gateway.outbox.exchange.registry import resolve

    wanted = wanted_of(settings)
    found = resolve(nodes, wanted).nodes
    places = {id(node): place for place, node in enumerate(nodes)}
    return {places[id(found[each.id])]: each for each in wanted if each.id in found}


def _print_tree(settings: "Settings", nodes: list["Node"]) -> None:
    from gateway.cli.terminal import print_table

    ours = _ours(settings, nodes)
    rows = []
    for place, node in enumerate(nodes):
        wanted = ours.get(place)
        here = f"{wanted.name} ({wanted.kind})" if wanted else ""
        name = "  " * node.depth + node.name
        rows.append([name, node.type, str(node.uuid or ""), _whose(node), _live(node), here])
    print_table(["name", "type", "UUID", "registered", "live", "in gateway.yaml"], rows)


def _live(node: "Node") -> str:
    if node.is_market:
        return ""
    return "not told" if node.live is None else "yes" if node.live else "NO"


def _whose(node: "Node") -> str:
    if node.aggregator:
        return f"by aggregator {node.aggregator}"
    return "yes" if node.registered else "no"


def _print_json(settings: "Settings", nodes: list["Node"]) -> None:
    from gateway.cli.terminal import json_text

    print(json_text(list(_objects(settings, nodes)), indent=2))


def _objects(settings: "Settings", nodes: list["Node"]) -> Iterator[dict[str, Any]]:
    ours = _ours(settings, nodes)
    for place, node in enumerate(nodes):
        wanted = ours.get(place)
        yield {
            "name": node.name,
            "type": node.type,
            "uuid": None if node.uuid is None else str(node.uuid),
            "depth": node.depth,
            "market": node.is_market,
            "registered": node.registered,
            "aggregator": node.aggregator or None,
            "live": node.live,
            "asset": wanted.name if wanted else None,
        }
