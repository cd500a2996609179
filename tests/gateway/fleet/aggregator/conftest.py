"""What the tests of this room share."""

import pytest

from gateway.fleet.aggregator import aggregator, sender


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks more often than where there is a quarter of an hour for it."""
    for module, name, seconds in (
        (sender, "LOOK_EVERY_S", 0.1),
        (sender, "REST_EVERY_S", 0.3),
        (aggregator, "NOTE_EVERY_S", 0.1),
        (aggregator, "TEND_EVERY_S", 0.3),
        (aggregator, "ALIVE_EVERY_S", 0.5),
    ):
        monkeypatch.setattr(module, name, seconds)
