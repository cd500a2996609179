"""The JSON Schema of a settings file, for editors and for the reference of all keys. Pure.

It is made from the same dataclass that `drivers.strict_yaml.decode` obeys.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterable
from typing import Any, get_args

import msgspec


def json_schema(cls: type, title: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a file whose settings are a `cls`."""
    schema = msgspec.json.schema(cls, schema_hook=_leaf_schema)
    parts = schema.get("$defs", {})

    for kind in _dataclasses(cls):
        part = parts.get(kind.__name__)
        if part is not None:
            parts[kind.__name__] = _of_dataclass(kind, part)
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
    _sort_choices(found)
    return found


def _sort_choices(value: Any) -> None:
    """Put the choices of a key in order: msgspec's own depends on its version."""
    if isinstance(value, dict):
        choices = value.get("enum")
        if isinstance(choices, list) and all(isinstance(each, str) for each in choices):
            value["enum"] = sorted(choices)
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            _sort_choices(each)


def _leaf_schema(kind: Any) -> dict[str, Any]:
    """Leaf types carry their own, by the contract of `drivers.strict_yaml`."""
    return dict(kind.json_schema)


def _of_dataclass(kind: Any, part: dict[str, Any]) -> dict[str, Any]:
    """What msgspec knows of a dataclass, and what it does not ask the class for."""
    if hasattr(kind, "json_schema"):
        return _leaf_schema(kind)

    part |= {"additionalProperties": False}
    if "description" in part:
        # It is the docstring, which is wrapped to the width of source lines.
        part["description"] = " ".join(part["description"].split())

    for each in dataclasses.fields(kind):
        if each.default_factory is not dataclasses.MISSING and each.name in part["properties"]:
            # Whether msgspec says something of it depends on its version.
            part["properties"][each.name].pop("default", None)
            part["properties"][each.name] |= _default(each.default_factory)

    if hasattr(kind, "SHORTHAND"):
        bare = part["properties"][kind.SHORTHAND]
        title, description = part.pop("title"), part.pop("description", "")
        return {"title": title, "description": description, "anyOf": [bare, part]}
    return part


def _default(factory: Callable[[], object]) -> dict[str, Any]:
    """The default of a key as it would be written. None is said of sections: they say it key by
    key.
    """
    value = factory()
    if hasattr(value, "as_written"):
        return {"default": value.as_written()}
    return {"default": value} if isinstance(value, str) else {}


def _dataclasses(kind: Any) -> set[type]:
    """The dataclasses that `kind` is made of, down to leaf types."""
    if isinstance(kind, type) and hasattr(kind, "json_schema"):
        return {kind}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        parts: Iterable[Any] = typing.get_type_hints(kind, include_extras=True).values()
        found: set[type] = {kind}
    else:
        parts, found = get_args(kind), set()
    return found.union(*(_dataclasses(part) for part in parts))
