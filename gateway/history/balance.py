"""What a home owner counts: used, from the sun, from the grid, to the grid. Pure.

Of each slot:  used = from grid − to grid + sun + battery,  where the battery gives more than it
takes, or less. Where no meter is at the grid, used is the sum of the loads. A slot counts in what
is used where all of these are known, and in each of the others where that is.

Energies are in µWh here, and in Wh in answers.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

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
        yield Flow(start_s, {name: row for name, row in sums.items() if row.parts == sizes[name]})


def used_names(roles: Roles) -> frozenset[str]:
    """Of which sums the energy that is used on this site is made; empty: nobody can say."""
    if roles.size(FROM_GRID):
        return frozenset(name for name in _SIGN if roles.size(name))
    return frozenset((LOADS,) if roles.size(LOADS) else ())


def sums_of(span: Sequence[Flow], roles: Roles, closed: int, slot_s: int) -> Sums:
    """The sums of a span of time, of which so many slots have closed."""
    names = {part[2] for part in roles.parts}
    used_in = used_names(roles)
    totals_uwh: dict[str, int] = {}
    whole = used_uwh = 0
    used: list[Flow] = []
    for flow in span:
        known = flow.known
        for name, row in known.items():
            totals_uwh[name] = totals_uwh.get(name, 0) + row.energy_uwh
        whole += len(known) == len(names)
        if used_in and known.keys() >= used_in:
            used.append(flow)
            for name in used_in:
                used_uwh += _SIGN.get(name, 1) * known[name].energy_uwh
    if totals_uwh.get(TO_GRID) and not (roles.size(SUN) or roles.size(BATTERY)):
        used = []  # something is made here that nobody measures
    return Sums(
        used_wh=used_uwh / UWH_PER_WH if used else None,
        sun_wh=wh(totals_uwh.get(SUN)),
        from_grid_wh=wh(totals_uwh.get(FROM_GRID)),
        to_grid_wh=wh(totals_uwh.get(TO_GRID)),
        sun_used_here=_used_here(span),
        coverage=min(1.0, whole / closed) if closed > 0 and names else 0.0,
        uncertainty_wh=wh(_uncertainty(used, used_in, roles, slot_s)),
    )


def peak_of(span: Iterable[Flow], slot_s: int) -> Peak | None:
    """The slot in which most came from the grid, the first of them; None: none is known."""
    best_uwh, start_s = -1, 0
    for flow in span:
        row = flow.known.get(FROM_GRID)
        if row is not None and row.energy_uwh > best_uwh:
            best_uwh, start_s = row.energy_uwh, flow.start_s
    if best_uwh < 0:
        return None
    return Peak(power_w=best_uwh / UWH_PER_WH * 3600 / slot_s, start_s=start_s)


def _used_here(span: Iterable[Flow]) -> float | None:
    """Share of the sun's energy that did not go to the grid in its own slot."""
    sun_uwh = away_uwh = 0
    for flow in span:
        sun, to_grid = flow.known.get(SUN), flow.known.get(TO_GRID)
        if sun is not None and to_grid is not None and sun.energy_uwh > 0:
            sun_uwh += sun.energy_uwh
            away_uwh += min(sun.energy_uwh, to_grid.energy_uwh)
    return (sun_uwh - away_uwh) / sun_uwh if sun_uwh else None


def _uncertainty(
    used: Sequence[Flow], used_in: Collection[str], roles: Roles, slot_s: int
) -> int | None:
    """By how much what is used may be off, either way; None: of one slot nobody knows.

    What slots may be off by adds up; but slots that follow each other share their edges, and at
    each end of such a run the counter lies within its register's step, whatever power says.
    """
    added_uwh = 0
    by_power = False
    for flow in used:
        for name in used_in:
            row = flow.known[name]
            if row.uncertainty_uwh is None:
                return None
            added_uwh += row.uncertainty_uwh
            by_power = by_power or bool(row.by_power)
    steps_uwh = sum(roles.steps_uwh.get(name, 0) for name in used_in)
    if not used or by_power or not steps_uwh:
        return added_uwh if used else None
    runs = 1 + sum(after.start_s - flow.start_s != slot_s for flow, after in pairwise(used))
    return min(added_uwh, 2 * runs * steps_uwh)


def wh(energy_uwh: int | None) -> float | None:
    """Wh for who asks."""
    return None if energy_uwh is None else energy_uwh / UWH_PER_WH
