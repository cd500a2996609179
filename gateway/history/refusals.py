"""Why a question is not answered, in words for whoever asked. Pure."""


class Refusal(Exception):
    """The text says what is wrong, and what to do."""

    status = 503
    """What HTTP calls it."""


class NotThere(Refusal):
    """There is no such asset, meter, day or slot."""

    status = 404


class Unclear(Refusal):
    """What was asked cannot be read."""

    status = 400


class Unreadable(Refusal):
    """The store cannot be read now: damaged, locked, being upgraded, or not there yet."""


class Busy(Refusal):
    """Too many ask at once, or it took too long."""
