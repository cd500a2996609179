"""What the buffer tells of an asset's forecasts: since when it is learned, and how far they were
off.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway.cli.tables import local_text, utc_text, wh
from gateway.energy.forecast import Method, Score
from gateway.energy.forecast_errors import NEEDED_S, Beside, Chosen, beside, chosen, scores
from gateway.energy.forecast_words import LEARNING_DAYS, TOLD_DAYS, sent_words, share_words, words
from gateway.energy.slot import AssetSlot, ForecastBy
from gateway.ledger.exchange_terms import wish_of
from gateway.outbox.quantiles import MEDIAN
from gateway.site.settings import Asset, Settings

if TYPE_CHECKING:
    from datetime import tzinfo

    from gateway.delivery.kinds.exchange import Settings as ExchangeSettings
    from gateway.outbox.owed import Owed
    from gateway.store.buffer import Buffer

DAY_S = 86_400
LONGEST_S = TOLD_DAYS[-1] * DAY_S

AT_ONCE = 1000
ALWAYS_S = 1 << 40
NEWEST_SLOTS = 8
"""An asset whose newest slot is further behind the others' has none that counts as such."""


@dataclass(frozen=True, slots=True)
class Account:
    """One asset's forecasts."""

    asset: Asset
    method: Method
    """As gateway.yaml has it."""
    by: ForecastBy
    """How the newest of its slots was foretold; empty where it was not."""
    since_s: int | None
    """The first slot of it that is kept and known."""
    words: str
    """How far it is, for a person."""
    upcoming: "Sequence[Owed]"
    """What was sent of slots that have not ended, the newest number of each."""
    scores: Mapping[int, Score]
    """By days."""
    sends: str
    """What is sent in place of the median; empty: the median is."""
    sent: Mapping[int, Chosen]
    """How far that was off, by days; empty where the median is sent."""

    @property
    def cost(self) -> str:
        """What it costs to send that, for a person; empty where the median is sent."""
        if not self.sends:
            return ""
        days = next((n for n in (7, 28, 1) if self.sent[n].slots), TOLD_DAYS[0])
        found = self.sent[days]
        return sent_words(
            self.sends,
            "1 day" if days == 1 else f"{days} days",
            found.slots,
            (_per_million(found.mae_uwh), _per_million(found.median_mae_uwh)),
            (found.bias, found.median_bias),
        )


def account(buffer: "Buffer", settings: Settings, asset: Asset, now_s: float) -> Account:
    """All that is known of an asset's forecasts now. Raises StoreError."""
    seen = slots_beside(buffer, asset.uuid, int(now_s) - LONGEST_S, int(now_s) + 1)
    begins_s = [int(now_s) - days * DAY_S for days in TOLD_DAYS]
    found = scores(seen, begins_s)
    sends, sent = _sent(buffer, settings, asset, begins_s)
    by, since_s, told = _how_far(buffer, settings, asset, now_s)
    return Account(
        asset,
        method_of(settings, asset),
        by,
        since_s,
        told,
        _upcoming(buffer, asset, int(now_s), int(settings.market.slot)),
        dict(zip(TOLD_DAYS, found, strict=True)),
        sends,
        dict(zip(TOLD_DAYS, sent, strict=False)),
    )


def _sent(
    buffer: "Buffer", settings: Settings, asset: Asset, begins_s: Sequence[int]
) -> tuple[str, list[Chosen]]:
    """What is sent of an asset in place of the median, and how far that was off from each of these
    times on. Raises StoreError.
    """
    found = next(
        (
            (name, wish.share)
            for name, each in _exchanges(settings)
            if (wish := wish_of(asset, each.forecast, each.bias)).method == "auto"
            and wish.share != MEDIAN
        ),
        None,
    )
    if found is None:
        return "", []
    destination, share = found
    sent = buffer.tables.outbox.sent_forecasts(destination, min(begins_s), ALWAYS_S)
    slots = list(_slots(buffer, asset.uuid, min(begins_s), ALWAYS_S))
    sums = [
        chosen((slot for slot in slots if slot.start_s >= begin_s), sent).get(asset.uuid, Chosen())
        for begin_s in begins_s
    ]
    return share_words(share), sums


def news_of(buffer: "Buffer", settings: Settings, asset: Asset, now_s: float) -> str:
    """How far it is with an asset, for a person, as long as it is learned, nothing is expected of
    it, or another forecast is sent; empty otherwise. Raises StoreError.
    """
    method = method_of(settings, asset)
    if method == "none":
        return ""
    by, since_s, told = _how_far(buffer, settings, asset, now_s)
    if not by:
        return told
    is_learning = since_s is None or now_s - since_s < LEARNING_DAYS * DAY_S
    return told if method == "auto" and (is_learning or by != "auto") else ""


def _how_far(
    buffer: "Buffer", settings: Settings, asset: Asset, now_s: float
) -> tuple[ForecastBy, int | None, str]:
    newest = _newest(buffer, asset, int(settings.market.slot))
    by = newest.forecast_by if newest else ""
    since_s = _since_s(buffer, asset)
    told = words(method_of(settings, asset), by, since_s, now_s, settings.timezone.zone)
    return by, since_s, told


def _newest(buffer: "Buffer", asset: Asset, slot_s: int) -> AssetSlot | None:
    """Its newest slot, where it is not far behind the others."""
    newest_s = buffer.tables.asset_slots.newest_s()
    if newest_s is None:
        return None
    found = buffer.asset_slots(newest_s - NEWEST_SLOTS * slot_s)
    return next((each for each in reversed(list(found)) if each.asset == asset.uuid), None)


