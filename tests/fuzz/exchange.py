"""What an exchange says beside its replies to deliveries: verdicts over a websocket, its registry,
and the results that it offers for download.
"""

import json
from collections.abc import Iterable
from uuid import UUID

from gateway.outbox.exchange.answers import answer_for, answer_of_batch
from gateway.outbox.exchange.frames import Strange, verdict_in
from gateway.outbox.exchange.registry import Unreadable, Wanted, registry_in, resolve
from gateway.outbox.exchange.results import Unreadable as UnreadableResults
from gateway.outbox.exchange.results import results_in
from gateway.outbox.format import Rejected
from tests.fuzz.target import Target, check_message

ASSET = UUID("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1")
ID = "ce2f0987-9a62-4575-bd7f-61b611afb384"
WORDS = (
    *(
        b'"transaction_id"',
        b'"responses"',
        b'"status"',
        b'"ready"',
        b'"error"',
        b'"batch_commands"',
    ),
    *(b'"children"', b'"uuid"', b'"name"', b'"type"', b"null", b"\\u0000", b"1e999"),
)


def frames(data: bytes) -> None:
    """A frame is a verdict, something else, or strange."""
    verdict = verdict_in(data)
    if verdict is None:
        return
    for answer in (answer_for(verdict, ASSET), answer_of_batch(verdict, lambda _: ASSET)):
        for outcome in (*answer.of_streams.values(), answer.outcome):
            if isinstance(outcome, Rejected):
                check_message(outcome.reason)


def frame_seeds() -> Iterable[bytes]:
    word = {"command": "set_energy_measurement", "status": "ready", "transaction_id": ID}
    yield json.dumps(word).encode()
    yield json.dumps({**word, "status": "error", "error_message": "Wrong energy"}).encode()
    answers = [word, {"status": "error", "message": "Command type not supported"}]
    batch = {"command": "batch_commands", "transaction_id": ID, "responses": {str(ASSET): answers}}
    yield json.dumps(batch).encode()
    yield b'{"event": "market", "market_slot": "2026-11-28T00:15", "grid_tree": {}}'


def registries(data: bytes) -> None:
    """A registry is read, or refused; what it says is told in one line."""
    nodes = registry_in(data)
    for is_by_name in (True, False):
        wanted = [Wanted(ASSET, "House load", "load", is_by_name)]
        for difference in resolve(nodes, wanted).differences:
            check_message(str(difference))


def registry_seeds() -> Iterable[bytes]:
    leaf = {"name": "House load", "type": "Load", "uuid": str(ASSET), "registered": True}
    house = {"name": "House 1", "type": "Area", "children": [leaf, {**leaf, "type": "PV"}]}
    yield json.dumps({"name": "Grid", "type": "Area", "uuid": ID, "children": [house]}).encode()


def results(data: bytes) -> None:
    """A file is read as a tree or as a table, or refused."""
    name = "house-load.csv" if data[:1] == b"s" else "asset_statistics.json"
    for profile in results_in(name, data.decode(errors="replace"), "Europe/Berlin"):
        check_message(profile.name)
        assert all(isinstance(uwh, int) for uwh in profile.slots.values())


def results_seeds() -> Iterable[bytes]:
    slots = {f"2026-03-29T{hour:02}:{minute:02}": 0.125 for hour in range(6) for minute in (0, 30)}
    load = {"House load": {"load_profile_kWh": slots, "trade_price_eur": dict.fromkeys(slots)}}
    yield json.dumps({"House 1": load | {"PV": {"pv_production_kWh": slots}}}).encode()
    yield b"slot,energy traded [kWh],desired energy [kWh]\n2026-03-29T01:00:00+00:00,0,0.125\n"


TARGETS = (
    Target(
        "results",
        "the results that an exchange offers for download",
        results,
        results_seeds,
        (UnreadableResults,),
        words=(
            b'"load_profile_kWh"',
            b'"2026-03-29T02:00"',
            b"NaN",
            b"1e999",
            b"null",
            b"\n",
            b";",
        ),
    ),
    Target(
        "verdicts",
        "what an exchange says over its websocket",
        frames,
        frame_seeds,
        (Strange,),
        words=WORDS,
    ),
    Target(
        "registry",
        "the registry of an exchange",
        registries,
        registry_seeds,
        (Unreadable,),
        words=WORDS,
    ),
)
