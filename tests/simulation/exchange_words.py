"""What an exchange may say beside its replies, and what its registry may be like. Data."""

from collections.abc import Mapping

EXCHANGE_WORDS: Mapping[str, str] = {
    "live_off": "the live data of the meter's own asset is off: all is taken, and forgotten",
    "kind_not_taken": "the meter's own asset is a Storage, whose energy the exchange forgets alike",
    "verdicts_lost": "nothing that the exchange's engine says arrives",
    "websockets_down": "every websocket is closed, and none is opened",
    "hostile_frames": "each minute every websocket says what is no verdict; 10 MB once",
    "engine_leads": "the engine's clock is `amount` seconds ahead",
    "made_anew": "the network is made anew: other UUIDs, no aggregator; where they are written, "
    "all is as before at the end",
    "asset_renamed": "the meter's own asset has another name in the exchange",
    "asset_removed": "the meter's own asset is not in the network",
    "asset_twice": "the network has a second asset of the same name",
    "role_lost": "the account may not use the exchange's interfaces",
    "registry_gone": "the exchange's registry cannot be read",
    "aggregator_lost": "somebody deletes every aggregator",
    "aggregator_switched": "gateway.yaml is changed to go by way of an aggregator, or by itself "
    "again, and the daemon is restarted; likewise at the end",
}
"""Faults of what an exchange says of what it took, and of its registry."""
