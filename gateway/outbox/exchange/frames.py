"""What an exchange's engine says over its websocket, as far as it is a verdict. Pure.

Of one asset's request:

    {"command": "set_energy_measurement", "status": "ready", "transaction_id": "…"}
    {"command": …, "status": "error", "error_message": "…", "transaction_id": "…"}
    {"command": …, "error": "…", "transaction_id": "…"}          (for a key it does not know)

Of an aggregator's batch, with the answers of each asset in the order of its commands:

    {"command": "batch_commands", "transaction_id": "…", "aggregator_uuid": "…",
     "responses": {"<asset>": [{"command": …, "status": …}, …]}}

All else (`event`: market, tick, trade, finish) is no verdict. Some of it is large, so nothing is
built of what is not looked at.
"""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.outbox.item import Kind

MAX_FRAME_BYTES = 256 * 1024
"""A batch of 50 assets is answered with some 15 kB."""
MAX_REASON_CHARACTERS = 300
MAX_ID_CHARACTERS = 64

KIND_OF: Mapping[str, Kind] = {
    "set_energy_measurement": "measurement",
    "set_energy_forecast": "forecast",
}
"""What a command is about."""


class Strange(ValueError):
    """What came is not JSON, or no object."""


class Word(msgspec.Struct, frozen=True):
    """The engine's word on one command."""

    is_ready: bool
    says: str
    """Its own words, where it refuses; else its status."""
    kind: Kind | None = None
    """What the command was about; None where it does not say."""


class Verdict(msgspec.Struct, frozen=True):
    """The engine's word on one request."""

    transaction_id: str
    word: Word | None
    """On all of it; None where there is one for each asset."""
    of_assets: Mapping[str, tuple[Word, ...]]
    """By the UUID of the asset as text. One that it does not know is not in it."""


class _Said(msgspec.Struct):
    """The keys of a verdict. Those of other types are looked at one by one."""

    transaction_id: msgspec.Raw = msgspec.Raw()
    command: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    error_message: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    responses: msgspec.Raw = msgspec.Raw()


def verdict_in(frame: bytes) -> Verdict | None:
    """The verdict that a frame holds; None where it is about something else. Raises Strange."""
    said = _decoded(frame)
    transaction_id = _text(said.transaction_id, MAX_ID_CHARACTERS)
    if not transaction_id:
        return None
    if _text(said.command, MAX_ID_CHARACTERS) == "batch_commands" or said.responses:
        return Verdict(transaction_id, None, dict(_of_assets(said.responses)))
    return Verdict(transaction_id, _word(said), {})


def _decoded(data: bytes | msgspec.Raw) -> _Said:
    try:
        return msgspec.json.decode(data, type=_Said)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Strange("it is no JSON object") from error


def _of_assets(responses: msgspec.Raw) -> Iterator[tuple[str, tuple[Word, ...]]]:
    """What is not as it should be says nothing, and the rest counts."""
    try:
        by_asset = msgspec.json.decode(responses, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    for asset, raw in by_asset.items():
        try:
            answers = msgspec.json.decode(raw, type=list[msgspec.Raw])
            yield asset.lower(), tuple(_word(_decoded(answer)) for answer in answers)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue


def _word(said: _Said) -> Word:
    """Ready is what says so, and speaks of no error."""
    status = _text(said.status, MAX_REASON_CHARACTERS)
    complaint = (
        _text(said.error_message, MAX_REASON_CHARACTERS)
        or _text(said.error, MAX_REASON_CHARACTERS)
        or _text(said.message, MAX_REASON_CHARACTERS)
    )
    kind = KIND_OF.get(_text(said.command, MAX_ID_CHARACTERS))
    if status.lower() == "ready" and not _text(said.error, 1):
        return Word(True, status, kind)
    return Word(False, complaint or f"status {status or 'missing'}", kind)


def _text(raw: msgspec.Raw, most: int) -> str:
    """A text, or what else stands there, as one printable line; empty where nothing does."""
    if not raw or bytes(raw) in (b"null", b'""', b"false"):
        return ""
    try:
        found = msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, ValueError):
        found = bytes(raw)[: 4 * most].decode(errors="replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in found[: 4 * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"
