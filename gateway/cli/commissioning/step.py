"""What every step of `init` has in hand."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.commissioning.interview import Interview


@dataclass(frozen=True, slots=True)
class Step:
    """The configuration folder, the flags, whoever is asked, and what is left to do, in words."""

    folder: Path
    args: argparse.Namespace
    ask: Interview
    left: list[str] = field(default_factory=list)
