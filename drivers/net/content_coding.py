"""Bodies of replies that were packed though nobody asked for it (RFC 9110, section 8.4). Pure.

Some proxies and content networks do that to whatever passes them.
"""

import zlib

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""Tells zlib to look which of the two it is."""

_PLAIN = {"", "identity"}
_PACKED = {"gzip", "x-gzip", "deflate"}


def unpacked(body: bytes, coding: str, limit: int, *, complete: bool = True) -> tuple[bytes, bool]:
    """The body as it was before it was packed, `limit` bytes of it at most, and whether that is all
    of it. `complete` tells whether all of the packed body is there.

    A few KB may stand for gigabytes; no more than the limit is ever unpacked. Raises ValueError
    where that coding is not known, or the body is damaged.
    """
    coding = coding.strip().lower()
    if coding in _PLAIN or not body:
        return body, complete
    if coding not in _PACKED:
        raise ValueError(f"content coding {coding[:40]!r} is not known")

    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        found = unpacking.decompress(body, limit + 1)
    except zlib.error as error:
        if coding != "deflate":
            raise ValueError(f"{coding} is damaged") from error
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)  # as many servers understand "deflate"
        try:
            found = unpacking.decompress(body, limit + 1)
        except zlib.error:
            raise ValueError(f"{coding} is damaged") from error

    is_all = complete and unpacking.eof and len(found) <= limit
    return found[:limit], is_all
