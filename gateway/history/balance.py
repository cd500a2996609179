"""What a home owner counts: used, from the sun, from the grid, to the grid. Pure.

Of each slot:  used = from grid − to grid + sun + battery,  where the battery gives more than it
takes, or less. Where no meter is at the grid, used is the sum of the loads. A slot counts in what
is used where all of these are known, and in each of the others where that is.

Energies are in µWh here, and in Wh in answers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise

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


def flows(rows: Iterable[SlotSum], roles: Roles) -> Iterator[Flow]:
    """The slots of a time, in its order: of each the sums that are whole."""
    sizes = {name: roles.size(name) for name in (SUN, FROM_GRID, TO_GRID, BATTERY, LOADS)}
    for start_s, group in groupby(rows, key=lambda row: row.start_s):
        yield Flow(
            start_s, {row.sum_name: row for row in group if row.parts == sizes[row.sum_name]}
        )


def used_names(roles: Roles) -> tuple[str, ...]:
    """Of which sums the energy that is used on this site is made; empty: nobody can say."""
    if roles.size(FROM_GRID):
        return tuple(name for name in _SIGN if roles.size(name))
    return (LOADS,) if roles.size(LOADS) else ()


def sums_of(span: Sequence[Flow], roles: Roles, closed: int, slot_s: int) -> Sums:
    """The sums of a span of time, of which so many slots have closed."""
    names = {part[2] for part in roles.parts}
    whole = sum(len(flow.known) == len(names) for flow in span) if names else 0
    sun_uwh, to_grid_uwh = _total(span, SUN), _total(span, TO_GRID)
    used_in = used_names(roles)
    used = [flow for flow in span if used_in and all(name in flow.known for name in used_in)]
    if to_grid_uwh and not (roles.size(SUN) or roles.size(BATTERY)):
        used = []  # something is made here that nobody measures
    used_uwh = sum(
        _SIGN.get(name, 1) * flow.known[name].energy_uwh for flow in used for name in used_in
    )
    return Sums(
        used_wh=used_uwh / UWH_PER_WH if used else None,
        sun_wh=wh(sun_uwh),
        from_grid_wh=wh(_total(span, FROM_GRID)),
        to_grid_wh=wh(to_grid_uwh),
        sun_used_here=_used_here(span),
        coverage=min(1.0, whole / closed) if closed > 0 else 0.0,
        uncertainty_wh=wh(_uncertainty(used, used_in, roles, slot_s)),
    )


def peak_of(span: Iterable[Flow], slot_s: int) -> Peak | None:
    """The slot in which most came from the grid, the first of them; None: none is known."""
    best: SlotSum | None = None
    for flow in span:
        row = flow.known.get(FROM_GRID)
        if row is not None and (best is None or row.energy_uwh > best.energy_uwh):
            best = row
    if best is None:
        return None
    return Peak(power_w=best.energy_uwh / UWH_PER_WH * 3600 / slot_s, start_s=best.start_s)


def _total(span: Iterable[Flow], name: str) -> int | None:
    known = [flow.known[name].energy_uwh for flow in span if name in flow.known]
    return sum(known) if known else None


def _used_here(span: Iterable[Flow]) -> float | None:
    """Share of the sun's energy that did not go to the grid in its own slot."""
    both = [flow.known for flow in span if SUN in flow.known and TO_GRID in flow.known]
    sun_uwh = sum(max(known[SUN].energy_uwh, 0) for known in both)
    if sun_uwh <= 0:
        return None
    away_uwh = sum(min(max(known[SUN].energy_uwh, 0), known[TO_GRID].energy_uwh) for known in both)
    return (sun_uwh - away_uwh) / sun_uwh


def _uncertainty(
    used: Sequence[Flow], used_in: Sequence[str], roles: Roles, slot_s: int
) -> int | None:
    """By how much what is used may be off, either way; None: of one slot nobody knows.

    What slots may be off by adds up; but slots that follow each other share their edges, and at
    each end of such a run the counter lies within its register's step, whatever power says.
    """
    rows = [flow.known[name] for flow in used for name in used_in]
    if not rows or any(row.uncertainty_uwh is None for row in rows):
        return None
    added_uwh = sum(row.uncertainty_uwh or 0 for row in rows)
    if any(row.by_power for row in rows):
        return added_uwh
    runs = 1 + sum(after.start_s - flow.start_s != slot_s for flow, after in pairwise(used))
    steps_uwh = sum(roles.steps_uwh.get(name, 0) for name in used_in)
    return min(added_uwh, 2 * runs * steps_uwh) if steps_uwh else added_uwh


def wh(energy_uwh: int | None) -> float | None:
    """Wh for who asks."""
    return None if energy_uwh is None else energy_uwh / UWH_PER_WH
