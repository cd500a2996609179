"""How a browser is let in beyond this machine: the token once, and a cookie from then on.

The cookie is made of the token and is not the token: who reads it off a browser cannot use it
elsewhere, and a new token ends every login. The door (`gateway/monitoring/door.py`) counts wrong
tokens and knows the cookie. Pure.
"""

from urllib.parse import parse_qs

from gateway.monitoring.asked import Answer
from gateway.monitoring.door import COOKIE
from gateway.monitoring.login_headers import kept_cookie

_KEPT_S = 90 * 86_400
"""So long a browser keeps a login."""


def token_in(body: bytes) -> str:
    """The token that a form has sent; empty where there is none."""
    fields = parse_qs(body.decode(errors="replace"), max_num_fields=8, keep_blank_values=True)
    return fields.get("token", [""])[0].strip()


def let_in(cookie: str) -> Answer:
    """To the first page, with the cookie."""
    kept = kept_cookie(COOKIE, cookie, _KEPT_S)
    return Answer(303, b"", more={"Location": "./", "Set-Cookie": kept})


def let_out() -> Answer:
    """The cookie is taken away."""
    gone = kept_cookie(COOKIE, "", 0)
    return Answer(303, b"", more={"Location": "./", "Set-Cookie": gone})
