"""What the engine's verdicts mean for what was sent. Pure."""

from collections.abc import Callable, Iterator, Sequence

from gateway.outbox.exchange.frames import Verdict, Word
from gateway.outbox.format import Accepted, Answer, Rejected
from gateway.outbox.item import Kind, Subject
from gateway.outbox.silence import Stream

KINDS: tuple[Kind, ...] = ("measurement", "forecast")
"""In the order in which a batch has them; the engine answers in that order."""


def outcome_of(word: Word) -> Accepted | Rejected:
    """Accepted where it is ready. A command that an asset does not take is no number's fault, and
    may be taken once the asset is another one: that is never the last word.
    """
    if word.is_ready:
        return Accepted(word.says)
    is_of_kind = "support" in word.says.lower()
    return Rejected(
        f"gave the verdict 'error': {word.says}",
        whole=is_of_kind,
        cause="kind not supported" if is_of_kind else "verdict error",
        is_of_rights=is_of_kind,
    )


def answer_for(verdict: Verdict, subject: Subject) -> Answer:
    """What a verdict that came for one asset says of that asset."""
    words = () if verdict.word is None else (verdict.word,)
    return Answer(verdict.transaction_id, None, dict(_of_streams(subject, words)))


def answer_of_batch(verdict: Verdict, subject_of: Callable[[str], Subject | None]) -> Answer:
    """What a verdict on an aggregator's batch says. `subject_of` knows the asset of a UUID."""
    if verdict.word is not None:
        return Answer(verdict.transaction_id, outcome_of(verdict.word))
    found: dict[Stream, Accepted | Rejected] = {}
    for asset, words in verdict.of_assets.items():
        subject = subject_of(asset)
        if subject is not None:
            found |= dict(_of_streams(subject, words))
    return Answer(verdict.transaction_id, None, found)


def _of_streams(
    subject: Subject, words: Sequence[Word]
) -> Iterator[tuple[Stream, Accepted | Rejected]]:
    """One word that does not say what it is about is about all that was sent; of several, their
    order tells.
    """
    for position, word in enumerate(words[: len(KINDS)]):
        if word.kind is not None:
            kinds: Sequence[Kind] = (word.kind,)
        else:
            kinds = KINDS if len(words) == 1 else (KINDS[position],)
        for kind in kinds:
            yield (subject, kind), outcome_of(word)
