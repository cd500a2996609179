"""`meter-gateway fees --simulate HISTORY`: tariff models side by side over past slots."""

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from gateway.cli.terminal import Refused

if TYPE_CHECKING:
    from gateway.operator.decision import Bounds
    from gateway.operator.fee import FeeType
    from gateway.operator.model import Model
    from gateway.operator.past_slots import Past
    from gateway.operator.replay import Contender, Tally, Total
    from gateway.operator.settings import GridOperator

MAX_BYTES = 64 << 20
"""Of a history: as many slots as are replayed at most, and some more columns."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What a simulation takes."""
    parser.add_argument(
        "--simulate",
        type=Path,
        metavar="HISTORY",
        help="replay tariff models over the past slots in this CSV file (fees --csv writes one)",
    )
    parser.add_argument(
        "--model",
        dest="contenders",
        action="append",
        default=[],
        metavar="KIND=WHAT",
        help="with --simulate: a model to replay: fixed=3.25, time_of_use=tou.csv, "
        "time_of_use:local=tou.csv, aziiz=aziiz.json or aziiz:peak=aziiz.json; may be given "
        "several times (default: those of gateway.yaml)",
    )
    for name, text in (
        ("lowest", "no fee is lower (default: as gateway.yaml says, else 0)"),
        ("highest", "no fee is higher (default: as gateway.yaml says, else any)"),
        ("step", "the largest change from slot to slot (default: as gateway.yaml says, else any)"),
        ("fallback", "the fee where a model lacks statistics (default: as gateway.yaml says, "
         "else the lowest)"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=float, metavar="FEE", help=f"with --simulate: {text}")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="with --simulate: the plot, as a page (.html)"
    )
    parser.add_argument(
        "--slots", type=Path, metavar="FILE", help="with --simulate: every slot, as .csv or .xlsx"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def simulate(args: argparse.Namespace) -> int:
    """Returns 1 where the history has mistakes. Raises Refused and ConfigError."""
    from gateway.cli.fees_test import fee_type_of
    from gateway.operator.replay import Tally

    for path, suffixes in ((args.plot, (".html",)), (args.slots, (".csv", ".xlsx"))):
        if path is not None and path.suffix.lower() not in suffixes:
            args.usage_error(f"{path}: the file's name must end in {' or '.join(suffixes)}")
    operator = None if args.contenders else _configured(args)
    fee_type = operator.settings.fee_type if operator else fee_type_of(args)
    contenders = _contenders(args, operator, fee_type)
    bounds = _bounds(args, operator, fee_type)
    past = _past(args.simulate)
    if past is None:
        return 1

    pairs = [(each, market) for market in past.markets for each in contenders]
    tallies = [Tally(each.label, market) for each, market in pairs if _is_shown(each, market)]
    if not tallies:
        raise Refused(f"no model has anything for the markets {', '.join(past.markets)}")
    rows = _replayed(past, {each.label: each for each in contenders}, bounds, tallies)
    _write_slots(args, rows)
    totals = [tally.total() for tally in tallies]

    _show(args, past, totals)
    for tally, total in zip(tallies, totals, strict=True):
        if total.fallbacks == total.slots:
            what = f"{tally.model}, {tally.market}: only the fallback"
            print(f"note: {what} — {tally.why}", file=sys.stderr)
    _write_plot(args, past, tallies)
    return 0


def _is_shown(contender: "Contender", market: str) -> bool:
    """What is configured is shown as it is; of others what can be compared."""
    if contender.label == CONFIGURED or contender.knows(market):
        return True
    print(f"note: {contender.label} has nothing for the market {market}", file=sys.stderr)
    return False


def _replayed(
    past: "Past",
    contenders: Mapping[str, "Contender"],
    bounds: "Bounds",
    tallies: Sequence["Tally"],
) -> Iterator[Mapping[str, Any]]:
    """Every slot of every tally as a row, added up while it passes."""
    from gateway.cli.tables import utc_text
    from gateway.operator.replay import replayed

    for tally in tallies:
        model = contenders[tally.model].model_of(tally.market)
        for each in replayed(past, tally.market, model, bounds):
            tally.add(each)
            decision = each.decision
            yield {
                "slot_utc": utc_text(decision.slot_s),
                "market": tally.market,
                "model": tally.model,
                "fee": decision.fee.number,
                "wanted": None if decision.wanted is None else decision.wanted.number,
                "cents": each.cents,
                "why": decision.why,
            }


# --- what is replayed -----------------------------------------------------------------------------


def _configured(args: argparse.Namespace) -> "GridOperator":
    """What gateway.yaml says. Raises ConfigError and Refused."""
    from gateway.operator.loading import load
    from gateway.operator.settings import GridOperator

    if not (args.config / "gateway.yaml").is_file():
        raise Refused(
            f"there is no {args.config / 'gateway.yaml'} with models to replay — name some with "
            "--model, such as --model fixed=3.25"
        )
    operator = load(args.config, logins=False).grid_operator
    if not isinstance(operator, GridOperator):
        raise Refused(
            f"{args.config / 'gateway.yaml'} has no grid_operator: — name models with --model, "
            "such as --model fixed=3.25"
        )
    return operator


def _contenders(
    args: argparse.Namespace, operator: "GridOperator | None", fee_type: "FeeType"
) -> list["Contender"]:
    """The models that are replayed, by their labels. Raises Refused."""
    from gateway.operator.replay import Contender

    if operator is None:
        labels = dict.fromkeys(args.contenders)
        return [Contender(label=text, default=_model(text, fee_type)) for text in labels]

    own = operator.models
    found = [Contender(label=CONFIGURED, default=operator.default, models=own)]
    kinds = dict.fromkeys(model.kind for model in (operator.default, *own.values()))
    for kind in kinds if len(kinds) > 1 else ():
        of_kind = {name: model for name, model in own.items() if model.kind == kind}
        default = next(m for m in (operator.default, *of_kind.values()) if m.kind == kind)
        found.append(Contender(label=kind, default=default, models=of_kind))
    return found


CONFIGURED = "as configured"
"""The label of the models as gateway.yaml has them for each market."""

VARIANTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "fixed": {"": {}},
    "time_of_use": {"": {}, "utc": {"times": "utc"}, "local": {"times": "local"}},
    "aziiz": {"": {}, "peak": {"measure": "peak"}},
}
"""The models that can be named on the command line, and what stands behind a colon."""


