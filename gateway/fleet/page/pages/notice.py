"""Pages that say one thing: a login, or that something cannot be shown. Pure."""

from gateway.page.frame import Reader, document
from gateway.page.markup import Markup, tag


def render(reader: Reader, title: str, *paragraphs: str) -> Markup:
    """What cannot be shown, why, and what to do."""
    inside = [tag("p", text) for text in paragraphs]
    home = tag("p", reader.link("", reader.words("notice.home"), class_="go"))
    box = tag("div", *inside, class_="card prose")
    return document(reader, title, box, home, live=False, told=False)


def login(reader: Reader, *, problem: str = "") -> Markup:
    """Where name and password are asked for."""
    words = reader.words
    wrong = tag("p", tag("strong", problem), role="alert") if problem else None
    name = tag("input", name="name", id="name", autocomplete="username", required=True,
               autofocus=True, maxlength=64, autocapitalize="none", spellcheck="false")  # fmt: skip
    password = tag("input", type="password", name="password", id="password",
                   autocomplete="current-password", required=True, maxlength=200)  # fmt: skip
    form = tag(
        "form",
        tag("p", tag("label", words("fleet.login.name"), for_="name"), name),
        tag("p", tag("label", words("fleet.login.password"), for_="password"), password),
        tag("p", tag("button", words("login.in"), type="submit")),
        method="post",
        action=f"{reader.root}login",
        class_="login",
    )
    where = tag(
        "p",
        words("fleet.login.where"),
        " ",
        tag("code", "meter-gateway fleet users add NAME"),
        class_="soft",
    )
    box = tag("div", wrong, form, where, class_="card prose")
    return document(reader, words("fleet.login"), box, live=False, told=False)
