"""A telegram of each P1 dialect from its bytes to checked values, by us and by dsmr-parser."""

import time
from collections.abc import Callable, Iterator
from statistics import median

from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import EncryptedTelegramBuffer, TelegramBuffer
from dsmr_parser.parsers import TelegramParser

from drivers.p1.cipher import decrypt
from drivers.p1.obis import Values, read_values
from drivers.p1.settings import Settings
from drivers.p1.telegram import Framer, Sealed, Telegram, fault
from drivers.profile import load_profile
from gateway.sandbox.house import Household
from gateway.sandbox.meters import grid_telegram
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
"""Not reached where nothing is left of what dsmr-parser is slow at: a checksum (DSMR 2.2 and Slovenia send none), many lines (Austria)."""

ROUNDS = 200
PER_ROUND = 10


def figures() -> Iterator[Figure]:
    """The medians of many rounds, ours and theirs in turn."""
    dsmr5 = load_profile("dsmr/dsmr5").settings
    yield _compare("simulated house", grid_telegram(Household(1, 0), 40_000), dsmr5, telegram_specifications.V5)
    telegrams = {each.name: each for each in written()}
    for name, specification in _SPECIFICATIONS.items():
        each = telegrams[name]
        yield _compare(name, _without_traps(each), load_profile(each.profile).settings, specification)
    yield _compare_encrypted(telegrams["luxembourg"], telegram_specifications.LUXEMBOURG_SMARTY)
    yield _compare_encrypted(telegrams["austria"], telegram_specifications.SAGEMCOM_T210_D_R)


def _without_traps(each: Written) -> bytes:
    """Without what dsmr-parser does not take: bytes beyond ASCII, words where numbers should be."""
    text = each.data.replace(b"\xff", b"F").replace(b"((ER11))", b"(00230.0*V)").replace(b"(ER11)", b"(00230.0*V)")
    body, mark, digits = text.rpartition(b"!")
    return sealed(body + mark) if digits.strip() else text


def _compare(name: str, data: bytes, settings: Settings, specification: dict[str, object]) -> Figure:
    tariffs = settings.summed_tariffs()
    parser = TelegramParser(specification)

    def theirs() -> object:
        buffer = TelegramBuffer()
        buffer.append(data.decode("ascii"))
        (text,) = buffer.get_all()
        return parser.parse(text, throw_ex=True)

    def ours() -> Values:
        framer = Framer()
        (event,) = framer.feed(data) or framer.silence()
        if not isinstance(event, Telegram) or fault(event, settings.checksum):
            raise RuntimeError("our parser does not take its telegram")
        return read_values(event.raw, tariffs)

    return _figure(name, data, ours, theirs)


def _compare_encrypted(each: Written, specification: dict[str, object]) -> Figure:
    """Decryption included, on both sides."""
    data = envelope(each.data)
    tariffs = load_profile(each.profile).settings.summed_tariffs()
    parser = TelegramParser({**specification, "general_global_cipher": True})
    key, authentication = KEYS.encryption.hex(), AUTHENTICATION.hex()

    def theirs() -> object:
        buffer = EncryptedTelegramBuffer()
        buffer.append(data)
        (text,) = buffer.get_all()
        return parser.parse(text, key, authentication, throw_ex=True)

    def ours() -> Values:
        (frame,) = Framer().feed(data)
        if not isinstance(frame, Sealed):
            raise RuntimeError("our framer does not take its frame")
        (event,) = Framer().feed(decrypt(frame.raw, KEYS, AUTHENTICATION).text)
        if not isinstance(event, Telegram) or fault(event, "required"):
            raise RuntimeError("our parser does not take its telegram")
        return read_values(event.raw, tariffs)

    return _figure(f"{each.name}, encrypted", data, ours, theirs)


def _figure(name: str, data: bytes, ours: Callable[[], Values], theirs: Callable[[], object]) -> Figure:
    count, other = len(ours().quantities), len(vars(theirs()))
    ours_us, theirs_us = _medians_us(ours, theirs)
    return Figure(
        f"times as fast: {name} ({len(data)} bytes)",
        theirs_us / ours_us,
        "×",
        BOUND,
        "high",
        f"{ours_us:.0f} µs framed, checked and read into {count} values; dsmr-parser {theirs_us:.0f} µs into {other} lines",
    )


def _medians_us(*works: Callable[[], object]) -> list[float]:
    """Median time of each work. They take turns, so that what disturbs the machine disturbs them alike."""
    times_us: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, found in zip(works, times_us, strict=True):
            began_s = time.perf_counter()
            for _ in range(PER_ROUND):
                work()
            found.append((time.perf_counter() - began_s) * 1e6 / PER_ROUND)
    return [median(found) for found in times_us]
