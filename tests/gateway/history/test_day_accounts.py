"""Months of large sites: asked in portions, none of which takes long, with the same sums."""

from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.history import day_accounts
from gateway.history.day_accounts import MOST_KEPT, DayAccounts
from gateway.history.history import History
from gateway.history.opening import open_history
from gateway.site.settings import Settings
from gateway.store.archive import Look
from tests.gateway.history.rig import report

T = TypeVar("T")

MARCH = date(2026, 3, 1)
LARGE = 600
"""So few slots a question that each day of three meters is one: as for thirty, and more quickly."""


class Counting:
    """Asks, and counts how often."""

    def __init__(self, history: History) -> None:
        self._ask = history._archive.ask
        self.count = 0

    def __call__(self, question: Callable[[Look], T]) -> Awaitable[T]:
        self.count += 1
        return self._ask(question)


@pytest.fixture
def another(home_folder: Path, settings: Settings) -> Callable[[], History]:
    """Makes questions to the same home that know nothing yet."""
    path = home_folder / "buffer.sqlite"
    return lambda: open_history(settings, path, lambda: report(settings), frozenset())


async def test_a_month_in_portions_is_the_month(
    another: Callable[[], History], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await another().month(MARCH)
    first_page = await another().now()
    monkeypatch.setattr(day_accounts, "MOST_ROWS", LARGE)
    history = another()
    assert await history.month(MARCH) == whole
    assert await history.month(MARCH) == whole, "also from what is kept"
    assert (await history.now()).peak == first_page.peak == whole.peak
    assert whole.peak is not None
    assert len(whole.days) == 29


async def test_a_small_site_s_month_is_one_question_and_nothing_is_kept(
    another: Callable[[], History],
) -> None:
    history = another()
    ask = Counting(history)
    days = DayAccounts(history.home, ask)
    month = [MARCH.replace(day=n) for n in range(1, 30)]
    assert list(await days.of(month, history.today())) == month
    assert ask.count == 1
    await days.of(month, history.today())
    assert ask.count == 2


async def test_of_a_large_site_all_days_but_today_are_kept_for_a_while(
    another: Callable[[], History], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_accounts, "MOST_ROWS", LARGE)
    history = another()
    ask = Counting(history)
    days = DayAccounts(history.home, ask)
    month = [MARCH.replace(day=n) for n in range(1, 30)]
    await days.of(month, history.today())
    assert ask.count == 29
    await days.of(month, history.today())
    assert ask.count == 30, "today changes"
    monkeypatch.setattr(day_accounts, "KEPT_S", -1.0)
    await days.of(month, history.today())
    assert ask.count == 59

    year = [date.fromordinal(MARCH.toordinal() - n) for n in range(100)]
    await days.of(year, history.today())
    assert len(days._kept) == MOST_KEPT
