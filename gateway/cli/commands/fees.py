"""`meter-gateway fees`: the grid fees of an exchange's markets."""

import argparse

SUMMARY = "the grid fees that were set, and why; check tariff files, replay models, stop"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    from gateway.cli import fees_list, fees_simulation, fees_stop, fees_test

    parser.description = (
        "For a grid operator. list (without a word): what was decided for each market and slot, "
        "what came of it, what it brought (fee × energy) beside the exchange's own revenue. "
        "--explain SLOT: why. stop --at FEE: leaves every market at that fee, and ends the agent, "
        "also after a restart, until start; works beside the running daemon, and without one. "
        "test MODEL FILE: checks a tariff file at a desk, and shows the fees "
        "of a day for each market. --simulate HISTORY: replays tariff models side by side over "
        "past slots, with what each would have brought. Only stop asks an exchange. "
        "Exit code 1 where a file has mistakes (each is named with its line or cell), where "
        "nothing is kept of what was asked for, or where stop did not get through."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway fees\n"
        "  meter-gateway fees --explain 2026-03-29T18:15Z\n"
        "  meter-gateway fees --since 90d --csv > history.csv\n"
        "  meter-gateway fees stop --at 2.5\n"
        "  meter-gateway fees test time_of_use tou.csv\n"
        "  meter-gateway fees test time_of_use ToU.xlsx --times local --day 2026-03-29\n"
        "  meter-gateway fees test aziiz aziiz.json --fee-type percent\n"
        "  meter-gateway fees --simulate history.csv --plot fees.html\n"
        "  meter-gateway fees --simulate history.csv --model fixed=3 --model aziiz=aziiz.json"
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=["list", "test", "stop", "start"],
        default="list",
        help="what to do (default: list)",
    )
    fees_list.add_arguments(parser)
    fees_stop.add_arguments(parser)
    fees_test.add_arguments(parser)
    fees_simulation.add_arguments(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Returns 1 where a file has mistakes, nothing is found, or `stop` did not get through. Raises
    Refused, ConfigError and StoreError.
    """
    from gateway.cli import fees_list, fees_simulation, fees_stop, fees_test

    if args.action == "test":
        return fees_test.test(args)
    if args.simulate is not None:
        return fees_simulation.simulate(args)

    from gateway.operator.loading import load

    settings = load(args.config, logins=args.action == "stop")
    match args.action:
        case "stop":
            return fees_stop.stop(args, settings)
        case "start":
            return fees_stop.start(args, settings)
        case _:
            return fees_list.show(args, settings)
