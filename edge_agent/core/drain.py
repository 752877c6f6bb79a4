"""Decides which spooled windows to send next. No I/O, no clock, no randomness.

One batch is in flight at a time. A window comes every few seconds and a batch carries hundreds, so that is fast
enough to catch up after days; it makes each answer's meaning plain, and keeps a fleet that comes back after an
outage from burying its hub. Boots are drained oldest first, for an old one can only shrink.
"""

from dataclasses import dataclass, replace

from fleet_contract.telemetry import Ack

#: A lake commit takes well below a second; a hub that is this late has lost the batch or cannot store it.
FIRST_TIMEOUT_SECONDS = 10.0
#: As long as a hub that comes back may have to wait for us.
LONGEST_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Backlog:
    """The oldest boot that has windows waiting: the hub has all up to `mark`, and `last` is the newest here."""

    boot: str
    mark: int
    last: int


@dataclass(frozen=True)
class Flight:
    """A batch on its way: windows of `boot` after `after`, up to `through`, sent at `sent_at` (monotonic seconds)."""

    boot: str
    after: int
    through: int
    sent_at: float


@dataclass(frozen=True)
class Drain:
    """Where draining is.

    `below` is the hub's own mark of a boot, when it is lower than what it once acked (its lake was restored from a
    backup): what follows must say so. `tries` counts the sendings since the hub last took something; `rewound` says
    that an answer has already caused one of them, so that stale answers cannot cause a storm.
    """

    flight: Flight | None = None
    below: tuple[str, int] | None = None
    tries: int = 0
    rewound: bool = False


@dataclass(frozen=True)
class Send:
    """Send the windows of `boot` after sequence `since`, as many as fit; the batch says `after`."""

    boot: str
    after: int
    since: int


@dataclass(frozen=True)
class Wait:
    """Nothing to send before `until` (monotonic seconds), or, when None, before something new happens."""

    until: float | None


def timeout_seconds(tries: int) -> float:
    """How long to wait for the answer to the last of `tries` sendings."""
    return float(min(FIRST_TIMEOUT_SECONDS * 2 ** max(0, min(tries, 16) - 1), LONGEST_TIMEOUT_SECONDS))


def following(drain: Drain, backlog: Backlog | None, now: float) -> Send | Wait:
    """What to do next, while connected."""
    if backlog is None:
        return Wait(None)
    if drain.flight is not None and drain.flight.boot == backlog.boot and drain.flight.through > backlog.mark:
        due = drain.flight.sent_at + timeout_seconds(drain.tries)
        if now < due:
            return Wait(due)
    after = backlog.mark
    if drain.below is not None and drain.below[0] == backlog.boot:
        after = min(after, drain.below[1])
    return Send(backlog.boot, after, backlog.mark)


def sent(drain: Drain, send: Send, through: int, now: float) -> Drain:
    """After a batch of `send`, whose last window is `through`, went out."""
    return replace(drain, flight=Flight(send.boot, send.after, through, now), tries=drain.tries + 1)


def acked(drain: Drain, ack: Ack, mark: int) -> Drain:
    """After the hub's answer, when we knew that it has all of that boot up to `mark`.

    The caller forgets all windows up to `ack.through`, whatever this decides: the hub has them.
    """
    if ack.through > mark:
        below = None if drain.below is not None and drain.below[0] == ack.boot else drain.below
        flight = drain.flight
        landed = flight is not None and flight.boot == ack.boot and ack.through >= flight.through
        return Drain(None if landed else flight, below)
    flight = drain.flight
    if flight is None or flight.boot != ack.boot or ack.through >= flight.after or drain.rewound:
        return drain
    # The hub stands before what we sent: a gap. Start again from its mark, at once, but only once before the next
    # sending that time decides: an answer that was merely late would otherwise breed a batch, and that an answer.
    return Drain(None, (ack.boot, ack.through), drain.tries, rewound=True)


def disconnected(drain: Drain) -> Drain:
    """After the connection was lost, and with it perhaps the batch in flight: the next connection starts afresh."""
    return Drain(None, drain.below)
