"""The exchange's part of `init`: log in, and say what each asset's energy is the sum of."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from gateway.cli.commissioning import account, proposals
from gateway.cli.commissioning.files import cannot_write
from gateway.cli.commissioning.interview import Interview
from gateway.cli.commissioning.proposals import Meter, Proposal, Wanted
from gateway.cli.commissioning.site_file import AssetLine, ExchangeLines
from gateway.cli.commissioning.step import Step
from gateway.cli.terminal import Refused
from gateway.delivery.exchange.url import HOSTED_URL, HttpUrl
from gateway.delivery.kinds.exchange import TAKEN_KINDS
from gateway.energy.assets import Formula
from gateway.outbox.exchange.registry import Node
from gateway.site.credentials import Credentials, read_credentials
from gateway.site.devices import Device
from gateway.site.settings import unknown_meters, unmeasured

LOGIN_FILE = "exchange.credentials"
_TRIES = 3


class ExchangeStep(Step):
    """Asks what the flags do not say. What is left to do is added to `left`."""

    def run(self, devices: Sequence[Device]) -> tuple[ExchangeLines | None, list[AssetLine]]:
        """Where slots go, and of which assets. Raises Refused."""
        exchange, nodes = self._exchange()
        assets = self._assets(devices, nodes)
        return (exchange if assets else None), assets

    def _exchange(self) -> tuple[ExchangeLines, tuple[Node, ...] | None]:
        """Log in. Returns where, and the assets there; None where they are not known."""
        args, ask = self.args, self.ask
        url = ask.text("Exchange", args.url or HOSTED_URL, "--url", HttpUrl.parse)
        network = ask.text(
            "UUID of the network there", args.canary_network or "", "--canary-network", _check_uuid
        )
        exchange = ExchangeLines(url, UUID(network), args.dialect, LOGIN_FILE)
        path = self.folder / LOGIN_FILE
        for _ in range(_TRIES):
            login = self._login(path)
            answer = account.ask(account.Account(url, exchange.network, login))
            if not answer.problem:
                print(f"The exchange takes the login of {login.username}.")
                self._put_login(path, login)
                return exchange, answer.nodes
            print(f"  {answer.problem}")
            if not answer.is_refused and not ask.agrees("Try it again?", proposed=False):
                self._put_login(path, login)
                self.left.append(f"the exchange could not be asked: {answer.problem}")
                return exchange, None
            if answer.is_refused and not ask.asks:
                break
            args.username = None
        raise Refused(
            "The exchange does not take this login for this network. The meters are kept: run init "
            "again with the right one."
        )

    def _login(self, path: Path) -> Credentials:
        """The one that is there, or the one that is said."""
        args, ask = self.args, self.ask
        if args.username is None and args.password_file is None and path.exists():
            there, _ = read_credentials(path.parent, path.name)
            if there is not None and ask.agrees(
                f"Use the login of {there.username}?", proposed=True
            ):
                return there
        username = ask.text("User name there", args.username or "", "--username")
        return Credentials(username, password(args, ask))

    def _put_login(self, path: Path, login: Credentials) -> None:
        there, _ = read_credentials(path.parent, path.name) if path.exists() else (None, [])
        if there == login:
            return
        try:
            problems = account.write_login(path, login)
        except OSError as error:
            raise cannot_write(path, error) from error
        if problems:
            raise Refused("\n".join(map(str, problems)))
        print(f"    written: {path}")

    def _assets(self, devices: Sequence[Device], nodes: tuple[Node, ...] | None) -> list[AssetLine]:
        """What each asset's energy is the sum of."""
        meters = [Meter(d.name, d.measures("import"), d.measures("export")) for d in devices]
        if nodes is None:
            return self._assets_by_name()
        own = account.our_own(nodes)
        said = {name: formula for name, _, formula in self.args.assets}
        for name in said.keys() - own.keys():
            raise Refused(f"--asset {name}: the exchange has no such asset; it has {_listed(own)}")
        if not own:
            raise Refused("This network has no asset for this account: have it registered there.")
        wanted = [Wanted(name, node.kind) for name, node in own.items()]
        proposed = proposals.propose(wanted, meters)
        print("The exchange has these assets for this account:")
        lines = []
        for name, node in own.items():
            print(f"  {name} ({node.kind.replace('_', ' ')})")
            proposal = proposed.get(name, Proposal("", "it is of a kind that is not known here"))
            energy, why = self._formula(name, node, said.get(name), proposal, devices)
            if energy:
                lines.append(AssetLine(name, node.kind, energy, node.uuid, why))
        if not lines:
            self.left.append("no asset has an energy yet: give --asset, and --anew")
        return lines

    def _formula(
        self,
        name: str,
        node: Node,
        said: str | None,
        proposal: Proposal,
        devices: Sequence[Device],
    ) -> tuple[str, str]:
        """An asset's formula, and why; empty where it gets none."""
        if node.kind not in TAKEN_KINDS:
            print(f"    left out: {proposal.why}")
            return "", ""
        if said is not None:
            try:
                _check_formula(said, devices)
            except ValueError as error:
                raise Refused(f"--asset {name}: {error}") from error
            return said, ""
        print(f"    {proposal.energy or 'no proposal'}: {proposal.why}")
        if not proposal.energy and not self.ask.asks:
            self.left.append(f"{name} has no energy: {proposal.why}; give --asset, and --anew")
            return "", ""
        energy = self.ask.text(
            "    Its energy ('none' leaves it out)",
            proposal.energy or "none",
            "--asset",
            lambda text: None if text == "none" else _check_formula(text, devices),
        )
        if energy == "none":
            return "", ""
        return energy, proposal.why if energy == proposal.energy else ""

    def _assets_by_name(self) -> list[AssetLine]:
        """Those of the command line, which the daemon looks up by their names later."""
        lines = []
        for name, kind, formula in self.args.assets:
            if kind not in TAKEN_KINDS:
                raise Refused(
                    f"--asset {name}: the exchange cannot be asked what it is — write "
                    f"'{name}:load={formula}', or :pv"
                )
            lines.append(AssetLine(name, kind, formula))
        if not lines:
            self.left.append(
                "the assets are not known, so nothing is delivered yet: run init --anew once the "
                "exchange answers"
            )
        return lines


def password(args: argparse.Namespace, ask: Interview) -> str:
    """As `--password-file` says, or else as is typed. Raises Refused."""
    if args.password_file is not None:
        return _password_in(args.password_file)
    return ask.secret("Password", "--password-file")


def _password_in(name: str) -> str:
    """The first line of a file; `-` is standard input. Raises Refused."""
    try:
        if name == "-":
            line = os.fdopen(os.dup(0), encoding="utf-8").readline()
        else:
            with Path(name).open(encoding="utf-8") as file:
                line = file.readline()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Refused(f"--password-file {name}: cannot be read: {why}") from error
    password = line.rstrip("\r\n")
    if not password:
        raise Refused(f"--password-file {name}: its first line is empty")
    return password


def _check_uuid(text: str) -> None:
    try:
        UUID(text)
    except ValueError as error:
        raise ValueError(
            "copy it from the exchange's page: 8-4-4-4-12 hexadecimal digits"
        ) from error


def _check_formula(text: str, devices: Sequence[Device]) -> None:
    """Raises ValueError."""
    formula = Formula.parse(text)
    names = [device.name for device in devices]
    for mistake in (*unknown_meters(formula, names), *unmeasured(formula, devices)):
        raise ValueError(f"{mistake.message} — {mistake.hint}")


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "none"
