"""What the exchange's settings keep from the edges of slots."""

from uuid import UUID

import pytest

from drivers.strict_yaml import Seconds
from gateway.delivery.kinds.exchange import DialectName, Settings
from gateway.outbox.format import Margins


@pytest.mark.parametrize(
    ("slot_s", "lead_s", "kept"),
    [
        (900, None, Margins(1.0, 15.0)),
        (3600, None, Margins(1.0, 15.0)),
        (300, None, Margins(1.0, 5.0)),
        (15, None, Margins(1.0, 1.0)),
        (3600, 40, Margins(1.0, 40.0)),
        (900, 0, Margins(1.0, 1.0)),
    ],
)
def test_a_lead_is_a_tick_of_the_exchange_and_never_less_than_the_margin(
    slot_s: int, lead_s: int | None, kept: Margins
) -> None:
    settings = Settings(
        dialect=DialectName("sdk"),
        canary_network=UUID(int=1),
        credentials="exchange.credentials",
        lead=None if lead_s is None else Seconds(lead_s),
    )
    assert settings.kept(slot_s) == kept
