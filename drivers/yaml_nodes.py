"""YAML text → PyYAML's nodes: by libyaml where it is there, which takes a tenth of the time.

libyaml finds the same mistakes in other words, and not all of them; so whatever it refuses, and
whatever holds characters that it takes otherwise, is read by PyYAML's own parser. The two agree
then on all but a few texts that nobody writes (`tests/drivers/test_yaml_nodes.py`).
"""

import contextlib
import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING or yaml.__with_libyaml__:

    class _Libyaml(yaml.composer.Composer, yaml.CSafeLoader):
        """libyaml's parser below PyYAML's composer: libyaml's own composer would end the process
        where a text is nested deeply, since it calls itself without a bound.
        """

        def __init__(self, stream: str | bytes) -> None:
            yaml.CSafeLoader.__init__(self, stream)
            yaml.composer.Composer.__init__(self)


_TAKEN_OTHERWISE = re.compile(r"[\t\ufeff]|\r(?!\n)|^[^#\n]*\?|^---[^\n]*\Z", re.M)
"""libyaml takes tabs inside of keys and plain text, a byte order mark and a lone carriage return in
the middle, and a question mark (but in comments people ask) in a word in {} and []; and it has a
line more where a text ends in its "---".
"""


def compose(text: str | bytes) -> yaml.Node | None:
    """The first node of a text, or None where there is none.

    Raises what PyYAML raises: `yaml.YAMLError`, `ValueError` and `OverflowError` (from escapes),
    `RecursionError`.
    """
    if yaml.__with_libyaml__:
        with contextlib.suppress(yaml.YAMLError, ValueError, OverflowError, RecursionError):
            plain = text if isinstance(text, str) else text.decode()
            if not _TAKEN_OTHERWISE.search(plain):
                return yaml.compose(plain, Loader=_Libyaml)
    return yaml.compose(text, Loader=yaml.SafeLoader)
