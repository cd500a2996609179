"""Scenarios and events that the simulator's own tests use."""

from drivers.strict_yaml import Seconds
from tests.simulation.scenario import Fault, FaultEvent, Scenario

HOUR = Scenario(
    about="an hour and a half",
    lasts=Seconds(5400),
    interval=Seconds(60),
    starts="2026-03-10T09:50:00",
)


def fault_event(
    fault: str, at_s: float = 1800, lasts_s: float = 0, amount: float = 0.0, on: str = "grid"
) -> FaultEvent:
    """A fault at a time."""
    return FaultEvent(
        at=Seconds(at_s), fault=Fault(fault), lasts=Seconds(lasts_s), on=on, amount=amount
    )
