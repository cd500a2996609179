"""How far forecasts were off, as the cells of a table. Pure."""

from gateway.energy.forecast import Score
from gateway.energy.forecast_words import off_words

COLUMNS = (
    "asset",
    "over",
    "slots",
    "mean error Wh",
    "last slot",
    "yesterday",
    "last week",
    "beside the best",
    "in the band",
    "sums",
)
"""The errors of the naive ones have their names."""


def score_cells(days: int, score: Score) -> list[str]:
    """All but the asset."""
    return [
        "1 day" if days == 1 else f"{days} days",
        str(score.slots),
        energy_text(score.mae_uwh),
        *(energy_text(uwh) for uwh in score.naive_mae_uwh.values()),
        beside_best_text(score),
        "–" if score.inside is None else f"{score.inside:.0%}".replace("%", " %"),
        "–" if score.bias is None else off_words(score.bias),
    ]


def energy_text(energy_uwh: float | None) -> str:
    """Wh with about three digits."""
    if energy_uwh is None:
        return "–"
    wh = energy_uwh / 1e6
    return f"{wh:,.{0 if abs(wh) >= 100 else 1 if abs(wh) >= 10 else 2}f}"


def beside_best_text(score: Score) -> str:
    """By how much the error is smaller than the best naive one's, of those slots: "23 % less"."""
    best = score.best_naive
    naive_uwh = score.naive_mae_uwh[best] if best else None
    if score.mae_uwh is None or naive_uwh is None:
        return "–"
    if not naive_uwh:
        return "same" if not score.mae_uwh else "more"
    percent = round(100 * (score.mae_uwh / naive_uwh - 1))
    if not percent:
        return "same"
    return f"{abs(percent)} % {'less' if percent < 0 else 'more'}"