def _model(text: str, fee_type: "FeeType") -> "Model":
    """The model of `KIND=WHAT`. Raises Refused."""
    from drivers.strict_yaml import nearest
    from gateway.operator.fee import FeeError, number_of
    from gateway.operator.keys import FeeNumber
    from gateway.operator.model import Given, TariffError
    from gateway.operator.models import model_of
    from gateway.operator.tariffs.reading import Tariffs
    from gateway.site.timezone import machine_timezone

    name, _, what = text.partition("=")
    kind, _, variant = name.partition(":")
    keys = VARIANTS.get(kind, {}).get(variant)
    if keys is None or not what:
        hint = nearest(kind, VARIANTS)
        if kind == "feeder":
            hint = "a feeder is replayed as gateway.yaml has it, without --model"
        raise Refused(f"--model {text}: write KIND=WHAT, such as fixed=3.25 — {hint}")

    module = model_of(kind)
    given = Given(
        fee_type=fee_type,
        timezone=ZoneInfo(machine_timezone().name),
        markets=None,
        tariffs=Tariffs(Path(), fee_type),
    )
    try:
        said = {"fee": FeeNumber(number_of(what))} if kind == "fixed" else {"file": what}
        model: Model = module.build(module.Settings(**said, **keys), given)
    except FeeError as error:
        raise Refused(f"--model {text}: {error}") from error
    except TariffError as error:
        raise Refused(str(error)) from error
    return model


