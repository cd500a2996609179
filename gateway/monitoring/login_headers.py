"""The headers of HTTP by which somebody is known: cookies, and name with password. Pure."""

import base64
import binascii


def cookie_in(header: str, wanted: str) -> str:
    """The cookie of that name in a Cookie header (RFC 6265, section 4.2.1); empty where it is not
    there.
    """
    for each in header.split(";"):
        name, _, value = each.strip().partition("=")
        if name == wanted:
            return value
    return ""


def kept_cookie(name: str, value: str, kept_s: int, *, secure: bool = False) -> str:
    """A Set-Cookie header that lasts for so long; 0: it is taken away. `Lax` would be sent when
    another site links here. `secure`: only ever sent over TLS.
    """
    end = "; Secure" if secure else ""
    return f"{name}={value}; Path=/; Max-Age={kept_s}; HttpOnly; SameSite=Strict{end}"


def basic_in(authorization: str) -> tuple[str, str]:
    """Name and password in an Authorization header (RFC 7617), as programs send it; empty where
    there are none.
    """
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(rest.strip()).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, password
