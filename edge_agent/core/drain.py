"""Decides which spooled records of one lane to send next, and when. No I/O, no clock, no randomness.

One batch of a lane is in flight at a time: the hub's answers set the pace. A batch carries hundreds of records, so
that is fast enough to catch up after days, and makes each answer's meaning plain. Batches begin small and double with
each ack. A fleet that comes back after an outage is spread over some seconds by chance, which comes out of `seed` and
so is another for each device; what finds no room at the hub stays away for as long as the hub says. Boots are drained
oldest first, for an old one can only shrink.
"""

import hashlib

import msgspec
from msgspec.structs import replace

from fleet_contract.telemetry import Ack

#: A lake commit takes well below a second; a hub that is this late has lost the batch or cannot store it.
FIRST_TIMEOUT_SECONDS = 10.0
#: As long as a hub that comes back may have to wait for us.
LONGEST_TIMEOUT_SECONDS = 60.0
FIRST_RECORDS = 32
MOST_RECORDS = 4096
#: A backlog that a device has with a hub that is there: sent at once.
FRESH_RECORDS = 3
#: After an outage every device has a backlog: they come over as many seconds as it takes a hub to take them in.
SPREAD_SECONDS_A_RECORD = 0.02
LONGEST_SPREAD_SECONDS = 60.0
#: A hub that gives a sign of life has nothing of what it did not answer by then.
ANSWER_SECONDS = 1.0


class Backlog(msgspec.Struct, frozen=True):
    """The oldest boot that has records waiting: the hub has all up to `mark`, and `last` is the newest here."""

    boot: str
    mark: int
    last: int


class Flight(msgspec.Struct, frozen=True):
    """A batch on its way: `records` of `boot` after `after`, up to `through`, sent at `sent_at` (monotonic seconds);
    `batch` is its fingerprint."""

    boot: str
    after: int
    through: int
    sent_at: float
    records: int = 1
    batch: str = ""


class Drain(msgspec.Struct, frozen=True):
    """Where draining is.

    `below` is the hub's own mark of a boot, when it is lower than what is no longer here (its lake was restored from a
    backup, or refused some): what follows must say so. `tries` counts the sendings since the hub last took something;
    `rewound` says that an answer has already caused one of them, so that stale answers cannot cause a storm.
    `most_records` may be in the next batch, which goes out no sooner than `not_before` (monotonic seconds). `drawn`
    counts what was left to chance.
    """

    seed: str = ""
    flight: Flight | None = None
    below: tuple[str, int] | None = None
    tries: int = 0
    rewound: bool = False
    most_records: int = FIRST_RECORDS
    not_before: float = 0.0
    drawn: int = 0


class Send(msgspec.Struct, frozen=True):
    """Send the records of `boot` after sequence `since`, as many as fit and at most `records`; the batch says
    `after`."""

    boot: str
    after: int
    since: int
    records: int = FIRST_RECORDS


class Wait(msgspec.Struct, frozen=True):
    """Nothing to send before `until` (monotonic seconds), or, when None, before something new happens."""

    until: float | None


class GiveUp(msgspec.Struct, frozen=True):
    """The hub will never take the records of `boot` up to `through`: drop them, and count them."""

    boot: str
    through: int


