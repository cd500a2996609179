"""`make fuzz`: feeds every parser of foreign bytes with mutations of real ones, and prints what
came of it.

python -m tests.fuzz [--inputs N] [TARGET …]     all targets for a minute or two, or N inputs
divided over them by their speed

Exit codes: 0 nothing was found; 1 something was, and the input lies in .fuzz/<target>/; 2 there is
no such target, or no atheris. What mutations have found to lead further is kept in
.fuzz/<target>/corpus/: the next run begins there.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

MEMORY = "/dev/shm"
KEPT = Path(__file__).parents[2] / ".fuzz"
DEFAULT_S = 100.0
"""How long all targets together take where no number of inputs is said."""
CALIBRATION_S = 5
INPUT_S = 10
"""An input that takes longer is a finding. The slowest take some 0.1 s."""
MEMORY_MB = 250
"""More is a finding. Python, atheris and all of our modules take about 90 MB, what is kept of the
inputs some more.
"""


@dataclass(slots=True)
class Result:
    """What came of one target."""

    inputs: int = 0
    seconds: float = 0.0
    peak_mb: int = 0
    finding: str = ""

    @property
    def per_s(self) -> float:
        """Inputs a second."""
        return self.inputs / self.seconds if self.seconds else 0.0

    def add(self, other: "Result") -> None:
        """Take in a further run of the same target."""
        self.inputs += other.inputs
        self.seconds += other.seconds
        self.peak_mb = max(self.peak_mb, other.peak_mb)
        self.finding = self.finding or other.finding


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make fuzz",
        description="feed every parser of foreign bytes with mutations of real ones",
    )
    parser.add_argument(
        "--inputs",
        type=int,
        default=0,
        help="inputs in all, divided over the targets by their speed",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    said = parser.parse_args(arguments)
    unknown = [name for name in said.targets if name not in TARGETS]
    if unknown:
        print(
            f"there is no target {', '.join(unknown)}; there are: {', '.join(TARGETS)}",
            file=sys.stderr,
        )
        return 2
    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is not installed: it has wheels for Linux on x86-64 with Python 3.11 to "
            "3.14. `make test` feeds the same targets "
            "with hypothesis, everywhere.",
            file=sys.stderr,
        )
        return 2
    chosen = [TARGETS[name] for name in said.targets or TARGETS]
    results = {target.name: Result() for target in chosen}
    if said.inputs:
        _inputs(chosen, results, said.inputs)
    else:
        for target in chosen:
            results[target.name].add(fuzz(target, seconds=max(2, round(DEFAULT_S / len(chosen)))))
    _print(chosen, results)
    return 1 if any(result.finding for result in results.values()) else 0


def _inputs(chosen: list[Target], results: dict[str, Result], inputs: int) -> None:
    """Each target is fuzzed for as long as the others. As speeds change with what is found, the
    last ones make up what is missing.
    """
    for target in chosen:
        results[target.name].add(
            fuzz(target, inputs=inputs // len(chosen) or 1, seconds=CALIBRATION_S)
        )
    sound = sorted(
        (target for target in chosen if not results[target.name].finding),
        key=lambda each: results[each.name].per_s,
    )
    while sound:
        left = inputs - sum(result.inputs for result in results.values())
        share = results[sound[0].name].per_s / sum(results[target.name].per_s for target in sound)
        target = sound.pop(0)
        if (count := round(left * share)) > 0:
            results[target.name].add(fuzz(target, inputs=count))


def fuzz(target: Target, *, inputs: int = 0, seconds: int = 0) -> Result:
    """One run of one target, in a process of its own, until so many inputs or seconds."""
    print(f"  {target.name}: {target.feeds}", file=sys.stderr, flush=True)
    folder = KEPT / target.name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    escaped = (
        "".join(map(r"\x{:02x}".format, word)) for word in target.words if len(word) <= 64
    )  # as long as libFuzzer takes them
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    arguments = [
        f"-max_len={target.longest}",
        f"-timeout={INPUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        *([f"-dict={words}"] if target.words else []),
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=1",
        *([f"-runs={inputs}"] if inputs else []),
        *([f"-max_total_time={seconds}"] if seconds else []),
        str(corpus),
    ]
    began_s = time.monotonic()
    # In memory, where that can be; libFuzzer leaves a process without tidying up.
    with tempfile.TemporaryDirectory(
        prefix="meter-gateway-fuzz-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None
    ) as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.one", target.name, *arguments],
            cwd=KEPT.parent,
            env=os.environ | {"PYTHONHASHSEED": "0", "TMPDIR": scratch},
            stdout=subprocess.PIPE,  # libFuzzer's own, which only a finding makes interesting
            stderr=subprocess.STDOUT,
            check=False,
        )
    result = _result(
        target, done.stdout.decode(errors="replace"), done.returncode, time.monotonic() - began_s
    )
    print(
        f"    {result.inputs:,} inputs, {result.finding or 'nothing found'}",
        file=sys.stderr,
        flush=True,
    )
    return result


def _result(target: Target, output: str, code: int, took_s: float) -> Result:
    def number(pattern: str) -> float:
        found = re.findall(pattern, output)
        return float(found[-1]) if found else 0.0

    result = Result(
        inputs=int(number(r"stat::number_of_executed_units:\s*(\d+)")),
        seconds=number(r"Done \d+ runs in (\d+) second") or took_s,
        peak_mb=int(number(r"stat::peak_rss_mb:\s*(\d+)")),
    )
    if code != 0:
        written = re.findall(r"Test unit written to (\S+)", output)
        log = KEPT / target.name / "log"
        log.write_text(output)
        again = (
            (
                f".venv/bin/python -m tests.fuzz.one {target.name} "
                f"{Path(written[-1]).relative_to(KEPT.parent)}"
            )
            if written
            else f"see {log}"
        )
        what = re.findall(
            r"^(?:\w+\.)*(\w*(?:Error|Exception|Exit|Interrupt)\b.*|ERROR: libFuzzer: "
            r".*|.*SUMMARY.*)$",
            output,
            re.MULTILINE,
        )
        result.finding = f"{(what or ['it ended with exit code ' + str(code)])[0][:160]}\n{again}"
    return result


def _print(chosen: list[Target], results: dict[str, Result]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="Whatever comes in: only documented errors, bounded memory, printable messages",
        title_justify="left",
    )
    for column in ("target", "what is fed", "inputs", "a second", "peak RSS", "result"):
        table.add_column(
            column, justify="right" if column in ("inputs", "a second", "peak RSS") else "left"
        )
    for target in chosen:
        result = results[target.name]
        verdict = Text(result.finding, "red") if result.finding else Text("passed", "green")
        table.add_row(
            target.name,
            target.feeds,
            f"{result.inputs:,}",
            f"{result.per_s:,.0f}",
            f"{result.peak_mb} MB",
            verdict,
        )
    every = list(results.values())
    peak_mb = max(result.peak_mb for result in every)
    table.add_section()
    table.add_row(
        "",
        "all",
        f"{sum(result.inputs for result in every):,}",
        "",
        f"{peak_mb} MB",
        f"{sum(bool(r.finding) for r in every)} found",
    )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
