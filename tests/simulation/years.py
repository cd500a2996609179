"""Many scenarios, one after the other or on several processors, and what came of them."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.laws import Verdict, judge
from tests.simulation.scenario import Scenario
from tests.simulation.shrink import shrunk
from tests.simulation.world import run

YEAR_S = 365.25 * 86_400
RUNS_PER_PROCESS = 50


@dataclass(slots=True)
class Tally:
    """What many runs came to."""

    runs: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    qualities: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    fees: Counter[str] = field(default_factory=Counter)
    felt: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    broken: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """One more run."""
        scenario = verdict.scenario
        self.runs += 1
        self.seconds += scenario.lasts
        self.starts += verdict.starts
        self.faults.update(each.fault for each in scenario.happens)
        self.felt.update(verdict.felt)
        self.qualities.update(verdict.qualities)
        self.deliveries.update(verdict.deliveries)
        self.fees.update(verdict.fees)
        if verdict.violations:
            self.broken.append(verdict)


def try_out(scenario: Scenario) -> Verdict:
    """Run one scenario in a folder of its own, and judge it."""
    with tempfile.TemporaryDirectory(prefix="meter-gateway-simulation-") as folder:
        try:
            return judge(run(scenario, Path(folder)))
        except Exception as error:
            error.add_note(f"in the scenario {scenario.about!r}, seed {scenario.seed}")
            raise


def smallest(scenario: Scenario) -> Scenario:
    """The smallest scenario that breaks a law as this one does. Where it is only not what this
    scenario asks for, that is the smallest.
    """
    kinds = {text.partition(":")[0] for text in try_out(scenario).violations} - {"expected"}
    if not kinds:
        return scenario
    return shrunk(
        scenario,
        lambda tried: bool(kinds & {text.partition(":")[0] for text in try_out(tried).violations}),
    )


def try_all(scenarios: Iterable[Scenario], jobs: int | None = None) -> Iterator[Verdict]:
    """Run scenarios, `jobs` at a time (default: one per processor), and give out each verdict in
    their order.
    """
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        yield from map(try_out, scenarios)
        return
    # A process serves few runs: what SQLite and the allocator keep must not add up over years.
    with get_context("spawn").Pool(jobs, maxtasksperchild=RUNS_PER_PROCESS) as pool:
        yield from pool.imap(try_out, scenarios)


def tally(verdicts: Iterable[Verdict], tell: Callable[[Tally, Verdict], None]) -> Tally:
    """Sum verdicts up; `tell` hears of each."""
    total = Tally()
    for verdict in verdicts:
        total.add(verdict)
        tell(total, verdict)
    return total
