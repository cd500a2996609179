"""What the daemon writes, whoever in it does."""

import io
import logging

from drivers.net.masking import SecretsInUse
from gateway.cli.commands.run import MaskedLines


def test_no_line_of_the_log_shows_a_secret_not_even_a_traceback():
    secrets = SecretsInUse()
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(MaskedLines("%(levelname)s %(message)s", secrets.masked))
    log = logging.Logger("anybody's")
    log.addHandler(handler)

    secrets.use("the exchange", "open-sesame")
    log.warning("sent %r, got %s", {"password": "open-sesame"}, "no")
    try:
        raise ValueError("open-sesame is wrong")
    except ValueError:
        log.exception("a bug")
    text = written.getvalue()
    assert text.startswith("WARNING sent {'password': '(secret)'}, got no\n")
    assert "ValueError: (secret) is wrong" in text
    assert "open-sesame" not in text
