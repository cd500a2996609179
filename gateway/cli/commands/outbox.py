"""`meter-gateway outbox`: what is owed to destinations, for a person to look at, to have sent
again, or to give up.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.cli.tables import energy_known, moment_s, utc_text, wh, wh_text
from gateway.cli.terminal import Refused, add_period, json_text, print_table, reading, settings_of
from gateway.outbox.item import EXCHANGE

if TYPE_CHECKING:
    from gateway.outbox.item import Subject
    from gateway.outbox.owed import Owed
    from gateway.site.settings import Asset, Settings
    from gateway.store.buffer import Buffer

SUMMARY = "list what is owed to the exchange and others, have it sent again, or give it up"

STATES = (
    *("pending", "sent", "rejected", "missed", "disputed"),
    *("refused", "assumed", "unconfirmed", "accepted"),
)
UNSETTLED = STATES[:5]
DEFAULT_LIMIT = 50
MAX_REASON_CHARS = 200
_TOLD = 10
"""Items that are named one by one where something is refused."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "list (without a word: what is not settled): pending (waits for its time, or for the "
        "exchange), refused (pending too: the exchange has refused it so far, and may not mean it; "
        "it is asked again), sent (its answer is awaited), rejected (by the exchange, which "
        "says why), missed (its time passed, it was not wholly metered, or given up), disputed "
        "(accepted twice, and the exchange holds "
        "another number, or none), assumed (counts as accepted, because this buffer is older than "
        "what was accepted: see restore), unconfirmed (accepted, and not read back yet), "
        "accepted.\n"
        "retry: rejected, missed or (named by --state or ID) disputed or assumed items are owed "
        "again. What is assumed then replaces the number that the exchange may hold. Refused ones "
        "are asked for as if for the first time. Numbers that go without a time (dialect rest) "
        "cannot be: sent late, they would be booked to another slot.\n"
        "give-up: pending and refused items are missed, for the reason that you give. They stay in "
        "the "
        "buffer and can be exported.\n"
        "retry and give-up do what you select, without asking: items by their ID as the list "
        "shows it, or all that --asset, --kind, --state, --since and --until leave, or --all. "
        "Works while the daemon runs, which notices within half a minute.\n"
        "Exit code 1 where nothing could be done, or not with every item that was named."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway outbox\n"
        "  meter-gateway outbox list --state rejected --asset 'House load' --since 7d --json\n"
        "  meter-gateway outbox retry 2026-03-29T01:15:00Z/House-load\n"
        "  meter-gateway outbox retry --state rejected --since 2026-03-29\n"
        "  meter-gateway outbox retry --state assumed --since 2026-03-29T12:00Z\n"
        "  meter-gateway outbox give-up --state refused --reason 'the asset is not ours any more'\n"
        "  meter-gateway outbox give-up --until 30d --reason 'the asset was not registered then'"
    )
    _add_arguments(parser)
    parser.set_defaults(usage_error=parser.error)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=["list", "retry", "give-up"],
        default="list",
        help="what to do (default: list)",
    )
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help="items, as the list shows them: START/ASSET[/forecast][/rREVISION][@DESTINATION]",
    )
    parser.add_argument(
        "--destination", metavar="NAME", help="only what is owed to it, such as exchange"
    )
    parser.add_argument(
        "--state", action="append", choices=STATES, help="only these; may be given several times"
    )
    parser.add_argument("--asset", metavar="NAME", help="only of this asset (its name or UUID)")
    parser.add_argument("--kind", choices=["measurement", "forecast"], help="only these")
    add_period(parser)
    parser.add_argument("--all", action="store_true", help="for retry and give-up: all there are")
    parser.add_argument(
        "--reason", type=_reason, metavar="TEXT", help="for give-up: why, for whoever asks later"
    )
    parser.add_argument(
        "--limit",
        type=_count,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=f"lines of the table (default: {DEFAULT_LIMIT})",
    )
    parser.add_argument(
        "--json", action="store_true", help="for programs: a list of objects, all of them"
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines; write 1 to 1000000")
    return int(text)


def _reason(text: str) -> str:
    line = " ".join(text.split())
    if not line or not line.isprintable() or len(line) > MAX_REASON_CHARS:
        raise argparse.ArgumentTypeError(f"write a reason of 1 to {MAX_REASON_CHARS} characters")
    return line


def run(args: argparse.Namespace) -> int:
    """Returns 0; 1 where an item that was named could not be retried or given up, or nothing
    could.
    """
    _check(args)
    settings = settings_of(args)
    names = _Names(settings.assets)
    wanted = _Wanted(args, names)
    if args.action == "list":
        with reading(settings) as buffer:
            found = _ordered(owed for owed in buffer.owed(*wanted.period) if wanted.has(owed))
            _print_json(found, names) if args.json else _print_list(found, names, args.limit)
        return 0
    return _decide(args, settings, names, wanted)


def _check(args: argparse.Namespace) -> None:
    selects = (
        args.ids
        or args.all
        or args.destination
        or args.state
        or args.asset
        or args.kind
        or args.since is not None
        or args.until is not None
    )
    if args.action != "list" and not selects:
        args.usage_error(
            f"say which items to {args.action}: their IDs, --destination, --asset, --kind, "
            "--state, --since, --until, or --all"
        )
    if args.action == "give-up" and args.reason is None:
        args.usage_error("say why they are given up: --reason TEXT")
    if args.action != "give-up" and args.reason is not None:
        args.usage_error("--reason goes with give-up")
    if args.action != "list" and args.json:
        args.usage_error("--json goes with list")
    may = {
        "retry": {"rejected", "missed", "disputed", "refused", "assumed"},
        "give-up": {"pending", "sent", "refused"},
    }.get(args.action, set(STATES))
    if wrong := sorted(set(args.state or ()) - may):
        args.usage_error(
            f"{args.action} is for what is {' or '.join(sorted(may))}, not {', '.join(wrong)}"
        )


class _Names:
    """Assets by what people call them. A name of letters, digits and `-` stands for each asset
    whose name is its own even so.
    """

    def __init__(self, assets: "Sequence[Asset]") -> None:
        self._assets = assets
        count = Counter(map(_slug, (asset.name for asset in assets)))
        self._short: Mapping[Subject, str] = {
            asset.uuid: _slug(asset.name) for asset in assets if count[_slug(asset.name)] == 1
        }
        self._full: Mapping[Subject, str] = {asset.uuid: asset.name for asset in assets}

    def full(self, subject: "Subject") -> str:
        """For the table."""
        if isinstance(subject, UUID):
            return self._full.get(subject, f"{subject} (not configured any more)")
        return str(subject)

    def id_of(self, owed: "Owed") -> str:
        """What the item is called on the command line."""
        item = owed.item
        kind = "" if item.kind == "measurement" else f"/{item.kind}"
        revision = f"/r{item.revision}" if item.revision else ""
        to = "" if item.destination == EXCHANGE else f"@{item.destination}"
        subject = self._short.get(item.subject, item.subject)
        return f"{utc_text(item.slot_s)}/{subject}{kind}{revision}{to}"

    def uuid_of(self, text: str) -> "Subject":
        """Raises Refused where nobody is called so."""
        from drivers.strict_yaml import nearest
        from gateway.outbox.item import subject_of

        short = {name: uuid for uuid, name in self._short.items()}
        found = next(
            (asset.uuid for asset in self._assets if text in (asset.name, str(asset.uuid))),
            short.get(text),
        )
        if found is not None:
            return found
        try:
            return subject_of(text)  # one direction of a meter, or an asset of once
        except ValueError:
            raise Refused(
                f"there is no asset {text!r} — "
                f"{nearest(text, [asset.name for asset in self._assets])}"
            ) from None


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name).split()) or "-"


