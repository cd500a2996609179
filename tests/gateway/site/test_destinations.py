"""`destinations:` is read and checked by whoever knows the kinds; mistakes keep file, line, key."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.strict_yaml import Mistake, Seconds
from gateway.delivery import kinds
from gateway.delivery.kinds import exchange
from gateway.site.config import load
from gateway.site.credentials import ConfigError
from gateway.site.settings import DestinationSection, Surroundings

GRID = "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The settings of a kind of destination."""

    host: str
    pause: Seconds

    def check(self, site: Surroundings) -> Iterator[Mistake]:
        if self.pause > site.market.slot:
            yield Mistake(("pause",), "is longer than a slot", f"at most {site.market.slot}s")


def decode_fleet(section: DestinationSection) -> Fleet | None:
    if section.kind != "fleet":
        section.report([Mistake(("kind",), f"there is no kind {section.kind!r}")])
        return None
    return section.decode(Fleet)


def site(folder: Path, destinations: str) -> Path:
    (folder / "devices").mkdir()
    (folder / "devices" / "grid.yaml").write_text(GRID)
    (folder / "gateway.yaml").write_text(f"site: test\ndestinations:\n{destinations}")
    return folder


def test_the_caller_s_decoder_makes_the_settings_of_each_destination(tmp_path: Path) -> None:
    folder = site(tmp_path, "  ours: {kind: fleet, host: fleet.example, pause: 1min}\n")
    settings = load(folder, decode_destination=decode_fleet)
    assert settings.destinations == {"ours": Fleet(host="fleet.example", pause=Seconds(60))}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            "  Ours!: {kind: fleet, host: a, pause: 1s}\n",
            "gateway.yaml:3: destinations.Ours!: 'Ours!' cannot be a destination's name",
        ),
        (
            "  ours: {kind: fleet, host: a, pause: 1h}\n",
            "gateway.yaml:3: destinations.ours.pause: is longer than a slot — at most 900s",
        ),
        (
            "  ours:\n    kind: fleet\n    host: a\n    pause: 1s\n    colour: blue\n",
            "gateway.yaml:7: destinations.ours.colour: unknown key",
        ),
        (
            "  ours: {kind: fleat, host: a}\n",
            "gateway.yaml:3: destinations.ours.kind: there is no kind 'fleat'",
        ),
        (
            "  ours: {host: a}\n",
            "gateway.yaml:3: destinations.ours: key 'kind' is missing",
        ),
        (
            "  ours: a\n",
            "gateway.yaml:3: destinations.ours: expected key: value pairs",
        ),
        (
            "  ours: {kind: fleet, host: a, pause: 1s, credentials: ours.credentials}\n",
            "ours.credentials: a login cannot be read",
        ),
    ],
)
def test_a_mistake_in_a_destination_is_told_with_its_line_and_key(
    tmp_path: Path, written: str, says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(site(tmp_path, written), decode_destination=decode_fleet)
    assert says in str(error.value)


def test_mistakes_of_destinations_are_told_beside_those_of_the_rest_of_the_file(
    tmp_path: Path,
) -> None:
    folder = site(tmp_path, "  ours: {kind: fleet, host: a, pause: soon}\n")
    with (folder / "gateway.yaml").open("a") as file:
        file.write("market: {slot: 7s}\n")
    with pytest.raises(ConfigError) as error:
        load(folder, decode_destination=decode_fleet)
    assert "gateway.yaml:3: destinations.ours.pause:" in str(error.value)
    assert "gateway.yaml:4: market.slot: 7s does not divide a day" in str(error.value)


NETWORK = "8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10"
EXCHANGE = f"{{dialect: sdk, canary_network: {NETWORK}, credentials: a}}"


def test_exchange_is_short_for_a_destination_of_that_name_and_kind(tmp_path: Path) -> None:
    folder = site(tmp_path, "  {}\n")
    asset = f"- {{name: Load, uuid: {NETWORK}, kind: load, energy: grid.import}}\n"
    short = f"site: test\nexchange: {EXCHANGE}\nassets:\n{asset}"
    (folder / "gateway.yaml").write_text(short)
    [(name, settings)] = kinds.load(folder, logins=False).destinations.items()
    assert name == "exchange"
    assert isinstance(settings, exchange.Settings)

    section = EXCHANGE.replace("{", "{kind: exchange, ")
    long = f"site: test\ndestinations: {{exchange: {section}}}\nassets:\n{asset}"
    (folder / "gateway.yaml").write_text(long)
    assert kinds.load(folder, logins=False).destinations == {"exchange": settings}

    (folder / "gateway.yaml").write_text(f"{long}exchange: {EXCHANGE}\n")
    with pytest.raises(ConfigError, match=r"destinations\.exchange: is there twice"):
        kinds.load(folder, logins=False)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("sdk", ":3: exchange: expected key: value pairs, found the text 'sdk'"),
        (EXCHANGE.replace("sdk", "sdx"), ":3: exchange.dialect: there is no dialect 'sdx'"),
        (EXCHANGE.replace("credentials: a", ""), ":3: exchange: key 'credentials' is missing"),
        (EXCHANGE.replace("{", "{margin: 10min, "), ":3: exchange.margin: leaves no time"),
        (EXCHANGE.replace("{", "{kind: exchange, "), ":3: exchange.kind: unknown key"),
    ],
)
def test_a_mistake_in_exchange_is_told_with_its_line_and_key(
    tmp_path: Path, written: str, says: str
) -> None:
    folder = site(tmp_path, "  {}\n")
    (folder / "gateway.yaml").write_text(f"site: test\n\nexchange: {written}\n")
    with pytest.raises(ConfigError) as error:
        kinds.load(folder, logins=False)
    assert f"gateway.yaml{says}" in str(error.value)
