"""Asks an installer, one thing after the other. Where nobody is there to be asked, what is proposed
is taken.
"""

import getpass
from collections.abc import Callable, Sequence

from gateway.cli.terminal import Refused

MOST_TRIES = 5


class Interview:
    """Questions to whoever sits at the terminal, each with what Enter alone would answer."""

    def __init__(self, *, asks: bool) -> None:
        self.asks = asks

    def text(
        self, question: str, proposed: str, flag: str, check: Callable[[str], object] = str
    ) -> str:
        """A text. `check` raises ValueError for what cannot be used. Where nobody is asked and
        nothing is proposed, Refused names the flag that would say it.
        """
        if not self.asks:
            return _taken(question, proposed, flag, check)
        shown = f"{question} [{proposed}]: " if proposed else f"{question}: "
        for _ in range(MOST_TRIES):
            answer = _input(shown) or proposed
            try:
                if answer:
                    check(answer)
                    return answer
                print("  An answer is needed here; Ctrl-C ends it all, and what is written stays.")
            except ValueError as error:
                print(f"  {error}")
        raise Refused(f"{question}: no answer that can be used — start again, nothing is lost")

    def choice(self, question: str, options: Sequence[tuple[str, str]], proposed: str) -> str:
        """One of several words, each with what it means."""
        if not self.asks:
            return proposed
        for number, (word, meaning) in enumerate(options, 1):
            print(f"    {number}  {word:<11}{meaning}")
        words = [word for word, _ in options]
        for _ in range(MOST_TRIES):
            answer = _input(f"{question} [{proposed}]: ") or proposed
            if answer.isdigit() and 1 <= int(answer) <= len(words):
                return words[int(answer) - 1]
            if answer in words:
                return answer
            print(f"  a number from 1 to {len(words)}, or one of {', '.join(words)}")
        raise Refused(f"{question}: no answer that can be used — start again, nothing is lost")

    def agrees(self, question: str, *, proposed: bool) -> bool:
        """Yes or no."""
        if not self.asks:
            return proposed
        for _ in range(MOST_TRIES):
            answer = _input(f"{question} [{'Y/n' if proposed else 'y/N'}]: ").lower()
            if answer in ("", "y", "yes", "n", "no"):
                return answer.startswith("y") if answer else proposed
            print("  y or n")
        raise Refused(f"{question}: neither yes nor no — start again, nothing is lost")

    def secret(self, question: str, flag: str) -> str:
        """What is not shown while it is typed."""
        if not self.asks:
            raise Refused(f"{question}: nobody is there to be asked — give {flag}")
        try:
            return getpass.getpass(f"{question} (it is not shown): ")
        except EOFError as error:
            raise Refused(f"{question}: the input has ended — give {flag}") from error


def _taken(question: str, proposed: str, flag: str, check: Callable[[str], object]) -> str:
    if not proposed:
        raise Refused(f"{question}: nobody is there to be asked — give {flag}")
    try:
        check(proposed)
    except ValueError as error:
        raise Refused(f"{flag}: {error}") from error
    return proposed


def _input(shown: str) -> str:
    try:
        return input(shown).strip()
    except EOFError as error:
        raise Refused("the input has ended — give --yes, and flags for what is not proposed") from (
            error
        )
