"""`meter-gateway verify`: the buffer beside the engine's twin, over a real socket."""

import asyncio
import csv
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import openpyxl
import pytest

from gateway.cli.main import main
from gateway.cli.tables import utc_text
from gateway.cli.verified_json import Counts, Day, Difference, Report, SentAgain
from gateway.delivery.simulated.community import Node
from gateway.site.settings import uuid_of_name
from gateway.store.opening import open_buffer
from tests.gateway.cli.held_site import (
    COUNT,
    LOAD,
    PV,
    SLOT_S,
    HeldSite,
    energy_uwh,
    held_site,
    write_folder,
)
from tests.gateway.delivery.exchange.site import opened
from tests.gateway.delivery.rig import running


@pytest.fixture
async def site(tmp_path):
    async with held_site(tmp_path / "etc") as found:
        yield found


@pytest.fixture
def verify(site, capsys):
    """Run the command: its exit code, standard output and standard error."""

    async def command(*words):
        def work():
            try:
                return main(["--config", str(site.folder), "verify", *map(str, words)])
            except SystemExit as end:
                return end.code

        code = await asyncio.to_thread(work)
        out, err = capsys.readouterr()
        return code, out, err

    return command


def causes(path):
    """The likely causes of a CSV report, by asset and slot."""
    with path.open() as stream:
        return {
            (row["asset"], row["start_utc"]): row["cause"]
            for row in csv.DictReader(stream)
            if row["agreement"] == "differs"
        }


async def test_what_was_delivered_and_is_held_agrees(site: HeldSite, verify):
    code, out, err = await verify()
    assert (code, err) == (0, "")
    assert f"{2 * COUNT} of {2 * COUNT} slots agree to the µWh; 0 differ" in out
    assert re.search(r"House load +\d+ ", out)
    assert "The exchange forgets after 90 days. Keep this report" in out
    assert site.exchange.password not in out
    assert set(site.states(LOAD).values()) == {"accepted"}, "nothing is changed"


async def test_each_difference_has_its_likely_cause(site: HeldSite, verify, tmp_path):
    at = site.slot
    site.forecast(LOAD, [at(1)])
    site.hold(LOAD, [at(1)], energy_uwh(LOAD, at(1)) + 7)

    site.owe(LOAD, [at(2)], revision=1, energy=123, state="rejected", reason="400: no")
    late = site.slot(-1)
    site.owe(LOAD, [late], sent_after_s=3 * 3600.0)
    site.hold(LOAD, [at(4)], energy_uwh(PV, at(4)))
    site.lose(LOAD, at(5))
    site.owe(LOAD, [site.slot(-2)], state="missed", reason="its window had passed")
    site.hold(PV, [site.slot(-3)], 5_000_000)

    report = tmp_path / "report.csv"
    code, out, _ = await verify("--from", "12h", "--csv", report)
    assert code == 1
    assert set(causes(report).values()) == {
        *("forecast", "revised since", "sent too late", "another asset's", "unknown"),
        *("not accepted", "not in this buffer"),
    }
    assert "it is what PV has" in out
    assert "missed: its window had passed" in out
    assert len(causes(report)) == 7


async def test_an_asset_whose_live_data_is_switched_off_was_never_heard(site, verify, tmp_path):
    site.exchange.community.find(PV).is_live = False
    site.exchange.books.held[PV].clear()
    code, out, _ = await verify("--csv", tmp_path / "report.csv")
    assert code == 1
    assert set(causes(tmp_path / "report.csv").values()) == {"never heard"}
    assert "live data is switched off" in out
    # To send it once more would be in vain.
    code, out, _ = await verify("--resend")
    assert f"0 of {COUNT} differing slots are owed again" in out
    assert set(site.states(PV).values()) == {"accepted"}


async def test_an_asset_of_a_kind_that_nobody_takes_was_never_heard(site, verify):
    site.exchange.community.find(PV).kind = "Storage"
    site.exchange.books.held[PV].clear()
    code, out, err = await verify()
    assert code == 1
    assert "the exchange takes no energy of a Storage" in out
    assert "PV is a Storage in the exchange, and pv here" in err


async def test_what_is_lost_is_sent_once_more_and_nothing_else(site: HeldSite, verify):
    site.lose(LOAD, site.slot(3), site.slot(4))
    late = site.slot(-1)
    site.owe(LOAD, [late], sent_after_s=3 * 3600.0)
    code, out, _ = await verify("--resend")
    assert code == 1
    assert "2 of 3 differing slots are owed again" in out
    assert "1 are left as they are: sent too late" in out
    pending = [slot_s for slot_s, state in site.states(LOAD).items() if state == "pending"]
    assert pending == [site.slot(3), site.slot(4)]
    assert set(site.states(PV).values()) == {"accepted"}


