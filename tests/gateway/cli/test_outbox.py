"""`meter-gateway outbox`."""

import json
import sqlite3

import pytest
from msgspec.structs import replace

from gateway.energy.slot import MeterState
from gateway.outbox.owed import Held
from gateway.store.rows import Closing
from tests.gateway.cli.conftest import LOAD, PV, SLOT_S, START_S

FIRST = "2026-03-29T00:00:00Z/House-load"
SECOND = "2026-03-29T00:15:00Z/House-load"


@pytest.fixture
def filled(home):
    """Five slots of two assets: accepted, rejected, given up, and two that are pending."""
    home.fill([400] * 5, [0] * 5)
    home.decide("accepted", "", [0])
    home.decide("rejected", "answered 400: unknown asset", [1])
    home.decide("missed", "given up: no reason", [2])
    return home


def listed(run, *words):
    code, out, err = run("outbox", "list", *words, "--json")
    assert code == 0, err
    return {row["id"]: row for row in json.loads(out)}


def states(home):
    with home.buffer() as buffer:
        return [owed.state for owed in buffer.owed() if str(owed.item.subject) == LOAD]


def test_what_is_not_settled_is_listed_with_its_reason(run, filled):
    rows = listed(run)
    assert list(rows) == [
        f"2026-03-29T0{m // 60}:{m % 60:02d}:00Z/{name}"
        for m in (15, 30, 45, 60)
        for name in ("House-load", "PV")
    ]
    row = rows[SECOND]
    assert (row["asset"], row["asset_uuid"], row["kind"], row["revision"]) == (
        "House load",
        LOAD,
        "measurement",
        0,
    )
    assert (row["state"], row["reason"], row["attempts"]) == (
        "rejected",
        "answered 400: unknown asset",
        1,
    )
    assert row["energy_wh"] == pytest.approx(100, abs=1)
    assert row["decided_utc"] == "2026-03-29T02:00:00Z"


@pytest.mark.parametrize("command", [("outbox", "list", "--json"), ("outbox",), ("slots",)])
def test_a_password_in_a_reason_that_an_earlier_version_kept_is_not_shown(
    run, home, command, tmp_path
):
    login = home.folder / "exchange.credentials"
    login.touch(mode=0o600)
    login.write_text("username: 'gateway'\npassword: 'Sesame-17'\n")
    home.fill([400] * 2, [0] * 2)
    home.decide("rejected", "answered 400: Sesame-17 is no password", [1])
    code, out, err = run(*command)
    assert code == 0, err
    assert "Sesame" not in out
    assert run("export", "slots", "--output", tmp_path / "slots.csv")[0] == 0
    assert "Sesame" not in (tmp_path / "slots.csv").read_text()
    login.unlink()  # without the file, or the right to read it, nobody knows what to look for
    assert run(*command)[0] == 0


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--state", "rejected"), 2),
        (("--state", "rejected", "--state", "missed", "--asset", "PV"), 2),
        (("--state", "accepted"), 2),
        (("--state", "unconfirmed"), 2),
        (("--state", "disputed"), 0),
        (("--asset", LOAD, "--since", "2026-03-29T00:45Z"), 2),
        (("--until", "2026-03-29T00:30Z"), 2),
        (("--kind", "forecast"), 0),
        ((SECOND, f"2026-03-29T00:15Z/{PV}"), 2),
        (("2026-03-29T02:00+02:00/House load",), 1),
    ],
)
def test_filters_and_ids_choose(run, filled, words, count):
    assert len(listed(run, *words)) == count


def test_the_table_shows_what_can_be_copied_and_how_much_is_left_out(run, filled):
    code, out, err = run("outbox", "--limit", 3)
    assert code == 0
    assert SECOND not in out
    assert "2026-03-29T01:00:00Z/House-load" in out
    assert "the newest 3 of 8" in err
    assert run("outbox", "--state", "disputed")[2].startswith("nothing of that kind")


