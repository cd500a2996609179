"""What a meter answers that shows stated values, as the recording that proves its profile."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import Refused

if TYPE_CHECKING:
    from drivers.modbus.answers import Answer, Answers
    from drivers.modbus.settings import Settings
    from drivers.profile import Profile
    from drivers.strict_yaml import Document

SERIAL_NUMBER = "serial_number"

MOST = 1e15
"""No meter's value is as large, in any unit."""


def to_fill_in(profile: "Profile") -> str:
    """A file of values with gaps."""
    from drivers.sample import QUANTITIES, unit_of

    lines = [
        f"# What one {profile.maker} {profile.model} shows at one moment. Fill it in, and then:",
        f"# meter-gateway profiles record {profile.id} --values THIS_FILE",
    ]
    if profile.settings.serial_number is not None:
        lines.append(f'{SERIAL_NUMBER}: "12345678"   # or another that you make up, in quotes')
    for quantity in QUANTITIES:
        if quantity in profile.quantities:
            unit = f"in {unit_of(quantity)}: " if unit_of(quantity) else ""
            lines.append(f"{quantity}:   # {unit}{QUANTITIES[quantity]}")
    return "\n".join(lines) + "\n"


def of_values(profile: "Profile", path: Path) -> "Answers":
    """What a meter answers that shows these values. Raises Refused with all that is wrong."""
    from drivers.modbus.answers import Answers, decoded
    from drivers.modbus.codec import add_sums
    from drivers.settings_file import read_bounded
    from drivers.strict_yaml import parse

    settings: Settings = profile.settings
    try:
        document = parse(read_bounded(path)[0], str(path))
    except OSError as error:
        hint = f"what has to be in it is printed by: meter-gateway profiles record {profile.id}"
        raise Refused(f"{path}: cannot be read: {error.strerror} — {hint}") from error
    stated, number = _stated(profile, document)

    answers = tuple(_answered(profile, stated, number))
    told = decoded(settings, answers)
    add_sums(told, settings.sums)
    _contradict(settings, stated, told, document)
    if document.problems:
        raise Refused("\n".join(map(str, sorted(document.problems))))

    # As exact as the test of a recording is.
    exact = settings.type != "float32"
    return Answers(
        profile=profile,
        address=1,
        serial_number=number,
        answers=answers,
        values={name: told[name] if exact else value for name, value in stated.items()},
        source="worked out from stated values",
    )


def _stated(profile: "Profile", document: "Document") -> tuple[dict[str, float], str | None]:
    """The values and the serial number in a file; what is wrong with them is reported."""
    from drivers.sample import QUANTITIES, unit_of
    from drivers.strict_yaml import UNREADABLE, nearest

    data = document.data
    if not isinstance(data, dict):
        if not document.problems:
            document.report((), "expected key: value pairs", "such as power_w: 450")
        return {}, None

    has_number = profile.settings.serial_number is not None
    known = {*profile.quantities, *([SERIAL_NUMBER] if has_number else ())}
    for key in data.keys() - known:
        document.report((key,), f"{profile.id} does not read it", nearest(key, known))
    for key in sorted(known - data.keys()):
        what = QUANTITIES.get(key, "one that you make up, in quotes")
        unit = f", in {unit_of(key)}" if key in QUANTITIES and unit_of(key) else ""
        document.report((), f"key {key!r} is missing", f"it is {what}{unit}")

    stated: dict[str, float] = {}
    for key in sorted(profile.quantities & data.keys()):
        value = data[key]
        if value is UNREADABLE:
            continue  # which has been said
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not abs(value) < MOST:
            document.report((key,), "expected a number", f"it is {QUANTITIES[key]}")
        else:
            stated[key] = value
    return stated, _number(profile, document, data) if has_number else None


def _number(profile: "Profile", document: "Document", data: Mapping[str, object]) -> str | None:
    where = profile.settings.serial_number
    text = data.get(SERIAL_NUMBER)
    if SERIAL_NUMBER not in data:
        return None
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        document.report((SERIAL_NUMBER,), "expected text", 'put it in quotes: "12345678"')
    elif where.type == "string" and not 0 < len(text) <= 2 * where.words:
        most = f"at most {2 * where.words} characters, as its `words` say"
        document.report((SERIAL_NUMBER,), f"{text!r} does not fit its registers", most)
    elif where.type != "string" and not (
        text.isdecimal() and 0 < int(text[:20]) < 1 << 16 * where.count
    ):
        most = f"a number from 1 to {(1 << 16 * where.count) - 1}, as its `type` says"
        document.report((SERIAL_NUMBER,), f"{text!r} does not fit its registers", most)
    else:
        return text
    return None


def _answered(
    profile: "Profile", stated: Mapping[str, float], number: str | None
) -> "Iterator[Answer]":
    """What the simulated meter of this profile answers to everything that it is asked."""
    from drivers.modbus.answers import Answer, questions
    from drivers.modbus.plan import plan
    from drivers.simulated.meters import ModbusTwin

    settings: Settings = profile.settings
    where = settings.serial_number
    is_text = where is not None and where.type == "string"
    # It shows what is stated, also between the steps of its registers.
    stepless = replace(profile, energy={})
    twin = ModbusTwin(stepless, lambda: stated, (number or "") if is_text else int(number or 0))

    blocks = [(block.function, block.address, block.count) for block in plan(settings, 0.0)]
    for function, address, count in (*questions(settings), *blocks):
        words = twin.read(function, address, count)
        if isinstance(words, list):
            data = b"".join(word.to_bytes(2, "big") for word in words)
            yield Answer(function, address, data)


def _contradict(
    settings: "Settings",
    stated: Mapping[str, float],
    told: Mapping[str, float],
    document: "Document",
) -> None:
    """Report the values that the profile's registers cannot tell."""
    from drivers.modbus.answers import differs

    for quantity, value in stated.items():
        found = told.get(quantity)
        if quantity in settings.sums and not {*settings.sums[quantity].parts} <= stated.keys():
            continue  # the parts have been named
        if found is None:
            document.report((quantity,), f"{value:.10g} is read as no value", "state another")
        elif differs(settings, quantity, value, found):
            what = "its parts make" if quantity in settings.sums else "its registers can tell"
            hint = "state that, or mend type, scale, unit or step in the profile"
            document.report((quantity,), f"{value:.10g}: {what} {found:.10g}", hint)
