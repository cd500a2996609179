"""How several collectors divide the work, where the broker does not. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=100_000)
def _weight(collector: str, site: str) -> bytes:
    return blake2b(f"{collector}/{site}".encode(), digest_size=8).digest()


def collector_of(site: str, collectors: Sequence[str]) -> str:
    """Which of them takes a site. Where one of them goes, only its own sites change hands. Each
    collector may believe that there are others: what two of them take is stored once.
    """
    return max(collectors, key=lambda each: _weight(each, site), default="")
