"""Looks for meters on serial ports and on the network, and tells each as it is found.

A serial port is listened to first: meters that push are heard, not asked. Where nothing comes, the
addresses of a bus are asked, with one serial setting after the other. How, each protocol says
(`drivers.search`). Lines are searched side by side, each by one task that has the line for itself;
one that somebody else holds is named and left alone. Whatever is asked has an end: addresses ×
settings, with a deadline each.
"""

import asyncio
import importlib
import importlib.util
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Protocol

from msgspec.structs import replace
from serial.tools import list_ports

from drivers.found import Found, plausible
from drivers.line import Line, LineError, LineHeld, LineUrl, MeterError, SerialSettings, open_line
from drivers.port_users import port_taken
from drivers.profile import DeviceAddress, Profile, protocols
from drivers.search import Bus, Find, Heard

READ_OUT_S = 60.0
"""An answer begins within two seconds, or there is none; the whole of it takes long at 300 baud."""

MAX_NOTHING_NEW = 8
"""Some devices answer at every address. After so many that were known before, or that no profile
knows, the line is done.
"""

LONG_S = 300.0
"""From so many seconds on, a search says how long it may take yet."""

WHO = "meter-gateway scan"
"""What it is to those who want a line meanwhile."""

NETWORK_CONNECT_S = 1.5
NETWORK_PARALLEL = 32
"""So many endpoints are tried at a time: a /24 takes a quarter of a minute and no router notices.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How thoroughly is looked. `listen_s` is how long a port is listened to before anybody is
    asked; addresses that are None are the bus's own.
    """

    addresses: tuple[int, ...] | None = None
    network_addresses: tuple[int, ...] | None = None
    listen_s: float = 11.0
    timeout_s: float = 0.3
    network_timeout_s: float = 0.6
    fast: bool = False

    def addresses_of(self, bus: Bus, *, serial: bool) -> tuple[int, ...]:
        """The addresses to ask, the most likely first."""
        wanted = self.addresses if serial else self.network_addresses
        if wanted is not None:
            return wanted
        if not self.fast:
            return bus.all_addresses
        return bus.fast_addresses if serial else bus.common_addresses


THOROUGH = Search()
FAST = Search(
    listen_s=3.0,
    timeout_s=0.2,
    network_timeout_s=0.4,
    fast=True,
)
"""A meter that pushes every 10 s may be missed, and one whose settings or address an installer has
changed. On a network, devices have addresses of their makers' choice (71, 126, 247 …), and asking
costs less.
"""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know of a line."""

    line: LineUrl
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the search of a line is: `done` of `total` questions."""

    line: LineUrl
    text: str
    done: int
    total: int


class Tell(Protocol):
    """Is told what the search comes upon, as it does."""

    def __call__(self, event: Found | Note | Progress, /) -> None:
        """Must not wait."""


def serial_ports() -> list[LineUrl]:
    """The serial ports of this machine, by the names that last (`/dev/serial/by-id/…`) where they
    have one.
    """
    lasting = {
        str(path.resolve()): str(path) for path in sorted(Path("/dev/serial/by-id").glob("*"))
    }
    return [
        LineUrl("serial", lasting.get(device, device))
        for device in sorted(port.device for port in list_ports.comports())
    ]


async def scan(
    lines: Iterable[LineUrl],
    endpoints: Iterable[LineUrl],
    profiles: Sequence[Profile],
    search: Search,
    tell: Tell,
) -> None:
    """Search `lines`, and those of `endpoints` (network lines) that take a connection. What cannot
    be opened is told, not raised.
    """
    turns = asyncio.Semaphore(NETWORK_PARALLEL)
    async with asyncio.TaskGroup() as group:
        for url in dict.fromkeys(lines):
            group.create_task(_scan_line(url, profiles, search, tell))
        for url in dict.fromkeys(endpoints):
            group.create_task(_scan_endpoint(url, turns, profiles, search, tell))


async def _scan_endpoint(
    url: LineUrl, turns: asyncio.Semaphore, profiles: Sequence[Profile], search: Search, tell: Tell
) -> None:
    """An address of a whole network: most have nobody, which is no news."""
    async with turns:
        try:
            async with asyncio.timeout(NETWORK_CONNECT_S):
                line = await open_line(url, SerialSettings(), says=WHO)
        except LineHeld as error:
            tell(Note(url, _without_name(error, url)))
            return
        except (LineError, TimeoutError):
            return
        await _search(url, line, [], profiles, search, tell)