def test_what_the_exchange_holds_otherwise_is_listed(run, filled):
    with filled.buffer() as buffer:
        (item,) = [
            owed.item
            for owed in buffer.owed()
            if owed.item.slot_s == START_S and str(owed.item.subject) == LOAD
        ]
        buffer.outbox("exchange").record_held([Held(item, 5_500_000)], START_S + 7200)
        buffer.outbox("exchange").record([item], "accepted", "", START_S + 7200)
        buffer.outbox("exchange").record_held([Held(item, 5_500_000)], START_S + 9000)
    row = listed(run)[FIRST]
    assert (row["state"], row["held_wh"], row["disagreements"]) == ("disputed", 5.5, 2)
    assert "accepted twice" in row["reason"]
    assert run("outbox", "retry", "--state", "disputed")[0] == 0
    with filled.buffer() as buffer:
        buffer.outbox("exchange").record([item], "accepted", "", START_S + 9500)
        assert buffer.outbox("exchange").record_held([Held(item, None)], START_S + 9900) == [], (
            "once more, and no more by itself"
        )
    assert listed(run)[FIRST]["state"] == "disputed"


def test_rejected_and_missed_items_are_owed_again(run, filled):
    code, out, _ = run("outbox", "retry", SECOND)
    assert code == 0
    assert "1 item is owed again; a running daemon notices within half a minute" in out
    assert states(filled) == ["accepted", "pending", "missed", "pending", "pending"]
    code, out, _ = run("outbox", "retry", "--asset", "House load")
    assert (code, "1 item is owed again" in out) == (0, True)
    code, out, _ = run("outbox", "retry", "--all")
    assert (code, "2 items are owed again" in out) == (0, True)
    assert states(filled) == ["accepted"] + ["pending"] * 4


def test_what_is_refused_is_listed_so_and_a_person_decides(run, filled):
    with filled.buffer() as buffer:
        outbox = buffer.outbox("exchange")
        items = [owed.item for owed in buffer.owed() if owed.state == "pending"]
        for at_s in (START_S + 9000, START_S + 9060):
            outbox.record(items, "pending", "answered 404: gone", at_s, refused=True)
    rows = listed(run, "--state", "refused")
    assert len(rows) == len(items) == 4
    for row in rows.values():
        assert (row["state"], row["reason"]) == ("refused", "answered 404: gone")
        assert (row["refused_since_utc"], row["decided_utc"]) == ("2026-03-29T02:30:00Z", None)
    assert set(rows) <= set(listed(run, "--state", "pending")), "it is pending, too"

    first, second, *_ = rows
    code, out, _ = run("outbox", "retry", first)
    assert (code, "1 item is owed again" in out) == (0, True)
    assert listed(run, "--state", "pending")[first]["state"] == "pending"
    code, out, _ = run("outbox", "give-up", "--state", "refused", "--reason", "not ours")
    assert (code, "3 items are given up" in out) == (0, True)
    assert listed(run)[second]["reason"] == "given up: not ours"


def test_pending_items_are_given_up_with_the_reason(run, filled):
    code, out, _ = run("outbox", "give-up", "--asset", "PV", "--reason", "  not registered\tthen ")
    assert (code, "2 items are given up" in out) == (0, True)
    assert states(filled) == ["accepted", "rejected", "missed", "pending", "pending"]
    rows = listed(run, "--asset", "PV", "--state", "missed", "--since", "2026-03-29T00:45Z")
    assert {row["reason"] for row in rows.values()} == {"given up: not registered then"}
    assert run("outbox", "retry", *rows)[0] == 0, "and owed again, if that was a mistake"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ("retry", FIRST),
            "it is accepted; only what was rejected, missed, is disputed or assumed can be owed "
            "again",
        ),
        (("give-up", "--reason", "x", "--all"), ""),
        (
            ("give-up", SECOND, "--reason", "x"),
            "it is rejected; only what is pending can be given up",
        ),
        (("retry", "2026-03-29T00:07Z/House-load"), "there is no such item"),
        (("retry", f"{SECOND}/forecast"), "there is no such item"),
        (("retry", f"{SECOND}/r3"), "there is no such item"),
        (("retry", "House-load"), "is not an item; write it as the list shows it"),
        (
            ("retry", "2026-03-29T00:15Z/Hose-load"),
            "there is no asset 'Hose-load' — did you mean 'House load'?",
        ),
    ],
)
def test_what_cannot_be_done_is_said(run, filled, words, why):
    code, _, err = run("outbox", *words)
    assert code == (1 if why else 0)
    assert why in err


@pytest.mark.parametrize(
    "words",
    [
        ("retry",),
        ("give-up", "--all"),
        ("give-up", "--all", "--reason", " "),
        ("retry", "--all", "--reason", "x"),
        ("retry", "--state", "pending"),
        ("give-up", "--state", "missed", "--reason", "x"),
        ("retry", "--all", "--json"),
        ("forget", FIRST),
        ("list", "--limit", "0"),
    ],
)
def test_a_selection_must_be_explicit(run, filled, words):
    before = states(filled)
    code, _, err = run("outbox", *words)
    assert code == 2
    assert "Traceback" not in err
    assert states(filled) == before


