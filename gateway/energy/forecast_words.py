"""How forecasts are told to a person. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from gateway.energy.forecast import Method, Score
from gateway.energy.forecast.scores import WORSE_DAYS

TOLD_DAYS = (1, 7, 28)
"""Over so many days errors are told."""

LEARNING_DAYS = 28
"""After so many days it is hardly better than it will ever be."""


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


def bias_words(score: Score) -> str:
    """By how much sums of forecasts are off: "sum 14 % low"; empty where nobody knows."""
    if score.bias is None:
        return ""
    percent = round(100 * abs(score.bias))
    if not percent:
        return "sum right"
    return f"sum {percent} % {'low' if score.bias < 0 else 'high'}"
