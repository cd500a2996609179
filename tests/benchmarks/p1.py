"""A telegram of each P1 dialect from its bytes to checked values, by us and by dsmr-parser.

As on a real line, one telegram follows the other, and each shows other numbers and another time.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import EncryptedTelegramBuffer, TelegramBuffer
from dsmr_parser.parsers import TelegramParser

from drivers.p1.cipher import decrypt
from drivers.p1.reader import Reader
from drivers.p1.settings import Settings
from drivers.p1.telegram import Framer, Sealed
from drivers.p1.told import Values
from drivers.profile import load_profile
from drivers.simulated.home import Household
from drivers.simulated.meters import grid_telegram
from drivers.text_telegram import Telegram, fault
from tests.benchmarks.figure import Figure
from tests.drivers.p1.telegrams.encrypted import AUTHENTICATION, KEYS, envelope
from tests.drivers.p1.telegrams.written import Written, sealed, written

TITLE = "parse and checksum of a telegram of each P1 dialect, beside dsmr-parser on the same bytes"

_SPECIFICATIONS = {
    "dsmr2.2": telegram_specifications.V2_2,
    "dsmr4": telegram_specifications.V4,
    "dsmr5": telegram_specifications.V5,
    "belgium": telegram_specifications.BELGIUM_FLUVIUS,
    "luxembourg": telegram_specifications.LUXEMBOURG_SMARTY,
    "nordic": telegram_specifications.SWEDEN,
    "hungary": telegram_specifications.EON_HUNGARY,
    "slovenia": telegram_specifications.ISKRA_IE,
    # for which it has none: the nearest one
    "lithuania": telegram_specifications.EON_HUNGARY,
    "poland": telegram_specifications.V5,
}

BOUND = 10

ROUNDS = 40
TELEGRAMS = 60
"""As many follow each other in a round."""

_LAST_DIGIT = re.compile(rb"(\r\n1-\d:[\d.]+\([\d.-]*)(\d)(?=\*)")
_SECONDS = re.compile(
    rb"(\r\n0-0:1\.0\.0\(\d{10})\d\d|(\r\n1-0:0\.9\.1\(\d{4})\d\d"
)  # of the meter's clock; in Slovenia


def figures() -> Iterator[Figure]:
    """The medians of many rounds, ours and theirs in turn."""
    dsmr5 = load_profile("dsmr/dsmr5").settings
    yield _compare(
        "simulated home", grid_telegram(Household(1, 0), 40_000), dsmr5, telegram_specifications.V5
    )
    telegrams = {each.name: each for each in written()}
    for name, specification in _SPECIFICATIONS.items():
        each = telegrams[name]
        yield _compare(
            name, _without_traps(each), load_profile(each.profile).settings, specification
        )
    yield _compare_encrypted(telegrams["luxembourg"], telegram_specifications.LUXEMBOURG_SMARTY)
    yield _compare_encrypted(telegrams["austria"], telegram_specifications.SAGEMCOM_T210_D_R)


def _following(text: bytes) -> list[bytes]:
    """Telegrams as the meter sends them from this one on: registers and powers move, and the clock
    goes. (Gas moves once an hour.)
    """
    body, mark, digits = text.rpartition(b"!")
    found = []
    for n in range(TELEGRAMS):
        moved = _LAST_DIGIT.sub(
            lambda match, n=n: match[1] + b"%d" % ((int(match[2]) + n) % 10), body + mark
        )  # type: ignore[misc]
        moved = _SECONDS.sub(lambda match, n=n: (match[1] or match[2]) + b"%02d" % n, moved)  # type: ignore[misc]
        found.append(sealed(moved) if digits.strip() else moved + digits)
    return found


def _without_traps(each: Written) -> bytes:
    """Without what dsmr-parser does not take: bytes beyond ASCII, words where numbers should be."""
    return (
        each.data.replace(b"\xff", b"F")
        .replace(b"((ER11))", b"(00230.0*V)")
        .replace(b"(ER11)", b"(00230.0*V)")
    )


def _compare(
    name: str, text: bytes, settings: Settings, specification: dict[str, object]
) -> Figure:
    framer = Framer()
    buffer, parser = TelegramBuffer(), TelegramParser(specification)

    def ours(data: bytes, reader: Reader) -> Values:
        (event,) = framer.feed(data) or framer.silence()
        if not isinstance(event, Telegram) or fault(event, settings.checksum):
            raise RuntimeError("our parser does not take its telegram")
        return reader.read(event.raw)

    def theirs(data: bytes) -> object:
        buffer.append(data.decode("ascii"))
        (telegram,) = buffer.get_all()
        return parser.parse(telegram, throw_ex=True)

    return _figure(name, _following(text), settings, ours, theirs)


def _compare_encrypted(each: Written, specification: dict[str, object]) -> Figure:
    """Decryption included, on both sides."""
    settings = load_profile(each.profile).settings
    framer = Framer()
    buffer, parser = (
        EncryptedTelegramBuffer(),
        TelegramParser({**specification, "general_global_cipher": True}),
    )
    key, authentication = KEYS.encryption.hex(), AUTHENTICATION.hex()

    def ours(data: bytes, reader: Reader) -> Values:
        (frame,) = framer.feed(data)
        if not isinstance(frame, Sealed):
            raise RuntimeError("our framer does not take its frame")
        (event,) = Framer().feed(decrypt(frame.raw, KEYS, AUTHENTICATION).text)
        if not isinstance(event, Telegram) or fault(event, settings.checksum):
            raise RuntimeError("our parser does not take its telegram")
        return reader.read(event.raw)

    def theirs(data: bytes) -> object:
        buffer.append(data)
        (telegram,) = buffer.get_all()
        return parser.parse(telegram, key, authentication, throw_ex=True)

    frames = [envelope(text, counter=n) for n, text in enumerate(_following(each.data))]
    return _figure(f"{each.name}, encrypted", frames, settings, ours, theirs)


def _figure(
    name: str,
    telegrams: Sequence[bytes],
    settings: Settings,
    ours: Callable[[bytes, Reader], Values],
    theirs: Callable[[bytes], object],
) -> Figure:
    def open_reader() -> Reader:
        return Reader(settings.summed_tariffs(), settings.utc_offset_h)

    reader = open_reader()
    count, other = len(ours(telegrams[0], reader).quantities), len(vars(theirs(telegrams[0])))
    ours_us, anew_us, theirs_us = _medians_us(
        telegrams, lambda data: ours(data, reader), lambda data: ours(data, open_reader()), theirs
    )
    return Figure(
        f"times as fast: {name} ({len(telegrams[0])} bytes)",
        theirs_us / ours_us,
        "×",
        BOUND,
        "high",
        f"{ours_us:.0f} µs framed, checked, read into {count} values ({anew_us:.0f} the first of "
        "its look); "
        f"dsmr-parser {theirs_us:.0f} µs, {other} lines",
    )


def _medians_us(telegrams: Sequence[bytes], *works: Callable[[bytes], object]) -> list[float]:
    """Median CPU time per telegram of each work. They take turns, so that what disturbs the machine
    disturbs them alike.
    """
    times_us: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, found in zip(works, times_us, strict=True):
            began_s = time.process_time()
            for data in telegrams:
                work(data)
            found.append((time.process_time() - began_s) * 1e6 / len(telegrams))
    return [median(found) for found in times_us]
