"""The proxy by which the environment of the process wants us to go, and for whom. Pure.

Every program has its own idea of these variables. Ours is what most have in common: of
`https_proxy` and `all_proxy` the first that is set, small letters before capitals; `no_proxy` with
names (and all below them), addresses and ranges of these, each perhaps with a port.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from drivers.net.addresses import address_of, is_host_name
from drivers.net.environment import UnusableSetting
from drivers.net.masking import basic

_VARIABLES = ("https_proxy", "all_proxy")
_EXCEPTIONS = "no_proxy"
_PORTS = {"http": 80, "https": 443}

_NAME = r"[\w.-]+"
"""Of a host, in any alphabet."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is that speaks HTTP, and which variable names it."""

    variable: str
    host: str
    port: int
    is_tls: bool = False
    """Whether the way to the proxy itself is encrypted."""
    login: str = field(default="", repr=False)
    """As Basic sends it (RFC 7617)."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"the proxy {host}:{self.port} (the environment's {self.variable})"


def proxy_for(host: str, port: int, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to a server that speaks TLS; None where there is none. Raises
    UnusableSetting, which never quotes what may hold a password.
    """
    found = (_set(name, environment) for name in _VARIABLES)
    variable, value = next((each for each in found if each[1]), ("", ""))
    if not value or _is_excepted(host, port, environment):
        return None
    return _parsed(variable, value)


def _set(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The variable as it is written, and what it says. An empty one unsets that in capitals."""
    variable = name if name in environment else name.upper()
    return variable, environment.get(variable, "").strip()


def _parsed(variable: str, value: str) -> Proxy:
    """Raises UnusableSetting."""
    if value.lower().startswith("socks"):
        raise UnusableSetting(
            f"the environment's {variable} names a SOCKS proxy, which is not supported — name one "
            "that speaks HTTP, or unset it"
        )
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in _PORTS or port == 0 or not _is_host(host) or _is_torn(parts):
            raise ValueError
        login = "" if parts.username is None else _login(parts)
    except ValueError:
        raise UnusableSetting(
            f"the environment's {variable} cannot be used — write http://HOST:PORT (in a login / "
            "as %2F, # as %23, @ as %40), or unset it"
        ) from None

    return Proxy(variable, host, port or _PORTS[parts.scheme], parts.scheme == "https", login)


def _login(parts: SplitResult) -> str:
    """Raises ValueError where it is no text."""
    return basic(unquote(parts.username or ""), unquote(parts.password or ""))


def _is_host(text: str) -> bool:
    return is_host_name(text) or address_of(text) is not None


def _is_torn(parts: SplitResult) -> bool:
    """Whether a `/`, `?` or `#` of a password has cut the host off."""
    return "@" in parts.path + parts.query + parts.fragment


# --- for whom -------------------------------------------------------------------------------------


def _is_excepted(host: str, port: int, environment: Mapping[str, str]) -> bool:
    """Whether `no_proxy` names that server. Raises UnusableSetting."""
    variable, value = _set(_EXCEPTIONS, environment)
    host = host.lower().removesuffix(".")
    try:
        entries = [_names(each, host, port) for each in re.split(r"[\s,]+", value) if each]
    except ValueError:
        raise UnusableSetting(
            f"the environment's {variable} cannot be used ({value[:200]!r}) — write names, "
            "addresses and ranges of addresses, separated by commas"
        ) from None
    return any(entries)


def _names(entry: str, host: str, port: int) -> bool:
    """Whether one entry is that server. Raises ValueError where it is nothing at all."""
    entry = entry.lower().rpartition("://")[2].rstrip("/")
    if entry == "*":
        return True

    has_port = re.fullmatch(r"(\[[^]]*\]|[^:]*):(\d+)", entry)
    if has_port is not None:
        entry = has_port[1]
    is_our_port = has_port is None or int(has_port[2]) == port

    if entry.startswith("[") and entry.endswith("]"):
        entry = entry[1:-1]
    if re.search("[/:]", entry) or address_of(entry) is not None:
        network, address = ipaddress.ip_network(entry, strict=False), address_of(host)
        return is_our_port and address is not None and address in network

    name = entry.removeprefix("*").strip(".")
    if not re.fullmatch(_NAME, name):
        raise ValueError
    return is_our_port and (host == name or host.endswith(f".{name}"))
