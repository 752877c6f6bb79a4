"""Decides how long a file of the spool that cannot be read is waited for. No I/O, no clock.

All that follows of its boot waits behind it. So the wait has an end, but none that a disk which is ill for some minutes
reaches: only tries count, each for a minute at most, and one that succeeds ends it.
"""

import errno
from pathlib import Path

import msgspec

from fleet_contract.because import Because

#: For so long after a try what waits beside it goes first. No try counts for more.
REST_SECONDS = 60.0
#: Of tries that all failed.
PATIENCE_SECONDS = 3600.0
#: What the agent itself wants for, which says nothing of the file.
_WANTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Unread(msgspec.Struct, frozen=True):
    """A file could not be read the last time that it was tried, `tried_at` (monotonic seconds), nor for
    `waited_seconds` before. `wanting`: then it was for something else than the file."""

    because: Because
    tried_at: float
    waited_seconds: float = 0.0
    wanting: bool = False


def failed(before: Unread | None, path: Path, error: OSError, now: float) -> Unread:
    """After another try to read `path`, or the first."""
    wanting = error.errno in _WANTS
    waited = 0.0 if before is None else before.waited_seconds
    if before is not None and not wanting:
        waited += min(now - before.tried_at, REST_SECONDS)
    end = (
        "It is tried again."
        if wanting
        else f"It is tried again, and put aside once it could not be read for {PATIENCE_SECONDS / 60:.0f} minutes: "
        "check the disk, and that the agent's user may read it."
    )
    because = Because(
        "spool-unreadable",
        f"Telemetry in {path} cannot be read now ({error.strerror}), and waits, as does what came after it. {end}",
    )
    return Unread(because, now, waited, wanting)


def rests(unread: Unread, now: float) -> bool:
    """Whether it was tried a short while ago, so that others go first; what the agent wants for, others want too."""
    return not unread.wanting and now < unread.tried_at + REST_SECONDS


def is_lost(unread: Unread) -> bool:
    """Whether it is not worth waiting for any more."""
    return not unread.wanting and unread.waited_seconds >= PATIENCE_SECONDS
