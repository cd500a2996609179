"""A page → values. Pure.

{"serial": "77", "energy_import_wh": 123456.0, "power_w": -450}
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any


def read_page(body: bytes, values: Mapping[str, str]) -> tuple[dict[str, float], str | None]:
    """The quantities that `values` (quantity → name on the page) names, and the serial number.

    What the page does not have is left out. Raises ValueError, whose text quotes the part that
    cannot be read.
    """
    try:
        page: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"{body[:40]!r} … is not JSON") from None
    if not isinstance(page, dict):
        raise ValueError(f"{body[:40]!r} … is not an object")

    found = {}
    for quantity, name in values.items():
        if (number := page.get(name)) is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
            raise ValueError(f"{name} is {str(number)[:40]!r}, which is not a number")
        found[quantity] = float(number)
    serial = page.get("serial")
    return found, str(serial)[:40] if serial is not None else None
