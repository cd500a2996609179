"""Looks for meters on serial ports and on the network, and tells each as it is found.

A serial port is listened to first: meters that push (P1, SML) are heard, not asked. Where nothing
comes, Modbus addresses are asked, with one serial setting after the other. Lines are searched side
by side, each by one task that has the line for itself; one that somebody else holds is named and
left alone. Whatever is asked has an end: addresses × settings, with a deadline each.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from serial.tools import list_ports

from drivers.found import Found, plausible
from drivers.line import Line, LineError, LineUrl, MeterError, SerialSettings, open_line
from drivers.modbus.search import Registers, answers, identify, names_itself
from drivers.profile import DeviceAddress, Profile
from drivers.sunspec.search import search as search_sunspec

COMMON_ADDRESSES = (*range(1, 11), 33, 71, 100, 101, 126, 240, 247)
"""Where meters are found most: as they leave the factory, and as installers count on."""

ALL_ADDRESSES = (
    *COMMON_ADDRESSES,
    *(address for address in range(1, 248) if address not in COMMON_ADDRESSES),
)
FAST_ADDRESSES = tuple(range(1, 11))

COMMON_SETTINGS = (
    SerialSettings(baud=9600),
    SerialSettings(baud=9600, parity="even"),
    SerialSettings(baud=19200, parity="even"),
    SerialSettings(baud=19200),
    SerialSettings(baud=2400),
    SerialSettings(baud=38400),
    SerialSettings(baud=115200),
)

PUSHED = (
    ("p1/auto", SerialSettings(baud=115200)),
    ("sml/auto", SerialSettings(baud=9600)),
    ("p1/auto", SerialSettings(baud=9600, parity="even", data_bits=7)),
    ("p1/auto", SerialSettings(baud=2400, parity="even")),
    ("iec62056/mode_d", SerialSettings(baud=9600, parity="even", data_bits=7)),
    ("iec62056/mode_d_2400", SerialSettings(baud=2400, parity="even", data_bits=7)),
)
"""By which profile, with which setting, a meter that pushes is listened to. Text without a checksum
is mode D only where it is no P1.
"""

READ_OUT = (("iec62056/mode_c", SerialSettings(baud=300, parity="even", data_bits=7)),)
"""By which a port is asked once where nobody speaks. To Modbus meters the question is noise."""

READ_OUT_S = 60.0
"""An answer begins within two seconds, or there is none; the whole of it takes long at 300 baud."""

MAX_NOTHING_NEW = 8
"""Some devices answer at every address. After so many that were known before, or that no profile
knows, the line is done.
"""

QUESTIONS = 2
"""Of each address: a meter may have holding registers or input registers only."""

LONG_S = 300.0
"""From so many seconds on, a search says how long it may take yet."""

NETWORK_CONNECT_S = 1.5
NETWORK_PARALLEL = 32
"""So many endpoints are tried at a time: a /24 takes a quarter of a minute and no router notices.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How thoroughly is looked. `listen_s` is how long a port is listened to before anybody is
    asked.
    """

    addresses: tuple[int, ...] = ALL_ADDRESSES
    network_addresses: tuple[int, ...] = ALL_ADDRESSES
    listen_s: float = 11.0
    timeout_s: float = 0.3
    network_timeout_s: float = 0.6
    fast: bool = False


THOROUGH = Search()
FAST = Search(
    addresses=FAST_ADDRESSES,
    network_addresses=COMMON_ADDRESSES,
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
                line = await open_line(url, SerialSettings())
        except (LineError, TimeoutError):
            return
        await _search(url, line, [], profiles, search, tell)


async def _scan_line(url: LineUrl, profiles: Sequence[Profile], search: Search, tell: Tell) -> None:
    settings = (
        [url.serial_settings(each) for each in _settings(profiles, search)]
        if url.port is None
        else []
    )
    try:
        line = await open_line(url, settings[0] if settings else SerialSettings())
    except LineError as error:
        tell(Note(url, _without_name(error, url)))
        return
    await _search(url, line, list(dict.fromkeys(settings)), profiles, search, tell)


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
        if not settings or not await _listen(line, url, profiles, search, tell):
            await _Questions(url, line, profiles, search, tell).ask_all(settings)
    except LineError as error:
        tell(Note(url, _without_name(error, url)))
    finally:
        line.close()


def _without_name(error: LineError, url: LineUrl) -> str:
    return str(error).removeprefix(f"{url}: ")


def _settings(profiles: Sequence[Profile], search: Search) -> list[SerialSettings]:
    """The serial settings to try, most likely first: as meters leave the factory, and, unless in
    haste, other usual ones.
    """
    factory = Counter(profile.serial for profile in profiles if profile.protocol == "modbus")
    return list(
        dict.fromkeys(
            [
                *(each for each, _ in factory.most_common()),
                *(() if search.fast else COMMON_SETTINGS),
            ]
        )
    )


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
    for profile_id, settings in PUSHED if speaks else READ_OUT:
        if (
            profile_id not in known or url.serial_settings(settings) != settings
        ):  # the URL says that it is set otherwise
            continue
        await line.configure(settings)
        line.drain()
        found = await _hear(
            line, url, known[profile_id], known, search.listen_s if speaks else READ_OUT_S
        )
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


class _Questions:
    """Asks the addresses of one line."""

    def __init__(
        self, url: LineUrl, line: Line, profiles: Sequence[Profile], search: Search, tell: Tell
    ) -> None:
        self._url, self._line, self._search, self._tell = url, line, search, tell
        modbus = [profile for profile in profiles if profile.protocol == "modbus"]
        self._named = [profile for profile in modbus if names_itself(profile)]
        self._unnamed = [profile for profile in modbus if not names_itself(profile)]
        self._sunspec = [profile for profile in profiles if profile.protocol == "sunspec"]
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
        asked = self._search.addresses if settings else self._search.network_addresses
        common = [address for address in asked if address in COMMON_ADDRESSES]
        rest = [address for address in asked if address not in COMMON_ADDRESSES]
        for addresses in (common, rest):
            if addresses is rest:
                self._tell_patience(len(rest), len(settings or (None,)))
            # Meters of one line mostly have one setting: the one with which most were found goes
            # first.
            for each in sorted(settings or (None,), key=lambda each: -self._found_with[each]):
                if each is not None and addresses:
                    await self._line.configure(each)
                await self._ask_some(addresses, each, len(asked) * max(1, len(settings)))

    def _tell_patience(self, addresses: int, settings: int) -> None:
        """What is left, where that is long: most people have found theirs by then."""
        left_s = addresses * settings * QUESTIONS * self._timeout_s
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
        if not await answers(self._line, address, self._timeout_s):
            return
        self._answered.add(address)
        founds = await self._identify(address)
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

    async def _identify(self, address: int) -> list[Found]:
        registers = Registers(self._line, address)
        if founds := await identify(registers, self._named, self._url):
            return founds
        if founds := await search_sunspec(self._line, address, self._sunspec, self._url):
            return founds
        return await identify(registers, self._unnamed, self._url)


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
