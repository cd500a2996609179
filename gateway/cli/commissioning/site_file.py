"""The text of `gateway.yaml`, as `init` writes it. Pure."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import yaml

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[ ._/-][A-Za-z0-9]+)*")
_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True, slots=True)
class AssetLine:
    """An asset. Without a UUID it is looked up by its name."""

    name: str
    kind: str
    energy: str
    uuid: UUID | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeLines:
    """Where slots go."""

    url: str
    network: UUID
    dialect: str
    credentials: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLines:
    """All that `init` asks for."""

    name: str
    timezone: str
    slot: str
    exchange: ExchangeLines | None = None
    assets: Sequence[AssetLine] = ()
    buffer: str = ""
    """Its path. Empty: the daemon's own."""
    page_port: int | None = None
    """None: the default."""
    is_clock_assured: bool = False
    """Whether a person answers for the machine's clock."""


def site_text(site: SiteLines, written: str) -> str:
    """The file. `written` is the day on which it is written."""
    lines = [
        f"# Written by meter-gateway init on {written}. docs/configuration.md has every key.",
        "site:",
        f"  name: {scalar(site.name)}",
        f"  timezone: {scalar(site.timezone)}",
        "",
        "market:",
        f"  slot: {site.slot}",
    ]
    if site.exchange is not None:
        lines += [
            "",
            "exchange:",
            f"  dialect: {site.exchange.dialect}",
            f"  url: {scalar(site.exchange.url)}",
            f"  canary_network: {site.exchange.network}",
            f"  credentials: {scalar(site.exchange.credentials)}",
        ]
    if site.assets:
        lines += ["", "assets:"]
        for asset in site.assets:
            lines += [f"  # {asset.why}"] if asset.why else []
            uuid = f" uuid: {asset.uuid}," if asset.uuid is not None else ""
            name = scalar(asset.name)
            lines.append(f"  - {{name: {name},{uuid} kind: {asset.kind}, energy: {asset.energy}}}")
    if site.buffer:
        lines += ["", "buffer:", f"  path: {scalar(site.buffer)}"]
    if site.is_clock_assured:
        lines += ["", "clock:", "  trust: assured"]
    if site.page_port is not None:
        lines += ["", "status:", f"  port: {site.page_port}"]
    return "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    """A text as YAML takes it for one: plain where nothing in it means anything, else in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', width=math.inf, allow_unicode=True)
    return quoted.strip()
