"""What a tariff model is: from what is known of a market, a fee for one of its slots. Pure.

A model is a pure function of what it is asked with. What it must remember from slot to slot (a
step, and since when) is in its proposal, is stored with the decision, and is handed back.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct, field

from drivers.strict_yaml import Mistake, Problem
from gateway.operator.fee import Fee, FeeType
from gateway.operator.statistics import Statistics

if TYPE_CHECKING:  # most boxes have tariff files of one kind, or none
    from gateway.operator.tariffs.day import DayTariff
    from gateway.operator.tariffs.thresholds import ThresholdTariff

NOTICE_SLOTS = 2
"""A fee for slot n is decided while slot n − 1 runs, with what is known of slot n − 2."""

Memory = Mapping[str, int]
"""What a model remembers. It is stored as JSON."""


class Asked(Struct, frozen=True, kw_only=True):
    """All that a fee is decided from."""

    market: str
    """Its name, as the registry has it."""
    slot_s: int
    """The begin of the slot that the fee is for, in Unix time."""
    slot_length_s: int
    statistics: Mapping[int, Statistics] = field(default_factory=dict)
    """Of past slots of this market, by their begins, in any order."""
    loads_kwh: Mapping[int, float] = field(default_factory=dict)
    """What this gateway's own meters counted through the transformer, by the begins of slots;
    positive is drawn from the grid above.
    """
    in_force: Fee | None = None
    """The fee that was last in force, as far as it is known."""
    memory: Memory = field(default_factory=dict)
    """Of the newest proposal before this one."""
    slots_without: int = 0
    """How many slots before this one, in a row, could not be decided for want of inputs."""

    @property
    def newest_s(self) -> int:
        """The begin of the newest slot of which statistics can be known."""
        return self.slot_s - NOTICE_SLOTS * self.slot_length_s


class Proposal(Struct, frozen=True, kw_only=True):
    """What a model wants, before bounds and steps."""

    fee: Fee
    why: str
    """In words, for a person: half a sentence."""
    inputs: Mapping[str, float] = field(default_factory=dict)
    """The numbers that it was decided from, by their names with units."""
    memory: Memory = field(default_factory=dict)


class Unable(Struct, frozen=True):
    """A model lacks what it needs."""

    why: str
    """In words: half a sentence."""


class ModelError(Exception):
    """Keys of a model that do not fit its tariff file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(mistake.message for mistake in mistakes))
        self.mistakes = list(mistakes)


class TariffError(Exception):
    """A tariff file that cannot be used, with every mistake in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


class TariffFiles(Protocol):
    """Reads the tariff files that models name. Every file is read once."""

    def day(self, name: str) -> "DayTariff":
        """Fees by the quarter of an hour. Raises TariffError with all that is wrong."""

    def thresholds(self, name: str) -> "ThresholdTariff":
        """Fees by what flows. Raises TariffError with all that is wrong."""


class Given(Struct, frozen=True, kw_only=True):
    """What a model is made from, beside its own keys."""

    fee_type: FeeType
    timezone: tzinfo
    """Of the site."""
    markets: Sequence[str] | None
    """The markets it is for. None: whichever the registry gives the account."""
    tariffs: TariffFiles


class Model(Protocol):
    """A tariff model of one market or of several."""

    @property
    def kind(self) -> str:
        """Its name in `gateway.yaml`: a file of gateway/operator/models/."""

    @property
    def needs_statistics(self) -> bool:
        """Whether the exchange has to be asked first. Else the fee can be set at once."""

    @property
    def needs_load(self) -> bool:
        """Whether it looks at this gateway's own meters."""

    def propose(self, asked: Asked) -> Proposal | Unable:
        """The fee of that market for that slot. Nothing is raised, and nothing is kept."""


@runtime_checkable
class OfMarkets(Protocol):
    """A model that knows some markets only: those of its tariff file."""

    @property
    def file(self) -> str:
        """The file's name."""

    @property
    def markets(self) -> Collection[str]:
        """The names of the markets that it has something for."""


@runtime_checkable
class OfFees(Protocol):
    """A model that knows every fee it may ever propose."""

    @property
    def every_fee(self) -> Collection[Fee]:
        """Those fees."""
