"""The reference of every key of the configuration as a Markdown page, from the schemas. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

HEAD = """\
# Configuration

Every key of every file that an installer writes. Made from what the software itself checks with;
after a change there, write it anew:

    meter-gateway check --markdown > docs/configuration.md

A configuration is a folder, `/etc/meter-gateway` unless `--config` says otherwise:

    gateway.yaml                 the site, its market, assets, destinations
    devices/NAME.yaml            one file per meter; the file's name is the meter's name
    hardware_profiles/           profiles of this site (optional), looked up before the shipped ones
    *.credentials, *.key         logins and keys, mode 0600
    *.csv, *.json, *.xlsx        tariff files, where grid_operator: names some

`meter-gateway check` names every mistake in it at once, with file, line, key and remedy. A key that
is not listed here is a mistake, and so is a key that stands twice. Lengths of time are written
`500ms`, `10s`, `15min`, `2h` or `30d`; sizes `500MB` or `2GB`. File names are relative to the
folder. What several sections share may be written once: `<<: *name` takes over the keys of the
section that `&name` stands before.

Each of these is a regular file of at most 256 kB. One whose name begins with a dot is not looked
at: macOS and editors leave such files behind (`._grid.yaml`, `.#grid.yaml`). What is wrong in a
file that is a link out of the folder, or a link to something private, is told by its line alone:
whoever put the link there may not be allowed to read it.
"""

CREDENTIALS = """\
## Credentials files

What is secret stands in files of its own, which the other files name. Such a file belongs to the
gateway's user and has mode 0600, or it is a systemd credential of that name. Its values are text in
quotes; no message repeats them. Without quotes, a `#` after a blank begins a comment: `check` and
the log say so where a value may have been cut short by one.
"""

TABLE = "| key | what it takes | default | meaning | example |\n|---|---|---|---|---|\n"
ENTRIES = "| entry | meaning | example |\n|---|---|---|\n"

LOGIN = (
    ("username", "the user's name", "anna"),
    ("password", "the password of that user", "correct horse"),
)
"""Entry of a login, what it is, an example."""


def page(
    gateway: Schema,
    device: Schema,
    kinds: Mapping[str, Schema],
    models: Mapping[str, Schema],
    entries: Mapping[str, Mapping[str, str]],
) -> str:
    """The page. `gateway` and `device` are the schemas of the two kinds of files, `kinds` those of
    destinations by kind, `models` those of tariff models by kind; `entries` says by protocol what
    a meter's credentials file may hold.
    """
    parts = [HEAD]
    parts += _file(gateway, "gateway.yaml", "The site, its market and where its slots go.")
    for kind, schema in kinds.items():
        parts += _file(
            schema, f"A destination of kind {kind}", f"With `kind: {kind}`.", is_part=True
        )
    for name, schema in models.items():
        parts += _file(
            schema, f"A tariff model of kind {name}", f"With `kind: {name}`.", is_part=True
        )
    parts += _file(device, "devices/NAME.yaml", "One meter of this site.")

    parts.append(CREDENTIALS)
    parts.append(_login())
    parts += [_meter_credentials(protocol, known) for protocol, known in entries.items() if known]
    return "\n".join(parts)


def undocumented(schema: Schema) -> list[str]:
    """The keys of a schema that lack a description or an example."""
    found = []
    for name, section in _sections(schema):
        for key, value in section["properties"].items():
            part = _without_null({**_target(schema, value), **value})
            is_section = _section_of(schema, value) is not None
            if not _meaning(schema, value) or not ("examples" in part or is_section):
                found.append(f"{name}.{key}")
    return found


def _file(schema: Schema, title: str, about: str, *, is_part: bool = False) -> Iterator[str]:
    """The sections of one kind of file, the file itself first; or of a part of one."""
    for i, (name, section) in enumerate(_sections(schema)):
        if i == 0:
            yield f"## {title}\n\n{about}\n"
        else:
            yield f"### {name}\n\n{section['description']}\n"
        yield f"{TABLE}{_lines(_rows(schema, section))}"
        if i > 0 and not is_part:
            yield _example(name, schema, section)


def _example(name: str, schema: Schema, section: Schema) -> str:
    """A section as it may be written, with the example of each key."""
    written = []
    for key, value in section["properties"].items():
        examples = _without_null({**_target(schema, value), **value}).get("examples", ())
        written += [f"{key}: {_yaml(example)}" for example in examples[:1]]

    is_list = _target(schema, schema)["properties"][name].get("type") == "array"
    first = "- " if is_list else "  "
    lines = [f"{'  ' if i else first}{line}" for i, line in enumerate(written)]
    if is_list:
        lines = [f"  {line}" for line in lines]
    return "```yaml\n" + _lines([f"{name}:", *lines]) + "```\n"


def _sections(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The file as a section without a name, then each section it has, as its keys name them."""
    top = _target(schema, schema)
    yield "", top
    for key, value in top["properties"].items():
        section = _section_of(schema, value)
        if section is not None:
            yield key, section


