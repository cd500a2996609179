"""`meter-gateway updates`: from where new versions come."""

import argparse
from pathlib import Path

SUMMARY = "from where new versions come: the update channel"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Without a channel it says which one is set, what is installed, and what apt would "
        "install. With one it tells apt of the signed repository and its public key, and allows "
        "unattended-upgrades to install from it; apt update and apt install meter-gateway do so "
        "by hand. An update that does not run here goes back by itself. The package that is "
        "installed stays until the channel has a newer one."
    )
    parser.epilog = (
        "examples:\n"
        "  sudo meter-gateway updates stable --repository https://example.org/debian \\\n"
        "      --key meter-gateway.gpg\n"
        "  sudo meter-gateway updates testing\n"
        "  sudo meter-gateway updates none"
    )
    parser.add_argument(
        "channel",
        nargs="?",
        choices=["stable", "testing", "none"],
        help="stable: what was tried for a while; testing: what comes next, too; none: packages "
        "are installed by hand",
    )
    parser.add_argument("--repository", metavar="URL", help="where it is: https://… or file:/…")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its public key")


def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises Refused; nothing has been changed then."""
    from gateway.cli.terminal import Refused
    from gateway.cli.update_channel import UNATTENDED, channel_of, choose, leave, versions

    try:
        if args.channel == "none":
            leave()
        elif args.channel is not None:
            choose(args.channel, args.repository, args.key)
        elif args.repository or args.key:
            raise Refused("which channel? meter-gateway updates stable --repository … --key …")
        channel = channel_of()
    except OSError as error:
        raise Refused(
            f"{error.filename}: {error.strerror} — run this with sudo; where the disk is mounted "
            "read-only: mount -o remount,rw /"
        ) from error
    if channel is None:
        print("Versions are installed by hand: sudo apt install ./meter-gateway_….deb")
        return 0
    print(f"Channel {channel.name} of {channel.repository}")
    if args.channel is not None:
        print("    sudo apt update && sudo apt install meter-gateway")
    elif said := versions():
        print(said)
    if not (Path("/") / UNATTENDED).exists():
        print("New versions come by themselves with: sudo apt install unattended-upgrades")
    return 0