async def _scan_line(url: LineUrl, profiles: Sequence[Profile], search: Search, tell: Tell) -> None:
    if url.kind != "bytes":
        what = f"meters on {url.scheme}: are not searched for"
        tell(Note(url, f"{what} — write a device file with their profile"))
        return
    if url.scheme == "serial" and (taken := port_taken(url.target)):
        tell(Note(url, taken))
    tried = _settings(profiles, search) if url.port is None else []
    settings = [url.serial_settings(each) for each in tried]
    try:
        line = await open_line(url, settings[0] if settings else SerialSettings(), says=WHO)
    except LineError as error:
        tell(Note(url, _without_name(error, url)))
        return
    await _search(url, line, list(dict.fromkeys(settings)), profiles, search, tell)


def _settings(profiles: Sequence[Profile], search: Search) -> list[SerialSettings]:
    """The serial settings to try, most likely first."""
    return [each for bus in _buses() for each in bus.settings(_of(profiles, bus), search.fast)]


async def _search(
    url: LineUrl,
    line: Line,
    settings: Sequence[SerialSettings],
    profiles: Sequence[Profile],
    search: Search,
    tell: Tell,
) -> None:
    """Listen, then ask; the line is closed in the end."""
    try:
        if settings and await _listen(line, url, profiles, search, tell):
            return
        for bus in _buses():
            await _Questions(bus, url, line, profiles, search, tell).ask_all(settings)
    except LineError as error:
        tell(Note(url, _without_name(error, url)))
    finally:
        line.close()


def _without_name(error: LineError, url: LineUrl) -> str:
    return str(error).removeprefix(f"{url}: ")


async def _listen(
    line: Line, url: LineUrl, profiles: Sequence[Profile], search: Search, tell: Tell
) -> bool:
    """Whether the line belongs to a meter that pushes, or that is read out as text. Raises
    LineError.
    """
    loop = asyncio.get_running_loop()
    tell(Progress(url, "listening", 0, 1))
    known = {profile.id: profile for profile in profiles}
    line.drain()
    # At a wrong baud rate bytes come too, only wrong ones; so nobody speaks where none come.
    speaks = await line.read(loop.time() + search.listen_s) != b""
    for heard in _heard(asked=not speaks):
        settings, profile = heard.serial, known.get(heard.profile)
        # The URL may say that the port is set otherwise.
        if profile is None or url.serial_settings(settings) != settings:
            continue
        await line.configure(settings)
        line.drain()
        patience_s = READ_OUT_S if heard.asked else search.listen_s
        found = await _hear(line, url, profile, known, patience_s)
        if found is not None:
            tell(found)
            return True
    if speaks:
        tell(
            Note(
                url,
                "something sends by itself, but it is no telegram that is known — a P1 cable "
                "that does not invert, a second master?",
            )
        )
    return False


async def _hear(
    line: Line, url: LineUrl, profile: Profile, known: Mapping[str, Profile], patience_s: float
) -> Found | Note | None:
    driver = profile.open_driver(DeviceAddress(name="found"), line)
    try:
        async with asyncio.timeout(patience_s):
            reading = await driver.read(0.0)
    except TimeoutError:
        return None
    except MeterError as error:
        return Note(url, str(error)) if "encrypted" in str(error) else None
    # `p1/auto` tells by which country's profile it reads.
    told = known.get(getattr(driver, "dialect", profile.id), profile)
    if not plausible(reading, told):
        return None
    return Found(
        profile=told,
        line=url,
        serial=line.settings,
        serial_number=reading.serial_number,
        values=reading.values,
    )


def _searches() -> dict[str, ModuleType]:
    """What each protocol says of how its meters are found, where it does."""
    return {
        protocol: importlib.import_module(f"drivers.{protocol}.search")
        for protocol in protocols()
        if importlib.util.find_spec(f"drivers.{protocol}.search")
    }


def _heard(*, asked: bool) -> list[Heard]:
    """How meters are listened to that speak by themselves, or only when `asked`; in their order."""
    found: list[Heard] = [
        each for search in _searches().values() for each in getattr(search, "HEARD", ())
    ]
    return sorted((each for each in found if each.asked == asked), key=lambda each: each.order)


def _buses() -> list[Bus]:
    return [search.BUS for search in _searches().values() if hasattr(search, "BUS")]


def _of(profiles: Sequence[Profile], bus: Bus) -> list[Profile]:
    """Those of the protocol that the bus is named after."""
    return [profile for profile in profiles if profile.protocol == bus.protocol]


def _finders(profiles: Sequence[Profile], bus: Bus) -> list[Find]:
    """What finds the meters of other protocols on the bus."""
    others: dict[str, list[Profile]] = {}
    for profile in profiles:
        if profile.bus == bus.protocol and profile.protocol != bus.protocol:
            others.setdefault(profile.protocol, []).append(profile)
    searches = _searches()
    return [
        partial(searches[protocol].find, profiles)
        for protocol, profiles in others.items()
        if protocol in searches
    ]