def _section_of(schema: Schema, value: Schema) -> Schema | None:
    """The mapping of keys that a value is (or each of its entries), if it is one."""
    part = _without_null(value)
    part = _target(schema, part.get("items", part))
    forms = part.get("anyOf", [part])
    for form in forms:
        if form.get("properties"):
            return {"description": part.get("description", ""), **form}
    return None


def _target(schema: Schema, part: Schema) -> Schema:
    """What a reference refers to."""
    name = part.get("$ref", "").rpartition("/")[2]
    target: Schema = schema["$defs"][name] if name else part
    return target


def _without_null(part: Schema) -> Schema:
    """What a value is where it is not left out."""
    forms = [form for form in part.get("anyOf", ()) if form.get("type") != "null"]
    if len(forms) != 1:
        return part
    said = {key: value for key, value in part.items() if key != "anyOf"}
    return {**forms[0], **said}


def _rows(schema: Schema, section: Schema) -> Iterator[str]:
    required = section.get("required", ())
    for key, value in section["properties"].items():
        part = _without_null({**_target(schema, value), **value})
        cells = (
            f"`{key}`",
            _section_link(key, part) if _section_of(schema, value) else _takes(part),
            "**needed**" if key in required else _default(part),
            _meaning(schema, value),
            _examples(part),
        )
        yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that stays inside its column."""
    return " ".join(text.replace("|", "\\|").split())


def _meaning(schema: Schema, value: Schema) -> str:
    """What a key means, and how a value of a type of its own is written."""
    section = _section_of(schema, value)
    if section is not None:
        return str(value.get("description") or section["description"])

    of_type = _target(schema, value).get("description", "")
    of_key = value.get("description", of_type)
    text = of_key if of_type == of_key else f"{of_key}; {of_type}"
    return str(text).replace("<", "&lt;")


def _section_link(key: str, part: Schema) -> str:
    link = f"[section](#{key})"
    if part.get("type") == "array":
        return f"list of [sections](#{key})"
    is_short = any("properties" not in form for form in part.get("anyOf", ()))
    return f"{link}, or text" if is_short else link


def _takes(part: Schema) -> str:
    """What may be written there."""
    words = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
        "array": "list",
        "object": "sections by name",
    }
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        *first, last = (f"`{word}`" for word in part["enum"])
        return f"{', '.join(first)} or {last}" if first else last

    form = {"uuid": "UUID", "uri": "URL"}.get(part.get("format", ""))
    kind = form or part.get("title") or words.get(part.get("type", ""), "text")
    return f"{kind}{_bounds(part)}"


def _bounds(part: Schema) -> str:
    least, most = part.get("minimum"), part.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None:
        return f", at least {least}"
    if "exclusiveMinimum" in part:
        return f", more than {part['exclusiveMinimum']}"
    return f", at most {most}" if most is not None else ""


def _default(part: Schema) -> str:
    value = part.get("default")
    return "" if value is None else f"`{_yaml(value)}`"


def _examples(part: Schema) -> str:
    return ", ".join(f"`{_yaml(example)}`" for example in part.get("examples", ()))


def _yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _login() -> str:
    rows = [f"| `{entry}` | {what} | `{entry}: '{example}'` |" for entry, what, example in LOGIN]
    return (
        "### A login\n\nOf an exchange, or of an MQTT broker. Both entries are needed.\n\n"
        f"{ENTRIES}{_lines(rows)}"
    )


def _meter_credentials(protocol: str, entries: Mapping[str, str]) -> str:
    rows = [f"| `{entry}` | {what} | `{entry}: '…'` |" for entry, what in entries.items()]
    return (
        f"### A meter that speaks {protocol}\n\nNamed by `credentials:` or `key:` in its device "
        f"file.\n\n{ENTRIES}{_lines(rows)}"
    )


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
