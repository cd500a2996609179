"""Where the manager's page listens."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from drivers.net.addresses import is_loopback
from drivers.strict_yaml import Mistake
from gateway.site.page_access import ListenHost


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """The manager's page and `/metrics`; both ask for a login (`meter-gateway fleet users`)."""

    host: Annotated[
        ListenHost,
        Meta(
            description="the address it listens on: 127.0.0.1 is this machine only, 0.0.0.0 the "
            "whole network (:: for IPv6), which needs a certificate or a proxy",
            examples=["127.0.0.1"],
        ),
    ] = field(default_factory=lambda: ListenHost("127.0.0.1"))
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="TCP port; 0 picks a free one", examples=[8090]),
    ] = 8090
    title: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=60,
            description="what people call the community",
            examples=["Sunny Street"],
        ),
    ] = "Community"
    certificate: Annotated[
        str | None,
        Meta(
            description="PEM file of the page's certificate and key; a renewed one is read by "
            "itself (default: none, http)",
            examples=["page.pem"],
        ),
    ] = None
    proxy: Annotated[
        bool,
        Meta(
            description="whether a proxy of your own stands before it, which speaks TLS to "
            "browsers and says in X-Forwarded-For who asks",
            examples=[True],
        ),
    ] = False

    def check(self, folder: Path) -> Iterator[Mistake]:
        """A file that is not there, and logins that would travel for all to read."""
        if self.certificate is not None and not (folder / self.certificate).is_file():
            message = f"there is no file {folder / self.certificate}"
            yield Mistake(("certificate",), message, "copy the PEM file there")
        if not is_loopback(self.host) and self.certificate is None and not self.proxy:
            yield Mistake(
                ("host",),
                f"{self.host} is open to the network, and passwords would travel unencrypted",
                "set certificate:, or proxy: true where a proxy of yours speaks TLS, or listen on "
                "127.0.0.1",
            )
