"""Which hosts are this machine, by their address and not by how their name begins. Pure."""

import ipaddress
import re

THIS_MACHINE = "127.0.0.1"
"""The place of all that comes over the loopback interface."""


def is_loopback(host: str) -> bool:
    """Whether that host, with or without the brackets of a URL, can be no other machine: an address
    of the loopback interface, or `localhost`, which is not looked up.

    `127.evil.example` and `127.0.0.1.nip.io` are names like any other; so are `127.1` and `0x7f.1`,
    which not every resolver takes for the same address.
    """
    if is_localhost(host):
        return True
    address = address_of(host)
    return address is not None and address.is_loopback


def is_localhost(host: str) -> bool:
    """Whether that is the name of this machine that nobody is asked for, so that no file and no
    name server can point it elsewhere (RFC 6761, section 6.3).
    """
    return host.lower().removesuffix(".") == "localhost"


def is_host_name(text: str) -> bool:
    """Whether it may be a host's name or IPv4 address: what is longer, or has an empty part, the
    system does not even look up (RFC 1123, section 2.1; underscores occur). An umlaut is written as
    `xn--…` (RFC 3490).
    """
    plain = re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", text)
    return plain is not None and len(text) <= 253 and text[0] != "-" and text[-1] != "-"


def is_any(host: str) -> bool:
    """Whether listening there is listening on all interfaces."""
    address = address_of(host)
    return address is not None and address.is_unspecified


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that is written there; None where it is a name. An IPv4 address that is written
    as an IPv6 address (RFC 4291, section 2.5.5.2) is the IPv4 address.
    """
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def place_of(client: str) -> str:
    """Whose connections are counted together: this machine's, an IPv4 address's, or those of a
    network of IPv6, of which everybody has a whole one.
    """
    address = address_of(client.partition("%")[0])
    if address is not None and address.is_loopback:
        return THIS_MACHINE
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or client)
