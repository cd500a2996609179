"""Finds out under which UUIDs the exchange knows what is delivered to it, and by way of which
aggregator. Shell.

Assets without a `uuid` in gateway.yaml are looked up in the registry by their names. An aggregator
is found by its name, or made, and told to act for every asset; which it acts for is known from its
own answers, since the exchange's events of it are lost where nobody listens yet. Both is looked at
again every few hours, as soon as an address is refused, and where no verdict comes: a network that
was made anew has other UUIDs, and an aggregator acts for nothing in it. Where all UUIDs are written
down, the registry is asked only then.

Until it is known where an asset's numbers go they wait, and hold up nothing else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import suppress
from uuid import UUID

import msgspec

from gateway.delivery.exchange.addresses import Addresses
from gateway.delivery.exchange.beside import NobodyLoggedIn, NotTaken
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import ExchangeError, NotAllowed
from gateway.energy.slot import Event
from gateway.outbox.exchange.registry import Node, Wanted, resolve
from gateway.outbox.item import Subject
from gateway.store.known_uuids import KnownUuids
from gateway.timing.backoff import Backoff

LOOK_EVERY_S = 6 * 3600.0
LOOK_AGAIN_S = 300.0
"""Where something was not as it should be."""
LEAST_BETWEEN_S = 30.0
"""Addresses that are refused have it looked at no more often."""
BACKOFF_S, MAX_BACKOFF_S = 1.0, 300.0
MOST_TOLD = 2
"""So often an aggregator that is told to act for an asset counts as one that did not before."""
TOLD_FOR_S = 86_400.0
"""A UUID that changed is told for so long."""

_log = logging.getLogger(__name__)


class Task(msgspec.Struct, frozen=True):
    """What is to be found."""

    wanted: Sequence[Wanted]
    aggregator: str
    """Its name; empty: there is none."""

    @property
    def needs_registry(self) -> bool:
        """Whether nothing can be sent before it is asked."""
        return bool(self.aggregator) or any(each.is_by_name for each in self.wanted)


class Registrar:
    """Of one network. `now` is Unix time, `jitter` gives random numbers from 0 to 1, `note` keeps
    what a person should know. What is `known` from an earlier run is in `addresses` already.
    """

    def __init__(
        self,
        api: WebApi,
        addresses: Addresses,
        task: Task,
        *,
        now: Callable[[], float],
        jitter: Callable[[], float],
        note: Callable[[Event], None],
        known: KnownUuids,
    ) -> None:
        self._known = known
        self._api = api
        self._addresses = addresses
        self._task = task
        self._now = now
        self._note = note
        self._backoff = Backoff(BACKOFF_S, MAX_BACKOFF_S, jitter)
        self._doubts = asyncio.Event()
        self._differences: dict[str, str] = {}
        self._changes: dict[str, tuple[float, str]] = {}
        """UUIDs that changed, by the asset's name: when, and the words for it."""
        self._selected: dict[UUID, int] = {}
        """The assets that our aggregator acts for, by its own answers: how often it was told to
        since the registry has said so.
        """
        self._problem = ""
        """Why it could not be looked at."""

    # --- what others ask --------------------------------------------------------------------------

    def knows(self, subject: Subject) -> bool:
        """Whether it is known where its numbers go."""
        if self._addresses.by_aggregator and not self._addresses.aggregator:
            return False
        return self._addresses.there(subject) is not None

    @property
    def knows_all(self) -> bool:
        """Whether that is so for all."""
        return all(self.knows(each.id) for each in self._task.wanted)

    @property
    def told(self) -> Mapping[str, str]:
        """What a person should know, by the asset's name."""
        since_s = self._now() - TOLD_FOR_S
        changes = {name: text for name, (at_s, text) in self._changes.items() if at_s >= since_s}
        found = {**changes, **self._differences}
        if self._problem and not self.knows_all:
            found |= {
                each.name: f"it is not known where its numbers go: {self._problem}"
                for each in self._task.wanted
                if not self.knows(each.id)
            }
        return found

    def doubt(self) -> None:
        """An address was refused, or no verdict comes on what was sent there."""
        self._doubts.set()

    # --- looking ----------------------------------------------------------------------------------

    async def attend(self) -> AsyncIterator[Set[Subject]]:
        """Look for ever; says each time whose numbers go elsewhere now."""
        if not self._task.needs_registry:
            await self._doubts.wait()
        while True:
            is_doubted = self._doubts.is_set()
            self._doubts.clear()
            try:
                moved = await self._look(is_doubted)
            except NobodyLoggedIn:
                await asyncio.sleep(BACKOFF_S)
                continue
            except ExchangeError as error:
                self._fail(error)
                await asyncio.sleep(error.retry_after_s or self._backoff.fail())
                continue
            self._backoff.succeed()
            self._problem = ""
            yield moved
            await asyncio.sleep(LEAST_BETWEEN_S)
            await self._wait()

    async def _wait(self) -> None:
        """Until it is time to look again."""
        if not self._task.needs_registry:
            await self._doubts.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S if self._differences else LOOK_EVERY_S):
                await self._doubts.wait()

    async def _look(self, is_doubted: bool) -> Set[Subject]:
        """Returns the assets whose numbers go elsewhere now. Raises ExchangeError."""
        before = {e.id: self._address_of(e.id) for e in self._task.wanted if self.knows(e.id)}
        nodes = await self._api.registry()
        resolved = resolve(nodes, self._task.wanted)
        self._tell_changes(resolved.by_asset)
        self._addresses.know(resolved.by_asset)
        by_name = {each.id for each in self._task.wanted if each.is_by_name}
        if by_name:
            self._known.write({k: v for k, v in resolved.by_asset.items() if k in by_name})
        differences = {each.asset: str(each) for each in resolved.differences}
        newly: Set[Subject] = set()
        if self._task.aggregator:
            newly, problems = await self._select(resolved.nodes, is_doubted)
            differences |= problems
        self._tell_differences(differences)
        moved = {here for here, there in before.items() if self._address_of(here) != there}
        return moved | newly

    def _address_of(self, asset: UUID) -> tuple[UUID | None, str]:
        return self._addresses.there(asset), self._addresses.aggregator

    def _tell_changes(self, by_asset: Mapping[UUID, UUID | None]) -> None:
        names = {each.id: each.name for each in self._task.wanted}
        for here, before in self._addresses.assets.items():
            there = by_asset.get(here)
            if before is None or there is None or there == before:
                continue
            name = names[here]
            text = f"the exchange has {name} under another UUID now: {there}, before {before}"
            self._changes[name] = self._now(), text
            _log.warning("%s; it was found by its name, and deliveries go on there", text)
            self._note(Event(int(self._now() * 1000), name, "uuid", text))

    def _tell_differences(self, found: dict[str, str]) -> None:
        for name, text in found.items():
            if self._differences.get(name) != text:
                _log.warning("asset %s: %s", name, text)
        for name in self._differences.keys() - found.keys():
            _log.info("asset %s: the exchange's registry is as gateway.yaml has it", name)
        self._differences = found

    def _fail(self, error: ExchangeError) -> None:
        text = str(error)
        if not self._problem:
            _log.warning("the exchange's registry cannot be read: %s; it is tried again", text)
        self._problem = text

    # --- the aggregator ---------------------------------------------------------------------------

    async def _select(
        self, nodes: Mapping[UUID, Node], is_doubted: bool
    ) -> tuple[Set[Subject], dict[str, str]]:
        """Have the aggregator act for every asset. Returns for which it did not before, and what
        is wrong, by the asset's name. `is_doubted`: it may not act any more for what it was told
        to. Raises ExchangeError.
        """
        name = self._task.aggregator
        uuid, is_new = await self._api.find_or_create_aggregator(name)
        if is_new:
            self._selected.clear()
            _log.info("made the aggregator %s", name)
        if uuid != self._addresses.aggregator:
            self._selected.clear()

        newly: set[Subject] = set()
        problems: dict[str, str] = {}
        for each in self._task.wanted:
            there = self._addresses.there(each.id)
            node = nodes.get(each.id)
            if there is None:
                continue
            if node is not None and node.aggregator == name:
                self._selected[there] = 0
                continue
            times = self._selected.get(there)
            if times is not None and not is_doubted:
                continue
            try:
                await self._api.select_aggregator(uuid, there)
                self._selected[there] = (times or 0) + 1
                # A registry that never tells for whom it acts must not have all tried anew for
                # each asset that is silent.
                if times is None or times < MOST_TOLD:
                    newly.add(each.id)
            except (NotTaken, NotAllowed) as error:
                their = node.aggregator if node is not None else ""
                if times is not None and not their:
                    continue  # perhaps it acts for it already
                self._selected.pop(there, None)
                whose = f", and {their!r} does" if their else ""
                problems[each.name] = (
                    f"the aggregator {name!r} does not act for it{whose}: {error} — have the "
                    "exchange's operator, or that aggregator's user, let it go"
                )
        self._addresses.know_aggregator(uuid)
        return newly, problems
