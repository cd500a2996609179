"""What waits to be published over MQTT: bounded, and nothing of it may keep the rest from going.

A broker that does not like a message may close the connection without a word (MQTT 3.1.1 has none).
Who sends it again first thing on the next connection will be thrown out for ever. So after a loss
messages go one at a time, and what twice ended the connection by itself is left out for an hour.
"""

from collections import deque
from collections.abc import Callable

from drivers.net.mqtt import Message, MqttConnection, TooLong

MAX_WAITING = 500
"""Messages kept while the broker is away. A sample is some 500 bytes."""

MAX_UNACKNOWLEDGED = 20

MAX_SUSPICIONS = 2
"""How often a connection may end on the same topic before that is left out."""

BLAME_S = 10.0
"""A connection that ended later than this after a message had been sent did not end on it."""

LEFT_OUT_S = 3600.0
"""After this the broker may have been told to take more."""


UNANSWERED_S = 30.0
"""A broker that lives, and says nothing of a message for so long, has lost it: only on another
connection may it be sent again (MQTT 5, section 4.4).
"""


class Unanswered(OSError):
    """The broker does not say whether it has what it was sent."""


class PublicationQueue:
    """What is to be published. `has_news` is called when there is more, `left_out` with a topic and
    the reason when a message is given up because the broker does not take it. Times are the loop's.
    """

    def __init__(
        self,
        has_news: Callable[[], None],
        left_out: Callable[[str, str], None],
        unanswered_s: float = UNANSWERED_S,
    ) -> None:
        self._has_news = has_news
        self._left_out = left_out
        self._unanswered_s = unanswered_s
        self._greeting: Message | None = None
        self._waiting: deque[Message] = deque(maxlen=MAX_WAITING)
        self._retained: dict[str, Message] = {}
        """The newest of each topic; these go before what waits."""
        self._unacknowledged: dict[int, tuple[Message, float]] = {}
        """What the connection has, by its number, and when it got it."""
        self._one_by_one = 0
        """So many messages are sent alone yet, to see on which the connection ends."""
        self._suspicions: dict[str, int] = {}
        """How often a connection ended on a topic, since a message of it was last taken."""
        self._refused_until_s: dict[str, float] = {}
        """Topics that are left out, and for how long."""
        self._held: dict[str, bytes] = {}
        """What the broker holds, or is to hold, of topics that are said when they change."""
        self.dropped = 0
        """Messages that were given up because too many waited."""

    @property
    def leaves_out(self) -> bool:
        """Whether there are topics that the broker does not take."""
        return bool(self._refused_until_s)

    def add(self, topic: str, payload: bytes) -> None:
        """One more; where too many wait, the oldest is given up."""
        self.dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(Message(topic, payload, retained=False))
        self._has_news()

    def retain(self, topic: str, payload: bytes) -> None:
        """What stays with the broker, in place of what is there."""
        self._retained[topic] = Message(topic, payload, retained=True)
        self._has_news()

    def retain_news(self, topic: str, payload: bytes) -> None:
        """The same, unless this connection's broker has been told so already."""
        if self._held.get(topic) != payload:
            self._held[topic] = payload
            self.retain(topic, payload)

    def greet(self, greeting: Message) -> None:
        """What goes first on this connection."""
        self._greeting = greeting
        self._held.clear()  # another broker, or one that has lost what it held

    def hand_out(self, connection: MqttConnection, now_s: float) -> None:
        """Publish what waits, as long as the broker keeps up. Raises OSError."""
        at_once = min(MAX_UNACKNOWLEDGED, connection.max_unacknowledged or MAX_UNACKNOWLEDGED)
        if self._one_by_one:
            at_once = 1

        while len(self._unacknowledged) < at_once and not connection.busy:
            message = self._next(now_s)
            if message is None:
                break
            try:
                number = connection.publish(message)
            except TooLong as error:
                self._done_with(message)
                self._leave_out(message, now_s, f"{error}: let it take more (max_packet_size)")
                continue

            # It waits no longer only now: where publishing fails, it is not lost.
            self._unacknowledged[number] = message, now_s
            self._done_with(message)

    def acknowledged(self, number: int) -> bool:
        """The broker has a message; whether it was one of these, and more than the greeting."""
        found = self._unacknowledged.pop(number, None)
        if found is None:
            return False
        self._has_news()
        if self._is_greeting(found[0]):
            return False
        self._one_by_one = max(0, self._one_by_one - 1)
        self._suspicions.pop(found[0].topic, None)
        self._refused_until_s.pop(found[0].topic, None)
        return True

    def check_answers(self, now_s: float) -> None:
        """Raises Unanswered where the broker owes us its word for longer than it may."""
        first_s = min((sent_s for _, sent_s in self._unacknowledged.values()), default=now_s)
        if now_s - first_s > self._unanswered_s:
            raise Unanswered(
                f"the broker has not acknowledged for {self._unanswered_s:g} s what it was sent; "
                "is it overloaded, or its disk full?"
            )

    def refused(self, number: int, why: str, now_s: float) -> None:
        """The broker does not take a message, and said why."""
        found = self._unacknowledged.pop(number, None)
        if found is not None:
            self._leave_out(found[0], now_s, why)
            self._has_news()

    def take_back(self, now_s: float, *, lost: bool) -> bool:
        """The connection is over; `lost`: not by our own wish. What the broker did not acknowledge
        goes out again first on the next one, but for what ended this one. Returns whether that
        was found.
        """
        held = list(self._unacknowledged.values())
        self._unacknowledged.clear()
        if lost and held:
            self._one_by_one = max(self._one_by_one, len(held))
        suspect = self._suspect(held, now_s) if lost else None
        is_culprit = suspect is not None and self._is_sure_of(suspect, now_s)

        for message, _ in reversed(held):
            if self._is_greeting(message) or (is_culprit and message is suspect):
                continue
            if message.retained:
                self._retained.setdefault(message.topic, message)
            elif len(self._waiting) < MAX_WAITING:
                self._waiting.appendleft(message)
            else:
                self.dropped += 1
        return is_culprit

    def _is_greeting(self, message: Message) -> bool:
        return self._greeting is not None and message.topic == self._greeting.topic

    def _next(self, now_s: float) -> Message | None:
        """What goes now. What is left out for now is dropped on the way."""
        if self._greeting is not None and self._greeting.payload:
            return self._greeting
        while message := next(iter(self._retained.values()), None) or (
            self._waiting[0] if self._waiting else None
        ):
            if now_s >= self._refused_until_s.get(message.topic, 0.0):
                return message
            self._done_with(message)
        return None

    def _done_with(self, message: Message) -> None:
        """It waits no longer."""
        if self._greeting is not None and message is self._greeting:
            self._greeting = Message(message.topic, b"")  # it has gone; its topic is still known
        elif message.retained:
            del self._retained[message.topic]
        else:
            self._waiting.popleft()

    def _suspect(self, held: list[tuple[Message, float]], now_s: float) -> Message | None:
        """The message on which the connection may have ended: the only one under way."""
        if len(held) != 1 or now_s - held[0][1] > BLAME_S or self._is_greeting(held[0][0]):
            return None
        return held[0][0]

    def _is_sure_of(self, suspect: Message, now_s: float) -> bool:
        """Whether that has happened often enough. It is left out then."""
        times = self._suspicions.get(suspect.topic, 0) + 1
        self._suspicions[suspect.topic] = times
        if times < MAX_SUSPICIONS:
            return False
        why = f"{len(suspect.payload)} bytes, on which the connection ended {times} times"
        self._leave_out(suspect, now_s, why)
        return True

    def _leave_out(self, message: Message, now_s: float, why: str) -> None:
        self._refused_until_s[message.topic] = now_s + LEFT_OUT_S
        self._held.pop(message.topic, None)
        self._left_out(message.topic, why)
