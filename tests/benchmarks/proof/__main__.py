"""python -m tests.benchmarks.proof: the rms error (Wh) of each combination, as JSON.

What `baseline.py` holds was made this way, in a checkout of the commit it names.
"""

import json

from tests.benchmarks.proof.combinations import grid
from tests.benchmarks.proof.evaluation import evaluate

found = {each.title: round(evaluate(each).score.rms, 4) for each in grid()}
print(json.dumps(found, indent=4, ensure_ascii=False))
