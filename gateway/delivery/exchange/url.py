"""Where an exchange is, as the installer writes it: its URL, and the network there. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from uuid import UUID

from msgspec import Meta

from drivers.net.addresses import address_of, is_host_name, is_loopback


class HttpUrl(str):
    """The base URL of an exchange, without a trailing slash. Plain http only towards this
    machine.
    """

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "format": "uri",
        "title": "URL",
        "description": "https://host of the exchange",
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "HttpUrl":
        """Raises ValueError where `raw` is not such a URL."""
        match = (
            re.fullmatch(
                r"(?i:(https?))://(\[[0-9a-fA-F:]+\]|[^]\[/:@?#\s]+)(:[0-9]{1,5})?(/[^?#\s]*)?", raw
            )
            if isinstance(raw, str)
            else None
        )
        if match is None or not _is_host(match[2]):
            shown = re.sub(r"//[^/\s]*@", "//…@", raw) if isinstance(raw, str) else raw
            raise ValueError(
                f"{shown!r} is not the URL of an exchange — such as "
                "https://gsyweb.gridsingularity.com"
            )
        if match[3] and not 1 <= int(match[3][1:]) <= 65535:
            raise ValueError(f"{match[3][1:]} is not a port — a number from 1 to 65535, or none")
        scheme = match[1].lower()  # RFC 3986, section 3.1: case does not matter
        if scheme == "http" and not is_loopback(match[2]):
            raise ValueError(
                "plain http would send the password in clear, and is for this machine only "
                "(127.0.0.1, [::1] or localhost) — write https://"
            )
        return cls((scheme + match[0][len(scheme) :]).rstrip("/"))


def _is_host(text: str) -> bool:
    """Whether it can be the host of a URL: an address of IPv6 in brackets, or a name."""
    return address_of(text) is not None if text.startswith("[") else is_host_name(text)


HOSTED_URL = "https://gsyweb.gridsingularity.com"
"""Of the exchange that Grid Singularity runs."""

ExchangeUrl = Annotated[
    HttpUrl,
    Meta(
        description="base URL of the exchange; plain http only to this machine",
        examples=[HOSTED_URL],
    ),
]
CanaryNetwork = Annotated[
    UUID,
    Meta(
        description="UUID of the canary (test) network",
        examples=["8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10"],
    ),
]
