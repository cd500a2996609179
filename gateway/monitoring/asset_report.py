"""What the status page says of assets: the last day of each. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from msgspec.structs import replace

from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import AssetSlot
from gateway.monitoring.report import AssetReport, ForecastReport
from gateway.outbox.item import Subject
from gateway.outbox.owed import Owed
from gateway.site.settings import Asset

DAY_S = 86_400


def asset_reports(
    assets: Sequence[Asset],
    day: Iterable[Owed],
    settled: Callable[[UUID, int], AssetSlot | None],
    forecasts: Mapping[UUID, ForecastReport],
) -> list[AssetReport]:
    """One report per asset, from what was owed for the slots of the last day, in their order, what
    the books have of each asset's slot (by its start), and how it is with its forecasts.
    """
    recent: dict[Subject, dict[int, Owed]] = {asset.uuid: {} for asset in assets}
    for owed in day:
        item = owed.item
        if item.kind == "measurement" and item.subject in recent:
            recent[item.subject][item.slot_s] = owed  # the newest revision comes last
    return [
        replace(
            _asset_report(asset, list(recent[asset.uuid].values()), settled),
            forecast=forecasts.get(asset.uuid),
        )
        for asset in assets
    ]


def _asset_report(
    asset: Asset, day: Sequence[Owed], settled: Callable[[UUID, int], AssetSlot | None]
) -> AssetReport:
    last = day[-1] if day else None
    known = last is not None and last.quality in ("measured", "estimated")
    booked = settled(asset.uuid, last.item.slot_s) if last and known else None
    uncertainty_uwh = booked.uncertainty_uwh if booked else None
    states = Counter(owed.state for owed in day)
    newest_first = day[::-1]
    accepted = (owed.item.slot_s for owed in newest_first if owed.state == "accepted")
    reasons = (owed.reason for owed in newest_first if owed.state in ("rejected", "missed"))
    return AssetReport(
        name=asset.name,
        uuid=str(asset.uuid),
        kind=asset.kind,
        formula=str(asset.energy),
        last_slot_s=last.item.slot_s if last else None,
        last_energy_wh=last.item.energy_uwh / UWH_PER_WH if last and known else None,
        last_uncertainty_wh=None if uncertainty_uwh is None else uncertainty_uwh / UWH_PER_WH,
        last_quality=last.quality if last else "",
        last_delivery=last.state if last else "",
        last_accepted_slot_s=next(accepted, None),
        pending=states["pending"],
        accepted=states["accepted"],
        rejected=states["rejected"],
        missed=states["missed"],
        last_reason=next(reasons, ""),
        refused=_refused(newest_first),
    )


def _refused(newest_first: Sequence[Owed]) -> str:
    """Why the newest slot is refused that the exchange gave a word on; empty where it took it."""
    for owed in newest_first:
        if owed.refused_s is not None:
            return owed.reason
        if owed.state in ("accepted", "rejected"):
            break
    return ""
