"""Where text telegrams (P1, D0, readouts of IEC 62056-21) hold what is private: numbers of meters
and of their owners, and the network operator's messages. Pure.
"""

import re
from collections.abc import Iterator

# Numbers of the meter, of its owner and of the meters behind it (0.0.x, 42.0.0, 96.1.x; C.1.x and
# C.90.x are short names of these), and messages (96.13.x). A recording may end, or miss bytes,
# before the bracket is closed.
_NAMED = re.compile(
    rb"(?<![0-9A-Za-z.:*&-])(?:\d{1,3}-\d{1,3}:)?"
    rb"(?:(?:96\.1|96\.13|C\.1|C\.90|0\.0)(?:\.\d{1,3})?|42\.0\.0)(?:[*.]\d{1,3})?"
    rb"((?:\([^()\r\n]*\)?)+)"
)
_BRACKET = re.compile(rb"\(([^()\r\n]+)")

# Some meters have their number in their name: `/KMP5 KA6U001660297912`.
_NAME = re.compile(rb"/[A-Za-z]{3}[^\r\n]*")
_NUMBER = re.compile(rb"\d{8,}")

# The first line is the rest of one, unless it is a meter's name: nobody knows what of.
_FIRST = re.compile(rb"[\0\s\x02]*(?!/)([^\r\n]+)")

# A bracket that was never opened may have closed anything.
_UNOPENED = re.compile(rb"(?:\A|(?<=[\r\n)]))([^()\r\n]+)\)")

_KNOWN_BYTES = 6
"""So long a number is looked for elsewhere, too: where the name before it is damaged."""


def private_spans(text: bytes) -> list[tuple[int, int]]:
    """Where each begins and ends, in order."""
    spans = set(_named(text))
    known = {text[start:end] for start, end in spans if end - start >= _KNOWN_BYTES}
    for number in known:
        spans.update(match.span() for match in re.finditer(re.escape(number), text))

    spans.update(match.span(1) for match in _UNOPENED.finditer(text))
    first = _FIRST.match(text)
    if first is not None:
        spans.add(first.span(1))
    return sorted(spans)


def _named(text: bytes) -> Iterator[tuple[int, int]]:
    for name in _NAMED.finditer(text):
        for bracket in _BRACKET.finditer(text, *name.span(1)):
            yield bracket.span(1)
    for name in _NAME.finditer(text):
        for number in _NUMBER.finditer(text, *name.span()):
            yield number.span()
