"""What the next slots of an asset are expected to be. Pure.

`begin`, then `update` with each slot, then `predict`. `learning.py` tells how, and `python -m
tests.benchmarks forecast` how well.
"""

from gateway.energy.forecast.learned import Forecast, Learned, Rules
from gateway.energy.forecast.learning import begin, predict, update, used_method, why_none
from gateway.energy.forecast.naive import NAIVE, Method, Naive, naive_uwh
from gateway.energy.forecast.packing import pack, unpack
from gateway.energy.forecast.scores import Score, score

__all__ = [
    "NAIVE",
    "Forecast",
    "Learned",
    "Method",
    "Naive",
    "Rules",
    "Score",
    "begin",
    "naive_uwh",
    "pack",
    "predict",
    "score",
    "unpack",
    "update",
    "used_method",
    "why_none",
]
