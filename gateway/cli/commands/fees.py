"""`meter-gateway fees`: the grid fees of an exchange's markets."""

import argparse

SUMMARY = "check a tariff file, and replay tariff models over past slots"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    from gateway.cli import fees_simulation, fees_test

    parser.description = (
        "For a grid operator. test MODEL FILE: checks a tariff file at a desk, and shows the fees "
        "of a day for each market. --simulate HISTORY: replays tariff models side by side over "
        "past slots, with what each would have brought. Neither asks an exchange. "
        "Exit code 1 where a file has mistakes; each is named with its line or cell."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway fees test time_of_use tou.csv\n"
        "  meter-gateway fees test time_of_use ToU.xlsx --times local --day 2026-03-29\n"
        "  meter-gateway fees test aziiz aziiz.json --fee-type percent\n"
        "  meter-gateway fees --simulate history.csv --plot fees.html\n"
        "  meter-gateway fees --simulate history.csv --model fixed=3 --model aziiz=aziiz.json"
    )
    parser.add_argument("action", nargs="?", choices=["test"], help="test: check a tariff file")
    fees_test.add_arguments(parser)
    fees_simulation.add_arguments(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Returns 1 where a file has mistakes. Raises Refused and ConfigError."""
    from gateway.cli import fees_simulation, fees_test

    if args.action == "test":
        return fees_test.test(args)
    if args.simulate is not None:
        return fees_simulation.simulate(args)
    args.usage_error("say what: fees test MODEL FILE, or fees --simulate HISTORY")
    return 2
