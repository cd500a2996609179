"""What can be made of settings of which some could not be read: so that whoever wrote them hears of
all mistakes at once, and not of the next ones once the first are mended. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from drivers.strict_yaml import UNREADABLE, Document, Path, decode

T = TypeVar("T")

_MOST_ROUNDS = 20
"""Leaving out one key may show that another is missing; deeper than this nothing is nested."""

_MISSING = re.compile(r"key '(\w+)' is missing")


@dataclass(slots=True)
class _Listener(Document):
    """Takes note of where problems are, too."""

    paths: list[Path] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)
    """Of keys that are not there, beside where they should be."""

    def report(self, path: Path, message: str, hint: str = "", *, is_borne: bool = False) -> None:
        """Note a problem, and its path."""
        Document.report(self, path, message, hint, is_borne=is_borne)
        self.paths.append(path)
        key = _MISSING.fullmatch(message)
        if key is not None:
            self.missing.append((*path, key[1]))


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
        untold = getattr(type(self.settings), "UNTOLD", {})
        words = {word for path in self.left_out for word in _words(path, fields, untold)}
        # Where what goes for all rows was left out, few things can be said of a row.
        is_general = any(len(path) == 1 and path[0] in fields for path in self.left_out)
        cls = type(self.settings)
        is_of_itself = getattr(cls, "is_of_itself", lambda _: False)
        stands_alone = getattr(cls, "stands_alone", lambda _: False)

        for path, message, hint in mistakes:
            if is_of_itself(path):
                follows = any(path[: len(left)] == left for left in self.left_out)
            else:
                is_near = any(path[:2] == left[:2] for left in self.left_out if path)
                is_told = path[-1:] and path[-1] in words
                follows = is_near or is_told or any(word in message for word in words)
                follows = follows or (is_general and not stands_alone(path))
            if not follows:
                yield path, message, hint


def _words(path: Path, fields: list[str], untold: Mapping[str, object]) -> Iterator[str]:
    """By which a message would speak of what was left out, or of what it was meant to be. The keys
    of a row speak of that row alone.
    """
    for part in path:
        is_key = part in fields or part in untold
        if isinstance(part, str) and (not is_key or len(path) == 1):
            yield part
            yield from get_close_matches(part, fields, n=1)


def sound_part(
    cls: type[T], data: object, instead: Mapping[str, object] | None = None
) -> SoundPart[T] | None:
    """What of the data makes a `cls`; None where something is missing that no part can do without.
    `instead` stands for keys of that name that are missing, or cannot be read.
    """
    unreadable = list(_unreadable(data))
    left_out = set(unreadable)
    for path in unreadable:
        data = _without(data, path)

    stands_in = instead or {}
    for _ in range(_MOST_ROUNDS):
        listener = _Listener("")
        settings = decode(cls, listener, (), data)
        if settings is not None:
            return SoundPart(settings, frozenset(left_out))

        filled = [path for path in listener.missing if path[-1] in stands_in]
        wrong = [path for path in listener.paths if path not in {each[:-1] for each in filled}]
        if not (filled or wrong) or () in wrong:
            return None
        for path in wrong:
            left_out.add(path)
            data = _without(data, path)
        for path in filled:
            left_out.add(path)
            data = _with(data, path, stands_in[str(path[-1])])
    return None


def _with(data: Any, path: Path, value: object) -> Any:
    """The data with a value at that path, where there is something to put it into."""
    key, *rest = path
    if isinstance(data, list) and isinstance(key, int) and key < len(data) and rest:
        return [*data[:key], _with(data[key], tuple(rest), value), *data[key + 1 :]]
    if not isinstance(data, dict):
        return data
    if not rest:
        return {**data, key: value}
    return {**data, key: _with(data[key], tuple(rest), value)} if key in data else data


def _unreadable(data: object, path: Path = ()) -> Iterator[Path]:
    """Where values stand that could not be read at all, the last ones first."""
    if data is UNREADABLE and path:
        yield path
    items: Sequence[tuple[str | int, object]] = ()
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data))[::-1]
    for key, value in items:
        yield from _unreadable(value, (*path, key))


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
