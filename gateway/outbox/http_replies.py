"""What an HTTP reply means, where a dialect has no words of its own. Pure."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from gateway.outbox.dialect import Reply
from gateway.outbox.format import Accepted, Outcome, Rejected, Retry
from gateway.outbox.receipt import complaint, is_receipt

MAX_REASON_CHARS = 300
MAX_RETRY_AFTER_S = 3600.0
MAX_DATE_CHARS = 40

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DIGITS = ([4, 2, 2, 2], [2, 2, 2, 2])  # of year, hour, minute and second
_AS_BLANKS = str.maketrans(",-", "  ")

_TRY_AGAIN = {408, 425, 429}
_ABOUT_THE_ADDRESS = {404, 405, 410, 415}
_NOT_JSON = object()


def http_outcome(reply: Reply) -> Outcome:
    """2xx with a receipt or nothing: accepted. 2xx with an error in it, and a 4xx that speaks of
    the request: rejected. Everything else: keep the items and try again. `receipt.py` says what a
    receipt is.

    An HTML page is never a verdict, whatever its status: it comes from a proxy, a captive portal or
    a server without its application, and would otherwise cost a backlog that nothing is wrong with.
    Only 413 is believed as it is, since proxies say it.
    """
    retry_after_s = _retry_after_s(reply.headers)
    if 200 <= reply.status < 300 and not reply.complete:
        # Nobody knows what the rest would have said.
        much = f"with more than {len(reply.body) >> 10} KiB; is the URL right?"
        return Retry(f"answered {reply.status} {much}", retry_after_s)
    if 200 <= reply.status < 300:
        return _taken(reply, retry_after_s)
    if 300 <= reply.status < 400:
        place = reply.headers.get("location", "another place")[: 4 * MAX_REASON_CHARS]
        location = _line(reply.masked(place))
        return Retry(f"redirects to {location}: is the URL right?", retry_after_s)
    reason = f"answered {reply.status}: {reason_of(reply.body, reply.masked)}".removesuffix(": ")
    cause = str(reply.status)
    if reply.status == 413:
        return Rejected(reason, cause=cause)
    if not 400 <= reply.status < 500 or reply.status in _TRY_AGAIN:
        return Retry(reason, retry_after_s)
    if reply.body.lstrip()[:1] == b"<":
        return Retry(f"answered {reply.status} with a web page; is the URL right?", retry_after_s)
    return Rejected(reason, whole=reply.status in _ABOUT_THE_ADDRESS, cause=cause)


def _taken(reply: Reply, retry_after_s: float | None) -> Outcome:
    """Of a status that says so."""
    if not reply.body.strip():
        return Accepted()
    said = f"answered {reply.status}"
    data = _json(reply.body)
    if data is _NOT_JSON:
        text = (
            "with something other than JSON; is the URL right, or does a login page of the "
            "network stand in between?"
        )
        return Retry(f"{said} {text}", retry_after_s)

    error = complaint(data)
    if error is not None:
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        text = _line(reply.masked(text[: 4 * MAX_REASON_CHARS]))
        return Rejected(f"{said} with an error: {text}", cause=f"{reply.status} error")
    if is_receipt(data):
        return Accepted()
    return Retry(
        f"{said} with what is no receipt: {reason_of(reply.body, reply.masked)}", retry_after_s
    )


def refusal(reply: Reply) -> str:
    """Why a reply to another request than a delivery is no good, in words; empty where it is."""
    if 200 <= reply.status < 300 and _json(reply.body) is not _NOT_JSON:
        return ""  # JSON of another kind than a receipt
    outcome = http_outcome(reply)
    return outcome.reason if isinstance(outcome, Rejected | Retry) else ""


def asked_to_wait_s(reply: Reply) -> float | None:
    """How long the exchange asks to be left alone, where it does."""
    outcome = http_outcome(reply)
    return outcome.after_s if isinstance(outcome, Retry) else None


def reason_of(body: bytes, masked: Callable[[str], str] = str) -> str:
    """The reason in a reply's body, as one line of bounded length: `detail` or `error` of a JSON
    object, or else its text. `masked` takes the secrets out of it, before it is cut.
    """
    data = _json(body)
    if isinstance(data, dict):
        data = next((data[key] for key in ("detail", "error") if data.get(key)), data)
    if data is _NOT_JSON:
        text = body[: 4 * MAX_REASON_CHARS].decode(errors="replace")
        return "a web page" if text.lstrip().startswith("<") else _line(masked(text))
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return _line(masked(text[: 4 * MAX_REASON_CHARS]))


def parsed(body: bytes) -> object:
    """The body as JSON; None where it is not JSON."""
    data = _json(body)
    return None if data is _NOT_JSON else data


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (
        ValueError,
        RecursionError,
    ):  # not JSON, not UTF-8, a number too long, nested without end
        return _NOT_JSON


def _line(text: str) -> str:
    """One printable line: a reply must not be able to write lines of our log."""
    line = " ".join(
        "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_REASON_CHARS]).split()
    )
    return line if len(line) <= MAX_REASON_CHARS else line[: MAX_REASON_CHARS - 1] + "…"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a date. A date is the server's, and so is measured by
    what the same reply says that it is now: our clock may differ.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), MAX_RETRY_AFTER_S)
    until, now = http_date(text), http_date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def http_date(text: str) -> datetime | None:
    """A date of HTTP in any of its three forms (RFC 9110, section 5.6.7); None where it is none.
    What stands for the day of the week says nothing more.
    """
    # strptime would keep 0.2 MB of the daemon's memory, and ask for the machine's language.
    if len(text) > MAX_DATE_CHARS or not text.isascii():
        return None
    match text.translate(_AS_BLANKS).split():
        case [_, day, month, year, clock, "GMT"] | [_, month, day, clock, year]:
            numbers = [day, year, *clock.split(":")]
        case _:
            return None
    if [len(each) for each in numbers[1:]] not in _DIGITS or not "".join(numbers).isdigit():
        return None
    day_n, year_n, hour, minute, second = map(int, numbers)
    if len(year) == 2:
        year_n += 1900 if year_n >= 69 else 2000  # as POSIX has it
    with suppress(ValueError):
        month_n = _MONTHS.index(month.lower()) + 1
        return datetime(year_n, month_n, day_n, hour, minute, second, tzinfo=UTC)
    return None
