"""How messages about settings files call what was found there. Pure."""

import re

MAX_SHOWN = 60
"""Characters of a value or key that a message repeats."""


def shortened(value: object) -> str:
    """The `repr` of a scalar, cut where a message would become unreadable."""
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]!r}…"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN + 2 else text[:MAX_SHOWN] + "…"


def found_text(raw: object) -> str:
    """Such as `a list` or `the text 'abc'`."""
    names = {dict: "key: value pairs", list: "a list", type(None): "nothing"}
    if isinstance(raw, bool):
        return f"{str(raw).lower()} (yes/no)"
    if isinstance(raw, str):
        return f"the text {shortened(raw)}"
    return names.get(type(raw)) or shortened(raw)


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "uuid": "a UUID",
}


def in_our_words(message: str, raw: object) -> str:
    """msgspec's words → ours."""
    message = message.partition(" - at `")[0].rstrip()
    for name, text in _KINDS.items():
        message = message.replace(f"`{name}`", text)
    if message.startswith("Expected"):
        message = "e" + message[1:].partition(", got")[0]
        return f"{message}, found {found_text(raw)}"
    if message.startswith("Invalid enum value"):
        return f"{shortened(raw)} is not one of the allowed words"
    return f"{message[0].lower()}{message[1:]}, found {found_text(raw)}"


def as_plain_number(text: str) -> str:
    """How to write a number that YAML takes for text, such as 1e9, 010, "0x4A" or 0,1; empty where
    it is none, or who knows which.
    """
    bare = text.strip()
    if re.fullmatch(r"0[xX][0-9A-Fa-f]{1,16}", bare):
        return f"write {bare}, without quotes"
    if re.fullmatch(r"-?\d{1,15},\d{1,2}", bare):
        bare = bare.replace(",", ".")
    try:
        number = float(bare)
    except ValueError:
        return ""
    if not abs(number) < 1e15:
        return "write plain digits"
    return f"write {int(number) if number.is_integer() else number}"
