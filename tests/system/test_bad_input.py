"""Bad input to the running daemon: one clear line each, counted and not repeated; a state on the
status page; and the rest goes on.

One site suffers everything, and one meter of it, the heat pump's, is well all the time. What is
done to the grid's meter, to the PV's and to the exchange happens at the same time, in three tracks;
each test then looks at one case. In the end, the energy must be right.
"""

import asyncio
import os
import time
from random import Random
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from gateway.cli.demo_home import ASSETS
from gateway.monitoring.report import Report
from tests.system.suffering import (
    RTU_FAULTS,
    Case,
    Suffering,
    about_meter,
    as_before,
    cut_off,
    exchange_is_well,
    go_through,
    suffering_site,
    trouble_with_exchange,
    trouble_with_meter,
    until_meter,
    well,
    wrong_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.simulated.http_server import StandInExchange
    from tests.system.conftest import StartSite

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("bad-input")

NOISE_BYTES = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suffering(start_site: "StartSite", tmp_path_factory: pytest.TempPathFactory) -> Suffering:
    async with suffering_site(start_site, tmp_path_factory.mktemp("bad")) as suffering:
        site = suffering.site
        async with asyncio.TaskGroup() as group:
            for track in TRACKS:
                group.create_task(go_through(track, suffering))
        well_since_s = time.time()
        await site.until_booked(
            "slots after it all are accepted", lambda slots: max(slots) + site.slot_s > well_since_s
        )
        await site.until(lambda r: r.destinations[0].state == "ok", "the exchange is well")
    return suffering


# --- the cases: the grid's meter (P1) -------------------------------------------------------------


async def single_wrong_checksums(suffering: Suffering) -> None:
    """P1: a wrong checksum now and then"""
    site, grid = suffering.site, suffering.grid
    before, mark = site.meter(await site.report(), "grid"), len(site.log())
    grid.spoil = lambda telegram: wrong_checksum(telegram) if grid.sent % 2 else telegram
    after = await until_meter(
        site, "grid", lambda m: m.errors >= before.errors + 2, "wrong checksums are counted"
    )
    grid.spoil = bytes
    assert "wrong checksum: the telegram says" in after.last_error
    await until_meter(site, "grid", lambda m: m.samples >= after.samples + 2, "readings go on")
    lines = about_meter(site, "grid", mark)
    assert len(lines) == 1, lines
    assert "wrong checksum" in lines[0]
    assert "readings go on" in lines[0]


async def doubled_telegrams(suffering: Suffering) -> None:
    """P1: every telegram twice"""
    site, grid = suffering.site, suffering.grid
    before, mark = site.meter(await site.report(), "grid"), len(site.log())
    grid.spoil = lambda telegram: telegram + telegram
    after = await until_meter(
        site, "grid", lambda m: m.samples >= before.samples + 3, "readings go on"
    )
    grid.spoil = bytes
    assert (after.errors, after.glitches) == (before.errors, before.glitches), (
        "a telegram that is there twice harms nobody"
    )
    assert about_meter(site, "grid", mark) == []


async def truncated_telegrams(suffering: Suffering) -> None:
    """P1: nothing but truncated telegrams"""
    grid = suffering.grid

    def begin() -> None:
        grid.spoil = cut_off

    def end() -> None:
        grid.spoil = bytes

    await trouble_with_meter(
        suffering.site, "grid", begin, end, "a telegram began and did not end", failures=1
    )


async def noise(suffering: Suffering) -> None:
    """P1: 1 MB of noise"""
    grid = suffering.grid
    tasks: list[asyncio.Task[None]] = []

    def begin() -> None:
        grid.spoil = lambda _: b""  # else a whole telegram comes through now and then, and is read
        tasks.append(asyncio.create_task(make_noise(suffering.noise_fd)))

    def end() -> None:
        grid.spoil = bytes

    await trouble_with_meter(
        suffering.site,
        "grid",
        begin,
        end,
        "check the cable",
        failures=1,
        wait=lambda: asyncio.gather(*tasks),
    )


async def make_noise(fd: int) -> None:
    rest = memoryview(Random(1).randbytes(NOISE_BYTES))
    while rest:
        try:
            rest = rest[os.write(fd, rest[:2048]) :]
        except BlockingIOError:
            await asyncio.sleep(0.01)


# --- the cases: the PV's meter (Modbus RTU) -------------------------------------------------------


def rtu_case(name: str) -> Case:
    async def case(suffering: Suffering) -> None:
        fault, text = RTU_FAULTS[name]

        def begin() -> None:
            suffering.pv.fault = fault

        def end() -> None:
            suffering.pv.fault = well

        await trouble_with_meter(suffering.site, "pv", begin, end, text)

    case.__doc__ = f"Modbus: {name}"
    return case


async def silence(suffering: Suffering) -> None:
    """Modbus: silence for so long that the line is opened anew"""
    site = suffering.site
    line = site.line_of(await site.report(), "pv")

    def begin() -> None:
        suffering.pv.fault = lambda _: (0, b"")

    def end() -> None:
        suffering.pv.fault = well

    async def opened_anew() -> None:
        report = await site.until(
            lambda r: site.line_of(r, "pv").errors > line.errors, "the line is opened anew"
        )
        assert "no meter answers" in site.line_of(report, "pv").last_error

    await trouble_with_meter(
        site, "pv", begin, end, "no answer within 0.5 s", failures=3, wait=opened_anew
    )


async def vanished_port(suffering: Suffering) -> None:
    """Modbus: the adapter is unplugged and plugged in again"""
    site, pv = suffering.site, suffering.pv
    before, mark = await site.report(), len(site.log())
    pv.pull_out()

    def gone(report: Report) -> bool:
        line, meter = site.line_of(report, "pv"), site.meter(report, "pv")
        return (
            line.state == meter.state == "retrying" and "there is no such port" in line.last_error
        )

    report = await site.until(gone, "the page says that the port is gone")
    assert site.line_of(report, "pv").errors >= site.line_of(before, "pv").errors + 2
    assert site.meter(report, "pv").errors >= site.meter(before, "pv").errors + 2
    lines = site.log(str(pv.path), " pv:", since=mark)
    assert len(lines) == 1, lines
    assert f"WARNING serial:{pv.path}" in lines[0]
    assert "the port has vanished" in lines[0]
    assert "check the plug and the cable" in lines[0]
    pv.plug_in()
    await site.until(
        lambda r: site.meter(r, "pv").state == "ok" and site.line_of(r, "pv").state == "open",
        "it comes back by itself",
    )
    lines = site.log(str(pv.path), " pv:", since=mark)
    assert len(lines) == 2, lines
    assert "works again after" in lines[1]


# --- the cases: the exchange ----------------------------------------------------------------------


async def first_slots(suffering: Suffering) -> None:
    """Exchange: all is well"""
    await suffering.site.until_booked("a slot of every asset is accepted", bool)


async def web_pages(suffering: Suffering) -> None:
    """Exchange: 200 with a web page"""
    await trouble_with_exchange(
        suffering.site, lambda: suffering.site.exchange.mode("html"), "something other than JSON"
    )


async def server_errors(suffering: Suffering) -> None:
    """Exchange: 500"""
    await trouble_with_exchange(
        suffering.site,
        lambda: suffering.site.exchange.mode("status", status=500),
        "the exchange answered 500",
    )


async def refusals_of_everything(suffering: Suffering) -> None:
    """Exchange: 404 in JSON to everything is no verdict on anything"""
    await refuses_everything(
        suffering, lambda exchange: exchange.mode("status", status=404), "answered 404"
    )


async def errors_with_200(suffering: Suffering) -> None:
    """Exchange: 200 with an error in JSON is no receipt"""
    await refuses_everything(
        suffering, lambda exchange: exchange.mode("error_body"), "answered 200 with an error"
    )


async def refuses_everything(
    suffering: Suffering, begin: "Callable[[StandInExchange], None]", text: str
) -> None:
    """Loud while it lasts: not healthy, one line; and then all is delivered."""
    site = suffering.site
    before, mark = (await site.report()).destinations[0], len(site.log())
    with as_before(site):
        begin(site.exchange)
        report = await site.until(
            lambda r: r.destinations[0].refusing_since_s is not None, "the page says so"
        )
        assert report.destinations[0].state == "refusing"
        assert text in report.destinations[0].last_error
        assert any(line.startswith("exchange: refusing") for line in report.unhealthy())
        health = await site.page.get("/healthz")
        assert (health.status_code, "exchange: refusing" in health.text) == (503, True)
        await asyncio.sleep(2 * site.slot_s)
    report = await site.until(lambda r: r.destinations[0].state == "ok", "it takes them again")
    assert report.destinations[0].rejected == before.rejected
    assert len(site.log("refuses everything since", since=mark)) <= 1, "one line in five minutes"


async def too_many_requests(suffering: Suffering) -> None:
    """Exchange: 429 with Retry-After is obeyed"""
    site = suffering.site
    exchange = site.exchange
    mark = len(site.log())
    # To a delivery: reading back takes a 429 for itself, and makes no delivery wait.
    exchange.mode("status", status=429, retry_after_s=7, times=1, where="set-energy-measurement")
    told = await site.until(
        lambda r: (
            r.destinations[0].state == "retrying" and "answered 429" in r.destinations[0].last_error
        ),
        "it is told to wait",
    )
    asked_s = next(at_s for at_s, _, status in reversed(exchange.journal) if status == 429)
    after = (
        await site.until(
            lambda r: r.destinations[0].requests > told.destinations[0].requests, "it tries again"
        )
    ).destinations[0]
    assert "answered 429" in after.last_error
    next_s = next(at_s for at_s, _, _ in exchange.journal if at_s > asked_s)
    assert next_s >= asked_s + 6.9, (
        "no request before the time that it was asked to wait, not even for a slot that has just "
        "closed"
    )
    await exchange_is_well(site, mark)


async def expired_login(suffering: Suffering) -> None:
    """Exchange: 401 at any time leads to one new login, and nobody hears of it"""
    site = suffering.site
    logins, before, mark = (
        site.exchange.logins,
        (await site.report()).destinations[0],
        len(site.log()),
    )
    site.exchange.revoke_tokens()
    await site.until(lambda _: site.exchange.logins > logins, "it logs in")
    accepted = (await site.report()).destinations[0].accepted
    after = (
        await site.until(lambda r: r.destinations[0].accepted >= accepted + 2, "deliveries go on")
    ).destinations[0]
    assert site.exchange.logins == logins + 1
    assert after.errors == before.errors
    assert not site.log("WARNING deliveries", since=mark)


async def wrong_password(suffering: Suffering) -> None:
    """Exchange: a wrong password is not hammered, and a corrected file is used at once"""
    site = suffering.site
    logins, password, mark = site.exchange.logins, site.exchange.password, len(site.log())
    site.exchange.password = "another one"
    site.exchange.revoke_tokens()
    before = (await site.report()).destinations[0]
    try:
        report = await site.until(
            lambda r: r.destinations[0].errors >= before.errors + 3, "the page says so"
        )
        assert "does not take this user name and password" in report.destinations[0].last_error
        assert site.exchange.logins == logins + 1, (
            "the answer will be the same as long as the password is"
        )
        assert len(site.log("WARNING deliveries fail", since=mark)) == 1
    finally:
        # Whatever came of it: the cases after this one need the right password.
        credentials = site.site.folder / "exchange.credentials"
        credentials.write_text(credentials.read_text().replace(password, "another one"))
    await exchange_is_well(site, mark)
    assert site.exchange.logins == logins + 2
    everything = site.daemon.log_path.read_text() + (await site.page.get("/status")).text
    assert "another one" not in everything
    assert password not in everything


async def lost_answers(suffering: Suffering) -> None:
    """Exchange: it accepts, and its answer is lost"""
    site = suffering.site
    await trouble_with_exchange(
        site,
        lambda: site.exchange.mode("drop_after_accept"),
        "cannot be reached",
        is_kept=False,  # a verdict over the websocket may say so before the page is looked at
    )
    await site.until(
        lambda r: (
            r.destinations[0].state == "ok"
            and r.destinations[0].backlog + r.destinations[0].sent <= len(ASSETS)
        ),
        "its verdict says that it was accepted, or it is sent again",
    )


TRACKS: list[list[Case]] = [
    [single_wrong_checksums, doubled_telegrams, truncated_telegrams, noise],
    [*map(rtu_case, RTU_FAULTS), silence, vanished_port],
    [
        first_slots,
        web_pages,
        server_errors,
        expired_login,
        lost_answers,
        wrong_password,
        too_many_requests,
        refusals_of_everything,
        errors_with_200,
    ],
]


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case.__doc__ for track in TRACKS for case in track])
def test_it_is_said_once_and_counted_and_the_rest_goes_on(suffering: Suffering, case: str) -> None:
    failure = suffering.outcomes[case]
    if failure is not None:
        raise failure


@pytest.mark.parametrize("asset", ASSETS)
def test_no_energy_is_lost_or_doubled_through_all_of_it(suffering: Suffering, asset: str) -> None:
    site = suffering.site
    assert abs(site.difference_wh(asset)) <= site.allowed_wh(asset)
    site.holds_what_it_accepted(asset)


def test_a_file_that_is_not_a_database_is_set_aside_and_a_new_one_begun(
    suffering: Suffering,
) -> None:
    site = suffering.site
    aside = list(site.site.folder.glob("buffer.sqlite.damaged-*"))
    assert [path.read_bytes() for path in aside] == [Random(2).randbytes(100_000)], (
        "it is kept as it was, for whoever can read it"
    )
    lines = site.log("buffer.sqlite")
    assert len(lines) == 1, lines
    assert "was damaged (file is not a database); it was set aside as" in lines[0]
    with site.buffer() as buffer:
        assert [
            event for event in buffer.latest_events(1000) if "buffer.sqlite was damaged" in event
        ]


def test_the_daemon_never_had_to_start_again(suffering: Suffering) -> None:
    assert suffering.site.daemon.starts == 1
    assert not suffering.site.log("Traceback")