def test_numbers_without_a_time_are_never_sent_late(run, home):
    text = (home.folder / "gateway.yaml").read_text()
    home.write("gateway.yaml", text.replace("dialect: sdk", "dialect: rest"))
    home.fill([400] * 3, [0] * 3)
    home.decide("missed", "not delivered before its window closed", [0, 1])
    code, _, err = run("outbox", "retry", FIRST)
    assert code == 1
    assert (
        "it goes without a time, so now it would be booked to another slot; upload it by hand"
        in err
    )
    code, _, err = run("outbox", "retry", "--all")
    assert code == 1
    assert set(states(home)) == {"missed", "pending"}


def test_what_was_not_wholly_metered_cannot_be_sent(run, home):
    home.fill([400, 400], [0, 0], silent=range(7))
    code, _, err = run("outbox", "retry", "--asset", "House load")
    assert code == 1
    assert "not wholly metered, so there is no number to send" in err
    assert listed(run)[FIRST]["energy_wh"] is None


def test_an_older_revision_never_replaces_a_newer_one(run, filled):
    with filled.buffer() as buffer:
        rejected = next(
            o
            for o in buffer.owed()
            if o.item.slot_s == START_S + SLOT_S and str(o.item.subject) == LOAD
        )
        newer = replace(
            rejected, item=replace(rejected.item, revision=1), state="accepted", reason=""
        )
        buffer.close(Closing("grid", 10**6, MeterState(None, 0, 0, {}), (), (newer,), ()))
    code, _, err = run("outbox", "retry", SECOND)
    assert code == 1
    assert "revision 1 of it is there" in err
    assert f"{SECOND}/r1" in listed(run, "--state", "accepted")


def test_it_works_while_the_daemon_has_the_file_and_waits_for_its_commit(run, filled):
    with filled.buffer() as daemon:
        assert not daemon.outbox("exchange").changed_elsewhere
        assert run("outbox", "retry", SECOND)[0] == 0
        assert daemon.outbox("exchange").changed_elsewhere
        due = daemon.outbox("exchange").due(START_S + 10**6, since_s=None, limit=100)
        assert START_S + SLOT_S in [owed.item.slot_s for owed in due]


def test_a_file_that_somebody_holds_is_named_with_what_to_do(run, filled, monkeypatch):
    monkeypatch.setattr(
        "gateway.store.buffer.sqlite3.connect",
        lambda *a, **k: _connect(*a, **{**k, "timeout": 0.05}),
    )
    holder = _connect(filled.folder / "buffer.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    code, _, err = run("outbox", "retry", SECOND)
    holder.close()
    assert code == 1
    assert "locked" in err
    assert states(filled)[1] == "rejected"


_connect = sqlite3.connect


def test_it_needs_no_login_and_says_where_the_buffer_should_be(run, home):
    (home.folder / "exchange.credentials").unlink()
    code, _, err = run("outbox", "retry", "--all")
    assert code == 1
    assert "there is no buffer yet; start the daemon" in err


def test_the_help_has_examples(run):
    code, out, _ = run("outbox", "--help")
    assert code == 0
    assert "meter-gateway outbox retry 2026-03-29T01:15:00Z/House-load" in out


def test_destinations_are_told_apart_and_ids_without_a_name_are_the_exchange_s(run, filled):
    with filled.buffer() as buffer:
        rejected = next(owed for owed in buffer.owed() if owed.state == "rejected")
        other = replace(rejected, item=replace(rejected.item, destination="second"))
        state = MeterState(None, 0, 0, {})
        buffer.close(Closing("grid", buffer.last_number, state, (), (other,), ()))
        buffer.flush()

    rows = listed(run, "--state", "rejected")
    mine = {row_id for row_id, row in rows.items() if row["destination"] == "exchange"}
    [theirs] = set(rows) - mine
    assert theirs == f"{SECOND}@second"
    assert SECOND in mine
    assert list(listed(run, "--state", "rejected", "--destination", "second")) == [theirs]

    assert run("outbox", "retry", SECOND)[0] == 0
    assert listed(run)[theirs]["state"] == "rejected"
    assert listed(run)[SECOND]["state"] == "pending"
    assert run("outbox", "retry", theirs)[0] == 0
    assert listed(run)[theirs]["state"] == "pending"
