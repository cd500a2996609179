"""What counts as a receipt: the JSON with which an exchange says that it took what it was sent.
Pure.

The documentation of the exchange names no form, and its own client asks for nothing but 2xx and
JSON. So a receipt is an object in which nothing speaks of an error, and whose status, where it has
one, is a good one; or nothing (null, an empty body). Seen at the engine: `"status": "ready"` and
`"status": "error"`, also inside lists of several answers, with `error`, `error_message` or
`message` beside it.
"""

import re
from collections.abc import Iterator, Mapping

_ERRORS = frozenset(
    {"error", "errors", "error_message", "error_messages", "non_field_errors", "exception"}
    | {"failed", "failure", "failures", "rejected", "refused"}
)
"""Keys that speak of an error where they hold anything; capitals do not matter."""
_SUCCESS = frozenset({"ok", "success", "successful", "accepted"})
"""Keys that speak of an error where they hold `false`."""
_STATUS = frozenset({"status", "result", "state", "code", "status_code"})
"""Keys that speak of an error where they hold text such as `error`, or the number of one in HTTP.
"""
_BAD = re.compile(r"error|fail|reject|refus|invalid|denied|exception|[45]\d\d\b", re.ASCII)
_GOOD = re.compile(
    r"|ready|queued|pending|ok|okay|success\w*|succeeded|accepted|received|created|processed|"
    r"complete|completed|done|true|2\d\d\b.*",
    re.ASCII,
)
_PHRASES = ("error_message", "error", "detail", "message", "reason", "description")
"""Where an object may say why."""
_MAX_DEPTH = 6


def is_receipt(data: object) -> bool:
    """Whether JSON says that what was sent is taken."""
    if data is None or data is True:
        return True
    if not isinstance(data, dict) or complaint(data) is not None:
        return False
    return _GOOD.fullmatch(_text(_lower(data).get("status", ""))) is not None


def complaint(data: object) -> object | None:
    """What JSON says of an error, best as text. None where it speaks of none."""
    for found in _objects(data):
        lower = _lower(found)
        # The framework that the exchange is built with says its errors so.
        is_detail = lower.keys() == {"detail"} and not _GOOD.fullmatch(_text(lower["detail"]))
        if is_detail or any(_is_wrong(key, value) for key, value in lower.items()):
            said = (lower.get(key) for key in _PHRASES)
            return next((text for text in said if isinstance(text, str) and text), found)
    return None


def _is_wrong(key: str, value: object) -> bool:
    if key in _ERRORS:
        return bool(value)
    if key in _SUCCESS:
        return value is False
    return key in _STATUS and (value is False or _BAD.match(_text(value)) is not None)


def _text(value: object) -> str:
    return str(value).strip().lower() if isinstance(value, str | int | float) else ""


def _lower(found: Mapping[str, object]) -> dict[str, object]:
    return {key.lower(): value for key, value in found.items()}


def _objects(data: object) -> Iterator[dict[str, object]]:
    """Every object in it, the outer ones first."""
    level = [data]
    for _ in range(_MAX_DEPTH):
        deeper: list[object] = []
        for each in level:
            if isinstance(each, dict):
                yield each
                deeper.extend(each.values())
            elif isinstance(each, list):
                deeper.extend(each)
        level = deeper
