"""`meter-gateway doctor`: everything that support would ask."""

import argparse
from collections.abc import Callable
from pathlib import Path

SUMMARY = "everything that support would ask: a verdict and a remedy per line; or in one file"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Looks at this machine, the service, the configuration, what the running daemon says, and "
        "tries each meter, login and disk once, as check --try does; a line for each, with what to "
        "do. A line that the daemon has is not read: its word counts. Run it as root. Exit code 1 "
        "where something needs attention. --bundle writes all of it into one archive to send to "
        "somebody: with the configuration, status, slots of two days and the log, and without "
        "passwords, tokens and keys."
    )
    parser.epilog = (
        "examples:\n  sudo meter-gateway doctor\n"
        "  sudo meter-gateway doctor --bundle /tmp/home-12.tar.gz"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="write an archive (.tar.gz) to send, too"
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 where nothing needs attention. Raises Refused."""
    import asyncio
    import logging

    from gateway.cli.support.bundle import mask_of

    masked = mask_of(args.config)
    lines: list[str] = []
    logging.disable(logging.WARNING)  # what goes wrong has a line of its own
    try:
        failed = asyncio.run(_examine(args.config, lambda line: _tell(masked(line), lines)))
    finally:
        logging.disable(logging.NOTSET)
    said = "Nothing needs attention."
    if failed:
        said = f"{failed} thing{' needs' if failed == 1 else 's need'} attention: marked ✗."
    _tell(said, lines)
    if args.bundle is not None:
        _write(args.bundle, args.config, "\n".join(lines) + "\n")
    return 1 if failed else 0


async def _examine(folder: Path, tell: Callable[[str], None]) -> int:
    from gateway.cli.support.examination import examine

    failed, section = 0, ""
    async for heading, tried in examine(folder):
        if heading != section:
            tell(heading)
            section = heading
        tell(f"  {tried}")
        failed += tried.mark == "✗"
    return failed


def _tell(line: str, lines: list[str]) -> None:
    print(line, flush=True)
    lines.append(line)


def _write(path: Path, folder: Path, doctor: str) -> None:
    from gateway.cli.support.bundle import write_bundle
    from gateway.cli.terminal import Refused

    try:
        members = write_bundle(path, folder, doctor)
    except FileExistsError as error:
        raise Refused(f"{path} is there already — give another name") from error
    except OSError as error:
        raise Refused(f"{path}: cannot be written: {error.strerror or error}") from error
    print(f"{path}: {', '.join(members)}. Without secrets; look through it before you send it.")
