"""HTML and SVG, built so that text of any origin stays text. Pure."""

from collections.abc import Iterable
from typing import TypeAlias


class Markup(str):
    """Text that is HTML or SVG already. Any other text is escaped where it is put into one."""

    __slots__ = ()


QUOTE = '"'
"""In which attributes stand: there are no others."""

Child: TypeAlias = "str | Iterable[Child] | None"
Attribute: TypeAlias = "str | int | float | bool | None"

_VOID = frozenset(("br", "circle", "hr", "img", "input", "line", "link", "meta", "path", "rect"))
"""Elements that are written without an end (of SVG: those that hold nothing here)."""

_SVG = frozenset(("circle", "line", "path", "rect"))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element. `class_` is written class, `data_k` data-k. An attribute that is None or False is
    left out, one that is True is written alone. Children that are None are left out.
    """
    head = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID and not children:
        return Markup(f"<{head}/>" if name in _SVG else f"<{head}>")
    return Markup(f"<{head}>{join(children)}</{name}>")


def join(children: Child, between: str = "") -> Markup:
    """What is beside each other, escaped where it is not markup."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escaped(children))
    return Markup(escaped(between).join(join(child) for child in children if child is not None))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = escaped(number(value) if isinstance(value, float) else str(value))
    return f' {name}="{text.replace(QUOTE, "&quot;")}"'


def escaped(text: str) -> str:
    """Text as it stands in HTML. (The module `html` would do it, and keep 2,231 names of letters in
    memory.)
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def number(value: float) -> str:
    """A coordinate, short: one decimal at most."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
