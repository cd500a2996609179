"""Which markets of a network the agent sets fees in, by the exchange's registry. Pure.

A market is one of the operator's where the registry has it as registered for the account. One that
another aggregator acts for is left to it, unless the operator says otherwise.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from msgspec import Struct, field

from drivers.strict_yaml import nearest
from gateway.outbox.exchange.registry import Node


class Market(Struct, frozen=True):
    """One market that fees are set in."""

    name: str
    uuid: UUID
    is_root: bool = False
    """The uppermost one: its throughput is always told as 0."""


class Held(Struct, frozen=True):
    """A market that has to be selected first. `by`: the name of the aggregator that acts for it
    now; empty where none does.
    """

    market: Market
    by: str = ""


class Chosen(Struct, frozen=True):
    """What the registry comes to."""

    ours: list[Market] = field(default_factory=list)
    """The agent's aggregator acts for these already."""
    to_select: list[Held] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a market is left out, by its name."""


def choose(
    nodes: Sequence[Node],
    names: Sequence[str],
    aggregator: str,
    *,
    take_over: bool,
    dry_run: bool = False,
) -> Chosen:
    """The markets of these names; without names all that are registered for the account. A dry run
    takes none from another aggregator: nobody would set its fees then.
    """
    markets = [node for node in nodes if node.is_market and node.uuid is not None]
    chosen = Chosen()
    wanted = [node for node in markets if node.registered]
    if names:
        wanted = list(_named(names, markets, chosen))
    elif not wanted:
        chosen.problems[""] = (
            "the registry gives this account no market — ask the exchange's operator for the role "
            "of the grid operator, and register the markets there"
        )
    for node in wanted:
        assert node.uuid is not None
        market = Market(node.name, node.uuid, is_root=node.depth == 0)
        if node.aggregator == aggregator:
            chosen.ours.append(market)
        elif node.aggregator and not (take_over and not dry_run):
            held = f"the aggregator {node.aggregator!r} sets its fees"
            chosen.problems[node.name] = (
                f"{held}, and a dry run takes no market over — without dry_run it is taken"
                if take_over
                else f"{held} — have it let go of the market, or write take_over: true"
            )
        else:
            chosen.to_select.append(Held(market, node.aggregator))
    return chosen


def _named(names: Sequence[str], markets: Sequence[Node], chosen: Chosen) -> Iterator[Node]:
    known = sorted({node.name for node in markets})
    for name in names:
        found = [node for node in markets if node.name == name]
        if not found:
            chosen.problems[name] = f"there is no such market — {nearest(name, known)}"
        elif len(found) > 1:
            chosen.problems[name] = (
                f"{len(found)} markets have this name — rename all but one in the exchange"
            )
        elif not found[0].registered:
            chosen.problems[name] = (
                "it is not registered for this account — register it in the exchange, or ask its "
                "operator for the role of the grid operator"
            )
        else:
            yield found[0]
