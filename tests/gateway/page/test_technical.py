"""The page of the gateway itself has what an installer and a grid operator ask."""

from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from gateway.monitoring.report import GridOperatorReport, Report
from gateway.page.pages import technical
from gateway.page.words import LANGUAGES, words_for
from tests.gateway.monitoring.told_forecasts import with_forecasts
from tests.gateway.page.html import Shown
from tests.gateway.page.test_pages import reader


def text(report: Report, language: str = "en") -> str:
    words = words_for(language, ZoneInfo("Europe/Vienna"), report.now_s)
    page = technical.render(reader(language, words=words), report)
    return Shown(page).text.replace("\xa0", " ")


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_there_in_every_language(healthy_report: Report, language: str) -> None:
    assert "the kernel says it is synchronised" in text(healthy_report, language)


def test_what_an_installer_asks(healthy_report: Report) -> None:
    grid, *others = healthy_report.meters
    told = replace(
        grid,
        dialect="p1/hungary",
        checksum="right",
        unused=["1-0:3.8.0", "1-0:4.8.0"],
        errors=3,
        glitches=1,
    )
    said = text(replace(healthy_report, meters=[told, *others]))
    for expected in (
        "0.1.0",
        "home-12",
        "p1/hungary",
        "checksum: right",
        "2 lines not used: 1-0:3.8.0, 1-0:4.8.0",
        "1 reading not believed",
        "3 errors since the start",
        "/dev/ttyUSB0",
        "connected",
        "of 2,000 MB",
    ):
        assert expected in said, expected


def test_what_the_daemon_says_itself(healthy_report: Report) -> None:
    pv = replace(
        healthy_report.meters[1],
        state="silent",
        last_success_s=healthy_report.now_s - 4000,
        last_error="no reply in 1 s",
    )
    report = replace(healthy_report, meters=[pv])
    for reason in report.reasons():
        assert reason in text(report)


def test_fees_and_forecasts(healthy_report: Report, operator_report: GridOperatorReport) -> None:
    report = with_forecasts(replace(healthy_report, grid_operator=operator_report))
    said = text(report)
    for expected in ("Grid fees", "House 1", "2 ct/kWh", "3.25 ct/kWh", "taken"):
        assert expected in said
    for expected in ("Forecasts", "192 Wh (130 Wh – 280 Wh)", "28 Wh over", "81 %"):
        assert expected in said, expected
