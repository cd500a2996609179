"""How many examples a property is tried with.

`make test` draws the same 60 each time; `make test-long` draws a thousand new ones (the profiles in
`tests/conftest.py`).
"""

from hypothesis import settings

_USUALLY = 100
"""What a property is said to be tried with that does not say how often."""


def draws(number: int) -> settings:
    """The settings of a property that is dear, or that needs more than usual: so many examples
    where others have a hundred.
    """
    return settings(max_examples=number * settings.default.max_examples // _USUALLY)
