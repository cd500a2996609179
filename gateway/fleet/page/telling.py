"""What this process says of itself, for `/metrics`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.fleet.collector import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of `fleet run`, counted since its start."""

    collector: str
    broker_connected: bool
    database_connected: bool
    counted: Mapping[str, int] = field(default_factory=dict)
    """messages, rows, known_rows, clashes, refused, unknown_sites, commits, unsent_words."""
    stored_s: float | None
    """When something was stored last, Unix time."""
    waiting_bytes: int
    """Of messages that are not stored yet."""


class Telling:
    """Looks at the parts that run here."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def told(self) -> Process:
        """As it is now."""
        collector = self._collector
        counts, health = collector.writer.counts, collector.health
        return Process(
            collector=collector.name,
            broker_connected=health.broker == "connected",
            database_connected=health.database == "connected",
            counted={
                "messages": counts.messages,
                "rows": counts.rows,
                "known_rows": counts.known,
                "clashes": counts.clashes,
                "refused": counts.refused,
                "unknown_sites": counts.unknown_sites,
                "commits": health.batches,
                "unsent_words": health.unsent,
            },
            stored_s=health.stored_s,
            waiting_bytes=collector.inbox.bytes,
        )
