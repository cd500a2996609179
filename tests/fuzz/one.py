"""Fuzzes one target with atheris (libFuzzer), guided by which lines of ours an input reaches.
`python -m tests.fuzz` starts it.

python -m tests.fuzz.one TARGET [libFuzzer's arguments …]      a file's name feeds that file once:
so a finding is played again
"""

import logging
import sys

import atheris

logging.disable(logging.CRITICAL)

with atheris.instrument_imports(include=["drivers", "gateway"]):
    from tests.fuzz.target import run
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv[1]]
    for seed in target.seeds():
        run(target, seed)  # and what is made once is made before atheris counts and times
    atheris.Setup(sys.argv[1:], lambda data: run(target, data))
    atheris.Fuzz()
