"""`meter-gateway fees`: what was decided for each market and slot, what came of it, and why."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.cli.tables import local_text, utc_text
from gateway.cli.terminal import add_period, json_text, moment, print_table, reading

if TYPE_CHECKING:
    from datetime import tzinfo

    from gateway.site.settings import Settings
    from gateway.store.buffer import Buffer
    from gateway.store.grid_fee_rows import GridFee

DEFAULT_SLOTS = 8
MILLION = 1_000_000
ALWAYS_S = 1 << 40
CSV_COLUMNS = (
    *("slot_utc", "market", "import_kwh", "export_kwh", "traded_kwh", "revenue_cents"),
    *("average_rate", "load_kwh", "fee", "decided_fee", "state", "model", "fallback"),
    *("money_cents", "why", "reason"),
)
STATES: Mapping[str, str] = {
    "observed": "nothing was decided; only what flowed is known",
    "decided": "it is about to be sent",
    "dry_run": "it is not sent: gateway.yaml says dry_run",
    "sent": "the answer is awaited",
    "taken": "the exchange answered ready, with this very number",
    "kept_old": "not taken: the exchange answered ready, with another number",
    "refused": "not taken: the exchange refused it",
    "silent": "it was sent, and not answered before the slot began",
    "too_late": "it was not sent any more",
    "missed": "nothing was decided",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the list takes."""
    add_period(parser)
    parser.add_argument(
        "--last",
        type=int,
        metavar="N",
        help=f"the last N slots (default: {DEFAULT_SLOTS}, without --since and --until)",
    )
    parser.add_argument("--market", metavar="NAME", help="of this market only")
    parser.add_argument("--csv", action="store_true", help="as CSV, which --simulate reads again")
    parser.add_argument(
        "--explain", type=moment, metavar="SLOT", help="why each market's fee of that slot is so"
    )


def show(args: argparse.Namespace, settings: "Settings") -> int:
    """Returns 1 where nothing is kept of what was asked for. Raises Refused, StoreError."""
    with reading(settings) as buffer:
        found = _found(args, settings, buffer)
    zone = settings.timezone.zone
    rows = [row for row in found if args.market in (None, row.name)]
    if args.json:
        print(json_text([_for_programs(row) for row in rows], indent=2))
    elif args.csv:
        _write_csv(rows)
    elif not rows:
        _say_nothing(args, settings, sorted({row.name for row in found}))
    elif args.explain is not None:
        print("\n\n".join("\n".join(_explained(row, zone)) for row in rows))
    else:
        _print(rows, zone)
    return 0 if rows else 1


def _found(args: argparse.Namespace, settings: "Settings", buffer: "Buffer") -> "list[GridFee]":
    fees, slot_s = buffer.tables.grid_fees, int(settings.market.slot)
    if args.explain is not None:
        start_s = int(args.explain) // slot_s * slot_s
        since_s, until_s = start_s, start_s + slot_s
    else:
        since_s = 0 if args.since is None else int(args.since)
        until_s = ALWAYS_S if args.until is None else int(args.until)
        last = args.last or (DEFAULT_SLOTS if args.since is None and args.until is None else 0)
        newest_s = fees.newest_s(until_s)
        if last and newest_s is not None:
            since_s = max(since_s, newest_s - (last - 1) * slot_s)
    is_for_people = not (args.json or args.csv) and args.explain is None
    return [
        row
        for row in fees.between(since_s, until_s)
        if not (is_for_people and row.state == "observed")
    ]


def _say_nothing(
    args: argparse.Namespace, settings: "Settings", markets_then: Sequence[str]
) -> None:
    from drivers.strict_yaml import nearest

    if markets_then:
        hint = nearest(args.market, markets_then)
        print(f"Nothing is kept of a market {args.market!r} then — {hint}", file=sys.stderr)
    elif args.explain is not None:
        print(
            f"Nothing is kept of the slot {utc_text(args.explain)}: the agent was not there, "
            "or it is older than what is kept. meter-gateway fees lists what there is.",
            file=sys.stderr,
        )
    elif settings.grid_operator is None:
        print("There is no grid_operator: in gateway.yaml, and no fee is kept.", file=sys.stderr)
    else:
        print(
            "No fee is kept of that time. The first one comes with the second slot that the "
            "exchange tells of; meter-gateway status says how it is.",
            file=sys.stderr,
        )


# --- for people -----------------------------------------------------------------------------------


def _print(rows: "Sequence[GridFee]", zone: "tzinfo") -> None:
    unit = _unit(rows[0])
    columns = [
        *("slot (UTC)", "local time", "market", f"fee {unit}", f"in force {unit}", "state"),
        *("kWh", "fee × kWh ct", "revenue ct", "model", "why"),
    ]
    right = [columns[3], columns[4], "kWh", "fee × kWh ct", "revenue ct"]
    spare = ["local time", "model", "revenue ct", "kWh", "fee × kWh ct", "why"]
    print_table(columns, _cells(rows, zone), right=right, spare=spare)
    told = sorted({row.state for row in rows} - {"taken"})
    for state in told:
        print(f"{state}: {STATES[state]}", file=sys.stderr)


