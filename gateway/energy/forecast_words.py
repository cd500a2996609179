"""How forecasts are told to a person. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from gateway.energy.forecast import Method
from gateway.energy.forecast.scores import WORSE_DAYS

TOLD_DAYS = (1, 7, 28)
"""Over so many days errors are told."""

LEARNING_DAYS = 28
"""After so many days it is hardly better than it will ever be."""


SUMS_WORDS = "sums within 5 %"
"""As gateway.yaml calls the quantile at which sums hold."""

NAMES: Mapping[str, str] = {
    "auto": "what was learned",
    "last_slot": "the last slot",
    "yesterday": "yesterday's",
    "last_week": "last week's",
}
"""How each method is called in a sentence."""


def words(method: Method, by: str, since_s: float | None, now_s: float, zone: tzinfo) -> str:
    """How far it is with an asset: `method` is what gateway.yaml says, `by` how its newest slot was
    foretold (empty where it was not), `since_s` its first slot that is known.
    """
    if method == "none":
        return "not forecast: gateway.yaml says forecast: none"
    if since_s is None:
        return "no slot of it has been metered yet"
    learning = since_words(since_s, now_s, zone)
    if not by:
        return f"{learning}; nothing was expected of its newest slot yet"
    if method != "auto":
        return f"{NAMES[method]}, as gateway.yaml says"
    if by != "auto":
        return (
            f"{learning}; was worse for {WORSE_DAYS} days than {NAMES[by]}, which is sent instead"
        )
    return learning


def since_words(since_s: float, now_s: float, zone: tzinfo) -> str:
    """Since when it is learned: "learning since Tuesday", by the local clock of `zone`."""
    begin, now = (datetime.fromtimestamp(at_s, UTC).astimezone(zone) for at_s in (since_s, now_s))
    days = (now.date() - begin.date()).days
    if days <= 0:
        return f"learning since {begin:%H:%M} today"
    if days < 7:
        return f"learning since {begin:%A}"
    day = f"{begin.day} {begin:%B}" + (f" {begin:%Y}" if begin.year != now.year else "")
    return f"{'learning' if days < LEARNING_DAYS else 'learned'} since {day}"


def off_words(share: float) -> str:
    """By how much a sum is off, as a share of what came: "14 % low", or "right"."""
    percent = round(100 * abs(share))
    if not percent:
        return "right"
    return f"{percent} % {'low' if share < 0 else 'high'}"


def share_words(share: float | str) -> str:
    """What is sent in place of the median: "sums within 5 %" or "the 60 % quantile"."""
    return SUMS_WORDS if isinstance(share, str) else f"the {100 * share:.3g} % quantile"


def cost_words(sent: float | None, median: float | None) -> str:
    """By how much the mean error of what was sent is larger than the median's of the same slots:
    "3 % more"; empty where nobody knows.
    """
    if sent is None or median is None:
        return ""
    if not median:
        return "more" if sent else "no more"
    percent = round(100 * (sent / median - 1))
    if not percent:
        return "no more"
    return f"{abs(percent)} % {'more' if percent > 0 else 'less'}"


def sent_words(
    sends: str,
    over: str = "",
    slots: int = 0,
    mean_errors_wh: tuple[float | None, float | None] = (None, None),
    sums_off_by: tuple[float | None, float | None] = (None, None),
) -> str:
    """What another quantile than the median costs, and brings: of what was sent and of the median,
    for the same slots, the mean error (Wh) and by how much the sum was off.
    """
    sent_wh, median_wh = mean_errors_wh
    if sent_wh is None or median_wh is None:
        return f"sent is {sends}; what that costs is told once slots have come of it"
    sums = [f", sum {off_words(off)}" if off is not None else "" for off in sums_off_by]
    return (
        f"sent is {sends}: over {over} ({slots} slots) mean error {sent_wh:.2f} Wh{sums[0]}; "
        f"the median's would have been {median_wh:.2f} Wh{sums[1]}: "
        f"it costs {cost_words(sent_wh, median_wh)}"
    )
