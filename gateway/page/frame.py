"""What stands around every page: its head, the navigation, what is wrong, and its foot. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.history.answers import Problem
from gateway.page.banners import banners, live_region
from gateway.page.markup import Child, Markup, join, tag
from gateway.page.words import Words

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='9' fill='%230a6551'/%3E"
    "%3Cpath d='M18 5 8 18h7l-1 9 10-13h-7z' fill='%23fff'/%3E%3C/svg%3E"
)
MANIFEST = "manifest.webmanifest"
WITH_SLASH = (
    "if(!location.pathname.endsWith('/'))location.replace(location.pathname+'/'+location.search)"
)
"""Of the first page only: where a proxy has put it without a slash at the end, all links would lead
beside it.
"""


class Reader(Struct, frozen=True, kw_only=True):
    """Who reads, and where the page is for that reader."""

    words: Words
    root: str
    """What links begin with: the way back to the first page, or the prefix that a proxy told."""
    site: str
    """What people call it."""
    version: str
    style: str
    """Where the style is, below `root`."""
    script: str
    icon: str = ""
    """Where the icon for a home screen is, below `root`; empty for who is not let in yet."""
    problems: Sequence[Problem] = ()
    contact: str = ""
    """Whom to ask, in the installer's words."""
    parts: Sequence[tuple[str, str]] = (
        ("now", ""),
        ("days", "days"),
        ("meters", "meters"),
        ("exchange", "exchange"),
    )
    """What the navigation leads to: the end of each word's key, and the address."""
    more: Sequence[str] = ("events", "help", "technical")
    """The same at the foot: the address is the end of the word's key."""
    can_log_out: bool = False

    def link(self, path: str, text: Child, **attributes: str | bool | None) -> Markup:
        """A link to another page of ours."""
        return tag("a", text, href=self.root + path, **attributes)


def document(
    reader: Reader,
    title: str,
    *body: Child,
    here: str = "",
    heading: bool = True,
    told: bool = True,
    live: bool = True,
) -> Markup:
    """A whole page. `here` is the part of the navigation it belongs to; `told` whether problems
    stand above it, where there are any; `live` whether it is kept up to date.
    """
    words = reader.words
    is_first = bool(reader.parts) and here == reader.parts[0][0]
    main = tag(
        "main",
        tag("h1", title, class_=None if heading else "off"),
        live_region(banners(reader.problems, reader.words, reader.root)) if told else None,
        *body,
        id="main",
        tabindex=-1,
    )
    content = tag(
        "body",
        tag("a", words("skip"), class_="skip", href="#main"),
        _header(reader),
        _nav(reader, here) if reader.parts else None,
        main,
        _footer(reader),
        data_live=f"{reader.root}api/v1/live" if live else None,
        data_gone=words("gone.what"),
        data_gone_help=words("gone.do"),
        data_decimal=words.catalogue["number.marks"][1],
    )
    head = _head(reader, title, is_first=is_first, live=live)
    return Markup("<!DOCTYPE html>" + tag("html", head, content, lang=words.language))


def _head(reader: Reader, title: str, *, is_first: bool, live: bool) -> Markup:
    name = reader.site if is_first else f"{title} · {reader.site}"
    refresh = tag("noscript", tag("meta", http_equiv="refresh", content="60")) if live else None
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="theme-color", content="#f5f4f0", media="(prefers-color-scheme:light)"),
        tag("meta", name="theme-color", content="#111412", media="(prefers-color-scheme:dark)"),
        tag("title", name),
        tag("script", Markup(WITH_SLASH)) if is_first else None,
        tag("link", rel="icon", href=_ICON),
        *_for_home_screens(reader),
        tag("link", rel="stylesheet", href=reader.root + reader.style),
        tag("script", Markup(), src=reader.root + reader.script, defer=True) if live else None,
        refresh,
    )


def _for_home_screens(reader: Reader) -> Sequence[Markup]:
    if not reader.icon:
        return ()
    asks = "use-credentials"  # a manifest is asked for without a cookie else
    return (
        tag("link", rel="apple-touch-icon", href=reader.root + reader.icon),
        tag("link", rel="manifest", href=reader.root + MANIFEST, crossorigin=asks),
    )


def _header(reader: Reader) -> Markup:
    words = reader.words
    home = reader.root or "./"
    return tag(
        "header",
        tag("a", reader.site, class_="site", href=home),
        tag("p", tag("time", words.clock(words.at_s), data_k="clock"), class_="num"),
    )


def _nav(reader: Reader, here: str) -> Markup:
    items = [
        tag(
            "li",
            tag(
                "a",
                reader.words(f"nav.{name}"),
                href=(reader.root + path) or "./",
                aria_current="page" if here == name else None,
            ),
        )
        for name, path in reader.parts
    ]
    return tag("nav", tag("ul", *items), aria_label=reader.words("nav.name"))


def _footer(reader: Reader) -> Markup:
    words = reader.words
    links = [reader.link(name, words(f"nav.{name}")) for name in reader.more]
    if reader.can_log_out:
        links.append(reader.link("logout", words("login.out")))
    return tag("footer", *links, tag("span", f"meter-gateway {reader.version}"))


def card(title: str, *inside: Child, key: str, class_: str = "card") -> Markup:
    """A part of a page, with a heading that names it."""
    heading = tag("h2", title, id=f"h-{key}")
    return tag("section", heading, *inside, class_=class_, aria_labelledby=f"h-{key}")


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    name: str,
    numbers: frozenset[int] = frozenset(),
    foot: Sequence[Child] = (),
    fold: bool = True,
) -> Markup:
    """A table whose first column names its rows. `numbers` says which columns stand to the right;
    `fold` whether each row becomes a paragraph on a narrow screen.
    """
    top = tag(
        "tr",
        *(
            tag("th", head, scope="col", class_="num" if n in numbers else None)
            for n, head in enumerate(heads)
        ),
    )
    parts: list[Child] = [
        tag("caption", name, class_="off"),
        tag("thead", top),
        tag("tbody", *(_row(heads, row, numbers) for row in rows)),
    ]
    if foot:
        parts.append(tag("tfoot", _row(heads, foot, numbers)))
    class_ = "fold" if fold else None
    return tag("div", tag("table", *parts, class_=class_), class_="wide")


def _row(heads: Sequence[str], row: Sequence[Child], numbers: frozenset[int]) -> Markup:
    cells = [tag("th", row[0], scope="row")]
    for n, cell in enumerate(row[1:], start=1):
        number = "num" if n in numbers else None
        inside = tag("span", cell)
        cells.append(tag("td", inside, class_=number, data_h=heads[n]))
    return tag("tr", join(cells))


def facts(pairs: Sequence[tuple[str, Child]], class_: str = "facts") -> Markup:
    """Names and what they have; what is empty is left out. As a `ledger`, the values stand below
    each other to the right.
    """
    inside: list[Child] = []
    for name, value in pairs:
        if value is not None and value != "":
            inside += [tag("dt", name), tag("dd", value)]
    return tag("dl", *inside, class_=class_)
