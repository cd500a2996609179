"""Points in time as people read them, in UTC. Pure."""

from datetime import UTC, datetime


def utc(at_s: float) -> datetime:
    """Unix time in seconds."""
    return datetime.fromtimestamp(at_s, UTC)


def utc_seconds(at_s: float) -> str:
    """Unix time in seconds, to the second: `2026-11-28 15:42:27Z`."""
    return utc(at_s).strftime("%Y-%m-%d %H:%M:%SZ")


def utc_minutes(at_s: float) -> str:
    """Unix time in seconds, to the minute, as slots begin: `2026-11-28 15:42Z`."""
    return utc(at_s).strftime("%Y-%m-%d %H:%MZ")