def _bounds(
    args: argparse.Namespace, operator: "GridOperator | None", fee_type: "FeeType"
) -> "Bounds":
    """What gateway.yaml says, and what the command line says instead. Raises Refused."""
    from gateway.operator.decision import Bounds
    from gateway.operator.fee import HIGHEST, Fee, FeeError, fee_of

    said: dict[str, Fee] = {}
    for name in ("lowest", "highest", "step", "fallback"):
        value = getattr(args, name)
        try:
            if value is not None:
                said[name] = fee_of(value, fee_type)
        except FeeError as error:
            raise Refused(f"--{name}: {error}") from error

    if operator is not None:
        before = operator.bounds
    else:
        lowest = said.get("lowest", Fee(fee_type, 0))
        highest = fee_of(HIGHEST[fee_type], fee_type)
        before = Bounds(lowest=lowest, highest=highest, fallback=lowest)
    try:
        return replace(before, **said)
    except ValueError as error:
        raise Refused(f"{error} — --lowest, --fallback, --highest go upwards") from error


def _past(path: Path) -> "Past | None":
    """The history. None where it has mistakes, each of which is told."""
    from gateway.operator.model import TariffError
    from gateway.operator.past_slots import past_slots
    from gateway.operator.tariffs.cells import Findings
    from gateway.operator.tariffs.files import read_text

    found = Findings(str(path))
    try:
        past = past_slots(read_text(path, MAX_BYTES), found)
        problems = found.told
    except TariffError as error:
        past, problems = None, error.problems
    for problem in problems:
        print(problem)
    return past


# --- what is shown --------------------------------------------------------------------------------


def _show(args: argparse.Namespace, past: "Past", totals: Sequence["Total"]) -> None:
    from gateway.cli.tables import utc_text
    from gateway.cli.terminal import json_text, print_table

    rows = [_row(past, each) for each in totals]
    if args.json:
        print(json_text(rows, indent=2))
        return

    first, last = past.starts[0], past.starts[-1] + past.slot_s
    print(
        f"{len(past.starts)} slots of {past.slot_s} s from {utc_text(first)} to {utc_text(last)}. "
        "The energies stay as they were: nobody knows what other fees would have changed."
    )
    from gateway.operator.fee import UNITS

    unit = UNITS[totals[0].lowest.type]
    columns = ["model", "market", f"mean {unit}", "lowest", "highest", "changes", "limited"]
    columns += ["fallback", "kWh", "ct", "ct told"]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    spare = ["limited", "kWh", "changes"]
    print_table(columns, cells, right=columns[2:], spare=spare)
    print(
        "limited: slots in which bounds or step kept a model from its fee; fallback: in which it "
        "lacked what it needs; ct told: what the exchange says that the fees of then have brought"
    )
    if not args.plot:
        print("with a plot: the same command with --plot fees.html")


def _row(past: "Past", total: "Total") -> dict[str, Any]:
    """For programs; the table has the same in the same order."""
    from gateway.operator.replay import told_cents

    return {
        "model": total.model,
        "market": total.market,
        "mean_fee": round(total.mean, 6),
        "lowest_fee": total.lowest.number,
        "highest_fee": total.highest.number,
        "changes": total.changes,
        "limited_slots": total.limited,
        "fallback_slots": total.fallbacks,
        "charged_kwh": round(total.charged_kwh, 6),
        "cents": round(total.cents, 4),
        "cents_told": told_cents(past, total.market),
    }


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}".replace(",", " ") if isinstance(value, float) else str(value)


SLOT_COLUMNS = ("slot_utc", "market", "model", "fee", "wanted", "cents", "why")


def _write_slots(args: argparse.Namespace, rows: Iterator[Mapping[str, Any]]) -> None:
    """Have all rows pass, into a file where one is asked for. Raises Refused."""
    from gateway.cli.spreadsheets import write_table

    if args.slots is None:
        deque(rows, maxlen=0)
        return
    count = write_table(args.slots, SLOT_COLUMNS, rows, force=args.force)
    print(f"{args.slots}: {count} fees", file=sys.stderr)


def _write_plot(args: argparse.Namespace, past: "Past", tallies: Sequence["Tally"]) -> None:
    """Raises Refused."""
    from gateway.cli.fees_page import page
    from gateway.cli.spreadsheets import replacing

    if args.plot is not None:
        with replacing(args.plot, force=args.force) as part:
            part.write_text(page(past, tallies), encoding="utf-8")
        print(f"{args.plot}: the plot", file=sys.stderr)
