"""The slots in the buffer beside what an exchange holds: brings both together. Shell."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.cli.registry_comparison import where
from gateway.cli.tables import utc_text
from gateway.cli.terminal import Refused
from gateway.delivery.exchange.history import Progress, Read, Span
from gateway.delivery.http_session import ExchangeError
from gateway.delivery.kinds import exchange as kind
from gateway.outbox.comparison import (
    Circumstances,
    Compared,
    Comparison,
    Ours,
    Source,
    Told,
    shift_s,
)
from gateway.outbox.dialect import TellsHistory
from gateway.outbox.exchange.registry import Node, resolve
from gateway.outbox.exchange.results import Profile, Unreadable, results_in, slug
from gateway.outbox.owed import Owed
from gateway.store.known_uuids import KnownUuids
from gateway.timing.utc import utc

if TYPE_CHECKING:
    from gateway.delivery.kinds.exchange import Settings as Exchange
    from gateway.site.settings import Asset, Settings
    from gateway.store.buffer import Buffer

KEPT_S = 90 * 86_400
"""After so long the exchange forgets."""
MAX_FILE_BYTES = 256 << 20
_NAMED = 6
_TELLING = 4
"""So many numbers that are all another's are no accident."""
_OF_FORECASTS = (
    "the results that the exchange offers hold what was forecast, and no measurement appears in "
    "them: where they differ for that cause, nothing went wrong with the delivery"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be verified."""

    settings: "Settings"
    destination: str
    exchange: "Exchange"
    assets: Sequence["Asset"]
    since_s: int | None
    """None: from the oldest slot in the buffer on that the exchange has not forgotten."""
    until_s: int
    files: Sequence[Path]
    now_s: float


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of it."""

    since_s: int
    until_s: int
    slots: list[Compared]
    names: Mapping[UUID, str]
    zone: tzinfo
    """The site's."""
    sources: list[str]
    """Where the exchange's numbers are from, for people."""
    problems: list[str] = field(default_factory=list)
    """Why something could not be verified, or is not as gateway.yaml says."""
    notes: list[str] = field(default_factory=list)


def verify(asked: Asked, buffer: "Buffer", on: Progress) -> Verified:
    """Compare all that can be compared. Raises Refused, StoreError."""
    slot_s = int(asked.settings.market.slot)
    names = {asset.uuid: asset.name for asset in asked.assets}
    notes: list[str] = []
    since_s, until_s = _period(asked, slot_s, notes)
    # All of them are looked at, since one may have another's numbers.
    all_names = {asset.uuid: asset.name for asset in asked.settings.assets}
    masked = cache(asked.settings.secrets.masked)
    ours = _ours(buffer, asked.destination, all_names, (since_s, until_s), masked)
    starts = [start_s for asset in names for start_s in ours[asset]]
    if asked.since_s is None and starts:
        since_s = min(starts)

    # Looked at before the exchange is asked, which may take a while.
    profiles = [each for path in asked.files for each in _read_file(path, asked)]
    problems: list[str] = []
    span = Span(tuple(names), since_s, until_s, slot_s)
    known = KnownUuids(buffer.path, asked.destination).read()
    read = _read(asked, span, known, on, problems)

    nodes = resolve(read.nodes, kind.wanted_of(asked.settings)).nodes if read.nodes else {}
    told: dict[Source, Mapping[UUID, Told]] = {"history": read.told}
    if asked.files:
        notes.append(_OF_FORECASTS)
        told["results"] = _told_by(profiles, asked, nodes, slot_s, problems)
        _check_shift(ours, told["results"], asked)
        _check_time(told["results"], since_s, until_s, problems)
        problems += _strangers(ours, told["results"], names)
        told["results"] = {a: _within(t, since_s, until_s) for a, t in told["results"].items()}
    circumstances = Circumstances(
        now_s=asked.now_s,
        slot_s=slot_s,
        settlement_s=asked.exchange.settlement,
        names=all_names,
        silent=_silent(asked, nodes),
    )
    slots = list(Comparison(ours, told, circumstances).slots(names))
    sources = ["what the exchange tells"] if read.told else []
    sources += [str(path) for path in asked.files]
    zone = asked.settings.timezone.zone
    return Verified(since_s, until_s, slots, names, zone, sources, problems, notes)


def _period(asked: Asked, slot_s: int, notes: list[str]) -> tuple[int, int]:
    forgotten_s = int(asked.now_s) - KEPT_S
    forgotten_s += -forgotten_s % slot_s
    since_s = forgotten_s if asked.since_s is None else asked.since_s
    if since_s < forgotten_s:
        notes.append("the exchange forgets what is older than 90 days, so that is left out")
        since_s = forgotten_s
    since_s += -since_s % slot_s
    until_s = min(asked.until_s, int(asked.now_s)) // slot_s * slot_s
    if since_s >= until_s:
        raise Refused(
            "there is no whole slot in that time which the exchange can hold: it forgets after 90 "
            "days — choose another --from or --to"
        )
    return since_s, until_s


# --- the buffer -----------------------------------------------------------------------------------


def _ours(
    buffer: "Buffer",
    destination: str,
    names: Mapping[UUID, str],
    period_s: tuple[int, int],
    masked: Callable[[str], str],
) -> dict[UUID, dict[int, Ours]]:
    newest: dict[UUID, dict[int, Owed]] = {asset: {} for asset in names}
    earlier: dict[tuple[UUID, int], tuple[int, ...]] = {}
    forecasts: dict[tuple[UUID, int], list[Owed]] = {}
    for owed in buffer.owed(*period_s, destination=destination):
        item = owed.item
        if not isinstance(item.subject, UUID) or item.subject not in newest:
            continue
        key = item.subject, item.slot_s
        if item.kind == "forecast":
            if owed.state in ("accepted", "sent") or owed.attempts:
                forecasts.setdefault(key, []).append(owed)
            continue
        before = newest[item.subject].get(item.slot_s)  # revisions come in their order
        if before is not None:
            earlier[key] = (*earlier.get(key, ()), before.item.energy_uwh)
        if owed.answer:  # what an exchange says may repeat a login
            owed = replace(owed, answer=masked(owed.answer))  # noqa: PLW2901
        newest[item.subject][item.slot_s] = owed

    ours: dict[UUID, dict[int, Ours]] = {
        asset: {
            slot_s: Ours(
                owed,
                earlier.get((asset, slot_s), ()),
                *_foretold(forecasts.get((asset, slot_s), ())),
            )
            for slot_s, owed in slots.items()
        }
        for asset, slots in newest.items()
    }
    for (asset, slot_s), foretold in forecasts.items():
        ours[asset].setdefault(slot_s, Ours(None, (), *_foretold(foretold)))
    return ours


def _foretold(revisions: Sequence[Owed]) -> tuple[int | None, tuple[int, ...]]:
    """The forecast that was accepted last, or else the one that was sent last; and the others."""
    if not revisions:
        return None, ()
    accepted = [owed for owed in revisions if owed.state == "accepted"]
    last = (accepted or revisions)[-1]
    others = tuple(owed.item.energy_uwh for owed in revisions if owed is not last)
    return last.item.energy_uwh, others


# --- the exchange ---------------------------------------------------------------------------------


def _read(
    asked: Asked, span: Span, known: Mapping[UUID, UUID], on: Progress, problems: list[str]
) -> Read:
    """Raises Refused where it cannot be asked at all, and there is nothing else to compare with."""
    try:
        read = asyncio.run(kind.read_history(asked.exchange, asked.settings, span, known, on))
    except ExchangeError as error:
        text = asked.settings.secrets.masked(str(error))
        message = f"the exchange cannot be asked what it holds: {text}"
        text = where(asked.settings, asked.destination, message)
        if not asked.files and _tells(asked):
            raise Refused(text) from error
        problems.append(text)
        return Read()

    if read.registry_problem:
        text = asked.settings.secrets.masked(read.registry_problem)
        message = f"the registry cannot be read: {text}"
        problems.append(where(asked.settings, asked.destination, message))
    if read.nodes:
        ours = [each for each in kind.wanted_of(asked.settings) if each.id in set(span.assets)]
        problems += map(str, resolve(read.nodes, ours).differences)
    names = {asset.uuid: asset.name for asset in asked.assets}
    for asset, why in read.untold.items():
        text = asked.settings.secrets.masked(why)
        problems.append(f"{names[asset]}: what the exchange holds is not known: {text}")
    if not read.told and not asked.files and _tells(asked):
        raise Refused("\n".join(problems))
    return read


def _tells(asked: Asked) -> bool:
    """Whether the exchange can be asked at all, as it is spoken to."""
    dialect = kind.dialect_of(asked.exchange, int(asked.settings.market.slot))
    return isinstance(dialect, TellsHistory)


def _silent(asked: Asked, nodes: Mapping[UUID, Node]) -> dict[UUID, str]:
    """Why the exchange hears nothing of some assets."""
    found = {}
    for asset in asked.assets:
        node = nodes.get(asset.uuid)
        if node is not None and node.live is False:
            found[asset.uuid] = (
                "its live data is switched off in the exchange, which goes by uploaded profiles "
                "then: switch it on there"
            )
        elif node is not None and node.kind not in kind.TAKEN_KINDS:
            found[asset.uuid] = f"the exchange takes no energy of a {node.type}"
        elif asset.market_kind not in kind.TAKEN_KINDS:
            found[asset.uuid] = f"the exchange takes no energy of a {asset.market_kind}"
    return found


# --- files ----------------------------------------------------------------------------------------


def _read_file(path: Path, asked: Asked) -> list[Profile]:
    """Raises Refused."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise Refused(f"{path}: has {size >> 20} MiB, and results have less — is it another?")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Refused(
            f"{path}: cannot be read: {error.strerror or error} — name a file of the results that "
            "the exchange offers for download"
        ) from error
    except UnicodeDecodeError as error:
        raise Refused(
            f"{path}: is no text (byte {error.start}) — unpack what was downloaded, and name "
            "asset_statistics.json"
        ) from error
    try:
        return results_in(path.name, text, asked.settings.timezone.name)
    except Unreadable as error:
        raise Refused(f"{path}: {error}") from error


def _told_by(
    profiles: Sequence[Profile],
    asked: Asked,
    nodes: Mapping[UUID, Node],
    slot_s: int,
    problems: list[str],
) -> dict[UUID, Told]:
    """What the files tell of our assets. Raises Refused where that is nothing."""
    told: dict[UUID, Told] = {}
    missing = []
    for asset in asked.assets:
        node = nodes.get(asset.uuid)
        names = {asset.name} | ({node.name} if node else set())
        found = [each for each in profiles if each.name in names | set(map(slug, names))]
        if not found:
            missing.append(asset.name)
        elif len(found) > 1:
            problems.append(
                f"the results have {len(found)} assets named {asset.name!r}, and do not say which "
                "is which: give one of them another name in the exchange"
            )
        elif found[0].kind != asset.market_kind:
            problems.append(
                f"{asset.name} is a {found[0].kind} in the results, and {asset.market_kind} here — "
                "are they another community's?"
            )
        elif found[0].slots:
            slots = found[0].slots
            _check_grid(found[0], slot_s)
            told[asset.uuid] = Told(slots, min(slots), max(slots) + slot_s)

    files = ", ".join(map(str, asked.files))
    if len(missing) == len(asked.assets):
        theirs = _few([each.name for each in profiles])
        raise Refused(
            f"{files}: has none of our assets ({_few(missing)}), but {theirs}: is it of another "
            "community, or were the assets renamed? Write the exchange's names in gateway.yaml"
        )
    are_tables = all(path.suffix.lower() == ".csv" for path in asked.files)
    hint = "a table is of one asset: name its own as well, or choose one by --asset"
    if not are_tables:
        hint = "was it renamed? See meter-gateway exchange assets"
    problems += [f"{files}: has no asset {name!r} — {hint}" for name in missing]
    return told


def _check_grid(profile: Profile, slot_s: int) -> None:
    """Raises Refused where its times are not those of our slots."""
    odd_s = next((at_s for at_s in profile.slots if at_s % slot_s), None)
    if odd_s is not None:
        raise Refused(
            f"the results have {profile.name} at {utc_text(odd_s)}, where no slot of "
            f"{slot_s / 60:g} min begins: are they another network's, or is market.slot wrong?"
        )


def _check_shift(
    ours: Mapping[UUID, Mapping[int, Ours]], told: Mapping[UUID, Told], asked: Asked
) -> None:
    """Raises Refused where the times are local ones, plainly."""
    zone = asked.settings.timezone.zone
    offsets = {
        int(offset.total_seconds())
        for day in range(0, KEPT_S, 7 * 86_400)
        if (offset := (utc(asked.now_s - day).astimezone(zone)).utcoffset()) is not None
    } | {3600, 7200, -3600, -7200}
    found_s = shift_s(ours, told, offsets - {0})
    if found_s:
        hours = timedelta(seconds=abs(found_s))
        raise Refused(
            f"the exchange's numbers are ours {str(hours)[:-3]} h "
            f"{'later' if found_s > 0 else 'earlier'}: those are local times, and the exchange's "
            "are UTC — download the results once more, and open them in no spreadsheet before"
        )


def _within(told: Told, since_s: int, until_s: int) -> Told:
    """Of a file, what is asked for. An asset's slot that it lacks between others is not there."""
    return Told(told.slots, max(told.since_s, since_s), min(told.until_s, until_s))


def _strangers(
    ours: Mapping[UUID, Mapping[int, Ours]], told: Mapping[UUID, Told], names: Mapping[UUID, str]
) -> Iterator[str]:
    """Assets of the files that have no number of ours, though their name is one of ours. What
    another of our assets has is told slot by slot.
    """
    for asset, of in told.items():
        both = [
            (uwh, each)
            for slot_s, uwh in of.slots.items()
            if uwh and (each := ours[asset].get(slot_s)) is not None
        ]
        alike = any(_has(each, uwh) for uwh, each in both) or any(
            _has(slots.get(slot_s), uwh)
            for slots in ours.values()
            for slot_s, uwh in of.slots.items()
            if uwh
        )
        if len(both) >= _TELLING and not alike:
            yield (
                f"{names[asset]}: none of its {len(both)} numbers in the results is one of ours — "
                "are they another community's, which has an asset of the same name?"
            )


def _has(ours: Ours | None, uwh: int) -> bool:
    """Whether that was ever its number."""
    return ours is not None and (uwh in (ours.energy_uwh, *ours.earlier_uwh) or ours.foretold(uwh))


def _check_time(told: Mapping[UUID, Told], since_s: int, until_s: int, problems: list[str]) -> None:
    """Whether the files are of that time at all."""
    if any(each.since_s < until_s and since_s < each.until_s for each in told.values()):
        return
    if told:
        first_s = min(each.since_s for each in told.values())
        last_s = max(each.until_s for each in told.values())
        problems.append(
            f"the results are of {utc_text(first_s)} to {utc_text(last_s)}, and what is compared "
            f"of {utc_text(since_s)} to {utc_text(until_s)}: choose other files, or --from and --to"
        )


def _few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
