"""What it means to apply a fault."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from tests.simulation.world import World

Undo = Callable[[], None]
Apply = Callable[["World", FaultEvent], Undo | None]
"""Applies a fault now, and returns how to take it away again, if it is to be."""
