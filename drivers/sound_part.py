"""What can be made of settings of which some could not be read: so that whoever wrote them hears of
all mistakes at once, and not of the next ones once the first are mended. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from drivers.strict_yaml import Document, Path, decode

T = TypeVar("T")

_MOST_ROUNDS = 20
"""Leaving out one key may show that another is missing; deeper than this nothing is nested."""


@dataclass(slots=True)
class _Listener(Document):
    """Takes note of where problems are, too."""

    paths: list[Path] = field(default_factory=list)

    def report(self, path: Path, message: str, hint: str = "", *, is_borne: bool = False) -> None:
        """Note a problem, and its path."""
        Document.report(self, path, message, hint, is_borne=is_borne)
        self.paths.append(path)


@dataclass(frozen=True, slots=True)
class SoundPart(Generic[T]):
    """Settings without what could not be read."""

    settings: T
    left_out: frozenset[Path]

    def news(
        self, mistakes: Iterator[tuple[tuple[str | int, ...], str, str]]
    ) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """Those mistakes that do not follow from what was left out."""
        fields = list(getattr(type(self.settings), "__dataclass_fields__", {}))
        words = {word for path in self.left_out for word in _words(path, fields)}
        if any(len(path) == 1 and path[0] in fields for path in self.left_out):
            return  # what goes for all rows was left out
        for path, message, hint in mistakes:
            is_near = any(path[:2] == left[:2] for left in self.left_out if path)
            if not is_near and not any(word in message for word in words):
                yield path, message, hint


def _words(path: Path, fields: list[str]) -> Iterator[str]:
    """By which a message would speak of what was left out, or of what it was meant to be."""
    for part in path:
        if isinstance(part, str) and (part not in fields or len(path) == 1):
            yield part
            yield from get_close_matches(part, fields, n=1)


def sound_part(cls: type[T], data: object) -> SoundPart[T] | None:
    """What of the data makes a `cls`; None where something is missing that no part can do
    without.
    """
    left_out: set[Path] = set()
    for _ in range(_MOST_ROUNDS):
        listener = _Listener("")
        settings = decode(cls, listener, (), data)
        if settings is not None:
            return SoundPart(settings, frozenset(left_out))
        if not listener.paths or () in listener.paths:
            return None
        for path in listener.paths:
            left_out.add(path)
            data = _without(data, path)
    return None


def _without(data: Any, path: Path) -> Any:
    """The data without what is at that path."""
    key, *rest = path
    if isinstance(data, dict) and key in data:
        if not rest:
            return {name: value for name, value in data.items() if name != key}
        return {**data, key: _without(data[key], tuple(rest))}
    if isinstance(data, list) and isinstance(key, int) and key < len(data):
        if not rest:
            return [*data[:key], *data[key + 1 :]]
        return [*data[:key], _without(data[key], tuple(rest)), *data[key + 1 :]]
    return data
