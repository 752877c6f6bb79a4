"""A moment in which no model is at work: what the agent takes then is what it keeps."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from edge_agent.live import LiveModel

#: Who asks meanwhile waits for it, and a run that takes longer is none to wait for.
REST_SECONDS = 1.0


@contextmanager
def resting(
    slots: Collection[LiveModel], seconds: float = REST_SECONDS, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[bool]:
    """No lease of `slots` begins inside. Whether all that were under way have ended, for which it waits up to so many
    seconds."""
    until = monotonic() + seconds
    try:
        for slot in slots:
            slot.pause()
        yield all(slot.rests(max(0.0, until - monotonic())) for slot in slots)
    finally:
        for slot in slots:
            slot.resume()
