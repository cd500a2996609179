"""Days that were measured, or a typical week, as profile files for the exchange's upload page. It
goes by these where an asset's live data is switched off, and uses a week over and over. Shell.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.cli.profile_days import DAY_S, Day, day_of
from gateway.cli.profile_files import by_day, check_slot, date_of, file_stems, profile_stream
from gateway.cli.tables import energy_known, kwh_text, profile_line
from gateway.cli.terminal import Refused
from gateway.cli.typical_week import LEAST, WEEKS, Measured, TypicalWeek, days_of
from gateway.outbox.item import Subject
from gateway.outbox.owed import Owed
from gateway.site.settings import Asset
from gateway.site.timezone import zone_of
from gateway.store.buffer import Buffer
from gateway.timing.utc import utc

WEEK_DAYS = 7
_SHOWN = 3
"""So many open slots of a day are named."""

Lines = Mapping[int, int]
"""µWh by start of the slot."""


def write_days(
    folder: Path,
    assets: Sequence[Asset],
    buffer: Buffer,
    *,
    days: int,
    end_s: int,
    slot_s: int,
    force: bool,
) -> bool:
    """Write the last so many whole days of UTC before `end_s`, with every slot of them. A day of
    which a slot is not known is left out, and named: the exchange would fill it. Returns whether
    there is something of each asset. Raises Refused.
    """
    check_slot(slot_s)
    end_s -= end_s % DAY_S
    stems = file_stems(assets)
    found: dict[Subject, list[tuple[Day, list[Owed]]]] = {asset.uuid: [] for asset in assets}
    for day_s, slots in by_day(buffer, end_s - days * DAY_S, end_s - DAY_S):
        for uuid, of_asset in found.items():
            of_asset.append(day_of(day_s, slots.get(uuid, {}), slot_s))

    wrote = True
    for asset in assets:
        stem = stems[asset.uuid]
        for day, _ in found[asset.uuid]:
            if day.open_s:
                _say_left_out(stem, day.start_s, day.open_s)
        runs = list(_runs(found[asset.uuid]))
        for run in runs:
            name = f"{stem}.csv" if len(runs) == 1 else f"{stem}-{date_of(run[0][0])}.csv"
            energies = {o.item.slot_s: o.item.energy_uwh for _, known in run for o in known}
            _write(folder, name, energies, force)
            said = f"{_span(run[0][0], run[-1][0])}, {_days(len(run))}, every slot"
            print(f"{folder / name}: {said}; {_kwh(energies)}", file=sys.stderr)
        if sum(map(len, runs)) % WEEK_DAYS or len(runs) != 1:
            _say_no_week(stem)
        wrote &= bool(runs)
    return wrote


def write_typical(
    folder: Path,
    assets: Sequence[Asset],
    buffer: Buffer,
    *,
    end_s: int,
    slot_s: int,
    timezone: str,
    force: bool,
) -> bool:
    """Write a typical week, from the day of `end_s` on, made of what was measured in the weeks
    before. Where too little was, there is no file. Returns whether there is one of each asset.
    Raises Refused.
    """
    check_slot(slot_s)
    end_s -= end_s % DAY_S
    since_s = end_s - WEEKS * WEEK_DAYS * DAY_S
    zone = zone_of(timezone)
    measured: dict[Subject, Measured] = {asset.uuid: Measured(zone) for asset in assets}
    for _, slots in by_day(buffer, since_s, end_s - DAY_S):
        for uuid, of_asset in measured.items():
            for start_s, owed in slots.get(uuid, {}).items():
                if energy_known(owed) and owed.length_s == slot_s:
                    of_asset.add(start_s, owed.item.energy_uwh)

    wrote = True
    stems = file_stems(assets)
    starts = range(end_s, end_s + WEEK_DAYS * DAY_S, slot_s)
    for asset in assets:
        week = measured[asset.uuid].week(starts)
        if week.open_s:
            _say_not_typical(stems[asset.uuid], week)
            wrote = False
            continue
        name = f"{stems[asset.uuid]}-typical.csv"
        _write(folder, name, week.slots, force)
        print(f"{folder / name}: {_typical(week, measured[asset.uuid], slot_s)}", file=sys.stderr)
    return wrote


def _runs(
    days: Sequence[tuple[Day, list[Owed]]],
) -> Iterator[list[tuple[Day, list[Owed]]]]:
    """The whole days, in runs without one between them that is not."""
    run: list[tuple[Day, list[Owed]]] = []
    for day, known in days:
        if not day.open_s:
            run.append((day, known))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _write(folder: Path, name: str, energies: Lines, force: bool) -> None:
    with profile_stream(folder, name, force) as stream:
        try:
            stream.writelines(
                f"{profile_line(at_s, energies[at_s])}\n" for at_s in sorted(energies)
            )
        except ValueError as error:
            raise Refused(f"{error} — export slots as .csv instead") from error


# --- what is said ---------------------------------------------------------------------------------


def _typical(week: TypicalWeek, measured: Measured, slot_s: int) -> str:
    first_s, last_s = min(week.slots), max(week.slots)
    average_uwh = measured.total_uwh * len(week.slots) // measured.count
    days = measured.count * slot_s / DAY_S
    return (
        f"a typical week, {_date(first_s)} to {_date(last_s)}, every slot; {_kwh(week.slots)}, "
        f"where the {days:.1f} days that it is made of had {_round(average_uwh)} kWh a week"
    )


def _say_left_out(stem: str, day_s: int, open_s: Sequence[int]) -> None:
    named = ", ".join(f"{utc(at_s):%H:%M}Z" for at_s in open_s[:_SHOWN])
    more = len(open_s) - _SHOWN
    print(
        f"{stem}: {_date(day_s)} is left out: the energy of {len(open_s)} of its slots is not "
        f"known ({named}{f' and {more} more' if more > 0 else ''}), and the exchange would fill "
        "them with the value before",
        file=sys.stderr,
    )


def _say_no_week(stem: str) -> None:
    print(
        f"{stem}: these are no whole weeks, and the exchange uses a week over and over: days that "
        "are in no file have no value then — see --days typical",
        file=sys.stderr,
    )


def _say_not_typical(stem: str, week: TypicalWeek) -> None:
    days = [_date(day_s) for day_s, is_whole in days_of(week, DAY_S) if not is_whole]
    first = utc(min(week.open_s))
    print(
        f"{stem}: no file: {len(week.open_s)} slots of a typical week are open, since less than "
        f"{LEAST} such were measured in {WEEKS} weeks (on {', '.join(days)}; the first at "
        f"{first:%H:%M}Z). The exchange would fill them with the value before — measure longer, or "
        "write the days that there are: --days N",
        file=sys.stderr,
    )


def _kwh(energies: Lines) -> str:
    return f"{_round(sum(energies.values()))} kWh"


def _round(energy_uwh: int) -> str:
    return kwh_text(round(energy_uwh / 10**6) * 10**6)


def _span(first: Day, last: Day) -> str:
    return date_of(first) if first == last else f"{date_of(first)} to {date_of(last)}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _date(at_s: int) -> str:
    return f"{utc(at_s):%Y-%m-%d}"
