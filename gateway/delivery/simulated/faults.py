"""How the simulated exchange misbehaves when it is told to. Pure."""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Literal, get_args

from gateway.delivery.simulated.answers import Answer, json_answer

LOGIN = "/api-token-auth/"

Mode = Literal[
    "ok",
    "down",
    "slow",
    "status",
    "unauthorized",
    "html",
    "error_body",
    "drop_after_accept",
    "partial",
    "packs",
]
MODES: tuple[Mode, ...] = get_args(Mode)

_HTML = (
    b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please accept our terms "
    b"of use.</body></html>"
)


@dataclass(slots=True)
class Fault:
    """down: every connection is dropped without a word. slow: a request is obeyed as it arrives,
    and answered `seconds` later. status: everything is answered with `status`, a reason in JSON and
    `Retry-After`, which is a date where `dated_ahead_s` says how much the exchange's clock is
    ahead. unauthorized: 401, but a login is answered as ever. html: everything is answered 200 with
    a web page. error_body: everything is answered 200 with an error in JSON. drop_after_accept: the
    request is obeyed, its answer never sent. partial: it is obeyed, and the connection is dropped
    in the middle of its answer. packs: it is obeyed, and the answer packed with gzip.
    """

    mode: Mode
    status: int = 500
    retry_after_s: float | None = None
    dated_ahead_s: float | None = None
    seconds: float = 30.0
    where: str = ""
    """Only at paths that contain this."""
    times: int | None = None
    """So often from now on; None: until it is told otherwise."""

    def spares(self, path: str) -> bool:
        """Whether a request is answered as ever."""
        return (
            self.mode == "ok"
            or self.where not in path
            or (self.mode == "unauthorized" and path == LOGIN)
        )

    def spent(self) -> bool:
        """Count one time more; whether that was the last."""
        if self.times is not None:
            self.times -= 1
        return self.times is not None and self.times <= 0

    def answer(self, obey: Callable[[], Answer], now_s: float) -> Answer:
        """What it makes of a request. `obey` does what was asked for."""
        match self.mode:
            case "status":
                after = tuple(self._when_again(now_s))
                return Answer(self.status, b'{"detail": "told to say so"}', headers=after)
            case "unauthorized":
                return json_answer(401, {"detail": "this login has expired"})
            case "html":
                return Answer(200, _HTML, "text/html")
            case "error_body":
                return json_answer(200, {"status": "error", "error_message": "told to say so"})
            case "slow":
                return replace(obey(), delay_s=self.seconds)
            case "drop_after_accept":
                return replace(obey(), sends="nothing")
            case "partial":
                return replace(obey(), sends="half")
            case "packs":
                answer = obey()
                headers = (*answer.headers, ("Content-Encoding", "gzip"))
                return replace(answer, body=gzip.compress(answer.body, mtime=0), headers=headers)
            case _:
                return Answer(0, sends="nothing")

    def _when_again(self, now_s: float) -> Iterator[tuple[str, str]]:
        if self.retry_after_s is None:
            return
        if self.dated_ahead_s is None:
            yield "Retry-After", f"{self.retry_after_s:g}"
            return
        now_s += self.dated_ahead_s
        yield "Date", formatdate(now_s, usegmt=True)
        yield "Retry-After", formatdate(now_s + self.retry_after_s, usegmt=True)
