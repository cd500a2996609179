"""What a browser of the end of 2015 takes of a style and of a script: Chrome 47, Firefox 42, Safari
9, taken together, so that what one of them does not know counts as unknown. (There is none to run:
this reads the style as CSS 2.2, section 4.2, has it: a line that a browser does not know is passed
over, the others stay.) The years are those of caniuse.com and of the browsers' release notes.
"""

import re
from collections.abc import Iterator

KNOWN = frozenset(
    [
        "-webkit-text-size-adjust",
        "align-items",
        "animation",
        "background",
        "border",
        "border-bottom",
        "border-collapse",
        "border-color",
        "border-left",
        "border-radius",
        "border-top",
        "bottom",
        "box-shadow",
        "box-sizing",
        "clip",
        "color",
        "content",
        "cursor",
        "display",
        "fill",
        "fill-opacity",
        "flex",
        "flex-basis",
        "flex-wrap",
        "font",
        "font-size",
        "font-weight",
        "height",
        "justify-content",
        "left",
        "letter-spacing",
        "line-height",
        "list-style",
        "margin",
        "margin-bottom",
        "margin-left",
        "margin-right",
        "margin-top",
        "max-width",
        "min-height",
        "min-width",
        "opacity",
        "outline",
        "outline-offset",
        "overflow",
        "overflow-wrap",
        "overflow-x",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "position",
        "right",
        "stroke",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-opacity",
        "stroke-width",
        "text-align",
        "text-anchor",
        "text-decoration",
        "top",
        "vertical-align",
        "visibility",
        "white-space",
        "width",
        "z-index",
    ]
)
NEWER = frozenset(
    [
        "break-inside",
        "clip-path",
        "color-scheme",
        "column-gap",
        "content-visibility",
        "font-variant-numeric",
        "gap",
        "grid-column",
        "grid-row",
        "grid-template-columns",
        "inset",
        "paint-order",
        "row-gap",
        "text-decoration-thickness",
        "text-underline-offset",
        "vector-effect",
    ]
)
"""Of these it knows nothing. (`vector-effect` and `paint-order`: not all three.)"""
_NEWER_VALUES = re.compile(
    r"var\(|min\(|max\(|clamp\(|env\(|calc\([^)]*var|\bgrid\b|\banywhere\b|system-ui\b(?=\s*;?$)"
)
_WEIGHT = re.compile(r"^[1-9]00$|^(normal|bold|inherit)$")
_NEWER_SELECTORS = re.compile(r":focus-visible|:focus-within|::details|:is\(|:where\(|:has\(")
_NEWER_MEDIA = re.compile(r"prefers-|forced-colors|hover|width\s*[<>]")
_BLOCK = re.compile(r"\s*([^{}]+)\{")


class UnknownYear(AssertionError):
    """Nobody has said since when browsers know that."""


def style_of_2015(style: str) -> str:
    """What is left of a style."""
    return "".join(_rules(re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)))


def _rules(style: str) -> Iterator[str]:
    at = 0
    while found := _BLOCK.match(style, at):
        head, end = found[1].strip(), _end(style, found.end())
        inside = style[found.end() : end]
        at = end + 1
        if head.startswith("@supports"):
            if _is_supported(head):
                yield from _rules(inside)
        elif head.startswith("@media"):
            if not _NEWER_MEDIA.search(head):
                yield f"{head}{{{''.join(_rules(inside))}}}"
        elif head.startswith("@keyframes"):
            yield f"{head}{{{inside}}}"
        elif not _NEWER_SELECTORS.search(head):
            yield f"{head}{{{';'.join(_lines(inside))}}}"
    assert not style[at:].strip(), "all of it is read"


def _end(style: str, begin: int) -> int:
    """Where the block ends that begins there."""
    depth = 1
    for at in range(begin, len(style)):
        depth += {"{": 1, "}": -1}.get(style[at], 0)
        if depth == 0:
            return at
    raise AssertionError("a block that does not end")


def _is_supported(head: str) -> bool:
    """`@supports [not] (property:value)`, which it knows."""
    is_not, name, value = re.fullmatch(  # type: ignore[misc]
        r"@supports\s*(not)?\s*\(([a-z-]+):([^)]*)\)", head
    ).groups()
    return bool(_known(name, value)) != bool(is_not)


def _lines(inside: str) -> Iterator[str]:
    for line in filter(None, (each.strip() for each in inside.split(";"))):
        name, _, value = line.partition(":")
        if _known(name.strip(), value.strip()):
            yield line


def _known(name: str, value: str) -> bool:
    if name.startswith("--") or name in NEWER:
        return False
    if name not in KNOWN:
        raise UnknownYear(f"{name}: write into KNOWN or NEWER whether browsers of 2015 know it")
    if name == "font-weight":
        return bool(_WEIGHT.match(value))
    return not _NEWER_VALUES.search(value)


_NEWER_SCRIPT = re.compile(
    r"=>|`|\?\.|\?\?|\.\.\.|\*\*|\b(let|const|class|async|await|yield|import|export|super)\b"
    r"|\bfor\s*\([^;)]*\bof\b|function\s*\*|,\s*[)}\]]\s*[,;]?\s*$",
    re.MULTILINE,
)
_NOT_CODE = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)


def newer_than_2015(script: str) -> list[str]:
    """What of a script's syntax is no ECMAScript 5.1: one such word, and none of it runs."""
    return [found[0] for found in _NEWER_SCRIPT.finditer(_NOT_CODE.sub('""', script))]
