"""What the event loop could not do because the system gives no more descriptors or memory, such as
take a connection: a line per cause now and then, not a traceback each time. The loop goes on by
itself.
"""

import asyncio
import errno
import logging
import resource
from typing import Any

log = logging.getLogger(__name__)

LINE_S = 600.0
"""Time between two lines about one cause."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def is_exhaustion(error: object) -> bool:
    """Whether the system has no more to give, of descriptors or memory."""
    return isinstance(error, OSError) and error.errno in _EXHAUSTED


class Exhaustion:
    """Hears of what went wrong in the loop where nobody else does. All else but exhaustion goes the
    usual way.
    """

    def __init__(self) -> None:
        self._logged_s: dict[tuple[str, int], float] = {}

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler`."""
        error = context.get("exception")
        if not isinstance(error, OSError) or not is_exhaustion(error):
            loop.default_exception_handler(context)
            return

        cause = str(context.get("message", "")), error.errno or 0
        if loop.time() - self._logged_s.get(cause, -LINE_S) < LINE_S:
            return
        self._logged_s[cause] = loop.time()
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        log.error(
            "%s: %s; at most %d files and connections may be open (LimitNOFILE= of the unit); the "
            "daemon goes on, and tries again",
            cause[0],
            error.strerror,
            most,
        )
