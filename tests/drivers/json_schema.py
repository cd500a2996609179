"""As much of JSON Schema as our schemas use."""

import re
from collections.abc import Iterator
from typing import Any

WORDS = {
    *("$ref", "$schema", "$defs", "title", "description", "default", "type", "format"),
    *("properties", "required", "additionalProperties", "propertyNames", "minProperties"),
    *("items", "minItems", "enum", "const", "anyOf", "pattern", "minLength"),
    *("minimum", "maximum", "exclusiveMinimum"),
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}

Schema = dict[str, Any]


def refusals(value: object, schema: Schema, root: Schema) -> Iterator[str]:
    """What a JSON Schema finds wrong with a value: as much of the standard as our schemas use, and
    no word it does not know.
    """
    assert schema.keys() <= WORDS, schema.keys() - WORDS
    if "$ref" in schema:
        yield from refusals(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema and all(any(refusals(value, each, root)) for each in schema["anyOf"]):
        yield f"{value!r} fits none"
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{value!r} is not allowed"
    if "type" in schema and not _is_of(value, schema["type"]):
        yield f"{value!r} is not of type {schema['type']}"

    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _of_number(value, schema)
    if isinstance(value, str):
        fits = re.search(schema.get("pattern", ""), value)
        if len(value) < schema.get("minLength", 0) or not fits:
            yield f"{value!r} does not fit"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield "too short"
        for item in value:
            yield from refusals(item, schema.get("items", {}), root)
    if isinstance(value, dict):
        yield from _of_object(value, schema, root)


def _is_of(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])


def _of_number(value: float, schema: Schema) -> Iterator[str]:
    within = schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if not within or value <= schema.get("exclusiveMinimum", value - 1):
        yield f"{value} is out of bounds"


def _of_object(value: dict[str, Any], schema: Schema, root: Schema) -> Iterator[str]:
    if len(value) < schema.get("minProperties", 0):
        yield "too few"
    yield from (f"{name} is missing" for name in schema.get("required", []) if name not in value)
    for name, item in value.items():
        yield from refusals(name, schema.get("propertyNames", {}), root)
        other = schema.get("additionalProperties", {})
        part = schema.get("properties", {}).get(name, other)
        if part is False:
            yield f"{name} is unknown"
        else:
            yield from refusals(item, part, root)