def slots_beside(buffer: "Buffer", asset: UUID, since_s: int, until_s: int) -> Iterator[Beside]:
    """An asset's slots that start within a time, beside what was and would have been expected."""
    slots = _slots(buffer, asset, max(since_s - NEEDED_S, 0), until_s)
    return (each for each in beside(slots) if each.slot.start_s >= since_s)


def _slots(buffer: "Buffer", asset: UUID, since_s: int, until_s: int) -> Iterator[AssetSlot]:
    """Its slots that start within a time, in portions: there may be years of them."""
    after_s = since_s - 1
    while portion := buffer.tables.asset_slots.of(asset, after_s, until_s, AT_ONCE):
        yield from portion
        after_s = portion[-1].start_s


def method_of(settings: Settings, asset: Asset) -> Method:
    """How an asset is forecast by gateway.yaml."""
    return asset.forecast_method([each.forecast for _, each in _exchanges(settings)])


def _exchanges(settings: Settings) -> "Iterator[tuple[str, ExchangeSettings]]":
    """Those that are sent forecasts, by their names."""
    from gateway.delivery.kinds.exchange import Settings as ExchangeSettings

    for name, each in settings.destinations.items():
        if isinstance(each, ExchangeSettings) and (
            each.dialect != "rest" or each.rest.sends == "forecast"
        ):
            yield name, each


def _since_s(buffer: "Buffer", asset: Asset) -> int | None:
    """Where the first slot of it begins that is known."""
    slots = _slots(buffer, asset.uuid, 0, ALWAYS_S)
    return next((slot.start_s for slot in slots if slot.energy_uwh is not None), None)


def _upcoming(buffer: "Buffer", asset: Asset, now_s: int, slot_s: int) -> "list[Owed]":
    newest: dict[int, Owed] = {}
    for owed in buffer.owed(now_s - slot_s + 1):
        if owed.item.subject == asset.uuid and owed.item.kind == "forecast":
            newest[owed.item.slot_s] = owed  # the newest revision comes last
    return [newest[start_s] for start_s in sorted(newest)]


# --- for programs ---------------------------------------------------------------------------------


def account_row(found: Account) -> dict[str, Any]:
    """For JSON."""
    return {
        "asset": found.asset.name,
        "uuid": str(found.asset.uuid),
        "formula": str(found.asset.energy),
        "method": found.method,
        "by": found.by,
        "learning_since_utc": None if found.since_s is None else utc_text(found.since_s),
        "words": found.words,
        "upcoming": [
            {
                "start_utc": utc_text(owed.item.slot_s),
                "energy_wh": wh(owed.item.energy_uwh),
                "revision": owed.item.revision,
                "delivery": owed.state,
            }
            for owed in found.upcoming
        ],
        "sends": found.sends,
        "errors": [
            {"days": days, **_score_row(each), "sent": _sent_row(found.sent.get(days))}
            for days, each in found.scores.items()
        ],
    }


def _sent_row(found: Chosen | None) -> dict[str, Any] | None:
    """None where the median is sent, or nothing was judged."""
    if found is None or not found.slots:
        return None
    return {
        "slots": found.slots,
        "mean_error_wh": _per_million(found.mae_uwh),
        "median_mean_error_wh": _per_million(found.median_mae_uwh),
        "sums_off_by": found.bias,
        "median_sums_off_by": found.median_bias,
    }


def _score_row(score: Score) -> dict[str, Any]:
    return {
        "slots": score.slots,
        "mean_error_wh": _per_million(score.mae_uwh),
        "naive_mean_error_wh": {
            name: _per_million(uwh) for name, uwh in score.naive_mae_uwh.items()
        },
        "best_naive": score.best_naive,
        "inside_band": score.inside,
        "sums_off_by": score.bias,
    }


def _per_million(uwh: float | None) -> float | None:
    return None if uwh is None else uwh / 1e6


FORECAST_COLUMNS = (
    "start_utc",
    "start_local",
    "length_s",
    "asset",
    "uuid",
    "energy_wh",
    "quality",
    "forecast_wh",
    "forecast_low_wh",
    "forecast_high_wh",
    "forecast_by",
    "error_wh",
    "inside_band",
    "last_slot_wh",
    "yesterday_wh",
    "last_week_wh",
)


def beside_row(each: Beside, name: str, zone: "tzinfo") -> dict[str, Any]:
    """For CSV and spreadsheets: a slot beside all that was expected of it; with local times of
    that zone.
    """
    slot = each.slot
    return {
        "start_utc": utc_text(slot.start_s),
        "start_local": local_text(slot.start_s, zone),
        "length_s": slot.length_s,
        "asset": name,
        "uuid": str(slot.asset),
        "energy_wh": wh(each.energy_uwh),
        "quality": slot.quality,
        "forecast_wh": wh(slot.forecast_uwh),
        "forecast_low_wh": wh(slot.forecast_low_uwh),
        "forecast_high_wh": wh(slot.forecast_high_uwh),
        "forecast_by": slot.forecast_by,
        "error_wh": wh(each.error_uwh),
        "inside_band": each.is_inside,
        **{f"{name}_wh": wh(uwh) for name, uwh in each.naive_uwh.items()},
    }
