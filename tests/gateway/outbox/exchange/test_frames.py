"""What is a verdict, what it says, and that nothing else is one: whatever comes."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.exchange.answers import answer_for, answer_of_batch
from gateway.outbox.exchange.frames import Strange, Verdict, verdict_in
from gateway.outbox.format import Accepted, Rejected

A, B = UUID(int=1), UUID(int=2)
ID = "ce2f0987-9a62-4575-bd7f-61b611afb384"

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def said(**keys: object) -> Verdict:
    verdict = verdict_in(json.dumps({"transaction_id": ID, **keys}).encode())
    assert verdict is not None
    return verdict


def test_ready_is_accepted_for_what_the_command_is_about() -> None:
    answer = answer_for(said(command="set_energy_measurement", status="ready"), A)
    assert answer.of_streams == {(A, "measurement"): Accepted("ready")}
    assert (answer.transaction_id, answer.outcome) == (ID, None)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"status": "error", "error_message": "Wrong time zone"}, "Wrong time zone"),
        ({"error": "a key too many"}, "a key too many"),
        ({"status": "error", "message": "no such asset"}, "no such asset"),
        ({"status": "error"}, "status error"),
        ({"status": 7}, "status 7"),
        ({}, "status missing"),
        ({"status": "ready", "error": "and yet"}, "and yet"),
        ({"status": "error", "error_message": {"a": [1]}}, '{"a": [1]}'),
        ({"status": "error", "error_message": "two\nlines\x1b[2J"}, "two lines [2J"),
    ],
)
def test_all_else_is_refused_in_the_engines_words(keys: dict[str, object], words: str) -> None:
    answer = answer_for(said(command="set_energy_forecast", **keys), A)
    [(stream, outcome)] = answer.of_streams.items()
    assert stream == (A, "forecast")
    assert isinstance(outcome, Rejected)
    assert outcome.reason == f"gave the verdict 'error': {words}"
    assert not outcome.is_of_rights


def test_a_kind_that_is_not_supported_is_never_the_last_word() -> None:
    answer = answer_for(said(status="error", message="Command type not supported"), A)
    assert all(
        isinstance(each, Rejected) and each.is_of_rights and each.whole
        for each in answer.of_streams.values()
    )
    assert len(answer.of_streams) == 2, "it does not say of which kind, so of all that was sent"


def test_a_batch_is_answered_asset_by_asset_in_the_order_of_its_commands() -> None:
    verdict = said(
        command="batch_commands",
        aggregator_uuid=str(B),
        responses={
            str(A).upper(): [{"status": "ready"}, {"status": "error", "message": "too late"}],
            str(B): [{"command": "set_energy_forecast", "status": "ready"}],
            "nobody": [{"status": "ready"}],
            "no list": 5,
        },
    )
    known = {str(A): A, str(B): B}
    answer = answer_of_batch(verdict, known.get)
    assert answer.of_streams == {
        (A, "measurement"): Accepted("ready"),
        (A, "forecast"): Rejected("gave the verdict 'error': too late", cause="verdict error"),
        (B, "forecast"): Accepted("ready"),
    }


@pytest.mark.parametrize(
    "event", [{"event": "market", "grid_tree": {}}, {}, {"transaction_id": None, "status": "ready"}]
)
def test_events_are_no_verdicts(event: dict[str, object]) -> None:
    assert verdict_in(json.dumps(event).encode()) is None


@given(st.binary(max_size=200) | ANYTHING.map(lambda data: json.dumps(data).encode()))
def test_whatever_comes_is_a_verdict_an_event_or_strange(frame: bytes) -> None:
    try:
        verdict = verdict_in(frame)
    except Strange:
        return
    assert verdict is None or verdict.transaction_id


@given(st.dictionaries(st.sampled_from(["status", "command", "error", "responses"]), ANYTHING))
def test_whatever_a_verdict_says_is_an_outcome(keys: dict[str, object]) -> None:
    verdict = said(**keys)
    for answer in (answer_for(verdict, A), answer_of_batch(verdict, lambda _: A)):
        outcomes = [*answer.of_streams.values(), *([answer.outcome] if answer.outcome else [])]
        for outcome in outcomes:
            assert isinstance(outcome, Accepted | Rejected)
            if isinstance(outcome, Rejected):
                assert outcome.reason.isprintable() and len(outcome.reason) < 400
