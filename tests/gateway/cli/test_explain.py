"""`meter-gateway explain`: which slot is meant, and why it is what it is."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.cli.explanation import moment_of
from gateway.cli.main import main
from gateway.store.opening import open_buffer
from tests.gateway.history.rig import NOW_S, SMALL, fill, write_home

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a few hours of history."""
    folder = tmp_path_factory.mktemp("site")
    write_home(folder)
    fill(folder / "buffer.sqlite", 0.2)
    return folder


def explained(
    folder: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Exit code, output and complaints."""
    code = main(["explain", *words, "--config", str(folder)])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize(
    "time", ["2026-03-29T11:30", "2026-03-29T11:44:59", "2026-03-29T09:31Z", "1774776601"]
)
def test_a_slot_is_found_by_any_time_in_it(
    time: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = explained(folder, capsys, "House load", time)
    assert code == 0
    first, *rest = out.splitlines()
    assert first == (
        "House load used 88.870 ± 3.000 Wh in 11:30–11:45 (2026-03-29, UTC+0200): measured."
    )
    assert "       = 0.000 - 983.514 + 1072.384 = 88.870 Wh" in rest
    assert any("register 3,738.830 kWh at 11:30:00, 3,738.875 kWh at 11:45:00" in r for r in rest)
    assert any('answered "ready"; asked again 12:00:02: the same number' in r for r in rest)


def test_it_works_while_the_daemon_has_the_store(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_buffer(folder / "buffer.sqlite", SMALL, now_s=NOW_S)
    with store.database.transaction():
        assert explained(folder, capsys, "PV", "2026-03-29T11:30")[0] == 0
    store.close_file()


def test_for_programs_it_is_what_the_api_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = explained(folder, capsys, "PV", "2026-03-29T11:30", "--json")
    story = json.loads(out)
    assert (story["title"], story["start_s"], story["quality"]) == ("PV", 1774776600, "measured")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("Nobody", "11:30"), "there are: House load, PV, Heat pump"),
        (("PV", "2026-03-29T02:30"), "there was no such time"),
        (("PV", "2026-10-25T02:30"), "2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00"),
        (("PV", "soon"), "14:15 (the last one)"),
        (("PV", "25:00"), "is not a time"),
        (("PV", "2020-01-01T00:00"), "nothing is kept of PV in the slot that starts at 2020-01-01"),
        (("PV", "9999-12-31T23:59Z"), "nothing is kept"),
    ],
)
def test_what_cannot_be_explained_says_why(
    words: tuple[str, str], complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = explained(folder, capsys, *words)
    assert code != 0
    assert out == ""
    assert complaint in err
    assert "Traceback" not in err


def test_without_a_store_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_home(tmp_path / "home")
    code, _, err = explained(tmp_path / "home", capsys, "PV", "11:30")
    assert code != 0
    assert "there is no buffer" in err


def test_a_time_alone_is_the_last_one() -> None:
    assert moment_of("11:30", BERLIN, NOW_S) == 1774776600
    assert moment_of("12:30", BERLIN, NOW_S) == 1774776600 + 3600 - 86_400 + 3600