async def test_what_is_sent_once_more_arrives_as_what_it_was(site: HeldSite, verify):
    site.exchange.behaviour.tick_s = 0.1
    site.lose(LOAD, site.slot(3))
    await verify("--resend")
    buffer = open_buffer(site.folder / "buffer.sqlite", now_s=time.time())
    try:
        async with running(opened(site.folder, buffer)), asyncio.timeout(20):
            while not site.exchange.books.measurements[LOAD]:
                await asyncio.sleep(0.05)
    finally:
        buffer.close_file()
    at_s = site.slot(3)
    assert site.exchange.books.measurements == {LOAD: {at_s: energy_uwh(LOAD, at_s)}, PV: {}}


async def test_what_was_never_sent_is_not_mended_by_results_that_hold_forecasts(site, verify):
    site.forecast(LOAD, [site.slot(1), site.slot(2)])
    code, out, _ = await verify("--results", site.results(), "--resend")
    assert code == 1
    assert "0 of 80 differing slots are owed again" in out
    assert "80 are left as they are: forecast" in out
    assert set(site.states(LOAD).values()) == {"accepted"}


async def report(verify, *words) -> tuple[int, Report]:
    code, out, _ = await verify(*words, "--json")
    return code, msgspec.json.decode(out, type=Report)


async def test_for_programs_there_is_one_object_with_differences_and_causes(site, verify):
    site.hold(LOAD, [site.slot(4)], energy_uwh(PV, site.slot(4)))
    site.lose(PV, site.slot(5))
    code, found = await report(verify)
    assert code == 1
    assert (found.slots.agrees, found.slots.differs) == (2 * COUNT - 2, 2)
    assert found.sources == ["what the exchange tells"] and found.problems == []
    causes = {(each.asset, each.start_utc): each.cause for each in found.differences}
    assert causes == {
        ("House load", utc_text(site.slot(4))): "another asset's",
        ("PV", utc_text(site.slot(5))): "unknown",
    }
    other = found.differences[0]
    assert other.detail == "it is what PV has" and other.can_be_sent_again
    assert other.energy_wh == energy_uwh(LOAD, site.slot(4)) / 1e6
    assert other.history_wh == energy_uwh(PV, site.slot(4)) / 1e6
    assert found.differences[1].history_wh is None
    assert sum(day.slots.differs for day in found.days) == 2
    assert sum(day.slots.agrees for day in found.days) == 2 * COUNT - 2
    assert found.resent is None and found.can_be_sent_again == 2


async def test_for_programs_it_says_what_was_sent_once_more(site: HeldSite, verify):
    site.lose(LOAD, site.slot(3), site.slot(4))
    site.owe(LOAD, [site.slot(-1)], sent_after_s=3 * 3600.0)
    code, found = await report(verify, "--resend")
    assert code == 1
    assert found.resent == SentAgain(2, {"sent too late": 1}, 0)
    pending = [slot_s for slot_s, state in site.states(LOAD).items() if state == "pending"]
    assert pending == [site.slot(3), site.slot(4)]


async def test_for_programs_a_problem_is_in_the_object_and_no_answer_is_none(site, verify):
    site.exchange.community.find(LOAD).name = "Casa"
    code, found = await report(verify)
    assert code == 1 and "is named 'Casa' in the exchange" in found.problems[0]

    site.exchange.password = "another one"
    code, out, err = await verify("--json")
    assert (code, out) == (1, "")
    assert "does not take this user name and password" in err


def test_every_key_for_programs_is_in_the_docs():
    page = Path(__file__).parents[3] / "docs" / "commands.md"
    section = page.read_text(encoding="utf-8").partition("\n## verify")[2].partition("\n## ")[0]
    for of in (Report, Counts, Day, Difference, SentAgain):
        assert [key for key in of.__struct_fields__ if f"`{key}`" not in section] == []


async def test_new_slots_are_no_difference_yet(site: HeldSite, verify):
    site.owe(LOAD, [site.end_s + 2 * SLOT_S], state="pending")
    code, out, _ = await verify()
    assert code == 0
    assert "0 differ, 1 are too new to tell" in out


