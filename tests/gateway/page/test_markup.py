from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.page.markup import Markup, join, number, tag


class Seen(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200)


@given(TEXTS, TEXTS)
def test_any_text_stays_text_inside_an_element_and_in_an_attribute(inside: str, about: str) -> None:
    seen = Seen(tag("p", inside, title=about))
    assert seen.elements == [("p", {"title": about})]
    assert seen.text == inside


def test_markup_is_put_in_as_it_is_and_text_beside_it_is_not() -> None:
    assert tag("p", tag("b", "<"), "<i>", None, [" and ", Markup("&amp;")]) == (
        "<p><b>&lt;</b>&lt;i&gt; and &amp;</p>"
    )
    assert join(["a", "<"], ", ") == "a, &lt;"


def test_attributes_are_named_as_in_html_and_left_out_where_there_are_none() -> None:
    made = tag(
        "a", "x", class_="y", data_k="w.1", aria_label=None, hidden=True, open=False, cx=1.25
    )
    assert made == '<a class="y" data-k="w.1" hidden cx="1.2">x</a>'


def test_elements_without_an_end_are_closed_as_html_and_svg_want_it() -> None:
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert tag("path", d="M0 0") == '<path d="M0 0"/>'
    assert tag("script", src="x.js") == '<script src="x.js"></script>'


@given(st.floats(-1e6, 1e6))
def test_a_coordinate_is_short_and_at_most_a_twentieth_off(value: float) -> None:
    text = number(value)
    assert abs(float(text) - value) <= 0.0501
    assert text != "-0"
