"""How many examples a property is tried with.

`make test` draws the same ones each time; `make test-long` draws new ones, ten times as many
(the profiles in `tests/conftest.py`).
"""

from hypothesis import settings

_USUALLY = 100
"""What hypothesis draws for a property that does not say how many."""


def draws(number: int) -> settings:
    """The settings of a property that is dear, or that needs more than usual: so many examples, and
    in `make test-long` ten times as many, as of the others.
    """
    return settings(max_examples=number * settings.default.max_examples // _USUALLY)
