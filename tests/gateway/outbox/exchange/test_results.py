"""The results that the exchange offers for download, and files that are something else."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.outbox.exchange.results import MAX_DEPTH, Unreadable, results_in

ZONE = "Europe/Berlin"
SPRING = datetime(2026, 3, 29, tzinfo=UTC)


def times(start, count):
    return [f"{start + n * timedelta(minutes=15):%Y-%m-%dT%H:%M}" for n in range(count)]


def tree(slots, key="load_profile_kWh", name="House load"):
    return json.dumps({"Grid": {"House 1": {name: {"trade_energy_kWh": slots, key: slots}}}})


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_assets_are_found_in_the_tree_with_their_kinds():
    both = {
        "House 1": {
            "House load": {"load_profile_kWh": {"2026-03-29T01:00": 0.125}},
            "PV": {"pv_production_kWh": {"2026-03-29T01:00": 1e-9}},
            "Battery": {"soc_history_%": {"2026-03-29T01:00": 50}},
        }
    }
    load, pv = results_in("asset_statistics.json", json.dumps(both), ZONE)
    assert (load.name, load.kind, load.slots) == (
        "House load",
        "load",
        {at("2026-03-29T01:00"): 125_000_000},
    )
    assert (pv.name, pv.kind, list(pv.slots.values())) == ("PV", "pv", [1])


def test_a_day_in_utc_is_read_where_clocks_change():
    slots = dict.fromkeys(times(SPRING, 96), 0.1)
    [profile] = results_in("a.json", tree(slots), ZONE)
    assert len(profile.slots) == 96


def test_local_times_are_refused_when_summer_time_begins():
    local = [time for time in times(SPRING, 96) if time[11:13] != "02"]
    with pytest.raises(Unreadable, match=r"the hour from 2026-03-29T02:00 on is not in it"):
        results_in("a.json", tree(dict.fromkeys(local, 0.1)), ZONE)
    # An hour that is missing elsewhere says nothing of clocks, and nor does it in another zone.
    other = [time for time in times(SPRING, 96) if time[11:13] != "05"]
    assert results_in("a.json", tree(dict.fromkeys(other, 0.1)), ZONE)
    assert results_in("a.json", tree(dict.fromkeys(local, 0.1)), "UTC")


def test_local_times_are_refused_when_summer_time_ends():
    text = '{"A": {"load_profile_kWh": {"2026-10-25T02:00": 0.1, "2026-10-25T02:00": 0.2}}}'
    with pytest.raises(Unreadable, match="twice, as in local times when summer time ends"):
        results_in("a.json", text, ZONE)
    table = "slot,desired energy [kWh]\n2026-10-25T02:00,0.1\n2026-10-25T02:00,0.2\n"
    with pytest.raises(Unreadable, match="twice"):
        results_in("a.csv", table, ZONE)


def test_times_that_name_their_zone_are_what_they_say():
    slots = {"2026-03-29T01:45+01:00": 0.1, "2026-03-29T03:00+02:00": 0.2}
    [profile] = results_in("a.json", tree(slots), ZONE)
    assert list(profile.slots) == [at("2026-03-29T00:45"), at("2026-03-29T01:00")]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("slot,energy traded [kWh],desired energy [kWh],deficit [kWh]", "load"),
        ("slot,energy traded [kWh],produced [kWh],not sold [kWh]", "pv"),
        ("slot;energy traded [kWh];produced to trade [kWh];not sold [kWh]", "pv"),
    ],
)
def test_an_assets_table_is_read(header, kind):
    separator = ";" if ";" in header else ","
    row = separator.join(["2026-03-29T01:00:00+00:00", "0", "0.125", "0"])
    [profile] = results_in("House-Load.csv", f"{header}\n{row}\n", ZONE)
    assert (profile.name, profile.kind) == ("house-load", kind)
    assert profile.slots == {at("2026-03-29T01:00"): 125_000_000}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", tree({"2026-03-29T01:00": 0.1})[:-20], "it ends in the middle"),
        ("a.json", "", "it ends in the middle"),
        ("a.json", '{"a": 1,}', "line 1 is no JSON"),
        ("a.json", "[" * 10_000, "it is no JSON|ends in the middle"),
        ("a.json", "{}", "it has no asset's profile"),
        ("a.json", '{"a": {"b": 1}, "a": {}}', "'a' is in it twice"),
        ("a.json", tree({"today": 0.1}), "'today' is no time"),
        ("a.json", tree({"2026-03-29T01:00": "much"}), "'much' is no energy in kWh"),
        ("a.json", '{"a":' * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2), "more than 32 deep"),
        ("a.json", "<html><body>Log in</body></html>", "it is a web page"),
        ("a.csv", "", "it is no table"),
        ("a.csv", "INTERVAL,ENERGY(kWh)\n2026-03-29T01:00,1\n", "it has no columns slot"),
        ("a.csv", "slot,produced [kWh]\n2026-03-29T01:00\n", "line 2 has 1 fields"),
        ("a.csv", "slot,produced [kWh]\n29.03.2026 01:00,1\n", "is no time"),
    ],
)
def test_what_is_no_such_file_is_told(name, text, why):
    with pytest.raises(Unreadable, match=why):
        results_in(name, text, ZONE)
