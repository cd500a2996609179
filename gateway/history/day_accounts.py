"""The accounts of whole days, of which months are made.

A question to the store has two seconds. On a large site a month is more than that on a small
machine; so days are asked for in portions, between which others have their turn, and on such a
site the days before today are kept for a while.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar

import msgspec

from gateway.energy.slot import DIRECTIONS
from gateway.history.balance import Account
from gateway.history.days import span_account
from gateway.history.home import Home
from gateway.store.archive import Look

T = TypeVar("T")

MOST_ROWS = 20_000
"""A question looks at so many slots of meters at most: some 60 ms on a PC, 300 on a small Pi. The
month of a home with three meters is one question.
"""
KEPT_S = 600.0
"""So long a day before today is taken to be the same, where it is kept …"""
MOST_KEPT = 62
"""… and so many days are."""


class Ask(Protocol):
    """How the store is asked. Raises Refusal."""

    def __call__(self, question: Callable[[Look], T]) -> Awaitable[T]:
        """The answer."""


class _Kept(msgspec.Struct, frozen=True):
    account: Account
    looked_s: float
    """On the loop's clock."""


class DayAccounts:
    """Adds days up."""

    def __init__(self, home: Home, ask: Ask) -> None:
        self._home = home
        self._ask = ask
        series = sum(device.measures(way) for device in home.devices.values() for way in DIRECTIONS)
        self._portion = max(1, MOST_ROWS // max(1, series * 86_400 // home.slot_s))
        """So many days are one question."""
        self._kept: dict[date, _Kept] = {}

    async def of(self, days: Sequence[date], today: date) -> Mapping[date, Account]:
        """The account of each of these days, in their order. Raises Refusal."""
        now_s = asyncio.get_running_loop().time()
        found = {
            day: kept.account
            for day in days
            if (kept := self._kept.get(day)) and now_s - kept.looked_s < KEPT_S
        }
        left = [day for day in days if day not in found]
        for n in range(0, len(left), self._portion):
            found.update(await self._ask(self._question(left[n : n + self._portion])))
        if len(days) > self._portion:
            self._keep({day: found[day] for day in left if day < today}, now_s)
        return {day: found[day] for day in days}

    def _question(self, days: Sequence[date]) -> Callable[[Look], dict[date, Account]]:
        home = self._home
        return lambda look: {day: span_account(look, home, *home.span(day)) for day in days}

    def _keep(self, accounts: Mapping[date, Account], now_s: float) -> None:
        """The oldest looks make room."""
        for day, account in accounts.items():
            self._kept.pop(day, None)
            self._kept[day] = _Kept(account, now_s)
        for day in list(self._kept)[:-MOST_KEPT]:
            del self._kept[day]
