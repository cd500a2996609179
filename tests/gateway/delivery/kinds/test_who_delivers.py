"""Who delivers to the exchange, as gateway.yaml says it: what does not fit together is said."""

from pathlib import Path

import pytest

from gateway.delivery.kinds import load
from gateway.site.credentials import ConfigError

UUIDS = ("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1", "8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10")
FLEET = "fleet: {kind: fleet_mqtt, host: broker.example}"
EXCHANGE = f"dialect: sdk, canary_network: {UUIDS[1]}"


def problems(folder: Path, exchange: str, *destinations: str, uuid: str = UUIDS[0]) -> list[str]:
    (folder / "devices").mkdir(exist_ok=True)
    (folder / "devices" / "grid.yaml").write_text(
        "profile: eastron/sdm120\nline: tcp:192.0.2.1:502\naddress: 1\n"
    )
    named = f"uuid: {uuid}, " if uuid else ""
    (folder / "gateway.yaml").write_text(
        f"site: home-12\nexchange: {{{exchange}}}\n"
        f"assets:\n  - {{name: House, {named}kind: load, energy: grid.import}}\n"
        + "destinations:\n" * bool(destinations)
        + "".join(f"  {each}\n" for each in destinations)
    )
    try:
        load(folder, logins=False)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("exchange", "destinations", "words"),
    [
        (f"{EXCHANGE}, deliver: fleet", [FLEET], ""),
        (f"{EXCHANGE}, credentials: x.credentials", [FLEET], ""),
        (EXCHANGE, [FLEET], "key 'credentials' is missing"),
        (f"{EXCHANGE}, deliver: fleet", [], "there is no fleet that could deliver"),
        (f"{EXCHANGE.replace('sdk', 'rest')}, deliver: fleet", [FLEET], "only the home can speak"),
        (
            f"{EXCHANGE}, deliver: fleet",
            [FLEET, FLEET.replace("fleet:", "other:")],
            "there is another fleet already",
        ),
        (
            f"{EXCHANGE}, deliver: fleet",
            [FLEET, f"second: {{kind: exchange, {EXCHANGE}, deliver: fleet}}"],
            "delivers to one exchange only",
        ),
    ],
)
def test_a_fleet_that_delivers_is_there_and_can(
    tmp_path: Path, exchange: str, destinations: list[str], words: str
) -> None:
    found = problems(tmp_path, exchange, *destinations)
    assert [words in each for each in found] == ([True] if words else [])


def test_the_fleet_knows_assets_by_their_uuids_only(tmp_path: Path) -> None:
    [found] = problems(tmp_path, f"{EXCHANGE}, deliver: fleet", FLEET, uuid="")
    assert "House has no uuid" in found
