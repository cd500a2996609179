"""YAML files → frozen dataclasses, with *every* mistake reported at once, by file, line and key.

Fields are typed by their annotations: scalars, `Literal`, `UUID`, `Annotated[...,
msgspec.Meta(...)]` bounds, lists and string-keyed mappings of these, nested dataclasses, and *leaf
types*: classes with a classmethod `parse(raw)` that raises `ValueError(message)` and a
`json_schema` mapping (their defaults are given by `default_factory`). A nested dataclass may name
one of its keys as its `SHORTHAND`: a bare value then stands for that key alone.
`drivers.settings_schema` gives the same rules to an editor.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec
import yaml

from drivers.yaml_nodes import compose
from drivers.yaml_words import MAX_SHOWN, as_plain_number, found_text, in_our_words, shortened

T = TypeVar("T")

# The longest profile has 20 kB and 600 values. PyYAML takes 4 s for 256 kB of the worst kind.
MAX_FILE_BYTES = 1 << 18
MAX_NODES = 20_000
MAX_DEPTH = 50
MAX_MESSAGE = 800
"""Characters of a whole message."""

Path = tuple[str | int, ...]

_MERGE_TAG = "tag:yaml.org,2002:merge"

UNREADABLE = object()
"""Stands where a value could not be read, which has been said; nothing more is said about it."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file: where it is, what is wrong, and what to do."""

    file: str
    line: int
    key: str
    message: str
    hint: str = ""
    is_borne: bool = False
    """Whether the daemon goes on with it, and warns: an earlier version has taken it."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        key = f"{self.key}: " if self.key else ""
        return one_line(f"{where}{key}{self.message}" + (f" — {self.hint}" if self.hint else ""))


class Mistake(NamedTuple):
    """What a section of a file finds wrong with itself: it knows its keys, not its file."""

    path: Path
    """The key, inside the section."""
    message: str
    hint: str = ""
    is_borne: bool = False
    """Whether the daemon goes on with it, and warns: an earlier version has taken it."""
    is_of_file: bool = False
    """Whether the path begins at the file and not at the section."""


def one_line(text: str) -> str:
    """The text as one printable line of bounded length: what a file holds must not move a
    terminal's cursor or write lines of a log.
    """
    shown = text[:MAX_MESSAGE]
    return "".join(c if c.isprintable() else "·" for c in shown) + (
        "…" if len(text) > MAX_MESSAGE else ""
    )


@dataclass(slots=True)
class Document:
    """One parsed file: plain data, the line of every key, and the problems found so far."""

    file: str
    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    holes: int = 0
    """Values that `decode` came upon and that could not be read at all, which has been reported."""

    def line(self, path: Path) -> int:
        """Line of a key, or of the nearest enclosing one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def report(self, path: Path, message: str, hint: str = "", *, is_borne: bool = False) -> None:
        """Note a problem at a key."""
        line, key = self.line(path), key_text(path)
        self.problems.append(Problem(self.file, line, key, message, hint, is_borne))

    def report_all(self, path: Path, mistakes: Iterable[Mistake]) -> None:
        """Note what the section at `path` finds wrong with itself."""
        for mistake in mistakes:
            within = () if mistake.is_of_file else path
            self.report(
                (*within, *mistake.path), mistake.message, mistake.hint, is_borne=mistake.is_borne
            )


