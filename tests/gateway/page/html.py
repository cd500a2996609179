"""What a browser would make of a page, as far as a test looks at it."""

from html.parser import HTMLParser

VOID = frozenset(("br", "hr", "img", "input", "link", "meta"))


class Shown(HTMLParser):
    """A page: its elements, its text. Fails where elements do not end as they began."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(markup)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "title" not in self._open and "desc" not in self._open:
            self.text += data

    def attributes(self, tag: str, name: str) -> list[str]:
        """What the elements of that name have there."""
        return [found for each, has in self.elements if each == tag and (found := has.get(name))]
