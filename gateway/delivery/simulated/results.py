"""The results that the simulated exchange offers for download. Pure.

The documentation names the files of the real download and not what is in them. This is the engine's
own `asset_statistics.json`: a tree of names, and in each asset its profile by slot. As in the real
one that is what was *forecast*; a measurement never appears in it.

    {"House 1": {"House load": {"load_profile_kWh": {"2026-03-29T01:00": 0.125, …}, …}}}
"""

from collections.abc import Mapping

from gateway.delivery.simulated.books import KEPT_S, Books, slot_text
from gateway.delivery.simulated.commands import UWH_PER_KWH
from gateway.delivery.simulated.community import Community, Node

PROFILE_OF: Mapping[str, str] = {"Load": "load_profile_kWh", "PV": "pv_production_kWh"}


def asset_statistics(
    community: Community, books: Books, slot_s: int, now_s: float
) -> dict[str, object]:
    """Of the slots that are over, the oldest 90 days ago. A slot without a forecast is zero."""
    end_s = int(now_s) // slot_s * slot_s
    slots = range(max(books.began_s, end_s - KEPT_S), end_s, slot_s)

    def told(node: Node) -> dict[str, object]:
        if node.is_market:
            return {child.name: told(child) for child in node.children}
        profile = PROFILE_OF.get(node.kind)
        if profile is None:
            return {}
        forecasts = books.forecasts.get(node.uuid, {})
        energy_kwh = {slot_text(at, slot_s): forecasts.get(at, 0) / UWH_PER_KWH for at in slots}
        nothing: dict[str, float] = dict.fromkeys(energy_kwh, 0)
        return {
            "trade_price_eur": dict.fromkeys(energy_kwh),
            "trade_energy_kWh": nothing,
            profile: energy_kwh,
            f"min_{profile}": energy_kwh,
            f"max_{profile}": energy_kwh,
        }

    return told(community.root)
