"""The quantities that a profile of a telegram's meter lists. Pure."""

from collections.abc import Collection, Iterator, Sequence

from drivers.sample import QUANTITIES
from drivers.strict_yaml import nearest


def check_values(
    values: Sequence[str], offered: Collection[str], source: str
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What is wrong with `values:` of a protocol's section: names that are listed twice, or that no
    such telegram holds (`source`, in the singular: "P1 telegram").

    Names that are no quantity at all are the profile loader's to report.
    """
    for index, name in enumerate(values):
        if name in values[:index]:
            yield ("values", index), f"{name!r} is listed twice", "keep one of them"
        elif name in QUANTITIES and name not in offered:
            yield ("values", index), f"no {source} holds {name!r}", nearest(name, offered)