class _Wanted:
    """Which items are meant."""

    def __init__(self, args: argparse.Namespace, names: _Names) -> None:
        self.ids = {_key(text, names): text for text in args.ids}
        states = {"list": UNSETTLED, "retry": ("rejected", "missed"), "give-up": ("pending",)}[
            args.action
        ]
        # What is named by its ID is meant whatever became of it; whether it can be done is said
        # then.
        self._states = set(args.state or (STATES if args.ids else states))
        self._asset = None if args.asset is None else names.uuid_of(args.asset)
        self._kind = args.kind
        self._destination = args.destination
        since_s, until_s = (
            0 if args.since is None else int(args.since),
            1 << 40 if args.until is None else int(args.until),
        )
        starts = [slot_s for slot_s, *_ in self.ids]
        self.period = (
            (max(since_s, min(starts)), min(until_s, max(starts) + 1))
            if starts
            else (since_s, until_s)
        )

    def has(self, owed: "Owed") -> bool:
        """Whether this one is."""
        if self.ids and _key_of(owed) not in self.ids:
            return False
        if self._asset not in (None, owed.item.subject) or self._kind not in (None, owed.item.kind):
            return False
        if self._destination not in (None, owed.item.destination):
            return False
        return not self._states.isdisjoint(_states(owed))