def key_text(path: Path) -> str:
    """`("assets", 1, "uuid")` → `assets[1].uuid`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isprintable() and len(part) <= MAX_SHOWN else shortened(part)
            text += f".{name}" if text else name
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint naming the known word that is most like `word`, or the few words there are."""
    known = sorted(known)
    import difflib  # only mistakes need it

    close = difflib.get_close_matches(word[:MAX_SHOWN], known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not known:
        return "there are none"
    return "known: " + ", ".join(known[:12]) + (", …" if len(known) > 12 else "")


def parse(text: str | bytes, file: str) -> Document:
    """Read YAML text into plain data that remembers its lines. Whatever is wrong ends up in
    `.problems`; nothing is raised.
    """
    document = Document(file)
    if len(text) > MAX_FILE_BYTES:
        document.report(
            (),
            f"file is larger than {MAX_FILE_BYTES} bytes",
            "settings files are small; is this the right file?",
        )
        return document
    try:
        node = compose(text)
        if node is None:
            document.report((), "file is empty", "see the examples in the documentation")
            return document
        document.data = _Builder(document).build(node, (), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be read"
        document.problems.append(
            Problem(
                file,
                mark.line + 1 if mark else 1,
                "",
                f"not valid YAML: {problem}",
                "check indentation, colons and quotes here",
            )
        )
    except yaml.reader.ReaderError as error:
        line = (
            str(text[: error.position]).count("\n")
            if isinstance(text, str)
            else text[: error.position].count(b"\n")
        )
        message = f"not valid YAML: unreadable character ({error.reason})"
        document.problems.append(
            Problem(file, line + 1, "", message, "the file must be plain UTF-8 text")
        )
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets these through from escapes such as "\UFFFFFFFF" and from %YAML lines; they
        # carry no line.
        document.report(
            (), f"not valid YAML: {shortened(str(error))}", "check the escapes in quoted text"
        )
    except RecursionError:
        document.report((), "nested too deeply", f"at most {MAX_DEPTH} levels")
    return document


def _why_not_text(text: str) -> tuple[str, str] | None:
    """What a text holds that no file, database, path, host or name takes, and the remedy. Only
    escapes make such characters: "\\uD800" half a character, "\\0" a control character.
    """
    if re.search("[\ud800-\udfff]", text):
        return f"{shortened(text)} holds half a character", "write the character itself"
    if re.search("[\0-\x08\x0b-\x1f\x7f-\x9f]", text):
        return f"{shortened(text)} holds a control character", "write plain text"
    return None


class _Builder:
    """Turns YAML nodes into dicts, lists and scalars, within bounds, noting lines and doubled
    keys.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.scalars = yaml.constructor.SafeConstructor()
        self.count = 0

    def build(self, node: yaml.Node, path: Path, depth: int) -> object:
        self._bound(node, depth)
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]
        return self._scalar(node, path)

    def _bound(self, node: yaml.Node, depth: int) -> None:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            problem = f"more than {MAX_DEPTH} levels or {MAX_NODES} values"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)

    def _scalar(self, node: yaml.Node, path: Path) -> object:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text: str = node.value

        problem = _why_not_text(text)
        if problem is not None:
            return self._unreadable(path, *problem)

        # A date is text until a field's own type reads it.
        if kind in ("str", "timestamp", "value", "merge"):
            return text
        # 12:30 and 010 are 750 and 8 in YAML 1.1, which nobody means who writes them.
        if kind in ("int", "float") and (":" in text or re.match(r"[-+]?0[0-9_]", text)):
            return text
        if kind not in ("null", "bool", "int", "float"):
            message = f"the tag {shortened(node.tag)} is not used here"
            return self._unreadable(path, message, "write the value without it")

        try:
            value = self.scalars.construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            message = f"{shortened(text)} cannot be read as {kind}"
            return self._unreadable(path, message, "write plain digits, or put text in quotes")

        if isinstance(value, float) and not math.isfinite(value):
            message = f"{shortened(text)} is not a finite number"
            return self._unreadable(path, message, "write plain digits")
        # Python would refuse to write out a number with thousands of digits.
        if isinstance(value, int) and value.bit_length() > 64:
            return self._unreadable(
                path, f"{shortened(text)} is too large a number", "at most 64 bits"
            )
        return value

    def _unreadable(self, path: Path, message: str, hint: str) -> object:
        self.document.report(path, message, hint)
        return UNREADABLE

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        merged: list[yaml.Node] = []

        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                message = "a list or mapping stands as a key"
                self._refuse(line, path, message, "keys are plain words")
                continue
            if key_node.tag == _MERGE_TAG:
                merged.append(value_node)
                continue

            # A key is taken as it is written: `on:` or `12:` are names here, not a boolean or a
            # number.
            key = key_node.value
            here = (*path, key)
            if key in result:
                message = f"key appears twice, first in line {self.document.lines[here]}"
                self._refuse(line, here, message, "keep one of them")
                continue
            self.document.lines[here] = line
            result[key] = self.build(value_node, here, depth + 1)

        for each in merged:
            self._merge(each, result, path, depth + 1)
        return result

    def _merge(self, node: yaml.Node, into: dict[str, object], path: Path, depth: int) -> None:
        """The keys of `<<: *name`, or `<<: [*one, *other]`, which stand behind those that are
        written out (https://yaml.org/type/merge.html). Their lines are where they are written.
        """
        own_lines = {(*path, key): self.document.lines[*path, key] for key in into}
        mappings = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for mapping in mappings:
            if not isinstance(mapping, yaml.MappingNode):
                line = node.start_mark.line + 1
                message = "takes the keys of a mapping, and there is none"
                self._refuse(line, (*path, "<<"), message, "write <<: *name, and &name there")
                continue

            self._bound(mapping, depth)
            for key, value in self._mapping(mapping, path, depth).items():
                into.setdefault(key, value)
        self.document.lines |= own_lines

    def _refuse(self, line: int, path: Path, message: str, hint: str) -> None:
        problem = Problem(self.document.file, line, key_text(path), message, hint)
        self.document.problems.append(problem)


def decode(cls: type[T], document: Document, path: Path = (), data: object = ...) -> T | None:
    """Make a `cls` (a dataclass) of the document's data, or of `data` found at `path`.

    Returns None after reporting every problem to `document`; what could not even be read is
    reported there before.
    """
    if data is ... and document.data is None and document.problems:
        return None  # it could not be read at all, and that has been said
    raw = document.data if data is ... else data
    before = len(document.problems) + document.holes
    value = _decode(cls, raw, document, path)
    return typing.cast(T, value) if len(document.problems) + document.holes == before else None


def _decode(kind: Any, raw: object, document: Document, path: Path) -> object:
    """Decode one value; on a problem, report it and return None (the caller looks at the count)."""
    if raw is UNREADABLE:
        document.holes += 1
        return None
    bare, *notes = get_args(kind) if get_origin(kind) is typing.Annotated else (kind,)
    origin, args = get_origin(bare), get_args(bare)
    if origin in (typing.Union, types.UnionType) and type(None) in args:
        if raw is None:
            return None
        rest = [a for a in args if a is not type(None)]
        bare = rest[0] if len(rest) == 1 else typing.Union[tuple(rest)]  # noqa: UP007 — built at run time
        if not dataclasses.is_dataclass(bare):
            return _decode(bare, raw, document, path)
    if dataclasses.is_dataclass(bare) and not hasattr(bare, "parse"):
        if hasattr(bare, "SHORTHAND") and not isinstance(raw, dict):
            return _shorthand(bare, raw, document, path)
        return _dataclass(typing.cast(type, bare), raw, document, path, _describe(kind))
    if isinstance(raw, (dict, list)):
        least = max(
            (note.min_length or 0 for note in notes if isinstance(note, msgspec.Meta)), default=0
        )
        if len(raw) < least:
            document.report(
                path,
                f"needs at least {least} {'entry' if least == 1 else 'entries'}, found {len(raw)}",
                _describe(kind),
            )
    if origin in (list, tuple):
        return _sequence(origin, args[0], raw, document, path)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return _mapping(args, raw, document, path, _describe(kind))
    if (
        isinstance(raw, str)
        and raw.endswith("\n")
        and any(isinstance(note, msgspec.Meta) and note.pattern for note in notes)
    ):
        # The `$` of a pattern would let it pass.
        document.report(path, f"{shortened(raw)} ends with a line break", "write it in one line")
        return None
    try:
        if hasattr(bare, "parse"):
            return bare.parse(raw)
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        if "matching regex" in str(error):
            document.report(path, f"{shortened(raw)} cannot stand here", _describe(kind))
        else:
            hint = _remedy(bare, raw) or _describe(kind).removeprefix("it is ")
            document.report(path, in_our_words(str(error), raw), hint)
    except ValueError as error:
        message, _, hint = str(error).partition(" — ")
        document.report(path, message, hint)
    return None


def _mapping(args: Any, raw: object, document: Document, path: Path, what: str) -> object:
    if not isinstance(raw, dict):
        document.report(path, f"expected key: value pairs, found {found_text(raw)}", what)
        return None
    names = get_args(args[0]) if get_origin(args[0]) is Literal else ()
    for key in raw:
        if names and key not in names:
            document.report((*path, key), "unknown key", nearest(key, names))
    return {key: _decode(args[1], value, document, (*path, key)) for key, value in raw.items()}


def _sequence(origin: Any, item: Any, raw: object, document: Document, path: Path) -> object:
    if not isinstance(raw, list):
        document.report(
            path,
            f"expected a list, found {found_text(raw)}",
            "write it as [a, b] or as lines that begin with '- '",
        )
        return None
    return origin(_decode(item, value, document, (*path, i)) for i, value in enumerate(raw))


def _shorthand(cls: Any, raw: object, document: Document, path: Path) -> object:
    """A bare value, which stands for the key that `SHORTHAND` names."""
    before = len(document.problems) + document.holes
    hint = typing.get_type_hints(cls, include_extras=True)[cls.SHORTHAND]
    value = _decode(hint, raw, document, path)
    if len(document.problems) + document.holes > before:
        return None
    return cls(**{cls.SHORTHAND: value})


def _dataclass(cls: type, raw: object, document: Document, path: Path, what: str) -> object:
    """`what` it is, for those who wrote something else."""
    fields = {
        f.name: f for f in dataclasses.fields(cls) if f.init and not f.metadata.get("internal")
    }
    if not isinstance(raw, dict):
        keys = f"its keys are {', '.join(fields)}"
        message = f"expected key: value pairs, found {found_text(raw)}"
        document.report(path, message, f"{what}; {keys}" if what else keys)
        return None
    hints = typing.get_type_hints(cls, include_extras=True)
    values: dict[str, object] = {}
    before = len(document.problems)
    for key, value in raw.items():
        if key in fields:
            values[key] = _decode(hints[key], value, document, (*path, key))
        else:
            document.report((*path, key), "unknown key", nearest(key, fields))
    for name, spec in fields.items():
        required = (
            spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        )
        if required and name not in raw:
            document.report(path, f"key {name!r} is missing", _describe(hints[name]))
    return cls(**values) if len(document.problems) == before else None


def _describe(kind: Any) -> str:
    for meta in get_args(kind)[1:] if get_origin(kind) is typing.Annotated else ():
        if isinstance(meta, msgspec.Meta) and meta.description:
            return f"it is {meta.description}"
    return ""


def _remedy(kind: Any, raw: object) -> str:
    if raw is None:
        return "fill it in"
    if get_origin(kind) is Literal:
        return nearest(str(raw), [str(word) for word in get_args(kind)])
    if kind is str and not isinstance(raw, (dict, list, str)):
        return "put it in quotes"
    if kind in (int, float) and isinstance(raw, str):
        return as_plain_number(raw)
    if "UUID" in getattr(kind, "__name__", ""):
        return "copy it from the exchange's page, 8-4-4-4-12 hexadecimal digits"
    return ""


class Seconds(float):
    """A length of time, written `10s`, `500ms`, `15min`, `2h` or `30d`; a bare number means
    seconds.
    """

    json_schema: typing.ClassVar[Mapping[str, Any]] = {
        "title": "length of time",
        "description": "a length of time such as 500ms, 10s, 15min, 2h or 30d",
        "anyOf": [
            {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|min|h|d)$"},
            {"type": "number", "minimum": 0},
        ],
    }
    _FACTORS: typing.ClassVar[Mapping[str, float]] = {
        "ms": 0.001,
        "s": 1,
        "min": 60,
        "h": 3600,
        "d": 86400,
    }

    @classmethod
    def parse(cls, raw: object) -> "Seconds":
        """Raises ValueError where `raw` is not a length of time."""
        if isinstance(raw, (int, float)) and not isinstance(raw, bool) and 0 <= raw < 1e10:
            return cls(raw)
        text = raw.strip() if isinstance(raw, str) else ""
        number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
        factor = cls._FACTORS.get(text[len(number) :].strip())
        if (
            factor is None
            or not re.fullmatch(r"\d{1,18}(\.\d+)?", number)
            or (seconds := float(number) * factor) >= 1e10
        ):
            raise ValueError(
                f"expected a length of time, found {found_text(raw)} — write a number and ms, s, "
                "min, h or d, such as 10s"
            )
        return cls(seconds)

    def as_written(self) -> str:
        """In the largest unit that makes it a whole number, such as `15min`."""
        for unit in ("d", "h", "min", "s"):
            number = self / self._FACTORS[unit]
            if number >= 1 and number.is_integer():
                return f"{int(number)}{unit}"
        milliseconds = f"{self * 1000:.6f}".rstrip("0").rstrip(".")
        return f"{milliseconds}ms" if self else "0s"
