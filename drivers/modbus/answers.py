"""What a meter answers, as the file in `tests/recordings` that proves its profile: registers with
their values, and frames with their checksums. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from json import dumps
from math import isclose

from drivers.modbus.adu import sealed
from drivers.modbus.codec import Decoder
from drivers.modbus.identify import matches
from drivers.modbus.plan import Block, Row, plan
from drivers.modbus.settings import Identity, Settings
from drivers.profile import Profile
from drivers.sample import QUANTITIES, unit_of

_BYTES_A_LINE = 24

FLOAT_DIGITS = 9
"""So many digits tell every 32-bit float."""

FLOAT_TOLERANCE = 3e-7
"""How far a 32-bit float may be from the number that it stands for, as a part of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One question, and the registers that came."""

    function: int
    address: int
    data: bytes

    @property
    def count(self) -> int:
        """Registers that were asked for."""
        return len(self.data) // 2

    def frames(self, unit: int) -> tuple[bytes, bytes]:
        """Request and reply, as on an RTU line."""
        head = bytes((unit, self.function))
        asked = head + self.address.to_bytes(2, "big") + self.count.to_bytes(2, "big")
        return sealed(asked), sealed(head + bytes((len(self.data),)) + self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one meter answered, and the values that it must give."""

    profile: Profile
    address: int
    serial_number: str | None
    answers: tuple[Answer, ...]
    values: Mapping[str, float]
    source: str
    """Where it comes from, in a few words."""

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Why it would not prove the profile: (message, hint)."""
        for function, row in _rows(self._settings):
            if row.quantity not in self.values and not self._knows(function, row.addresses):
                hint = "take the row out of the profile, or record a meter that has it"
                yield f"{row.quantity}: the meter refuses register {row.address}", hint

        for identity in self._settings.identify:
            yield from self._mistaken(identity)

    def text(self) -> str:
        """The file."""
        number = dumps(self.serial_number) if self.serial_number else "null"
        head = (
            f"# What {self.profile.maker} {self.profile.model} answers.",
            f"profile: {self.profile.id}",
            f"address: {self.address}",
            f"serial_number: {number}",
        )
        return "\n".join((*head, "", *self._reading(), "", *self._frames())) + "\n"

    @property
    def _settings(self) -> Settings:
        settings: Settings = self.profile.settings
        return settings

    def _mistaken(self, identity: Identity) -> Iterator[tuple[str, str]]:
        if identity.asks_who:
            return
        asked = (identity.function, identity.address, identity.count)
        data = next(
            (a.data for a in self.answers if (a.function, a.address, a.count) == asked), None
        )
        where = f"register {identity.address}, by which `identify` tells the model,"
        if data is None and not identity.is_plausibility:
            yield f"{where} was refused", "mend its address or function: scan would find no meter"
        if data is not None and not matches(identity, data):
            hint = "mend what `identify` expects there, or the address"
            yield f"{where} holds {data.hex(' ').upper()}", hint

    def _words(self, function: int) -> dict[int, bytes]:
        """Each register's last word."""
        return {
            answer.address + n: answer.data[2 * n : 2 * n + 2]
            for answer in self.answers
            if answer.function == function
            for n in range(answer.count)
        }

    def _knows(self, function: int, addresses: Iterable[int]) -> bool:
        return self._words(function).keys() >= set(addresses)

    def _reading(self) -> Iterator[str]:
        yield "readings:"
        yield f"  - name: {dumps(self.source, ensure_ascii=False)}"
        if self._settings.holes:
            yield '    unlisted: "0000"'

        yield "    registers:"
        for function in sorted({answer.function for answer in self.answers}):
            if pieces := [*self._pieces(function)]:
                yield f"      {function}:"
                yield from pieces

        yield "    values:"
        yield from (f"      {q}: {self._written(self.values[q])}" for q in _ordered(self.values))
        if missing := _ordered(self.profile.quantities - self.values.keys()):
            yield f"    missing: [{', '.join(missing)}]"

    def _pieces(self, function: int) -> Iterator[str]:
        """The registers of each value, and of the serial number."""
        words = self._words(function)
        pieces: list[tuple[tuple[int, ...], str]] = []
        for kind, row in _rows(self._settings):
            if kind != function:
                continue
            # Where words lie apart, what lies between them is read, too.
            pieces.append((tuple(range(row.address, row.end)), self._told(row.quantity)))
        where = self._settings.serial_number
        if where is not None and where.function == function:
            addresses = tuple(range(where.address, where.address + where.count))
            pieces.append((addresses, f"serial number {self.serial_number or 'not told'}"))

        for addresses, remark in sorted(pieces):
            if words.keys() >= set(addresses):
                data = b"".join(words[at] for at in addresses)
                text = data.hex(" ", 2).upper()
                yield f'        0x{addresses[0]:04X}: "{text}"   # {remark}'

    def _told(self, quantity: str) -> str:
        if quantity not in self.values:
            return f"{quantity}: no value"
        return f"{quantity}: {self._written(self.values[quantity])} {unit_of(quantity)}".rstrip()

    def _written(self, value: float) -> str:
        is_float = self._settings.type == "float32"
        text = f"{value:.{FLOAT_DIGITS}g}" if is_float else repr(value)
        plain = format(Decimal(text), "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain

    def _frames(self) -> Iterator[str]:
        yield "frames:"
        for answer in dict.fromkeys(self.answers):
            request, reply = answer.frames(self.address)
            yield f'  - request: "{request.hex(" ").upper()}"'
            lines = [
                reply[at : at + _BYTES_A_LINE].hex(" ").upper()
                for at in range(0, len(reply), _BYTES_A_LINE)
            ]
            yield '    reply: "' + "\n      ".join(lines) + '"'
            if values := self._values_in(answer):
                told = (f"{name}: {self._written(value)}" for name, value in values.items())
                yield f"    values: {{{', '.join(told)}}}"
            yield f"    source: {dumps(self.source, ensure_ascii=False)}"

    def _values_in(self, answer: Answer) -> dict[str, float]:
        """What the registers give that are in it as a whole."""
        end = answer.address + answer.count
        rows = [
            row
            for function, row in _rows(self._settings)
            if function == answer.function and answer.address <= row.address and row.end <= end
        ]
        if not rows:
            return {}
        rows.sort(key=lambda row: row.address)
        first, beyond = rows[0].address, max(row.end for row in rows)
        decoder = Decoder(Block(answer.function, first, beyond - first, tuple(rows)))
        data = answer.data[2 * (first - answer.address) : 2 * (beyond - answer.address)]

        values = decoder.decode(data)
        for name, told in values.items():
            stated = self.values.get(name, told)
            if not differs(self._settings, name, stated, told):
                values[name] = stated
        return values


def decoded(settings: Settings, answers: Iterable[Answer]) -> dict[str, float]:
    """The values in the answers to planned questions."""
    blocks = {(each.function, each.address, each.count): each for each in plan(settings, 0.0)}
    values: dict[str, float] = {}
    for answer in answers:
        block = blocks.get((answer.function, answer.address, answer.count))
        if block is not None:
            values |= Decoder(block).decode(answer.data)
    return values


def differs(settings: Settings, quantity: str, stated: float, told: float) -> bool:
    """Whether a register tells another value than the one that was stated."""
    row = settings.registers.get(quantity)
    is_exact = row is not None and "float" not in settings.type_of(row)
    return not isclose(stated, told, rel_tol=1e-12 if is_exact else FLOAT_TOLERANCE, abs_tol=1e-9)


def questions(settings: Settings) -> Iterator[tuple[int, int, int]]:
    """What has to be asked beside the values: function, first register, count."""
    where = settings.serial_number
    if where is not None:
        yield where.function, where.address, where.count
    for identity in settings.identify:
        if not identity.asks_who:
            yield identity.function, identity.address, identity.count


def _rows(settings: Settings) -> list[tuple[int, Row]]:
    blocks: tuple[Block, ...] = plan(settings, 0.0)
    return [(block.function, row) for block in blocks for row in block.rows]


def _ordered(quantities: Iterable[str]) -> list[str]:
    there = set(quantities)
    return [name for name in QUANTITIES if name in there]