def _cells(rows: "Iterable[GridFee]", zone: "tzinfo") -> Iterator[list[str]]:
    from gateway.operator.money import charged_kwh, money_cents

    for row in rows:
        yield [
            utc_text(row.slot_s),
            local_text(row.slot_s, zone),
            row.name,
            _fee(row.fee),
            _fee(row.in_force),
            row.state,
            _number(charged_kwh(row)),
            _number(money_cents(row)),
            _number(row.revenue_cents),
            row.model,
            "; ".join(text for text in (row.reason, row.why) if text),
        ]


def _explained(row: "GridFee", zone: "tzinfo") -> Iterator[str]:
    from gateway.operator.money import charged_kwh, money_cents

    unit = _unit(row)
    yield f"{row.name}, slot {utc_text(row.slot_s)} ({local_text(row.slot_s, zone)} local)"
    if row.fee is None:
        yield f"  fee       none: {row.reason or STATES[row.state]}"
    else:
        yield f"  fee       {_fee(row.fee)} {unit}, by the model {row.model}"
        yield f"  why       {row.why}"
        if row.wanted is not None and row.wanted != row.fee:
            yield f"  wanted    {_fee(row.wanted)} {unit}; the bounds or the step kept it from that"
        if row.inputs:
            yield f"  inputs    {', '.join(f'{k} {v:g}' for k, v in sorted(row.inputs.items()))}"
        yield f"  state     {row.state}: {STATES[row.state]}"
        if row.reason:
            yield f"  reason    {row.reason}"
    if row.sent_s is not None:
        answered = f", answered {utc_text(row.answered_s)}" if row.answered_s else ", not answered"
        times = "once" if row.sent == 1 else f"{row.sent} times"
        yield f"  sent      {times}, last {utc_text(row.sent_s)}{answered}"
    if row.in_force is not None:
        yield f"  in force  {_fee(row.in_force)} {unit}, by the exchange's own event"
    flowed = {"import": row.import_kwh, "export": row.export_kwh, "traded": row.traded_kwh}
    told = [f"{name} {_number(kwh)} kWh" for name, kwh in flowed.items() if kwh is not None]
    if told:
        yield f"  flowed    {', '.join(told)}"
    money = money_cents(row)
    if money is not None:
        yield f"  money     {_number(money)} ct: the fee on {_number(charged_kwh(row))} kWh"
    if row.revenue_cents is not None:
        yield f"  revenue   {_number(row.revenue_cents)} ct, by the exchange's statistics"


def _unit(row: "GridFee") -> str:
    return "%" if row.fee_type == "percent" else "ct/kWh"


def _fee(micros: int | None) -> str:
    return "–" if micros is None else f"{micros / MILLION:.6f}".rstrip("0").rstrip(".")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


# --- for programs ---------------------------------------------------------------------------------


def _for_programs(row: "GridFee") -> dict[str, Any]:
    from gateway.operator.money import charged_kwh, money_cents

    return {
        "slot_utc": utc_text(row.slot_s),
        "slot_s": row.slot_s,
        "market": row.name,
        "market_uuid": str(row.market),
        "fee_type": row.fee_type,
        "fee": _plain(row.fee),
        "wanted": _plain(row.wanted),
        "in_force": _plain(row.in_force),
        "state": row.state,
        "model": row.model,
        "fallback": row.fee is not None and row.wanted is None,
        "why": row.why,
        "reason": row.reason,
        "inputs": dict(row.inputs),
        "sent": row.sent,
        "sent_s": row.sent_s,
        "answered_s": row.answered_s,
        "import_kwh": row.import_kwh,
        "export_kwh": row.export_kwh,
        "traded_kwh": row.traded_kwh,
        "average_rate": row.average_rate,
        "charged_kwh": charged_kwh(row),
        "money_cents": money_cents(row),
        "revenue_cents": row.revenue_cents,
    }


def _write_csv(rows: "Iterable[GridFee]") -> None:
    from gateway.operator.money import charged_fee

    writer = csv.DictWriter(
        sys.stdout, CSV_COLUMNS, lineterminator="\n", extrasaction="ignore", restval=""
    )
    writer.writeheader()
    for row in rows:
        told = _for_programs(row)
        told |= {
            "fee": charged_fee(row),
            "decided_fee": told["fee"],
            "load_kwh": row.inputs.get("load_kwh"),
            "fallback": "yes" if told["fallback"] else "",
        }
        writer.writerow(
            {name: "" if told.get(name) is None else told[name] for name in CSV_COLUMNS}
        )


def _plain(micros: int | None) -> float | None:
    return None if micros is None else micros / MILLION