async def test_a_spreadsheet_has_every_slot_and_is_not_replaced(site: HeldSite, verify, tmp_path):
    path = tmp_path / "report.xlsx"
    code, out, err = await verify("--xlsx", path)
    assert (code, f"{path}: {2 * COUNT} slots" in err) == (0, True)
    assert "Keep this report" not in out
    sheet = openpyxl.load_workbook(path).active
    assert sheet.max_row == 1 + 2 * COUNT
    code, _, err = await verify("--xlsx", path)
    assert code == 1
    assert "is there already" in err


async def test_one_asset_and_a_time(site: HeldSite, verify):
    site.lose(PV, site.slot(3))
    site.lose(LOAD, site.slot(30))
    since = f"{COUNT * SLOT_S // 3600 + 2}h"
    code, out, _ = await verify("--asset", "PV", "--from", since)
    assert code == 1
    assert f"{COUNT - 1} of {COUNT} slots agree" in out
    assert "House load" not in out


# --- bad input ------------------------------------------------------------------------------------


async def test_an_account_without_the_role_is_told_so(site: HeldSite, verify):
    site.exchange.behaviour.is_permitted = False
    code, out, err = await verify()
    assert (code, out) == (1, "")
    assert "answered 403" in err
    assert "has this account the role for it" in err


async def test_a_wrong_password_is_told_and_not_shown(site: HeldSite, verify):
    site.exchange.password = "another one"
    code, _, err = await verify()
    assert code == 1
    assert "does not take this user name and password" in err
    assert "let-me-in" not in err


async def test_an_exchange_that_is_away_is_no_difference(site: HeldSite, verify):
    site.exchange.mode("status", status=503, where="historical-data")
    code, out, err = await verify()
    assert (code, out) == (1, "")
    assert "what the exchange holds is not known" in err
    assert "503" in err


async def test_a_renamed_asset_is_told_and_found_in_the_results(site: HeldSite, verify):
    site.exchange.community.find(LOAD).name = "Casa"
    site.forecast(LOAD, [site.slot(1)])
    code, _, err = await verify("--results", site.results())
    assert code == 1
    assert "the asset with this UUID is named 'Casa' in the exchange" in err
    assert "has no asset" not in err


async def test_an_asset_by_name_is_found_and_one_that_changed_its_uuid_is_told(site, verify):
    node = site.exchange.community.find(PV)
    node.uuid = uuid4()
    site.exchange.books.held[node.uuid] = site.exchange.books.held.pop(PV)
    code, out, err = await verify()
    assert code == 1
    assert f"no asset of the network has the UUID {PV}" in err
    assert f"its 'PV' has {node.uuid}" in err
    assert f"{COUNT} of {COUNT} slots agree" in out

    yaml = site.folder / "gateway.yaml"
    yaml.write_text(yaml.read_text().replace(f"uuid: {PV}, ", ""))
    kept_under = uuid_of_name("PV")
    slots_s = range(site.first_s, site.end_s, SLOT_S)
    site.owe(kept_under, slots_s)
    site.hold(node.uuid, slots_s)
    code, out, err = await verify()
    assert (code, err) == (0, "")
    assert f"{2 * COUNT} of {2 * COUNT} slots agree" in out


async def test_results_of_another_community_are_refused(site: HeldSite, verify):
    names = {LOAD: "Casa", PV: "Tetto"}
    for asset, name in names.items():
        site.exchange.community.find(asset).name = name
    path = site.results()
    for asset, name in {LOAD: "House load", PV: "PV"}.items():
        site.exchange.community.find(asset).name = name
    code, out, err = await verify("--results", path)
    assert (code, out) == (1, "")
    assert "has none of our assets (House load, PV), but Casa, Tetto" in err


async def test_results_of_another_community_with_the_same_names_are_told(site, verify):
    slots_s = [site.slot(n) for n in range(6)]
    site.forecast(LOAD, slots_s)
    site.forecast(PV, slots_s)
    for slot_s in slots_s:
        site.exchange.books.forecasts[LOAD][slot_s] += 123_456
    code, _, err = await verify("--results", site.results())
    assert code == 1
    assert "House load: none of its 6 numbers in the results is one of ours" in err
    assert "PV: none" not in err


async def test_results_with_the_numbers_of_two_assets_mixed_up_are_no_other_communitys(
    site: HeldSite, verify
):
    slots_s = [site.slot(n) for n in range(6)]
    for asset in (LOAD, PV):
        site.forecast(asset, slots_s)
    books = site.exchange.books.forecasts
    books[LOAD], books[PV] = site.exchange.books.held[PV].copy(), books[LOAD]
    code, out, err = await verify("--results", site.results(), "--asset", "House load")
    assert code == 1
    assert "it is what PV has" in " ".join(out.split())
    assert "another community" not in err


