"""What the exchange does not have, as profile files for its upload page. Shell."""

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gateway.cli.profile_days import DAY_S, Day, day_of, runs
from gateway.cli.spreadsheets import replacing
from gateway.cli.tables import PROFILE_HEADER, energy_known, profile_line, undelivered
from gateway.cli.terminal import Refused
from gateway.outbox.item import EXCHANGE, Subject
from gateway.outbox.owed import Owed
from gateway.site.settings import Asset
from gateway.store.buffer import Buffer
from gateway.timing.utc import utc

_SHOWN = 3
"""So many open slots of a day are named."""

Slots = dict[Subject, dict[int, Owed]]
"""The newest revision of each slot of some assets, by its start."""


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """One file, of one asset, and the days that it has."""

    name: str
    days: Sequence[Day]

    @property
    def undelivered(self) -> Counter[str]:
        """How many of its slots the exchange lacks, by state."""
        return sum((day.undelivered for day in self.days), Counter[str]())


def write_undelivered(
    folder: Path,
    assets: Sequence[Asset],
    buffer: Buffer,
    *,
    only: Collection[Subject] | None,
    period_s: tuple[int, int],
    slot_s: int,
    force: bool,
) -> bool:
    """Write the days of which a slot of the period is undelivered, and say what was written and
    what was left out. Returns whether something was written, if there is anything.

    `assets` have names; what is owed for others, too, is written by their UUID. `only` some of
    them are wanted, or all. `slot_s` is the length of a market slot. Raises Refused.
    """
    spans = _spans(buffer, only, period_s)
    if not spans:
        print(
            "nothing to write: the exchange has every slot whose energy is known", file=sys.stderr
        )
        return True

    check_slot(slot_s)
    stems = file_stems(assets)
    files: dict[Subject, list[ProfileFile]] = {}
    for asset, days in _days(buffer, spans, slot_s).items():
        stem = stems.get(asset, str(asset))
        files[asset] = _files(stem, days)
        for day in days:
            if day.open_s and day.undelivered:
                print(_left_out(stem, day), file=sys.stderr)

    _write(folder, buffer, files, slot_s, force)
    for found in files.values():
        for file in found:
            print(f"{folder / file.name}: {_told(file)}", file=sys.stderr)
    return any(files.values())


def check_slot(slot_s: int) -> None:
    """Whether such slots can be said in the exchange's format. Raises Refused."""
    if slot_s % 60:
        raise Refused(
            f"slots of {slot_s} s do not begin on whole minutes, and the exchange's format has no "
            "seconds — export slots as .csv instead"
        )


# --- which days -----------------------------------------------------------------------------------


def _spans(
    buffer: Buffer, only: Collection[Subject] | None, period_s: tuple[int, int]
) -> dict[Subject, tuple[int, int]]:
    """The first and the last day of each asset of which something is undelivered."""
    spans: dict[Subject, tuple[int, int]] = {}
    for owed in undelivered(buffer.owed(*period_s, destination=EXCHANGE)):
        asset = owed.item.subject
        if (only is None or asset in only) and energy_known(owed):
            day_s = owed.item.slot_s - owed.item.slot_s % DAY_S
            spans[asset] = spans.get(asset, (day_s, day_s))[0], day_s
    return spans


def _days(
    buffer: Buffer, spans: Mapping[Subject, tuple[int, int]], slot_s: int
) -> dict[Subject, list[Day]]:
    """Every day of each asset's span."""
    days: dict[Subject, list[Day]] = {asset: [] for asset in spans}
    first_s = min(first_s for first_s, _ in spans.values())
    last_s = max(last_s for _, last_s in spans.values())
    for day_s, slots in by_day(buffer, first_s, last_s):
        for asset, (since_s, until_s) in spans.items():
            if since_s <= day_s <= until_s:
                days[asset].append(day_of(day_s, slots.get(asset, {}), slot_s)[0])
    return days