_Key = tuple[int, "Subject", str, int, str]


def _key_of(owed: "Owed") -> _Key:
    item = owed.item
    return item.slot_s, item.subject, item.kind, item.revision, item.destination


def _key(text: str, names: _Names) -> _Key:
    """An ID as the list shows it. Raises Refused."""
    to = re.fullmatch(r"(.*)@([a-z][a-z0-9_-]*)", text, re.DOTALL)
    start, *rest = (to[1] if to else text).split("/")
    revision = (
        int(rest.pop()[1:])
        if len(rest) > 1 and rest[-1][:1] == "r" and rest[-1][1:].isdigit() and len(rest[-1]) < 10
        else 0
    )
    kind = (
        rest.pop() if len(rest) > 1 and rest[-1] in ("forecast", "measurement") else "measurement"
    )
    try:
        at_s = moment_s(start, 0.0)
    except ValueError:
        rest = []
    if not rest:
        raise Refused(
            f"{text!r} is not an item; write it as the list shows it, such as "
            "2026-03-29T01:15:00Z/House-load"
        )
    destination = to[2] if to else EXCHANGE
    return int(at_s), names.uuid_of("/".join(rest)), kind, revision, destination


def _states(owed: "Owed") -> set[str]:
    """What is said of it, all of it."""
    states = {str(owed.state)}
    if owed.state == "pending" and owed.refused_s is not None:
        states.add("refused")
    elif owed.disputed:
        states.add("disputed")
    elif owed.assumed:
        states.add("assumed")
    elif (
        owed.state == "accepted"
        and owed.item.kind == "measurement"
        and owed.closes_s is None
        and owed.confirmed_s is None
    ):
        states.add("unconfirmed")
    return states


def _ordered(found: "Iterable[Owed]") -> "list[Owed]":
    return sorted(
        found,
        key=lambda owed: (
            owed.item.slot_s,
            str(owed.item.subject),
            owed.item.kind,
            owed.item.revision,
            owed.item.destination,
        ),
    )


# --- showing --------------------------------------------------------------------------------------


def _print_json(found: "Sequence[Owed]", names: _Names) -> None:
    rows = [
        {
            "id": names.id_of(owed),
            "destination": owed.item.destination,
            "start_utc": utc_text(owed.item.slot_s),
            "asset": names.full(owed.item.subject),
            "asset_uuid": str(owed.item.subject),
            "kind": owed.item.kind,
            "revision": owed.item.revision,
            "energy_wh": wh(owed.item.energy_uwh) if energy_known(owed) else None,
            "quality": owed.quality,
            "state": _state(owed),
            "reason": owed.reason,
            "attempts": owed.attempts,
            "refused_since_utc": None
            if owed.refused_s is None
            else utc_text(round(owed.refused_s)),
            "decided_utc": None
            if owed.decided_s is None or owed.refused_s is not None
            else utc_text(round(owed.decided_s)),
            "deadline_utc": None if owed.closes_s is None else utc_text(round(owed.closes_s)),
            "confirmed_utc": None
            if owed.confirmed_s is None
            else utc_text(round(owed.confirmed_s)),
            "held_wh": wh(owed.held_uwh),
            "disagreements": owed.disagreements,
        }
        for owed in found
    ]
    print(json_text(rows, indent=1))


def _state(owed: "Owed") -> str:
    return next(
        (
            state
            for state in ("disputed", "refused", "assumed", "unconfirmed")
            if state in _states(owed)
        ),
        owed.state,
    )


