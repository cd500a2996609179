"""What a run leaves behind, to be judged."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from uuid import UUID

from gateway.delivery.simulated.exchange import StrictExchange
from gateway.site import config
from tests.simulation.community import Community
from tests.simulation.machine import Boot
from tests.simulation.markets import Markets
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Home, TrueMeter


@dataclass(slots=True)
class FaultLog:
    """When faults were applied that explain what the books say, and what came of the deliveries.
    All times are true time.
    """

    markets: Markets
    """Those whose fees the gateway sets, and all that arrived for them."""
    lost_store_ms: list[int] = field(default_factory=list)
    """When the database was damaged or deleted."""
    restored_ms: list[tuple[int, int]] = field(default_factory=list)
    """When the copy was made that was put in the place of the database (0: it was deleted), and
    when that was done.
    """
    acknowledged: Set[int] = frozenset()
    """Of the exchange's bookings, by their number: those that the gateway was told of."""
    register_faults_ms: dict[str, list[int]] = field(default_factory=dict)
    """When a meter's registers were made to lie, by meter."""
    reset_ms: dict[str, int] = field(default_factory=dict)
    """When a meter's registers were last set to 0, by meter."""
    pauses_ms: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """From when to when a meter's registers stood still, by meter."""
    untrue_ms: list[tuple[int, int]] = field(default_factory=list)
    """When the clock was wrong although the kernel called it right (a smear), and by how much at
    most.
    """
    felt: Counter[str] = field(default_factory=Counter)
    """How often the gateway met a fault, by its name; of those that it could miss: a lock while
    nothing is written, say.
    """
    slots_of: list[tuple[float, int]] = field(default_factory=list)
    """From when on gateway.yaml had another length of slots (Unix time), and which (s)."""
    refused_ms: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """From when to when the exchange refused one asset only, by its name."""
    known_there: dict[UUID, str] = field(default_factory=dict)
    """The assets' names, by every UUID that they ever had at the exchange."""


@dataclass(slots=True)
class RunResult:
    """A run's end: the truth, the exchange, and where the database lies (`settings`)."""

    scenario: Scenario
    settings: config.Settings
    home: Home
    meters: Mapping[str, TrueMeter]
    exchange: StrictExchange
    boots: Mapping[str, Boot]
    trusted_ms: int | None
    """When the gateway could first trust the clock (true time)."""
    end_ms: int
    starts: int
    crashes: list[str]
    faults: FaultLog
    community: Community | None = None
    """The fleet that the gateway belongs to, if it does."""

    @property
    def assets(self) -> Mapping[str, UUID]:
        """Under which UUIDs the gateway keeps them, by their names."""
        return {asset.name: asset.uuid for asset in self.settings.assets}
