"""How a journal changes: each function is one thing that has happened to a model. No I/O, no clock."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import assert_never

import msgspec
from msgspec.structs import replace

from edge_agent.core.journal import Journal, Order, Refused
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase

#: Bad ends of the process with a new release at risk, after which it is rejected.
MAX_WANTED_ENDS = 2
#: The same for the settled release. More, for it was proven, and power cuts come in rows.
MAX_SETTLED_ENDS = 6
#: Downloads of a release whose bytes may be wrong: one may be the network's fault.
MAX_DAMAGED = 2


class Part(Enum):
    """The part that a release had in a bad end of the process it was at risk in."""

    NONE = "none"
    """It was not at work, and the device went on."""
    UNKNOWN = "unknown"
    """Nothing tells, as when the device itself went down."""
    LIKELY = "likely"
    """It was at work when somebody killed the process: the kernel, perhaps, for want of memory."""
    CERTAIN = "certain"
    """It was struck in the middle of its own work, or never came back from it."""


#: Of these the evidence is enough, also when a full disk kept the journal from saying that something was at risk.
_SEEN_AT_WORK = frozenset({Part.LIKELY, Part.CERTAIN})
_WANTED_WEIGHT = {Part.NONE: 0, Part.UNKNOWN: 1, Part.LIKELY: 1, Part.CERTAIN: MAX_WANTED_ENDS}
_SETTLED_WEIGHT = {Part.NONE: 0, Part.UNKNOWN: 1, Part.LIKELY: 2, Part.CERTAIN: MAX_SETTLED_ENDS}


class End(msgspec.Struct, frozen=True):
    """How the last process ended, as far as one release is concerned."""

    part: Part
    because: Because


UNKNOWN = End(Part.UNKNOWN, Because("ended", "The agent ended, and nothing tells why."))


def entered(journal: Journal, phase: Phase, because: Because, now: datetime) -> Journal:
    """`journal` in `phase`: since now, unless it was in it already."""
    since = journal.since if journal.phase is phase else now
    return replace(journal, phase=phase, because=because, since=since)


def wanted_manifest(journal: Journal) -> Manifest | None:
    return journal.wanted.manifest if isinstance(journal.wanted, Order) else None


def followed(journal: Journal, wanted: Order | Refused | None, now: datetime) -> Journal:
    """The newest order has come, perhaps again: whatever an older one was doing is over."""
    before = journal.wanted
    match wanted:
        case None:
            if journal.phase in {Phase.IDLE, Phase.EVICTED}:
                return journal
            because = Because("not-wanted", f"The hub's newest order does not list {journal.key}.")
            return Journal(journal.model, Phase.IDLE, because, now, slot=journal.slot)
        case Refused():
            if isinstance(before, Refused) and before.release == wanted.release and before.because == wanted.because:
                return replace(journal, wanted=wanted)
            return entered(_ordered(journal, wanted), Phase.REJECTED, wanted.because, now)
        case Order():
            same = isinstance(before, Order) and before.manifest == wanted.manifest
            if same and (journal.phase is not Phase.REJECTED or wanted.retry <= journal.retry):
                return replace(journal, wanted=wanted, retry=max(journal.retry, wanted.retry))
            journal = _ordered(journal, wanted)
            if wanted.manifest == journal.settled:
                sentence = f"Version {wanted.manifest.version} is wanted, and is what was proven here."
                return entered(replace(journal, admitted=True), Phase.SETTLED, Because("proven", sentence), now)
            return entered(journal, Phase.FETCHING, wanted.because, now)
    assert_never(wanted)


def _ordered(journal: Journal, wanted: Order | Refused) -> Journal:
    retry = wanted.retry if isinstance(wanted, Order) else journal.retry
    anew = replace(journal, wanted_ends=0, wanted_at_risk=False, damaged=0, preflighted=False, admitted=False)
    return replace(anew, wanted=wanted, retry=retry)


def resumed(journal: Journal, ends: Mapping[str, End], now: datetime) -> Journal:
    """A process begins; the last one may have come to a bad end. `ends` are by the digest of an artifact; of what it
    does not name, nothing is known."""
    wanted, settled = wanted_manifest(journal), journal.settled
    wanted_at_risk, settled_at_risk = journal.wanted_at_risk, journal.settled_at_risk
    journal = replace(journal, wanted_at_risk=False, settled_at_risk=False)
    if wanted is not None and journal.phase is not Phase.REJECTED and wanted != settled:
        end = ends.get(wanted.artifact.digest, UNKNOWN)
        if wanted_at_risk or end.part in _SEEN_AT_WORK:
            journal = replace(journal, wanted_ends=journal.wanted_ends + _WANTED_WEIGHT[end.part])
        if journal.wanted_ends >= MAX_WANTED_ENDS:
            journal = rejected(journal, _ended(end, wanted), now)
    if settled is not None:
        end = ends.get(settled.artifact.digest, UNKNOWN)
        if settled_at_risk or end.part in _SEEN_AT_WORK:
            journal = replace(journal, settled_ends=journal.settled_ends + _SETTLED_WEIGHT[end.part])
        if journal.settled_ends >= MAX_SETTLED_ENDS:
            journal = demoted(journal, _ended(end, settled), now, damaged=False)
    return journal


def reverts(before: Journal | None, after: Journal) -> bool:
    """Whether `after` takes something back: that must get on disk, if anything does."""
    return after.phase is Phase.REJECTED or (before is not None and after.settled != before.settled)


def _ended(end: End, manifest: Manifest) -> Because:
    if end.part is Part.CERTAIN:
        return end.because
    sentence = f"The agent has ended too often while version {manifest.version} was loaded; the last time: "
    return Because("process-ended", sentence + end.because.sentence)


def rejected(journal: Journal, because: Because, now: datetime) -> Journal:
    """What is wanted has failed here."""
    if isinstance(journal.wanted, Order) and journal.previous == journal.wanted.manifest:
        # What has just failed is nothing to fall back on.
        journal = replace(journal, previous=None)
    return entered(replace(journal, wanted_ends=0, wanted_at_risk=False), Phase.REJECTED, because, now)


def put_away(journal: Journal, because: Because, now: datetime) -> Journal:
    """What is wanted has passed its pre-flight, and waits, not loaded, until it may be switched to."""
    return entered(replace(journal, preflighted=True, wanted_at_risk=False), Phase.PREFLIGHT, because, now)


def promoted(journal: Journal, because: Because, now: datetime) -> Journal:
    """What is wanted has passed its trial. The bad ends that it had on it are not forgotten yet."""
    settled = replace(
        journal,
        settled=wanted_manifest(journal),
        previous=journal.settled,
        settled_ends=journal.wanted_ends,
        settled_at_risk=journal.wanted_at_risk,
        wanted_ends=0,
        wanted_at_risk=False,
        damaged=0,
    )
    return entered(settled, Phase.SETTLED, because, now)


def demoted(journal: Journal, because: Because, now: datetime, *, damaged: bool) -> Journal:
    """The settled release cannot run any more: back to the one before it."""
    lost = journal.settled
    journal = replace(journal, settled=journal.previous, previous=None, settled_ends=0, settled_at_risk=False)
    wanted = wanted_manifest(journal)
    if wanted is not None and wanted == lost:
        # Bytes can be had again; a release that cannot run cannot.
        return entered(journal, Phase.FETCHING if damaged else Phase.REJECTED, because, now)
    if wanted is not None and wanted == journal.settled:
        return entered(journal, Phase.SETTLED, because, now)
    return journal
