"""What a home owner counts: used, from the sun, from the grid, to the grid. Pure.

Of each slot:  used = from grid − to grid + sun + battery,  where the battery gives more than it
takes, or less. Where no meter is at the grid, used is the sum of the loads. A slot counts in what
is used where all of these are known, and in each of the others where that is.

Energies are in µWh here, and in Wh in answers.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from gateway.energy.counter import UWH_PER_WH
from gateway.history.answers import Peak, Sums
from gateway.history.roles import BATTERY, FROM_GRID, LOADS, SUN, TO_GRID, Roles
from gateway.store.slot_table import SlotSum

_SIGN: Mapping[str, int] = {FROM_GRID: 1, TO_GRID: -1, SUN: 1, BATTERY: 1}
"""Of what used is the sum."""


class Flow(msgspec.Struct, frozen=True):
    """One slot, as far as it is known."""

    start_s: int
    known: Mapping[str, SlotSum]
    """By the name of the sum: those of which all parts are known."""


def flows(rows: Iterable[tuple[int, Mapping[str, SlotSum]]], roles: Roles) -> Iterator[Flow]:
    """The slots of a time, in its order: of each the sums that are whole."""
    sizes = {name: roles.size(name) for name in (SUN, FROM_GRID, TO_GRID, BATTERY, LOADS)}
    for start_s, sums in rows:
        if all([row.parts == sizes[name] for name, row in sums.items()]):  # noqa: C419 — quicker
            yield Flow(start_s, sums)
        else:
            whole = {name: row for name, row in sums.items() if row.parts == sizes[name]}
            yield Flow(start_s, whole)


def used_names(roles: Roles) -> frozenset[str]:
    """Of which sums the energy that is used on this site is made; empty: nobody can say."""
    if roles.size(FROM_GRID):
        return frozenset(name for name in _SIGN if roles.size(name))
    return frozenset((LOADS,) if roles.size(LOADS) else ())


class Account:
    """Adds up slots as they come, in the order of time, and keeps none of them."""

    def __init__(self, roles: Roles, slot_s: int) -> None:
        self._roles = roles
        self._slot_s = slot_s
        self._names = len({part[2] for part in roles.parts})
        self._used_in = used_names(roles)
        self._totals_uwh: dict[str, int] = {}
        self._whole = 0
        self._used = _Used()
        self._sun_uwh = self._away_uwh = 0
        """Of the slots in which both are known: what the sun gave, and what of it went away."""
        self._peak_uwh, self._peak_s = -1, 0

    def add(self, flow: Flow) -> None:
        """One more slot."""
        known = flow.known
        for name, row in known.items():
            self._totals_uwh[name] = self._totals_uwh.get(name, 0) + row.energy_uwh
        self._whole += len(known) == self._names
        if self._used_in and known.keys() >= self._used_in:
            self._used.add(flow, self._used_in, self._slot_s)
        sun, to_grid = known.get(SUN), known.get(TO_GRID)
        if sun is not None and to_grid is not None and sun.energy_uwh > 0:
            self._sun_uwh += sun.energy_uwh
            self._away_uwh += min(sun.energy_uwh, to_grid.energy_uwh)
        from_grid = known.get(FROM_GRID)
        if from_grid is not None and from_grid.energy_uwh > self._peak_uwh:
            self._peak_uwh, self._peak_s = from_grid.energy_uwh, flow.start_s

    def add_all(self, later: "Account") -> None:
        """All slots of another account, which are later."""
        for name, total_uwh in later._totals_uwh.items():
            self._totals_uwh[name] = self._totals_uwh.get(name, 0) + total_uwh
        self._whole += later._whole
        self._used.add_all(later._used, self._slot_s)
        self._sun_uwh += later._sun_uwh
        self._away_uwh += later._away_uwh
        if later._peak_uwh > self._peak_uwh:
            self._peak_uwh, self._peak_s = later._peak_uwh, later._peak_s

    def sums(self, closed: int) -> Sums:
        """What they come to; so many slots of their time have closed."""
        totals, used = self._totals_uwh, self._used
        nobody_measures = totals.get(TO_GRID) and not (
            self._roles.size(SUN) or self._roles.size(BATTERY)
        )  # something is made here
        is_known = used.count and not nobody_measures
        steps_uwh = sum(self._roles.steps_uwh.get(name, 0) for name in self._used_in)
        sun_uwh = self._sun_uwh
        return Sums(
            used_wh=used.energy_uwh / UWH_PER_WH if is_known else None,
            sun_wh=wh(totals.get(SUN)),
            from_grid_wh=wh(totals.get(FROM_GRID)),
            to_grid_wh=wh(totals.get(TO_GRID)),
            sun_used_here=(sun_uwh - self._away_uwh) / sun_uwh if sun_uwh else None,
            coverage=min(1.0, self._whole / closed) if closed > 0 and self._names else 0.0,
            uncertainty_wh=wh(used.off_by_uwh(steps_uwh)) if is_known else None,
        )

    @property
    def peak(self) -> Peak | None:
        """The slot in which most came from the grid, the first of them; None: none is known."""
        if self._peak_uwh < 0:
            return None
        power_w = self._peak_uwh / UWH_PER_WH * 3600 / self._slot_s
        return Peak(power_w=power_w, start_s=self._peak_s)


class _Used:
    """What was used, in the slots in which that is known."""

    def __init__(self) -> None:
        self.count = 0
        self.energy_uwh = 0
        self._off_by_uwh: int | None = 0
        self._by_power = False
        self._runs = 0
        self._first_s = 0
        self._last_s: int | None = None

    def add_all(self, later: "_Used", slot_s: int) -> None:
        """All slots of another, which are later."""
        if later._last_s is None:
            return
        is_next = self._last_s is not None and later._first_s - self._last_s == slot_s
        self._runs += later._runs - is_next
        if self._last_s is None:
            self._first_s = later._first_s
        self._last_s = later._last_s
        self.count += later.count
        self.energy_uwh += later.energy_uwh
        self._by_power = self._by_power or later._by_power
        known = self._off_by_uwh is not None and later._off_by_uwh is not None
        self._off_by_uwh = (self._off_by_uwh or 0) + (later._off_by_uwh or 0) if known else None

    def add(self, flow: Flow, names: Collection[str], slot_s: int) -> None:
        """One more slot."""
        self.count += 1
        if self._last_s is None:
            self._first_s = flow.start_s
        if self._last_s is None or flow.start_s - self._last_s != slot_s:
            self._runs += 1
        self._last_s = flow.start_s
        for name in names:
            row = flow.known[name]
            self.energy_uwh += _SIGN.get(name, 1) * row.energy_uwh
            self._by_power = self._by_power or bool(row.by_power)
            if self._off_by_uwh is not None and row.uncertainty_uwh is not None:
                self._off_by_uwh += row.uncertainty_uwh
            else:
                self._off_by_uwh = None

    def off_by_uwh(self, steps_uwh: int) -> int | None:
        """By how much it may be off, either way, with registers of these steps; None: of one slot
        nobody knows.

        What slots may be off by adds up; but slots that follow each other share their edges, and
        at each end of such a run the counter lies within its register's step, whatever power says.
        """
        if self._off_by_uwh is None or self._by_power or not steps_uwh:
            return self._off_by_uwh
        return min(self._off_by_uwh, 2 * self._runs * steps_uwh)


def account_of(span: Iterable[Flow], roles: Roles, slot_s: int) -> Account:
    """All of these slots added up."""
    account = Account(roles, slot_s)
    for flow in span:
        account.add(flow)
    return account


def wh(energy_uwh: int | None) -> float | None:
    """Wh for who asks."""
    return None if energy_uwh is None else energy_uwh / UWH_PER_WH
