"""What `grid_operator:` says of an exchange's markets, beside what the exchange's registry says."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.strict_yaml import Problem
    from gateway.operator.markets import Chosen, Market
    from gateway.operator.settings import GridOperator
    from gateway.outbox.exchange.registry import Node
    from gateway.site.settings import Settings


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it."""

    markets: "tuple[Market, ...]"
    """Whose fees are set."""
    problems: "list[Problem]"
    """Of markets whose fees are not, and of those for which a model has nothing."""
    warnings: list[str]


def compared(settings: "Settings", operator: "GridOperator") -> Compared:
    """Ask the registry, once. Raises Refused."""
    from gateway.operator.markets import choose

    keys = operator.settings
    nodes = _nodes(settings, operator)
    chosen = choose(
        nodes, keys.markets, keys.aggregator, take_over=keys.take_over, dry_run=keys.dry_run
    )
    markets = (*chosen.ours, *(held.market for held in chosen.to_select))
    return Compared(
        markets,
        list(_problems(settings, operator, chosen, markets)),
        list(_warnings(operator, markets)),
    )


def _nodes(settings: "Settings", operator: "GridOperator") -> list["Node"]:
    """The registry. Raises Refused."""
    from gateway.cli.registry_comparison import where_of
    from gateway.cli.terminal import Refused
    from gateway.delivery.http_session import ExchangeError
    from gateway.delivery.kinds.exchange import look_up
    from gateway.site.settings import GRID_OPERATOR

    try:
        return asyncio.run(look_up(operator.settings, settings))
    except ExchangeError as error:
        text = settings.secrets.masked(str(error))
        message = f"the registry cannot be read with the grid operator's account: {text}"
        raise Refused(where_of(settings, (GRID_OPERATOR,), message)) from error


def _problems(
    settings: "Settings",
    operator: "GridOperator",
    chosen: "Chosen",
    markets: "tuple[Market, ...]",
) -> Iterator["Problem"]:
    from drivers.strict_yaml import Problem, key_text
    from gateway.cli.registry_comparison import document_of
    from gateway.operator.model import OfMarkets
    from gateway.site.settings import GRID_OPERATOR

    document = document_of(settings)

    def problem(path: tuple[str | int, ...], message: str, hint: str) -> Problem:
        key = (GRID_OPERATOR, *path)
        return Problem(document.file, document.line(key), key_text(key), message, hint)

    for name, text in chosen.problems.items():
        message, _, hint = text.partition(" — ")
        names = operator.settings.markets
        at = (names.index(name),) if name in names else ()
        yield problem(("markets", *at), f"{name}: {message}" if name else message, hint)

    for market in markets:
        model = operator.model_of(market.name)
        if isinstance(model, OfMarkets) and market.name not in model.markets:
            message = f"{model.file} has nothing for the market {market.name!r}"
            own = ("models", market.name) if market.name in operator.models else ("model",)
            yield problem((*own, "file"), message, "its fee would be the fallback for ever")


def _warnings(operator: "GridOperator", markets: "tuple[Market, ...]") -> Iterator[str]:
    for market in markets:
        if market.is_root and operator.model_of(market.name).needs_statistics:
            yield (
                f"{market.name} is the uppermost market, of which the exchange tells nothing: its "
                "fee would be the fallback for ever — give it another model, or leave it out"
            )
