"""`docs/reference/api.md`: the API, out of its addresses and of the types of its answers.

.venv/bin/python -m gateway.cli.api_page > docs/reference/api.md
"""

import ast
import inspect
import re
from collections.abc import Iterator
from types import ModuleType

from gateway.history import answers, live
from gateway.history.api import PREFIX, ROUTES
from gateway.history.live import MAX_STREAMS, QUIET_S

HEAD = f"""\
# The API

Everything that the page shows, as JSON. Made from what the software itself answers; after a change
there, write it anew:

    .venv/bin/python -m gateway.cli.api_page > docs/reference/api.md

    curl http://127.0.0.1:8080{PREFIX}now

It only reads. Who may read is as with [`/status`](../status-api.md#who-may-read), and so are the
limits. What is in an answer does not change its meaning or go away within a version (`v1`); more
may come, and a program should pass over what it does not know. `/status` stays beside it.

- **Units.** Energies are in Wh, power in W, times in Unix seconds (UTC); a name ends with its unit.
  Days and months are those of the site's own clock (`zone`).
- **Unknown.** `null` means that nobody knows, which is not zero.
- **Refusals.** 400: what was asked cannot be read; 404: there is no such thing; 503: the store
  cannot be read now, or too many ask. Each is `{{"error": "what is wrong, and what to do"}}`.
- **Saving.** Answers have an `ETag`: asked again with `If-None-Match`, what is the same is 304.
  They are packed for who sends `Accept-Encoding: gzip`.
- **Time.** One question at a time is put to the store, beside the daemon's own work, and for two
  seconds at most.
"""

STREAM = f"""\
## What changes, as it happens

`{PREFIX}live` is a stream of [server-sent
events](https://html.spec.whatwg.org/multipage/server-sent-events.html). Each `data:` is JSON. A
stream tells at most once a second what is newest, and nothing twice; after {QUIET_S:.0f} seconds
without news a comment shows that it is alive. There are {MAX_STREAMS} streams at most: with one
more, the oldest is told `event: bye` and ends.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Addresses\n", *_addresses(), STREAM, *_types(live), "## Answers\n"]
    return "\n".join([*parts, *_aliases(answers), *_types(answers)]).rstrip() + "\n"


def _addresses() -> Iterator[str]:
    yield "| address | what | answer |\n|---|---|---|"
    for route in ROUTES:
        says = route.says if isinstance(route.says, str) else _linked(_spoken(route.says))
        yield f"| `{PREFIX}{route.path}` | {route.meaning} | {says} |"
    yield ""


def _spoken(kind: object) -> str:
    """`list[MeterNow]`, of that."""
    return (
        kind.__name__
        if isinstance(kind, type) and not hasattr(kind, "__args__")
        else (re.sub(r"[\w.]+\.(\w+)", r"\1", str(kind)))
    )


def _aliases(module: ModuleType) -> Iterator[str]:
    """The words that texts of an answer can be."""
    body = ast.parse(inspect.getsource(module)).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Subscript):
            continue
        [target] = node.targets
        assert isinstance(target, ast.Name)
        words = ", ".join(f"`{word}`" for word in ast.literal_eval(node.value.slice))
        yield f"### {target.id}\n\n{words}. {_text_of(after)}".rstrip() + "\n"


def _types(module: ModuleType) -> Iterator[str]:
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef) or "Struct" not in map(ast.unparse, node.bases):
            continue
        yield f"### {node.name}\n\n{_flowing(ast.get_docstring(node) or '')}\n"
        yield "| field | type | meaning |\n|---|---|---|"
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                kind = _linked(ast.unparse(field.annotation).replace("'", ""))
                yield f"| `{ast.unparse(field.target)}` | {kind} | {_text_of(after)} |"
        yield ""


def _text_of(node: ast.stmt | None) -> str:
    """What is said after a field; empty where nothing is."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return _flowing(str(node.value.value)).replace("|", "\\|")
    return ""


def _flowing(text: str) -> str:
    return re.sub(r"\bNone\b", "`null`", " ".join(inspect.cleandoc(text).split()))


def _linked(kind: str) -> str:
    """A type as JSON has it, with links to those that are explained."""
    plain = (
        kind.replace("None", "null")
        .replace("str", "text")
        .replace("float", "number")
        .replace("int", "whole number")
        .replace("bool", "true or false")
    )
    plain = re.sub(r"tuple\[([^\[\]]*)\]", r"(\1)", plain)
    plain = re.sub(r"dict\[text, ([^\[\]]*)\]", r"by a name: \1", plain)
    plain = re.sub(r"^list\[(.*?)\](?=$| )", r"list of \1", plain).replace(" | ", " or ")
    known = {*_names(answers), *_names(live)}
    return re.sub(
        r"\b[A-Z]\w+",
        lambda found: f"[{found[0]}](#{found[0].lower()})" if found[0] in known else found[0],
        plain,
    )


def _names(module: ModuleType) -> Iterator[str]:
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id


if __name__ == "__main__":
    print(page(), end="")
