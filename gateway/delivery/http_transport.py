"""Delivery over HTTP: a batch is one POST, and a dialect judges the reply. Shell."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.delivery.destination import CannotTell, Listening, NotNow
from gateway.delivery.http_session import (
    ClocksDiffer,
    ExchangeError,
    LoginError,
    LoginRefused,
    NotAllowed,
    Unreachable,
)
from gateway.outbox.dialect import Dialect, ReadsBack, Reply
from gateway.outbox.format import REFUSED, Accepted, Batch, Outcome, Rejected, Retry, Sent
from gateway.outbox.http_replies import asked_to_wait_s, refusal
from gateway.outbox.item import Item
from gateway.outbox.owed import TAKEN_BY_HTTP

_TRY_AGAIN = {408, 425, 429}


class HttpPoster(Protocol):
    """The way to an exchange: `http_session.Session`, or a simulation of it."""

    url: str
    timeout_s: float

    async def log_in(self) -> None:
        """Have a token. Raises ExchangeError."""

    async def post(self, path: str, body: object, within_s: float | None = None) -> Reply:
        """POST JSON to a path below the URL, giving up after `within_s`. Raises ExchangeError."""

    async def aclose(self) -> None:
        """Close its connection."""


class HttpGetter(Protocol):
    """The way to what an exchange holds."""

    async def get(self, path: str, within_s: float | None = None) -> Reply:
        """GET a path below the URL, giving up after `within_s`. Raises ExchangeError."""


class HttpTransport:
    """Sends batches as a dialect wants them sent."""

    def __init__(
        self, session: HttpPoster, dialect: Dialect, listening: Listening | None = None
    ) -> None:
        """`listening`: how the exchange's own word on what it took is heard, where it gives one
        later.
        """
        self._session = session
        self._dialect = dialect
        self._listening = listening
        self.url = session.url
        self.timeout_s = session.timeout_s

    async def send(self, batch: Batch, within_s: float | None) -> Outcome:
        """POST it, and judge the reply."""
        try:
            reply = await self._session.post(batch.address, batch.payload, within_s)
        except NotAllowed as error:
            return Rejected(str(error), whole=True, cause="not allowed", is_of_rights=True)
        except ExchangeError as error:
            return _retry(error)
        outcome = self._dialect.judge(reply)
        if not isinstance(outcome, Accepted) or self._listening is None:
            return outcome
        if self._listening.words_come:
            return Sent(outcome.answer, is_receipt=True)
        return Accepted(TAKEN_BY_HTTP)

    async def greet(self) -> Retry | None:
        """Log in."""
        try:
            await self._session.log_in()
        except ExchangeError as error:
            return _retry(error)
        return None

    async def aclose(self) -> None:
        """Close the connection."""
        await self._session.aclose()


def _retry(error: ExchangeError) -> Retry:
    """What got no verdict is tried again."""
    return Retry(
        str(error),
        error.retry_after_s,
        sent=not isinstance(error, LoginError | ClocksDiffer),
        answered=not isinstance(error, LoginError | Unreachable | ClocksDiffer),
        cause=REFUSED if isinstance(error, LoginRefused | ClocksDiffer) else type(error).__name__,
    )


class HttpVerifier:
    """Asks an exchange what it holds, as a dialect asks."""

    def __init__(self, session: HttpGetter, dialect: ReadsBack) -> None:
        self._session = session
        self._dialect = dialect

    async def held(self, items: Sequence[Item], within_s: float) -> Mapping[Item, int | None]:
        """One GET. Raises CannotTell or NotNow."""
        question = self._dialect.ask(items)
        try:
            reply = await self._session.get(question.path, within_s)
        except NotAllowed as error:
            raise CannotTell(str(error)) from error
        except ExchangeError as error:
            raise NotNow(str(error), error.retry_after_s) from error

        held = self._dialect.held(reply)
        if held is not None:
            return {item: held.get(item.slot_s) for item in question.items}
        if reply.status >= 500 or reply.status in _TRY_AGAIN:
            raise NotNow(refusal(reply), asked_to_wait_s(reply))
        why = refusal(reply)
        if not why:
            why = f"answered {reply.status} with something that does not say what it holds"
        raise CannotTell(f"the exchange {why}")
