"""Small drawings, 24 by 24, in the colour of the text beside them. Pure."""

from collections.abc import Mapping

from gateway.page.markup import Markup, tag

_PATHS: Mapping[str, str] = {
    "sun": "M12 7.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22"
    "M4.9 4.9l1.8 1.8M17.3 17.3l1.8 1.8M19.1 4.9l-1.8 1.8M6.7 17.3l-1.8 1.8",
    "grid": "M9.5 3h5L17 21M9.5 3 7 21M5 8h14M6 13h12M9 8l7 5M15 8l-7 5M8 13l8.5 8M16 13l-8.5 8",
    "house": "M3 11.5 12 4l9 7.5M5.5 9.5V20h13V9.5M10 20v-6h4v6",
    "battery": "M6 7h12v13H6zM10 4h4v3h-4zM12.6 10l-2.4 3.6h3.6L11.4 17",
    "other": "M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4",
    "well": "M5 12.5l4.5 4.5L19 7.5",
    "starting": "M12 6v6l4 2.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
    "warn": "M12 4 2.5 20h19zM12 10v4.5M12 17.2v.3",
    "bad": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7.5v6M12 16.2v.3",
    "gone": "M4 4l16 16M8.5 15.5a5 5 0 0 1 7 0M5.5 12.5a9 9 0 0 1 4-2.3M18.5 12.5a9 9 0 0 0-4-2.3",
}


def icon(name: str, **place: str | float) -> Markup:
    """A drawing, hidden from those who are read to. `place`: x, y, width and height in an SVG."""
    path = tag("path", d=_PATHS[name])
    return tag("svg", path, class_="i", viewBox="0 0 24 24", aria_hidden="true", **place)