async def test_results_of_a_market_with_other_slots_are_refused(site: HeldSite, verify):
    site.forecast(LOAD, [site.slot(1)])
    path = site.results()
    at = f"{datetime.fromtimestamp(site.slot(1), UTC):%Y-%m-%dT%H:%M}"
    path.write_text(path.read_text().replace(at, at[:-1] + "7"))
    code, out, err = await verify("--results", path)
    assert (code, out) == (1, "")
    assert "where no slot of 15 min begins" in err


async def test_tables_of_assets_are_results_too(site: HeldSite, verify):
    columns = {"house-load.csv": "desired energy [kWh]", "pv.csv": "produced [kWh]"}
    for (name, column), asset in zip(columns.items(), (LOAD, PV), strict=True):
        rows = [
            f"{datetime.fromtimestamp(at_s, UTC).isoformat()},0,{energy_uwh(asset, at_s) / 10**9}"
            for at_s in range(site.first_s, site.end_s, SLOT_S)
        ]
        text = "\n".join([f"slot,energy traded [kWh],{column}", *rows]) + "\n"
        (site.folder / name).write_text(text)
    files = [word for name in columns for word in ("--results", site.folder / name)]
    code, out, err = await verify(*files)
    assert (code, err) == (0, "")
    assert f"{2 * COUNT} of {2 * COUNT} slots agree" in out
    code, _, err = await verify(*files[:2])
    assert code == 1
    assert "has no asset 'PV' — a table is of one asset: name its own as well" in err


async def test_a_dialect_that_cannot_ask_goes_by_what_was_accepted(site: HeldSite, verify):
    write_folder(site.folder, site.exchange, dialect="rest")
    site.owe(LOAD, [site.slot(-1)], state="missed", reason="its window had passed")
    code, out, err = await verify("--resend")
    assert code == 1
    assert "this dialect cannot ask what the exchange holds" in err
    assert "missed: its window had passed" in out
    assert "beside the verdicts alone" in out


async def test_results_in_local_times_are_refused(site: HeldSite, verify):
    site.forecast(LOAD, [site.slot(n) for n in range(10)])
    books = site.exchange.books.forecasts
    books[LOAD] = {slot_s + 3600: uwh for slot_s, uwh in books[LOAD].items()}
    code, _, err = await verify("--results", site.results())
    assert code == 1
    assert "1:00 h later: those are local times" in err


async def test_of_results_only_the_time_that_is_asked_for_is_compared(site: HeldSite, verify):
    site.forecast(LOAD, [site.slot(n) for n in range(COUNT)])
    to = f"{datetime.fromtimestamp(site.slot(10), UTC):%Y-%m-%dT%H:%MZ}"
    code, out, _ = await verify("--to", to, "--asset", "House load", "--results", site.results())
    assert code == 1
    assert "0 of 10 slots agree to the µWh; 10 differ" in out


async def test_results_of_another_time_are_told(site: HeldSite, verify):
    site.forecast(LOAD, [site.slot(1)])
    path = site.results()
    day_s = 86_400
    text = path.read_text()
    for slot_s in range(site.first_s, site.end_s, SLOT_S):
        before, after = (
            f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M}"
            for at_s in (slot_s, slot_s - 40 * day_s)
        )
        text = text.replace(before, after)
    path.write_text(text)
    code, _, err = await verify("--results", path)
    assert code == 1
    assert "the results are of" in err


async def test_another_assets_number_is_known_where_one_is_asked_for(site: HeldSite, verify):
    site.hold(LOAD, [site.slot(4)], energy_uwh(PV, site.slot(4)))
    code, out, _ = await verify("--asset", "House load")
    assert code == 1
    assert "it is what PV has" in out


async def test_an_asset_of_another_account_is_told(site: HeldSite, verify):
    site.exchange.community.remove(PV)
    site.exchange.community.add(Node(PV, "PV", "PV", is_ours=False))
    code, out, err = await verify()
    assert code == 1
    assert "PV: what the exchange holds is not known" in err
    assert f"{COUNT} of {COUNT} slots agree" in out


async def test_a_wrong_command_line_is_told(site: HeldSite, verify):
    assert (await verify("--csv", "report.xlsx"))[0] == 2
    code, _, err = await verify("--asset", "House lod")
    assert code == 1
    assert "did you mean" in err
    code, _, err = await verify("--results", site.folder / "nowhere.json")
    assert code == 1
    assert "cannot be read" in err
    code, _, err = await verify("--from", "2020-01-01", "--to", "2020-02-01")
    assert code == 1
    assert "it forgets after 90 days" in err
