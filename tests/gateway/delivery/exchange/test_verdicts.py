"""The engine's verdicts decide what is accepted: over real sockets, with an exchange that says
them late, early, wrongly, or not at all.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import gateway.delivery.exchange.verdicts as listening
import gateway.delivery.kinds.exchange as kind
from gateway.monitoring.report import NOT_HEARD
from gateway.outbox import refusals
from gateway.store.known_uuids import KnownUuids
from tests.gateway.delivery.exchange.site import HOUSE, PV, SLOT, TalkingSite, now_s, talking_site
from tests.gateway.delivery.exchange.talking_exchange import (
    Frames,
    TalkingExchange,
    ready,
    silent,
)
from tests.gateway.delivery.rig import until


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ticks are half a second."""
    monkeypatch.setattr(kind, "LEAST_TO_ANSWER_S", 0.5)
    monkeypatch.setattr(listening, "BACKOFF_S", 0.05)


TICK = "tick: 0.25s"


async def listens(site: TalkingSite, count: int = 2) -> None:
    """Wait until so many websockets are open."""
    open_ones = site.exchange.websockets
    await until(lambda: sum(map(len, open_ones.values())) == count, 10)


async def test_what_is_taken_is_sent_and_the_verdict_makes_it_accepted(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.verdict_after_s = 0.4
        site.owe(HOUSE, site.newest_s, site.newest_s - SLOT)
        await until(lambda: site.states(HOUSE) == ["sent", "sent"], 10)
        report = site.delivery.snapshot(0.0)
        assert (report.state, report.sent, report.accepted) == ("ok", 2, 0)
        assert report.last_success_s, "its reply shows that it is there"

        await until(lambda: site.states(HOUSE) == ["accepted", "accepted"], 10)
        assert {owed.answer for owed in site.buffer.owed()} == {"ready"}
        assert site.delivery.snapshot(0.0).verdicts == "on"
        assert len(site.exchange.posts) == 2, "none was sent twice"


async def test_a_verdict_that_comes_before_the_reply_counts(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.verdict_after_s = -0.3
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["accepted"], 5)
        assert len(site.exchange.posts) == 1


async def test_a_verdict_counts_though_the_reply_is_lost(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s\ntimeout: 1s") as site:
        await listens(site)
        site.exchange.verdict_after_s = -1.5  # the reply comes when nobody waits any more
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["accepted"], 5)


async def test_an_error_verdict_refuses_with_the_engines_words(tmp_path: Path) -> None:
    def refuse(asset: str, command: str, body: dict[str, Any]) -> Frames:
        if asset == str(PV):
            return ready(asset, command, body)
        word = {"command": command, "status": "error", "error_message": "Wrong energy: -1 kWh"}
        return [json.dumps({**word, "transaction_id": body["transaction_id"]}).encode()]

    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.judge = refuse
        site.owe(HOUSE, site.newest_s)
        site.owe(PV, site.newest_s)
        await until(lambda: site.states(PV) == ["accepted"], 10)
        await until(lambda: site.reasons(HOUSE) != {""}, 10)
        assert site.reasons(HOUSE) == {"gave the verdict 'error': Wrong energy: -1 kWh"}
        assert site.states(HOUSE) == ["pending"], "one refusal is no verdict on the number"


async def test_receipts_do_not_end_what_its_verdicts_refuse(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers 200 to each request, and its engine refuses each: one state, and one line."""
    monkeypatch.setattr(refusals, "MOMENT_S", 0.1)
    caplog.set_level("INFO", "gateway.delivery.journal")

    def refuse(_asset: str, command: str, body: dict[str, Any]) -> Frames:
        word = {"command": command, "status": "error", "error_message": "no such simulation"}
        return [json.dumps({**word, "transaction_id": body["transaction_id"]}).encode()]

    async with talking_site(tmp_path, TICK) as site:
        await listens(site)
        site.exchange.judge = refuse
        for asset in (HOUSE, PV):
            site.owe(asset, site.newest_s)
        await until(lambda: site.delivery.snapshot(0.0).state == "refusing", 10)
        posts = len(site.exchange.posts)
        await until(lambda: len(site.exchange.posts) > posts, 10)
        assert site.delivery.snapshot(0.0).state == "refusing", "though a request was taken"

        site.exchange.judge = ready
        await until(lambda: site.delivery.snapshot(0.0).state == "ok", 20)
        await until(lambda: site.states(HOUSE) == site.states(PV) == ["accepted"], 20)
        lines = [record.getMessage() for record in caplog.records]
        for words in ("refuses everything", "takes deliveries again"):
            assert len([line for line in lines if words in line]) == 1


async def test_without_a_verdict_one_item_is_tried_and_the_rest_follows_when_one_comes(
    tmp_path: Path,
) -> None:
    async with talking_site(tmp_path, TICK) as site:
        await listens(site)
        site.exchange.judge = silent
        slots = [site.newest_s - n * SLOT for n in range(6)]
        site.owe(HOUSE, *slots)
        await until(lambda: bool(site.delivery.snapshot(0.0).unheard), 10)
        await until(lambda: site.states(HOUSE) == ["pending"] * 6, 10)
        report = site.delivery.snapshot(0.0)
        assert list(report.unheard) == ["House"]
        assert "live data is switched off" in report.unheard["House"]
        assert report.unheard_items >= 1
        site.buffer.flush()
        assert "gave no verdict within 0.5 s" in site.buffer.latest_events()[0]

        # Nothing of it goes again in this slot; another asset's numbers do.
        sent = len(site.exchange.posts)
        site.exchange.judge = ready
        site.owe(PV, site.newest_s)
        await until(lambda: site.states(PV) == ["accepted"], 10)
        assert len(site.exchange.posts) == sent + 1

        # A verdict on what was sent before shows that it is heard: all of it goes.
        asset, command, body = site.exchange.posts[0]
        site.exchange.say(ready(asset, command, body))
        await until(lambda: site.states(HOUSE) == ["accepted"] * 6, 10)
        assert site.delivery.snapshot(0.0).unheard == {}


async def test_a_verdict_that_was_lost_is_asked_for_by_sending_again(tmp_path: Path) -> None:
    async with talking_site(tmp_path, TICK) as site:
        await listens(site)
        site.exchange.verdict_after_s = 0.3
        site.exchange.refuses_websockets = 503
        site.exchange.hang_up()
        site.owe(HOUSE, site.newest_s)
        await until(lambda: "answered 503" in site.delivery.snapshot(0.0).verdicts, 5)
        await asyncio.sleep(0.8)
        assert site.states(HOUSE) == ["sent"], "nobody listens, so no missing word means anything"
        assert len(site.exchange.posts) == 1

        site.exchange.refuses_websockets = 0
        await until(lambda: site.states(HOUSE) == ["accepted"], 10)
        assert len(site.exchange.posts) == 2
        assert site.delivery.snapshot(0.0).unheard == {}


async def test_a_verdict_on_what_the_run_before_had_sent_counts(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.judge = silent
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["sent"], 10)
        port, [sent] = site.exchange.port, site.exchange.posts

    exchange = TalkingExchange()
    exchange.port = port
    async with talking_site(tmp_path, "tick: 15s", exchange) as site:
        await listens(site)
        exchange.say(ready(*sent))
        await until(lambda: site.states(HOUSE) == ["accepted"], 10)
        assert exchange.posts == []


async def test_an_exchange_without_websockets_is_taken_at_its_reply_and_it_is_said(
    tmp_path: Path,
) -> None:
    exchange = TalkingExchange()
    exchange.refuses_websockets = 404
    async with talking_site(tmp_path, "tick: 15s", exchange) as site:
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["accepted"], 5)
        state = site.delivery.snapshot(0.0).verdicts
        assert state.startswith("cannot be had (") and "answered 404" in state
        assert state.endswith("accepted means taken by HTTP")


async def test_websockets_of_an_earlier_run_are_waited_for_whatever_the_exchange_says(
    tmp_path: Path,
) -> None:
    KnownUuids(tmp_path / "buffer.sqlite", "exchange").note_heard()
    exchange = TalkingExchange()
    exchange.refuses_websockets = 404
    async with talking_site(tmp_path, TICK, exchange) as site:
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["sent"], 5)
        await until(lambda: NOT_HEARD in site.delivery.snapshot(0.0).verdicts, 5)
        assert site.states(HOUSE) == ["sent"]
        exchange.refuses_websockets = 0
        await until(lambda: site.states(HOUSE) == ["accepted"], 10)
        assert site.delivery.snapshot(0.0).verdicts == "on"


async def test_off_means_that_the_reply_counts(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "verdicts: off") as site:
        site.exchange.judge = silent
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["accepted"], 5)
        assert site.delivery.snapshot(0.0).verdicts == "off: accepted means taken by HTTP"
        assert site.exchange.handshakes == 0


async def test_a_login_that_ended_is_made_anew(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        assert site.exchange.tokens == 1
        site.exchange.takes_tokens_from = 2
        site.exchange.hang_up()
        await until(lambda: not any(site.exchange.websockets.values()), 5)
        await listens(site)
        assert site.exchange.tokens == 2, "one for all"
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["accepted"], 5)


HOSTILE: dict[str, Frames] = {
    "text": ["hello", '{"transaction_id": "not ours", "status": "ready"}'],
    "half": [b'{"command": "set_energy_measurement", "status": "rea'],
    "long": [b" " * 10_000_000],
    "deep": [b"[" * 200_000],
    "types": [b'{"transaction_id": {"a": []}, "status": 7, "responses": "x"}', b"null", b"\xff"],
    "ids": [b'{"transaction_id": "%d", "status": "error"}' % n for n in range(500)],
    "batch": [b'{"command": "batch_commands", "transaction_id": "x", "responses": [1]}'],
    "empty": [b"", ""],
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_is_no_verdict_does_no_harm(tmp_path: Path, what: str) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.judge = silent
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["sent"], 5)
        site.exchange.say(HOSTILE[what])
        site.exchange.say(ready(*site.exchange.posts[0]))
        await until(lambda: site.states(HOUSE) == ["accepted"], 10)


async def test_bytes_that_are_no_frames_cost_the_connection_and_no_more(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.say_raw(b"\xff\xff\xff\xff HTTP/1.1 500")
        await until(lambda: site.exchange.handshakes == 4, 10)
        await listens(site)
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["accepted"], 5)


async def test_a_connection_that_is_lost_over_and_over_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As by a proxy that ends what is idle for a minute; and one that stays away is told."""
    caplog.set_level("INFO", "gateway.delivery.exchange.verdicts")
    async with talking_site(tmp_path, TICK) as site:
        await listens(site)
        for n in range(2, 5):
            site.exchange.hang_up()
            await until(lambda n=n: site.exchange.handshakes == 2 * n, 10)  # type: ignore[misc]
            await listens(site)
        await until(lambda: site.delivery.snapshot(0.0).verdicts == "on", 10)
        said = [record.getMessage() for record in caplog.records]
        assert len([text for text in said if "and lost" in text]) == 1
        assert len([text for text in said if text.endswith("are heard")]) == 2

        site.exchange.refuses_websockets = 503
        site.exchange.hang_up()
        await until(lambda: "are not heard" in caplog.text, 10)


async def test_a_verdict_that_came_for_another_asset_says_nothing(tmp_path: Path) -> None:
    async with talking_site(tmp_path, "tick: 15s") as site:
        await listens(site)
        site.exchange.judge = silent
        site.owe(HOUSE, site.newest_s)
        await until(lambda: site.states(HOUSE) == ["sent"], 5)
        site.exchange.say(ready(*site.exchange.posts[0]), str(PV))
        await asyncio.sleep(0.3)
        assert site.states(HOUSE) == ["sent"]


async def test_a_late_verdict_does_not_end_a_failure_that_began_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While replies are lost, verdicts come all the same: what they are about is accepted, and
    deliveries fail as before, which is one line in the log.
    """
    caplog.set_level("INFO", "gateway.delivery.journal")
    async with talking_site(tmp_path, "tick: 15s\ntimeout: 1s") as site:
        await listens(site)
        site.exchange.answers_post = 500
        site.exchange.verdict_after_s = 0.2
        site.owe(HOUSE, *(site.newest_s - n * SLOT for n in range(3)))
        await until(lambda: site.states(HOUSE) == ["accepted"] * 3, 20)
        assert site.delivery.snapshot(0.0).state == "retrying"
        lines = [record.getMessage() for record in caplog.records]
        assert len([line for line in lines if "deliveries fail" in line]) == 1
        assert not [line for line in lines if "takes deliveries again" in line]


async def test_a_forecast_whose_verdict_was_lost_is_said_to_be_unknown(tmp_path: Path) -> None:
    async with talking_site(tmp_path, TICK) as site:
        await listens(site)
        site.exchange.refuses_websockets = 503
        site.exchange.hang_up()
        site.exchange.judge = silent
        # Its window closes while nobody listens.
        closes_s = int(now_s() + 2.5)
        site.owe(HOUSE, closes_s - 2 * SLOT, kind="forecast")
        await until(lambda: site.states(HOUSE) == ["sent"], 5)
        await until(lambda: now_s() > closes_s, 5)
        site.exchange.refuses_websockets = 0
        await until(lambda: site.states(HOUSE) == ["missed"], 10)
        [reason] = site.reasons(HOUSE)
        assert "whether it was taken is not known" in reason
        assert site.delivery.snapshot(0.0).missed == 1
