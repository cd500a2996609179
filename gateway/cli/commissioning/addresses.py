"""Where to search on a network, as the command line says it."""

from drivers.line import LineUrl

MAX_NETWORK = 256
"""Addresses of one --network: a /24."""


def hosts(text: str) -> list[str]:
    """The addresses that a host's, or a network's such as 192.168.1.0/24, stands for. Raises
    ValueError.
    """
    import ipaddress

    if "/" not in text:
        try:
            return [LineUrl.parse(f"tcp:{text}").target]
        except ValueError as error:
            raise ValueError(
                f"{text!r} is not the address of a host or network — such as 192.168.1.20"
            ) from error
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network — such as 192.168.1.0/24") from error
    if network.num_addresses > MAX_NETWORK:
        raise ValueError(
            f"{text} has {network.num_addresses} addresses — at most {MAX_NETWORK}, which is a /24"
        )
    return [str(host) for host in network.hosts()]
