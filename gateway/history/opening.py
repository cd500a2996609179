"""Puts the questions of one site together."""

from collections.abc import Callable
from pathlib import Path

from gateway.history.history import History
from gateway.history.home import home_of
from gateway.monitoring.report import Report
from gateway.site.settings import Settings


def open_history(
    settings: Settings, path: Path, report: Callable[[], Report], undated: frozenset[str]
) -> History:
    """What is asked of this site, of its store and of the report of the moment. `undated`: the
    destinations at which a number can be too late.
    """
    return History(
        home_of(settings),
        path,
        report,
        settings.secrets.masked,
        max_gap_s=settings.market.max_gap,
        undated=undated,
    )
