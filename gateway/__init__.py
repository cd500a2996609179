"""From samples to the exchange: buffer, counter, slots, assets, delivery, status."""

__version__ = "0.1.0"
MADE_S = 1_767_225_600.0
"""When this version was made, at the earliest (2026-01-01, Unix time): no clock that is right says
an earlier time. It is set at each release.
"""