class _Questions:
    """Asks the addresses of one line."""

    def __init__(
        self,
        bus: Bus,
        url: LineUrl,
        line: Line,
        profiles: Sequence[Profile],
        search: Search,
        tell: Tell,
    ) -> None:
        self._bus, self._url, self._line = bus, url, line
        self._search, self._tell = search, tell
        self._profiles = _of(profiles, bus)
        self._others = _finders(profiles, bus)
        self._answered: set[int] = set()
        self._seen: set[tuple[object, ...]] = set()
        self._nothing_new = 0
        self._done = 0
        self._found_with: Counter[SerialSettings | None] = Counter()

    @property
    def _timeout_s(self) -> float:
        return self._search.timeout_s if self._line.char_s else self._search.network_timeout_s

    async def ask_all(self, settings: Sequence[SerialSettings]) -> None:
        """With each setting in turn (none: a network line). Raises LineError."""
        asked = self._search.addresses_of(self._bus, serial=bool(settings))
        common = [address for address in asked if address in self._bus.common_addresses]
        rest = [address for address in asked if address not in self._bus.common_addresses]
        itself = self._bus.itself if self._line.framing == "tcp" else ()
        total = len(asked) * max(1, len(settings)) + len(itself)
        for addresses in (common, rest):
            if addresses is rest:
                self._tell_patience(len(rest), len(settings or (None,)))
            # Meters of one line mostly have one setting: the one with which most were found goes
            # first.
            for each in sorted(settings or (None,), key=lambda each: -self._found_with[each]):
                if each is not None and addresses:
                    await self._line.configure(each)
                await self._ask_some(addresses, each, total)
            if addresses is common and not self._seen:
                await self._ask_some(itself, None, total)

    def _tell_patience(self, addresses: int, settings: int) -> None:
        """What is left, where that is long: most people have found theirs by then."""
        left_s = addresses * settings * self._bus.questions * self._timeout_s
        if left_s >= LONG_S:
            each = f", with {settings} serial settings each," if settings > 1 else ""
            what = f"the other {addresses} addresses{each} take up to {left_s / 60:.0f} min more"
            self._tell(
                Note(
                    self._url,
                    f"the usual addresses have been asked; {what} — Ctrl-C ends the search and "
                    "keeps what was found",
                )
            )

    async def _ask_some(
        self, addresses: Sequence[int], settings: SerialSettings | None, total: int
    ) -> None:
        for address in addresses:
            where = f"{_short(settings)}, address {address}" if settings else f"address {address}"
            self._tell(Progress(self._url, where, self._done, total))
            self._done += 1
            if address not in self._answered and self._nothing_new < MAX_NOTHING_NEW:
                await self._ask(address)

    async def _ask(self, address: int) -> None:
        """Raises LineError."""
        if not await self._bus.answers(self._line, address, self._timeout_s):
            return
        self._answered.add(address)
        founds = await self._bus.identify(
            self._line, address, self._profiles, self._url, self._others
        )
        for found in founds:
            # Some devices answer at every address: the same meter is told once.
            same = (found.profile.id, found.serial_number or tuple(sorted(found.values.items())))
            if same in self._seen:
                self._nothing_new += 1
            else:
                self._seen.add(same)
                self._found_with[found.serial] += 1
                self._tell(found)
        if not founds:
            self._nothing_new += 1
            self._tell(
                Note(
                    self._url,
                    f"address {address} answers, but it is no meter that is known — see: "
                    "meter-gateway read --help, --raw",
                )
            )
        if self._nothing_new == MAX_NOTHING_NEW:
            self._tell(
                Note(
                    self._url,
                    f"{MAX_NOTHING_NEW} addresses brought nothing new: the others of this line "
                    "are not asked",
                )
            )


def _short(settings: SerialSettings) -> str:
    """Such as 9600 8N1."""
    return f"{settings.baud} {settings.data_bits}{settings.parity[0].upper()}{settings.stop_bits}"


def device_line(found: Found) -> LineUrl:
    """The line as a device file says it: with the settings by which the meter was found."""
    if found.serial is None:
        return found.line
    serial = found.serial
    return replace(
        found.line,
        baud=serial.baud,
        parity=serial.parity,
        data_bits=serial.data_bits if serial.data_bits != found.profile.serial.data_bits else None,
        stop_bits=serial.stop_bits if serial.stop_bits != found.profile.serial.stop_bits else None,
    )