def chance(seed: str, number: int) -> float:
    """The `number`th number of `seed`: evenly spread from 0 to below 1, and always the same."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def timeout_seconds(tries: int) -> float:
    """How long to wait at least for the answer to the last of `tries` sendings; half as long again at most."""
    return float(min(FIRST_TIMEOUT_SECONDS * 2 ** max(0, min(tries, 16) - 1), LONGEST_TIMEOUT_SECONDS))


def following(drain: Drain, backlog: Backlog | None, now: float) -> Send | Wait:
    """What to do next, while connected."""
    if backlog is None:
        return Wait(None)
    if drain.flight is not None and drain.flight.boot == backlog.boot and drain.flight.through > backlog.mark:
        due = drain.flight.sent_at + timeout_seconds(drain.tries) * (1 + chance(drain.seed, drain.drawn) / 2)
        if now < due:
            return Wait(due)
    if now < drain.not_before:
        return Wait(drain.not_before)
    after = backlog.mark
    if drain.below is not None and drain.below[0] == backlog.boot:
        after = min(after, drain.below[1])
    return Send(backlog.boot, after, backlog.mark, drain.most_records)


def sent(drain: Drain, send: Send, through: int, now: float, records: int = 1, batch: str = "") -> Drain:
    """After a batch of `send`, with so many records and `through` as its last, went out."""
    flight = Flight(send.boot, send.after, through, now, records, batch)
    return replace(drain, flight=flight, tries=drain.tries + 1, drawn=drain.drawn + 1)


def acked(drain: Drain, ack: Ack, mark: int) -> Drain:
    """After the hub's word of what it has, when we knew that it has all of that boot up to `mark`.

    The caller forgets all records up to `ack.through`, whatever this decides: the hub has them.
    """
    flight = drain.flight
    if ack.through > mark:
        below = None if drain.below is not None and drain.below[0] == ack.boot else drain.below
        landed = flight is not None and flight.boot == ack.boot and ack.through >= flight.through
        most = min(drain.most_records * 2, MOST_RECORDS) if landed else drain.most_records
        return replace(drain, flight=None if landed else flight, below=below, tries=0, rewound=False, most_records=most)
    if flight is None or flight.boot != ack.boot or ack.through >= flight.after or drain.rewound:
        return drain
    # The hub stands before what we sent: a gap. Start again from its mark, at once, but only once before the next
    # sending that time decides: an answer that was merely late would otherwise breed a batch, and that an answer.
    return replace(drain, flight=None, below=(ack.boot, ack.through), rewound=True)


def turned_down(drain: Drain, ack: Ack, now: float) -> tuple[Drain, GiveUp | None]:
    """After the hub's word that it did not take the batch `ack.batch`: it has no room, or refuses it for good.

    A refused batch is sent again by halves, until the one record that the hub minds is alone, and is given up.
    """
    flight = drain.flight
    if flight is None or flight.batch != ack.batch:
        # Of a batch that was sent again since, or of an earlier start.
        return drain, None
    if ack.refused is None:
        wait = ack.wait_seconds * (0.5 + chance(drain.seed, drain.drawn))
        return replace(drain, flight=None, tries=0, not_before=now + wait, drawn=drain.drawn + 1), None
    smaller = replace(drain, flight=None, tries=0, most_records=max(1, flight.records // 2))
    if flight.records > 1:
        return smaller, None
    # What follows says that the hub stands where it stood before this one.
    return replace(smaller, below=(flight.boot, flight.after)), GiveUp(flight.boot, flight.through)


def heard(drain: Drain, now: float) -> Drain:
    """After another sign of life from the hub: what it has left unanswered for long, it has not heard."""
    flight = drain.flight
    if flight is None or now < flight.sent_at + ANSWER_SECONDS:
        return drain
    return replace(drain, flight=None, not_before=now + chance(drain.seed, drain.drawn), drawn=drain.drawn + 1)


def connected(drain: Drain, waiting: int, now: float) -> Drain:
    """After a connection was made, with `waiting` records to send: all others may have come back with us."""
    if waiting <= FRESH_RECORDS:
        return replace(drain, not_before=now)
    spread = min(waiting * SPREAD_SECONDS_A_RECORD, LONGEST_SPREAD_SECONDS)
    return replace(drain, not_before=now + spread * chance(drain.seed, drain.drawn), drawn=drain.drawn + 1)


def disconnected(drain: Drain) -> Drain:
    """After the connection was lost, and with it perhaps the batch in flight: the next connection starts afresh."""
    return Drain(drain.seed, below=drain.below, drawn=drain.drawn)
