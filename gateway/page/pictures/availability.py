"""How well a meter was heard, hour by hour. Pure."""

from collections.abc import Sequence

from gateway.page.markup import Markup, number, tag
from gateway.page.pictures.chart import chart, stretched

_TALL = 22.0


def availability(name: str, shares: Sequence[float | None]) -> Markup:
    """A column for each hour, as high as the share of it that was heard."""
    heard, missed, unknown = [], [], []
    for i, share in enumerate(shares):
        left = number(i * 10 + 1)
        if share is None:
            unknown.append(f"M{left} 1h8v{number(_TALL - 2)}h-8z")
            continue
        height = max(share, 0.0) * _TALL
        if height < _TALL - 0.2:
            missed.append(f"M{left} 0h8v{number(_TALL - height)}h-8z")
        if height:
            heard.append(f"M{left} {number(_TALL)}h8v-{number(height)}h-8z")
    paths = [
        tag("path", class_=kind, d="".join(pieces))
        for kind, pieces in (("heard", heard), ("missed", missed), ("unknown", unknown))
        if pieces
    ]
    return chart(name, int(_TALL), stretched(max(len(shares), 1) * 10, _TALL, *paths))
