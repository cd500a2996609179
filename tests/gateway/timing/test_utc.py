"""Points in time as text."""

from gateway.timing.utc import utc_minutes, utc_seconds


def test_seconds_and_minutes_are_said_in_utc() -> None:
    assert utc_seconds(1_800_000_059.9) == "2027-01-15 08:00:59Z"
    assert utc_minutes(1_800_000_059) == "2027-01-15 08:00Z"
