"""Pages that say one thing: a login, or that something cannot be shown. Pure."""

from gateway.page.frame import Reader, document
from gateway.page.markup import Markup, tag


def render(reader: Reader, title: str, *paragraphs: str) -> Markup:
    """What cannot be shown, why, and what to do."""
    inside = [tag("p", text) for text in paragraphs]
    home = tag("p", reader.link("", reader.words("notice.home"), class_="go"))
    return document(reader, title, tag("div", *inside, class_="card prose"), home, live=False)


def login(reader: Reader, *, problem: str = "") -> Markup:
    """Where the token is asked for."""
    words = reader.words
    wrong = tag("p", tag("strong", problem), role="alert") if problem else None
    form = tag(
        "form",
        tag("p", tag("label", words("login.token"), for_="token")),
        tag(
            "p",
            tag(
                "input",
                type="password",
                name="token",
                id="token",
                autocomplete="current-password",
                required=True,
                autofocus=True,
            ),
            " ",
            tag("button", words("login.in"), type="submit"),
        ),
        method="post",
        action=f"{reader.root}login",
    )
    where = tag("p", words("login.where"), " ", tag("code", "sudo meter-gateway token"))
    return document(
        reader,
        words("login.title"),
        tag("div", wrong, form, where, class_="card prose"),
        live=False,
        told=False,
    )
