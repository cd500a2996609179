"""A fleet as Prometheus reads it, after the manner of a gateway's own (`gateway/monitoring`). Pure.

What is told of each home is little: ten thousand homes are ten thousand times as much.
"""

from gateway.fleet.page.answers import SEVERITIES, Fleet, Judged
from gateway.fleet.page.states import KINDS, is_online
from gateway.fleet.page.telling import Process
from gateway.monitoring.metrics import CONTENT_TYPE, Families

__all__ = ["CONTENT_TYPE", "exposition"]

COLLECTOR_ALIVE_S = 60.0

_COUNTED = {
    "messages": "Messages of gateways",
    "rows": "Rows that were to be stored",
    "known_rows": "Rows that were stored already",
    "clashes": "Rows that came again with another value",
    "refused": "Rows, or whole messages, that were not taken",
    "unknown_sites": "Messages of sites that nobody has added",
    "commits": "Commits",
    "unsent_words": "Words that could not be sent to a gateway",
}


def exposition(fleet: Fleet, process: Process, now_s: float) -> str:
    """The body of `/metrics`."""
    families = Families()
    _process(families, process)
    families.gauge(
        "fleet_collectors",
        "Collectors that were seen in the last minute",
        sum(now_s - each.seen_s <= COLLECTOR_ALIVE_S for each in fleet.collectors),
    )
    for severity in SEVERITIES:
        families.gauge(
            "fleet_sites",
            "Homes by the worst that is to be said of them",
            fleet.severities[severity],
            severity=severity,
        )
    kinds = fleet.kinds
    for kind in KINDS:
        families.gauge("fleet_sites_with", "Homes in that state", kinds.get(kind, 0), state=kind)
    for each in fleet.homes:
        _home(families, each, now_s)
    _exchange(families, fleet, now_s)
    return families.exposition()


def _process(families: Families, process: Process) -> None:
    name = process.collector
    families.gauge(
        "fleet_broker_connected",
        "1 while this collector is connected to the broker",
        process.broker_connected,
        collector=name,
    )
    families.gauge(
        "fleet_database_connected",
        "1 while this collector is connected to the database",
        process.database_connected,
        collector=name,
    )
    families.gauge(
        "fleet_last_stored_timestamp_seconds",
        "When this collector stored something last, Unix time",
        process.stored_s,
        collector=name,
    )
    families.gauge(
        "fleet_waiting_bytes",
        "Messages that this collector has received and not stored yet",
        process.waiting_bytes,
        collector=name,
    )
    for what, count in process.counted.items():
        families.counter(f"fleet_{what}", _COUNTED[what], count, collector=name)


def _home(families: Families, each: Judged, now_s: float) -> None:
    home = each.home
    families.gauge(
        "fleet_site_online",
        "1 while its gateway is connected and has said so lately",
        is_online(home, now_s),
        site=home.name,
    )
    families.gauge(
        "fleet_site_last_message_timestamp_seconds",
        "When slots of the home came last, Unix time",
        home.last_message_s,
        site=home.name,
    )
    families.gauge(
        "fleet_site_last_slot_timestamp_seconds",
        "Start of its newest slot, Unix time",
        home.last_slot_s,
        site=home.name,
    )
    families.gauge(
        "fleet_site_coverage_ratio",
        "Share of yesterday's slots that are known, of all its assets",
        home.coverage,
        site=home.name,
    )
    families.gauge(
        "fleet_site_slot_length_seconds", "Length of its slots", home.slot_length_s, site=home.name
    )
    owed = [home.owed_since_s, home.told.oldest_owed_s if home.told else None]
    families.gauge(
        "fleet_site_oldest_owed_timestamp_seconds",
        "Start of its oldest slot that is owed to the exchange or to the fleet, Unix time",
        min((at_s for at_s in owed if at_s is not None), default=None),
        site=home.name,
    )


def _exchange(families: Families, fleet: Fleet, now_s: float) -> None:
    exchange = fleet.exchange
    if exchange is None:
        return
    families.gauge(
        "fleet_exchange_owed_items", "Numbers that the fleet owes to the exchange", exchange.owed
    )
    families.gauge(
        "fleet_exchange_oldest_owed_timestamp_seconds",
        "Start of the oldest slot that the fleet owes, Unix time",
        exchange.oldest_owed_s,
    )
    families.gauge(
        "fleet_exchange_last_taken_timestamp_seconds",
        "When the exchange took something last, Unix time",
        exchange.taken_s,
    )
    for verdict, count in (("rejected", exchange.rejected), ("missed", exchange.missed)):
        families.gauge(
            "fleet_exchange_not_taken_items",
            "Numbers of the last 24 hours that the exchange rejected, or that were too late",
            count,
            verdict=verdict,
        )
    families.gauge(
        "fleet_aggregators",
        "Processes that deliver to the exchange, seen in the last two minutes",
        sum(now_s - each.seen_s <= 2 * COLLECTOR_ALIVE_S for each in exchange.aggregators),
    )