def by_day(buffer: Buffer, first_s: int, last_s: int) -> Iterator[tuple[int, Slots]]:
    """Every day from the first to the last one, and the measurements of it."""
    for day_s in range(first_s, last_s + 1, DAY_S):
        slots: Slots = {}
        for owed in buffer.owed(day_s, day_s + DAY_S, destination=EXCHANGE):
            item = owed.item
            if item.kind != "measurement":
                continue
            of_asset = slots.setdefault(item.subject, {})
            before = of_asset.get(item.slot_s)
            if before is None or before.item.revision < item.revision:
                of_asset[item.slot_s] = owed
        yield day_s, slots


# --- files ----------------------------------------------------------------------------------------


def _files(stem: str, days: Sequence[Day]) -> list[ProfileFile]:
    """One file, or one for each run of days where others between them have no place."""
    found = list(runs(days))
    if len(found) == 1:
        return [ProfileFile(f"{stem}.csv", found[0])]
    return [ProfileFile(f"{stem}-{date_of(run[0])}.csv", run) for run in found]


def _write(
    folder: Path,
    buffer: Buffer,
    files: Mapping[Subject, Sequence[ProfileFile]],
    slot_s: int,
    force: bool,
) -> None:
    days = [day.start_s for each in files.values() for file in each for day in file.days]
    if not days:
        return

    with contextlib.ExitStack() as stack:
        streams = {
            (asset, day.start_s): stream
            for asset, each in files.items()
            for file in each
            for stream in [stack.enter_context(profile_stream(folder, file.name, force))]
            for day in file.days
        }
        for day_s, slots in by_day(buffer, min(days), max(days)):
            for asset in files:
                if (stream := streams.get((asset, day_s))) is None:
                    continue
                _, known = day_of(day_s, slots.get(asset, {}), slot_s)
                try:
                    stream.writelines(
                        profile_line(owed.item.slot_s, owed.item.energy_uwh) + "\n"
                        for owed in known
                    )
                except ValueError as error:
                    raise Refused(f"{error} — export slots as .csv instead") from error


@contextlib.contextmanager
def profile_stream(folder: Path, name: str, force: bool) -> Iterator[IO[str]]:
    """A profile file, with its header. It takes its place once it is complete. Raises Refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(
            f"{folder}: cannot be made: {error.strerror} — name a folder for --output"
        ) from error
    with (
        replacing(folder / name, force=force) as part,
        part.open("w", encoding="utf-8", newline="") as stream,
    ):
        stream.write(PROFILE_HEADER + "\n")
        yield stream


def file_stems(assets: Sequence[Asset]) -> dict[Subject, str]:
    """A file name for each asset, without its end: the asset's name in plain characters, with its
    UUID where two are alike.
    """
    plain = {
        asset.uuid: re.sub(r"[^A-Za-z0-9]+", "-", asset.name).strip("-") or str(asset.uuid)
        for asset in assets
    }
    alike = Counter(name.lower() for name in plain.values())
    return {
        uuid: name if alike[name.lower()] == 1 else f"{name}-{uuid}" for uuid, name in plain.items()
    }


# --- what is said ---------------------------------------------------------------------------------


def _told(file: ProfileFile) -> str:
    states = file.undelivered
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    days = len(file.days)
    period = (
        date_of(file.days[0])
        if days == 1
        else f"{date_of(file.days[0])} to {date_of(file.days[-1])}"
    )
    return f"{period}, every slot; the exchange lacks {states.total()} of them ({told})"


def _left_out(stem: str, day: Day) -> str:
    named = ", ".join(f"{utc(at_s):%H:%M}Z" for at_s in day.open_s[:_SHOWN])
    more = len(day.open_s) - _SHOWN
    lacks = day.undelivered.total()
    slots = "1 slot" if lacks == 1 else f"{lacks} slots"
    return (
        f"{stem}: {date_of(day)} is left out, with {slots} that "
        f"the exchange lacks: the energy of {len(day.open_s)} of its slots is not known ({named}"
        f"{f' and {more} more' if more > 0 else ''}), and the exchange would fill them with the "
        "value before"
    )


def date_of(day: Day) -> str:
    return f"{utc(day.start_s):%Y-%m-%d}"
