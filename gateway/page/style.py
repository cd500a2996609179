"""The style as it is served. Pure.

Colours are variables, which browsers know since 2014 to 2017. One that is older takes neither them
nor what is said by them, and would draw black letters in black circles. So each such line has the
plain colour by day before it, of which a newer browser takes no notice.
"""

import re

_BY_DAY = re.compile(r":root\{([^}]*)\}")
_VARIABLE = re.compile(r"(--[a-z-]+):([^;}]+)")
_USED = re.compile(r"var\((--[a-z-]+)\)")
_LINE = re.compile(r"(?<=[;{])([a-z-]+:[^;{}]*var\([^;{}]*)")


def with_plain_colours(style: str) -> str:
    """Each declaration by variables after the same with the values of the first `:root`. Raises
    KeyError where that has no such variable.
    """
    by_day = _BY_DAY.search(style)
    values = dict(_VARIABLE.findall(by_day[1])) if by_day else {}

    def plain_first(line: re.Match[str]) -> str:
        return f"{_USED.sub(lambda name: values[name[1]], line[1])};{line[1]}"

    return _LINE.sub(plain_first, style)
