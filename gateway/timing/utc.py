"""Points in time as people read them, in UTC. Pure."""

from datetime import UTC, datetime


def utc_seconds(at_s: float) -> str:
    """Unix time in seconds, to the second: `2026-11-28 15:42:27Z`."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def utc_minutes(at_s: float) -> str:
    """Unix time in seconds, to the minute, as slots begin: `2026-11-28 15:42Z`."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%MZ")
