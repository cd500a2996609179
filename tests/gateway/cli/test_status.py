"""`meter-gateway status` against the real server."""

import asyncio
from argparse import Namespace
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.cli.commands import status
from gateway.cli.main import main
from gateway.monitoring.report import Report, masked_report
from gateway.monitoring.server import StatusServer
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings
from tests.gateway.monitoring.told_forecasts import with_forecasts
from tests.serving import serving


async def asked(report: Report, *options: str) -> int | None:
    """The exit code of `status` with the address of a server that reports this."""
    server = StatusServer(StatusSettings(port=0), lambda: report)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        return await asyncio.to_thread(main, ["status", "--url", server.url, *options])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_healthy_gateway_is_shown_and_exits_0(
    healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asked(healthy_report) == 0
    shown = capsys.readouterr().out
    for expected in (
        "home-12",
        "all is well",
        "House load",
        "172.8 Wh",
        "accepted",
        "-812 W",
        "12,345.678 kWh",
        "no reply in 1 s",
    ):
        assert expected in shown


@pytest.mark.parametrize(
    ("zone", "clock"), [("Asia/Kathmandu", "+0545"), ("Pacific/Kiritimati", "+14")]
)
async def test_slots_are_told_on_the_clock_of_the_site(
    zone: str, clock: str, healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever the one who asks is."""
    assert await asked(replace(healthy_report, zone=zone)) == 0
    assert clock in capsys.readouterr().out


async def test_forecasts_are_shown_with_their_errors(
    healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asked(with_forecasts(healthy_report)) == 0
    shown = capsys.readouterr().out
    for expected in (
        "Forecasts",
        "191.5 Wh",
        "28.4 Wh",
        "42.4 Wh (yesterday)",
        "7 days",
        "81 %",
        "14 % low",
        "sent is sums within 5 %",
        "it costs 4 % more",
        "learning since 5 June",
        "which is sent instead",
    ):
        assert expected in shown


async def test_an_unhealthy_one_names_what_is_wrong_and_exits_1(
    healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = replace(healthy_report.meters[1], name="pv[bold]", state="silent", last_success_s=1.0)
    assert await asked(replace(healthy_report, meters=[silent])) == 1
    assert "pv[bold]: silent" in capsys.readouterr().out


async def test_what_the_exchange_holds_otherwise_is_shown_with_the_command_that_lists_it(
    healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = replace(healthy_report.destinations[0], disputed=3)
    assert await asked(replace(healthy_report, destinations=[destination])) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for expected in ("read back: ok, 2 unconfirmed", "3 HELD OTHERWISE", "--state disputed"):
        assert expected in shown


async def test_who_is_refused_by_a_second_destination_is_named(
    healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    second = replace(
        healthy_report.destinations[0],
        name="archive",
        refuses={"PV": "answers 422: no such series", "House load": "answers 422: no such series"},
    )
    report = replace(
        healthy_report, destinations=[*healthy_report.destinations, second], meters=[], lines=[]
    )
    assert await asked(report) == 0, "worth a look, and the gateway is well"
    shown = " ".join(capsys.readouterr().out.split())
    assert "archive refuses House load, PV (answers 422: no such series)" in shown
    assert masked_report(report, lambda _: "…").destinations[1].refuses["PV"] == "…"


async def test_json_is_what_the_daemon_said(
    healthy_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asked(healthy_report, "--json") == 0
    assert Report.from_json(capsys.readouterr().out.encode()) == healthy_report


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:8080"])
def test_a_daemon_that_cannot_be_reached_says_what_to_do_and_exits_2(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--url", url]) == 2
    said = capsys.readouterr()
    assert url in said.err
    assert said.out == ""


async def test_another_server_is_not_taken_for_the_gateway(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n<html>router</html>")

    async with serving(speak) as port:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(main, ["status", "--url", url]) == 2
    assert "not as this version of the gateway" in capsys.readouterr().err


async def test_an_address_that_is_shut_out_for_wrong_tokens_reads_that_the_gateway_lives(
    healthy_report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [tmp_path / f"wrong-{n}" for n in range(6)]
    for n, path in enumerate(wrong):
        path.write_text(f"token: {'abcdef'[n] * 40}\n")
        path.chmod(0o600)
    settings = StatusSettings(host=ListenHost("0.0.0.0"), port=0)
    server = StatusServer(settings, lambda: healthy_report, lambda: "y" * 40)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    url = f"HTTP://127.0.0.1:{server.url.rpartition(':')[2]}"
    options = ["status", "--url", url, "--token-file"]
    try:
        codes = [await asyncio.to_thread(main, [*options, str(path)]) for path in wrong]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    shown = " ".join(capsys.readouterr().err.split())
    assert set(codes) == {2}
    assert "429" in shown
    assert "It is up. Try again in" in shown
    assert "Is this the gateway's address?" not in shown


def test_the_address_is_taken_from_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "pv.yaml").write_text(
        "profile: eastron/sdm120\nline: tcp:127.0.0.1:502\naddress: 2\ninterval: 10s\n"
    )
    (tmp_path / "gateway.yaml").write_text('site: home-12\nstatus: {host: "::1", port: 1}\n')
    assert main(["status", "--config", str(tmp_path)]) == 2
    assert "http://[::1]:1" in capsys.readouterr().err


def test_a_folder_with_mistakes_falls_back_to_the_usual_address(tmp_path: Path) -> None:
    assert status._configured_page(Namespace(config=tmp_path))[0] == "http://127.0.0.1:8080"
