"""The meters' part of `init`: find them, name them, write their files."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from drivers.found import Found
from drivers.line import MODBUS_TCP_PORT, LineUrl
from drivers.scan import FAST, THOROUGH, scan, serial_ports
from gateway.cli.commissioning import proposals
from gateway.cli.commissioning.device_folder import DeviceFolder
from gateway.cli.commissioning.proposals import Role
from gateway.cli.commissioning.search import Shown, usable
from gateway.cli.commissioning.step import Step
from gateway.cli.terminal import Refused
from gateway.site.config import load_device
from gateway.site.credentials import ConfigError
from gateway.site.device_files import summary
from gateway.site.devices import Device


class MeterFlag(NamedTuple):
    """`--meter`: what the meter is called that is found there."""

    name: str
    line: LineUrl
    address: int | None

    def means(self, found: Found) -> bool:
        """Whether that is the one."""
        return self.line.key == found.line.key and self.address in (None, found.address)


class MetersStep(Step):
    """Looks for meters, as the flags say. What is left to do is added to `left`."""

    def run(self) -> list[Device]:
        """Returns all meters that have a file. Raises Refused."""
        folder = DeviceFolder(self.folder)
        if not self.args.no_scan:
            for found in self._search():
                self._take(found, folder)
        devices = []
        for name in folder.names():
            try:
                devices.append(load_device(self.folder, name))
            except ConfigError as error:
                raise Refused(f"{error}\nMend this first, and run init again.") from error
        if not devices:
            raise Refused(
                "There is no meter, so there is nothing to settle yet. Is it wired, and is the "
                "adapter plugged in? Meters whose settings were changed are found with --thorough, "
                "those on the network with --network 192.168.1.0/24; and a file in "
                f"{self.folder / 'devices'} can be written by hand (docs/install.md)."
            )
        print(f"Meters: {', '.join(device.name for device in devices)}.")
        return devices

    def _search(self) -> list[Found]:
        flags: Sequence[MeterFlag] = self.args.meters
        lines = [flag.line for flag in flags] or self.args.lines
        endpoints = [
            LineUrl("tcp", host, MODBUS_TCP_PORT) for hosts in self.args.network for host in hosts
        ]
        lines = lines or ([] if endpoints else serial_ports())
        if lines or endpoints:
            print("Looking for meters:", flush=True)
        shown = Shown(None)
        try:
            asyncio.run(self._scan(lines, endpoints, shown))
        except KeyboardInterrupt:
            shown.clear()
            if not self.ask.agrees("Go on with what was found so far?", proposed=True):
                raise
        shown.clear()
        for flag in flags:
            if not any(flag.means(found) for found in shown.founds):
                self.left.append(f"{flag.name}: no meter was found at {flag.line}")
        return shown.founds

    async def _scan(
        self, lines: Sequence[LineUrl], endpoints: Sequence[LineUrl], shown: Shown
    ) -> None:
        """Search each line once. Where `--meter` says the addresses on it, only these are asked."""
        search = THOROUGH if self.args.thorough else FAST
        profiles = usable(self.folder)
        async with asyncio.TaskGroup() as group:
            group.create_task(scan([], endpoints, profiles, search, shown))
            for line in dict.fromkeys(lines):
                flags = [flag for flag in self.args.meters if flag.line == line]
                told = tuple(flag.address for flag in flags if flag.address is not None)
                only = told if told and len(told) == len(flags) else None
                its = replace(
                    search,
                    addresses=only or search.addresses,
                    network_addresses=only or search.network_addresses,
                )
                group.create_task(scan([line], [], profiles, its, shown))

    def _take(self, found: Found, folder: DeviceFolder) -> None:
        """Name one, and write its file."""
        if (path := folder.file_of(found)) is not None:
            print(f"    has its file already: {path}")
            return
        taken = folder.names()
        flag = next((each for each in self.args.meters if each.means(found)), None)
        if self.args.meters and flag is None:
            print(f"    not asked for, left alone: {found.profile.id}")
            return
        if flag is not None:
            name, role = flag.name, proposals.role_of(flag.name)
        else:
            role = self._role(found, taken)
            name = proposals.free_name(role, taken)
        if name in taken:
            self.left.append(f"{name} is the name of another meter: give {found.line} another")
            return
        inverted = proposals.is_wired_the_other_way(
            role, found.power_w, found.values
        ) and self.ask.agrees(
            f"  It looks wired the other way round for {proposals.ROLES[role]}. Turn it round?",
            proposed=True,
        )
        folder.write(name, found, inverted=inverted)

    def _role(self, found: Found, taken: Sequence[str]) -> Role:
        roles = [proposals.role_of(name) for name in taken]
        likely = proposals.likely_role(
            roles,
            exports="energy_export_wh" in found.profile.energy,
            pushes=found.profile.bus is None and found.address is None,
            produces=(found.power_w or 0.0) < 0 or "energy_import_wh" not in found.profile.energy,
        )
        if self.ask.asks:
            print(f"  What does {summary(found)} measure?")
        options = [(str(role), meaning) for role, meaning in proposals.ROLES.items()]
        answer = self.ask.choice("  Number or word", options, likely)
        return next(role for role in proposals.ROLES if role == answer)
