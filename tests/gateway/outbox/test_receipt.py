"""What an exchange may say with 200, and what of that is a receipt."""

import json

import pytest

from gateway.outbox.dialect import Reply
from gateway.outbox.dialects import dialect_names, load_dialect
from gateway.outbox.format import Accepted, Rejected, Retry
from gateway.outbox.receipt import complaint, is_receipt

NETWORK = "8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10"
TRANSACTION = "6f1f2a52-7bb7-4b6f-9f0f-0f1d3c1c2b3a"


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        True,
        {"status": "ready"},
        {"status": "queued", "command": "set_energy_measurement", "transaction_id": TRANSACTION},
        {"transaction_id": TRANSACTION},
        {"status": "Success", "error": None, "errors": [], "failed": 0, "error_message": ""},
        {"status": 200, "message": "Energy received"},
        {"ok": True, "data": {"energy_measurement": {"2026-03-29T01:00": 0.125}}},
        {"detail": "queued"},
        {"responses": {"a": [{"command": "set_energy_forecast", "status": "ready"}]}},
        {"asset": {"name": "Failed freezer", "status": "live"}},
    ],
)
def test_a_receipt(data: object) -> None:
    assert complaint(data) is None
    assert is_receipt(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"error": "no such asset"}, "no such asset"),
        ({"failed": True}, "failed"),
        ({"Failed": ["2026-03-29T01:00"]}, "2026-03-29T01:00"),
        ({"status": "error", "error_message": "asset is not live"}, "asset is not live"),
        ({"status": "ERROR", "message": "unknown command"}, "unknown command"),
        ({"status": "failed", "transaction_id": TRANSACTION}, "failed"),
        ({"status": 404, "title": "Not found"}, "Not found"),
        ({"status": "503 Service Unavailable"}, "503"),
        ({"success": False, "detail": "maintenance"}, "maintenance"),
        ({"detail": "Not found."}, "Not found."),
        ({"errors": [{"code": "bad"}]}, "bad"),
        ({"non_field_errors": ["no"]}, "no"),
        ({"data": {"result": {"status": "error", "reason": "later"}}}, "later"),
        ({"responses": {"a": [{"status": "ready"}, {"status": "error"}]}}, "error"),
        ([{"status": "error", "error": "in a list"}], "in a list"),
    ],
)
def test_an_error_is_no_receipt_though_200(data: object, words: str) -> None:
    assert not is_receipt(data)
    for name in dialect_names():
        outcome = load_dialect(name, NETWORK, 900).judge(Reply(200, {}, json.dumps(data).encode()))
        assert isinstance(outcome, Rejected)
        assert outcome.reason.startswith("answered 200 with an error: ")
        assert words in outcome.reason
        assert outcome.cause == "200 error"


@pytest.mark.parametrize(
    "data", [[], ["queued"], "queued", 7, 0, False, {"status": "unheard of"}, {"status": "maybe"}]
)
def test_what_says_neither_is_no_verdict(data: object) -> None:
    outcome = load_dialect("sdk", NETWORK, 900).judge(Reply(200, {}, json.dumps(data).encode()))
    assert isinstance(outcome, Retry)
    assert "is no receipt" in outcome.reason


def test_an_empty_body_is_a_receipt_and_a_web_page_is_none() -> None:
    dialect = load_dialect("rest", NETWORK, 900)
    assert dialect.judge(Reply(200, {}, b" \n")) == Accepted()
    assert isinstance(dialect.judge(Reply(200, {}, b"<p>ok</p>")), Retry)
