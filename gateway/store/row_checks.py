"""What a row of each table must look like. SQLite keeps no checksums: inside a page damage can go
unnoticed. Pure.

Conditions in SQL, made from the types in the code: what these allow cannot be forgotten here.
"""

from collections.abc import Mapping
from typing import Literal, get_args, get_origin, get_type_hints

from gateway.energy.assets import Direction
from gateway.energy.slot import AssetSlot, Slot
from gateway.outbox.item import Item
from gateway.outbox.owed import MAX_ANSWER_CHARACTERS, Owed
from gateway.store.grid_fee_rows import GridFee


def _in(names: object) -> str:
    """The condition that a column holds one of the words its type allows."""
    return "(" + ", ".join(f"'{word}'" for word in get_args(names)) + ")"


def _words(of: type) -> dict[str, str]:
    """The conditions of all columns that hold words."""
    return {
        name: _in(hint) for name, hint in get_type_hints(of).items() if get_origin(hint) is Literal
    }


def _whole(*columns: str) -> str:
    return " AND ".join(f"typeof({column}) = 'integer'" for column in columns)


def _whole_or_null(*columns: str) -> str:
    return " AND ".join(f"typeof({column}) IN ('integer', 'null')" for column in columns)


def _text_or_null(*columns: str) -> str:
    return " AND ".join(f"typeof({column}) IN ('text', 'null')" for column in columns)


def _time_or_null(*columns: str) -> str:
    return " AND ".join(f"typeof({column}) IN ('real', 'integer', 'null')" for column in columns)


def _uuid(column: str) -> str:
    return f"typeof({column}) = 'blob' AND length({column}) = 16"


def _series(column: str) -> str:
    ends = " OR ".join(f"{column} GLOB '?*.{word}'" for word in get_args(Direction))
    return f"typeof({column}) = 'text' AND ({ends})"


VALID: Mapping[str, str] = {
    "slots": " AND ".join(
        [
            *(f"{column} IN {words}" for column, words in _words(Slot).items()),
            _whole("start_s", "length_s", "begin_uwh", "end_uwh", "coverage_permille"),
            _whole_or_null("energy_uwh", "uncertainty_uwh"),
            "typeof(device) = 'text' AND length_s > 0 AND imported IN (0, 1)",
            "typeof(doubts) = 'text'",
        ]
    ),
    "asset_slots": " AND ".join(
        [
            *(f"{column} IN {words}" for column, words in _words(AssetSlot).items()),
            _uuid("asset"),
            _whole("start_s", "length_s", "revision"),
            _whole_or_null("energy_uwh", "uncertainty_uwh"),
            _whole_or_null("forecast_uwh", "forecast_low_uwh", "forecast_high_uwh"),
            "length_s > 0 AND imported IN (0, 1)",
        ]
    ),
    "forecast_states": " AND ".join(
        [
            _uuid("asset"),
            _whole("since_s", "as_of_s"),
            "typeof(formula) = 'text' AND typeof(state) = 'blob'",
        ]
    ),
    "outbox": " AND ".join(
        [
            *(f"{column} IN {words}" for column, words in {**_words(Owed), **_words(Item)}.items()),
            _whole("slot_s", "revision", "length_s", "attempts"),
            _whole_or_null("energy_uwh", "raw_uwh", "held_uwh"),
            "typeof(opens_s) IN ('real', 'integer')",
            _time_or_null("first_sent_s", "last_sent_s"),
            _text_or_null("answer", "transaction_id"),
            f"coalesce(length(answer), 0) <= {MAX_ANSWER_CHARACTERS}",
            f"typeof(destination) = 'text' AND (({_uuid('subject')}) OR ({_series('subject')}))",
        ]
    ),
    "grid_fees": " AND ".join(
        [
            *(f"{column} IN {words}" for column, words in _words(GridFee).items()),
            _uuid("market"),
            _whole("slot_s", "sent", "slots_without"),
            _whole_or_null("fee", "wanted", "in_force"),
            "typeof(name) = 'text' AND json_valid(inputs) AND json_valid(memory)",
        ]
    ),
    "counters": "typeof(device) = 'text' AND typeof(state) = 'blob' AND json_valid(CAST(state "
    f"AS TEXT)) AND {_whole('sample_id')}",
    "layouts": "typeof(device) = 'text' AND typeof(quantities) = 'text' AND NOT quantities GLOB "
    "'*[^_,0-9a-z]*'",
    "boots": "typeof(boot_id) = 'text'",
    "changes": _whole("seq", "slot_s"),
    "fleet_store": "typeof(store) = 'text'",
    "samples": "typeof(data) = 'blob' AND typeof(utc_ms) IN ('integer', 'null') AND "
    f"{_whole('layout', 'boot', 'boottime_ms')}",
    "unallocated": f"typeof(device) = 'text' AND direction IN {_in(Direction)} AND "
    f"{_whole('from_ms', 'to_ms', 'begin_uwh', 'end_uwh')}",
    "events": "typeof(text) = 'text' AND typeof(kind) = 'text' AND typeof(at_s) IN ('real', "
    "'integer')",
}
"""Per table: the condition that a row is one of ours."""

LOST_BOOT = "lost-"
"""How the name begins that a boot is given whose own was lost with a damaged file."""

TABLES = ("boots", "layouts", "samples", "counters", "slots", "outbox", "events")
"""The tables that every version has."""