def _print_list(found: "Sequence[Owed]", names: _Names, limit: int) -> None:
    if not found:
        print(
            "nothing of that kind; see all of it with: meter-gateway outbox --state accepted",
            file=sys.stderr,
        )
        return
    print_table(
        ["ID", "asset", "Wh", "state", "tries", "reason"],
        _cells(found[-limit:], names),
        right=["Wh", "tries"],
        spare=["tries", "asset", "reason"],
    )
    if len(found) > limit:
        print(
            f"the newest {limit} of {len(found)}; more with --limit, --since, --until or --json",
            file=sys.stderr,
        )


def _cells(found: "Iterable[Owed]", names: _Names) -> Iterator[list[str]]:
    for owed in found:
        energy = wh_text(owed.item.energy_uwh if energy_known(owed) else None)
        yield [
            names.id_of(owed),
            names.full(owed.item.subject),
            energy,
            _state(owed),
            str(owed.attempts),
            owed.reason,
        ]


# --- deciding -------------------------------------------------------------------------------------


def _decide(args: argparse.Namespace, settings: "Settings", names: _Names, wanted: _Wanted) -> int:
    import time

    from gateway.store.opening import open_for_deciding

    now_s = time.time()
    buffer = open_for_deciding(settings.buffer_path)
    try:
        found = _ordered(owed for owed in buffer.owed(*wanted.period) if wanted.has(owed))
        missing = sorted(set(wanted.ids) - set(map(_key_of, found)), key=str)
        if missing:
            raise Refused(
                "\n".join(
                    (
                        f"{wanted.ids[key]}: there is no such item; list them with: meter-gateway "
                        "outbox"
                    )
                    for key in missing[:_TOLD]
                )
            )
        why_not = _why_not(args.action, buffer, wanted, now_s)
        refused = [(owed, why) for owed in found if (why := why_not(owed))]
        items = [owed.item for owed in found if not why_not(owed)]
        count = (
            buffer.retry(items)
            if args.action == "retry"
            else buffer.give_up(items, f"given up: {args.reason}", now_s)
        )
    finally:
        buffer.close_file()
    _tell(args.action, count, len(items), refused, names)
    return 0 if count and not (wanted.ids and refused) else 1


def _why_not(
    action: str, buffer: "Buffer", wanted: _Wanted, now_s: float
) -> "Callable[[Owed], str]":
    """Says of an item why it cannot be done; nothing where it can."""
    from gateway.outbox.owed import why_not_again

    if action == "give-up":
        return lambda owed: (
            ""
            if owed.state in ("pending", "sent")
            else f"it is {owed.state}; only what is pending can be given up"
        )
    newest: dict[tuple[int, Subject, str, str], int] = {}
    for owed in buffer.owed(*wanted.period):
        if owed.state in ("pending", "sent", "accepted"):
            slot = _number_of(owed)
            newest[slot] = max(newest.get(slot, 0), owed.item.revision)

    def why_not(owed: "Owed") -> str:
        revision = newest.get(_number_of(owed), 0)
        if revision > owed.item.revision:
            return (
                f"revision {revision} of it is there, and must not be replaced by an older number"
            )
        return why_not_again(owed, now_s)

    return why_not


def _number_of(owed: "Owed") -> tuple[int, "Subject", str, str]:
    """What it shares with its revisions."""
    return owed.item.slot_s, owed.item.subject, owed.item.kind, owed.item.destination


def _tell(
    action: str, count: int, asked: int, refused: "Sequence[tuple[Owed, str]]", names: _Names
) -> None:
    done = {"retry": "owed again", "give-up": "given up"}[action]
    for owed, why in refused[:_TOLD]:
        print(f"{names.id_of(owed)}: not {done}: {why}", file=sys.stderr)
    if len(refused) > _TOLD:
        print(f"… and {len(refused) - _TOLD} more that could not be {done}", file=sys.stderr)
    if asked > count:
        print(
            f"{asked - count} were decided by the daemon meanwhile, and are left as they are",
            file=sys.stderr,
        )
    if count:
        print(
            f"{count} {'item is' if count == 1 else 'items are'} {done}; a running daemon "
            "notices within half a minute"
        )
    elif not refused and not asked:
        print(
            "nothing of that kind is there; list what is with: meter-gateway outbox",
            file=sys.stderr,
        )
